"""Floating-point operations of a forward pass by formula, for model-FLOPs utilisation.

Counted are the matrix products and convolutions, two operations per multiply-add; element-wise
work, norms and softmax are not. XLA's own count is no substitute: it counts the body of a scan
once. A training step costs three times the forward pass, whatever is recomputed.
"""

from medvlp_jax.models.blocks import BlockConfig
from medvlp_jax.models.clip import CLIPConfig, ProjectionConfig
from medvlp_jax.models.densenet import DenseNetConfig
from medvlp_jax.models.heads import VisionConfig
from medvlp_jax.models.resnet import FOLD, ResNetConfig
from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.models.vit import ConvStem


def flops(config: CLIPConfig, batch: int, text_len: int, *, train: bool = True) -> int:
    """Forward operations of ``batch`` image-text pairs, each embedded into the joint space.

    Args:
      config: of the model; images have the tower's ``image_size``.
      batch: pairs.
      text_len: tokens per text, padding included.
      train: whether patch dropout applies.
    """
    image = image_flops(config.vision, train=train) + _projection(
        config.vision_proj, config.vision.features, config.embed_dim
    )
    text = text_flops(config.text, text_len) + _projection(
        config.text_proj, config.text.width, config.embed_dim
    )
    return batch * (image + text)


def image_flops(config: VisionConfig, *, train: bool = True) -> int:
    """Forward operations of a vision tower on one image of ``image_size``."""
    if isinstance(config, ResNetConfig):
        return _resnet(config)
    if isinstance(config, DenseNetConfig):
        return _densenet(config)
    width, (rows, columns) = config.width, config.grid
    patches = rows * columns
    tokens = (config.kept(patches) if train else patches) + config.class_token + config.registers
    if config.stem == "conv":
        total, side, channels = 0, config.image_size, config.channels
        for out in ConvStem.widths(config):
            side //= 2
            total += _conv(side, 3, channels, out)
            channels = out
        total += _conv(side, 1, channels, width)
    else:
        total = 2 * patches * config.patch**2 * config.channels * width
    total += _blocks(config.blocks(), tokens)
    if config.pool == "map":
        projections = 2 * width * width * (2 + 2 * tokens)  # q and out of one query, k and v
        scores = 2 * 2 * tokens * width
        total += projections + scores + _mlp(width, config.mlp_width)
    return total


def text_flops(config: TextConfig, text_len: int) -> int:
    """Forward operations of a text tower on one text of ``text_len`` tokens."""
    return _blocks(config.blocks(), text_len)


def _blocks(c: BlockConfig, tokens: int) -> int:
    projections = 4 * 2 * tokens * c.width**2
    scores_and_mixing = 2 * 2 * tokens**2 * c.width
    mlp = _mlp(c.width, c.mlp_width) * (3 if c.gated else 2) // 2
    return c.depth * (projections + scores_and_mixing + tokens * mlp)


def _mlp(width: int, hidden: int) -> int:
    return 2 * 2 * width * hidden


def _projection(c: ProjectionConfig, features_in: int, features_out: int) -> int:
    if c.kind == "none":
        return 0
    if c.kind == "linear":
        return 2 * features_in * features_out
    return 2 * c.hidden_width(features_in, features_out) * (features_in + features_out)


def _conv(side: int, kernel: int, channels_in: int, channels_out: int) -> int:
    return 2 * side**2 * kernel**2 * channels_in * channels_out


def _densenet(c: DenseNetConfig) -> int:
    side, inner = (c.image_size + 1) // 2, c.bottleneck * c.growth
    total = _conv(side, 7, c.channels, c.width)
    side, channels = (side + 1) // 2, c.width
    for stage, size in enumerate(c.stage_sizes):
        if stage:
            total += _conv(side, 1, channels, channels // 2)
            side, channels = side // 2, channels // 2
        for _ in range(size):
            total += _conv(side, 1, channels, inner) + _conv(side, 3, inner, c.growth)
            channels += c.growth
    return total


def _resnet(c: ResNetConfig) -> int:
    if c.stem == "fold":
        side = c.image_size // FOLD
        total = _conv(side, 3, c.channels * FOLD**2, c.width)
    else:
        side = (c.image_size + 1) // 2
        total = _conv(side, 7, c.channels, c.width)
        side = (side + 1) // 2
    channels = c.width
    for stage, size in enumerate(c.stage_sizes):
        inner, out = c.width * 2**stage, c.stage_width(stage)
        for n in range(size):
            before = side
            strided = stage > 0 and n == 0
            if strided:
                side = (side + 1) // 2
            if c.block == "bottleneck":
                total += _conv(before, 1, channels, inner)
                total += _conv(side, 3, inner, inner) + _conv(side, 1, inner, out)
            else:
                total += _conv(side, 3, channels, inner) + _conv(side, 3, inner, out)
            if strided or channels != out:
                total += _conv(side, 1, channels, out)
            channels = out
    return total
