"""Names of Stable Diffusion 1.x and 2.x as diffusers stores them: UNet and autoencoder.

A folder has one sub-folder per part (``unet``, ``vae``, ``text_encoder``, ``tokenizer``,
``scheduler``). The text tower is CLIP's and has its table in ``tables/clip.py``.
"""

import numpy as np

from medvlp_jax.models.unet import UNetConfig
from medvlp_jax.models.vae import VAEConfig
from medvlp_jax.weights.convert import Rename, Row, under
from medvlp_jax.weights.transforms import Transform, conv, conv_as_linear, linear

Rows = tuple[Row, ...]

#: Names of the autoencoder's attention before diffusers 0.17, to the present ones.
OLD_VAE_NAMES: Rename = (
    (r"(attentions\.0)\.query\.", r"\1.to_q."),
    (r"(attentions\.0)\.key\.", r"\1.to_k."),
    (r"(attentions\.0)\.value\.", r"\1.to_v."),
    (r"(attentions\.0)\.proj_attn\.", r"\1.to_out.0."),
)


def _load_gated(x: np.ndarray) -> np.ndarray:
    if x.ndim == 1:
        return x.reshape(2, -1)
    return x.reshape(2, -1, x.shape[1]).transpose(2, 0, 1)


def _save_gated(x: np.ndarray) -> np.ndarray:
    if x.ndim == 2:
        return x.reshape(-1)
    return x.transpose(1, 2, 0).reshape(-1, x.shape[0])


#: Values and gates one after the other, [2 hidden, in] -> [in, 2, hidden]; biases likewise.
gated = Transform("gated", _load_gated, _save_gated)


def _layer(source: str, target: str, transform: Transform = linear) -> Rows:
    """Rows of a linear layer or, by the transform, a convolution."""
    return (
        Row(f"{source}.weight", f"{target}/kernel", transform),
        Row(f"{source}.bias", f"{target}/bias"),
    )


def _norm(source: str, target: str) -> Rows:
    return (Row(f"{source}.weight", f"{target}/scale"), Row(f"{source}.bias", f"{target}/bias"))


_RESNET: Rows = (
    *_norm("norm1", "norm1"),
    *_layer("conv1", "conv1", conv),
    *_layer("time_emb_proj", "time_proj"),
    *_norm("norm2", "norm2"),
    *_layer("conv2", "conv2", conv),
    *_layer("conv_shortcut", "shortcut", conv),
)


def _resnets(stage: str) -> Rows:
    place = f"{stage}.resnets.{{j}}."
    return under(_RESNET, place, place.replace(".", "/"))


def unet_table(config: UNetConfig) -> Rows:
    """Rows of ``unet/diffusion_pytorch_model.safetensors``."""
    rows = [
        *_layer("conv_in", "conv_in", conv),
        *_layer("time_embedding.linear_1", "time_embedding/linear1"),
        *_layer("time_embedding.linear_2", "time_embedding/linear2"),
        *_norm("conv_norm_out", "conv_norm_out"),
        *_layer("conv_out", "conv_out", conv),
        *_layer("down_blocks.{i}.downsamplers.0.conv", "down_blocks/{i}/downsample/conv", conv),
        *_layer("up_blocks.{i}.upsamplers.0.conv", "up_blocks/{i}/upsample/conv", conv),
    ]
    transformer = _transformer(linear if config.linear_projection else conv_as_linear)
    for stage in ("down_blocks.{i}", "mid_block", "up_blocks.{i}"):
        rows += _resnets(stage)
        place = f"{stage}.attentions.{{j}}."
        rows += under(transformer, place, place.replace(".", "/"))
    return tuple(rows)


def _transformer(projection: Transform) -> Rows:
    block = "transformer_blocks.0."
    rows = [
        *_norm("norm", "norm"),
        *_layer("proj_in", "proj_in", projection),
        *_layer("proj_out", "proj_out", projection),
        Row(f"{block}ff.net.0.proj.weight", "mlp/kernel", gated),
        Row(f"{block}ff.net.0.proj.bias", "mlp/bias", gated),
        *_layer(f"{block}ff.net.2", "mlp/out"),
    ]
    for n in (1, 2, 3):
        rows += _norm(f"{block}norm{n}", f"norm{n}")
    for n in (1, 2):
        for part in "qkv":
            rows.append(Row(f"{block}attn{n}.to_{part}.weight", f"attn{n}/{part}/kernel", linear))
        rows += _layer(f"{block}attn{n}.to_out.0", f"attn{n}/out")
    return tuple(rows)


def vae_table(config: VAEConfig, pointwise: bool = False) -> Rows:
    """Rows of ``vae/diffusion_pytorch_model.safetensors``, under the present names.

    Args:
      config: has no influence; taken so that every family's table is called alike.
      pointwise: whether the attention's matrices are stored as 1×1 convolutions, as files
        converted from the original release have them.
    """
    del config
    rows = [*_layer("quant_conv", "quant_conv", conv)]
    rows += _layer("post_quant_conv", "post_quant_conv", conv)
    for side, resampling, ours in (
        ("encoder", "down_blocks.{i}.downsamplers.0", "down_blocks/{i}/downsample"),
        ("decoder", "up_blocks.{i}.upsamplers.0", "up_blocks/{i}/upsample"),
    ):
        part = [
            *_layer("conv_in", "conv_in", conv),
            *_norm("conv_norm_out", "conv_norm_out"),
            *_layer("conv_out", "conv_out", conv),
            *_layer(f"{resampling}.conv", f"{ours}/conv", conv),
            *_resnets("mid_block"),
            *_resnets(resampling.partition(".")[0] + ".{i}"),
        ]
        middle, target = "mid_block.attentions.0.", "mid_block/attentions/0/"
        part += _norm(f"{middle}group_norm", f"{target}norm")
        for name, word in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("out", "to_out.0")):
            transform = conv_as_linear if pointwise else linear
            part += _layer(f"{middle}{word}", f"{target}attn/{name}", transform)
        rows += under(part, f"{side}.", f"{side}/")
    return tuple(rows)
