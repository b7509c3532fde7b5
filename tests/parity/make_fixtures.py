"""Writes ``fixtures/*.npz``: tiny random models of PyTorch libraries, their inputs and outputs.

Run it again after changing a case here, in an environment with the ``torch`` extra; the tests read
the files without PyTorch::

    python tests/parity/make_fixtures.py

Keys of a file: ``in/...`` inputs, ``out/...`` outputs in our layout (channels last), ``w/...`` the
tensors under the names of the published checkpoints. Weights are drawn large enough that every
term matters in the output; freshly initialised ones would hide a missing bias.
"""

import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
SIZES = {**LAYERS, "hidden_size": 32, "intermediate_size": 48}
IMAGES = {**SIZES, "image_size": 32, "patch_size": 8}
TEXTS = {**SIZES, "vocab_size": 60, "max_position_embeddings": 16}


def import_open_clip() -> Any:
    """open_clip, with an empty torchvision where there is none.

    It needs torchvision for image transforms only, which nothing here calls.
    """
    if importlib.util.find_spec("torchvision") is None:
        for name in ("", ".transforms", ".transforms.functional", ".ops", ".ops.misc"):
            module = types.ModuleType("torchvision" + name)
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            module.__path__ = []
            module.__getattr__ = _anything  # type: ignore[attr-defined]
            sys.modules[module.__name__] = module
            if name:
                parent, _, child = module.__name__.rpartition(".")
                setattr(sys.modules[parent], child, module)
    import open_clip

    return open_clip


def _anything(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return mock.MagicMock(name=name)


def randomise(model: torch.nn.Module, seed: int, gain: float = 1.0) -> torch.nn.Module:
    """Weights of order gain/sqrt(fan-in), biases, norms and statistics off their defaults."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, x in [*model.named_parameters(), *model.named_buffers()]:
            if not x.is_floating_point() or name.endswith("attn_mask"):
                continue
            noise = torch.randn(x.shape, generator=g)
            if name.endswith("running_var"):
                x.copy_(0.5 + torch.rand(x.shape, generator=g))
            elif x.ndim >= 2:
                fan_in = x[0].numel() if "embed" not in name else 4
                x.copy_(noise * gain * fan_in**-0.5)
            elif x.ndim == 1:
                x.add_(0.2 * noise)
    return model.eval()


def published(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Tensors under the names that a checkpoint file has."""
    if isinstance(model, transformers.PreTrainedModel):
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            tensors = load_file(pathlib.Path(folder) / "model.safetensors")
    else:
        tensors = model.state_dict()
    return {f"w/{name}": x.detach().numpy().copy() for name, x in tensors.items()}


def image_batch(seed: int, side: int = 32, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def text_batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [3, 12] in 1..59, padded with 0, and their mask; the lengths are 12, 7 and 1."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 60, (3, 12), generator=g)
    mask = torch.arange(12) < torch.tensor([12, 7, 1])[:, None]
    return ids * mask, mask


def channels_last(x: torch.Tensor) -> np.ndarray:
    return x.detach().permute(0, 2, 3, 1).contiguous().numpy()


def grid(tokens: torch.Tensor) -> np.ndarray:
    b, n, d = tokens.shape
    side = round(n**0.5)
    return tokens.detach().reshape(b, side, side, d).numpy()


Case = dict[str, np.ndarray]


def clip_vision() -> Case:
    config = transformers.CLIPVisionConfig(**IMAGES, hidden_act="quick_gelu")
    model = randomise(transformers.CLIPVisionModel(config), 1)
    image = image_batch(1)
    out = model(image)
    tokens = model.post_layernorm(out.last_hidden_state)
    return {
        "in/image": channels_last(image),
        "out/pooled": out.pooler_output.detach().numpy(),
        "out/patches": grid(tokens[:, 1:]),
        **published(model),
    }


def vit() -> Case:
    model = randomise(transformers.ViTModel(transformers.ViTConfig(**IMAGES), False), 2)
    image = image_batch(2)
    tokens = model(image).last_hidden_state
    return {
        "in/image": channels_last(image),
        "out/pooled": tokens[:, 0].detach().numpy(),
        "out/patches": grid(tokens[:, 1:]),
        **published(model),
    }


def siglip_vision() -> Case:
    model = randomise(transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**IMAGES)), 3)
    image = image_batch(3)
    out = model(image)
    return {
        "in/image": channels_last(image),
        "out/pooled": out.pooler_output.detach().numpy(),
        "out/patches": grid(out.last_hidden_state),
        **published(model),
    }


def dinov2() -> Case:
    config = transformers.Dinov2Config(
        **LAYERS, hidden_size=32, mlp_ratio=2, image_size=32, patch_size=8
    )
    model = randomise(transformers.Dinov2Model(config), 4)
    case = published(model)
    # The larger image makes the model stretch its position table from 4x4 to 6x6.
    for name, side in (("", 32), ("_large", 48)):
        image = image_batch(4, side)
        tokens = model(image).last_hidden_state
        case[f"in/image{name}"] = channels_last(image)
        case[f"out/pooled{name}"] = tokens[:, 0].detach().numpy()
        case[f"out/patches{name}"] = grid(tokens[:, 1:])
    return case


def resnet() -> Case:
    return _resnet("bottleneck", [16, 32, 64, 128], [1, 2, 1, 1], 15)


def resnet_basic() -> Case:
    return _resnet("basic", [4, 8, 16, 32], [2, 1, 1, 1], 6)


def _resnet(layer: str, widths: list[int], depths: list[int], seed: int) -> Case:
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=widths, depths=depths, layer_type=layer
    )
    # Residual branches add up without a norm between them; unit gain would end near 50.
    model = randomise(transformers.ResNetModel(config), seed, gain=0.5)
    # An odd side exercises the borders of the strided convolutions and of the pool.
    # Images of different contrast and brightness: a channel that hardly varied within the batch
    # would be divided by a tiny deviation, and rounding would be all that is compared.
    image = image_batch(seed, side=45, batch=6)
    spread = torch.linspace(-2, 2, 6).reshape(-1, 1, 1, 1)
    image = image * spread + spread.flip(1).roll(2, 0)
    case = published(model)
    out = model(image, output_hidden_states=True)
    case |= {
        "in/image": channels_last(image),
        "out/pooled": out.pooler_output.detach().flatten(1).numpy(),
        "out/patches": channels_last(out.last_hidden_state),
        "out/middle": channels_last(out.hidden_states[-2]),
    }
    # Chained batch norms magnify rounding, to 5e-6 in PyTorch's own float32; hence float64.
    model.train().double()
    case["out/train_pooled"] = model(image.double()).pooler_output.detach().flatten(1).numpy()
    case |= {
        "after/" + name.removeprefix("w/"): x
        for name, x in published(model).items()
        if "running_" in name
    }
    return case


def bert() -> Case:
    model = randomise(transformers.BertModel(transformers.BertConfig(**TEXTS), False), 7)
    ids, mask = text_batch(7)
    out = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    return {
        "in/ids": ids.numpy(),
        "in/mask": mask.numpy(),
        "out/tokens": out.last_hidden_state.detach().numpy(),
        "out/hidden": torch.stack(out.hidden_states[-2:]).detach().numpy(),
        **published(model),
    }


def clip_text() -> Case:
    config = transformers.CLIPTextConfig(
        **TEXTS, hidden_act="quick_gelu", bos_token_id=1, eos_token_id=59, pad_token_id=0
    )
    model = randomise(transformers.CLIPTextModel(config), 8)
    ids, mask = text_batch(8)
    ids[ids == 59] = 58
    ids[torch.arange(3), mask.sum(1) - 1] = 59  # the pooled token is the end of the text
    out = model(input_ids=ids, attention_mask=mask.long())
    return {
        "in/ids": ids.numpy(),
        "in/mask": mask.numpy(),
        "out/pooled": out.pooler_output.detach().numpy(),
        **published(model),
    }


def open_clip_vit() -> Case:
    open_clip = import_open_clip()
    model = open_clip.model.CLIP(
        16,
        open_clip.model.CLIPVisionCfg(
            layers=2, width=32, head_width=16, mlp_ratio=1.5, patch_size=8, image_size=32
        ),
        open_clip.model.CLIPTextCfg(
            layers=2, width=32, heads=2, mlp_ratio=1.5, context_length=12, vocab_size=60
        ),
        quick_gelu=True,
    )
    randomise(model, 9)
    ids, mask = text_batch(9)
    ids[torch.arange(3), mask.sum(1) - 1] = 59  # open_clip pools where the id is largest
    ids[(ids == 59) & (mask.cumsum(1) != mask.sum(1, keepdim=True))] = 58
    return _whole_clip(model, image_batch(9, batch=3), ids, mask)


def open_clip_bert() -> Case:
    open_clip = import_open_clip()
    with tempfile.TemporaryDirectory() as folder:
        transformers.BertConfig(**TEXTS).save_pretrained(folder)
        text = open_clip.model.CLIPTextCfg(
            hf_model_name=folder,
            hf_model_pretrained=False,
            hf_pooler_type="cls_last_hidden_state_pooler",
            hf_proj_type="mlp",
        )
        vision = open_clip.model.CLIPVisionCfg(
            layers=2, width=32, head_width=16, mlp_ratio=1.5, patch_size=8, image_size=32
        )
        model = open_clip.model.CustomTextCLIP(16, vision, text, quick_gelu=True)
    randomise(model, 10)
    ids, mask = text_batch(10)
    return _whole_clip(model, image_batch(10, batch=3), ids, mask)


def _whole_clip(model: Any, image: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> Case:
    image_embed = model.encode_image(image, normalize=True)
    text_embed = model.encode_text(ids, normalize=True)
    logits = model.logit_scale.exp() * image_embed @ text_embed.T
    return {
        "in/image": channels_last(image),
        "in/ids": ids.numpy(),
        "in/mask": mask.numpy(),
        "out/image_embed": image_embed.detach().numpy(),
        "out/text_embed": text_embed.detach().numpy(),
        "out/logits": logits.detach().numpy(),
        **published(model),
    }


def functions() -> Case:
    """Activations on a line, and position tables resized up, down and to another shape."""
    x = torch.linspace(-8, 8, 401)
    gelu = torch.nn.functional.gelu
    case = {
        "in/x": x.numpy(),
        "out/gelu": gelu(x).numpy(),
        "out/gelu_tanh": gelu(x, approximate="tanh").numpy(),
        "out/quick_gelu": transformers.activations.ACT2FN["quick_gelu"](x).numpy(),
        "out/relu": torch.relu(x).numpy(),
    }
    table = torch.randn(1, 5, 7, 6, generator=torch.Generator().manual_seed(11))
    case["in/table"] = channels_last(table)[0].reshape(42, 5)
    for rows, columns in ((14, 14), (3, 4), (7, 6), (10, 3)):
        for antialias in (False, True):
            out = torch.nn.functional.interpolate(
                table, (rows, columns), mode="bicubic", align_corners=False, antialias=antialias
            )
            case[f"out/{rows}x{columns}_{int(antialias)}"] = channels_last(out)[0]
    return case


CASES: tuple[Callable[[], Case], ...] = (
    clip_vision,
    vit,
    siglip_vision,
    dinov2,
    resnet,
    resnet_basic,
    bert,
    clip_text,
    open_clip_vit,
    open_clip_bert,
    functions,
)


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    for case in CASES:
        path = FIXTURES / f"{case.__name__}.npz"
        arrays = {
            name: x.astype(np.float32) if x.dtype == np.float64 else x for name, x in case().items()
        }
        np.savez_compressed(path, **arrays)
        print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
