"""From the tensor names of published checkpoints to our parameter paths, as rows of patterns.

A table is a list of :class:`Row`. :func:`load` applies it strictly: every tensor and every
parameter must be accounted for, and all faults are reported together.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.core.state import ModelDef, flatten, unflatten

#: What happens to a tensor of the origin. ``linear`` is [out, in] -> [in, out], ``conv`` is
#: [out, in, y, x] -> [y, x, in, out], ``squeeze`` drops leading axes of length one.
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "copy": lambda x: x,
    "linear": lambda x: x.T,
    "conv": lambda x: x.transpose(2, 3, 1, 0),
    "squeeze": lambda x: x.reshape(x.shape[[n != 1 for n in x.shape].index(True) :]),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
      pattern: regular expression that the whole tensor name must match. A group named ``layer`` is
        the index of a stacked block; other groups are numbered for ``path``.
      path: our parameter, with ``{0}``, ``{1}``, ... for the pattern's unnamed groups. Empty: the
        tensor is known and not needed.
      transform: a key of :data:`TRANSFORMS`.
      part: ``(i, n)`` takes the i-th of n equal pieces of the tensor's first axis, before the
        transform; several rows may share a tensor this way.
    """

    pattern: str
    path: str
    transform: str = "copy"
    part: tuple[int, int] | None = None


def under(rows: Sequence[Row], origin: str, path: str) -> list[Row]:
    """The same table for a model that sits inside another one."""
    return [
        dataclasses.replace(r, pattern=re.escape(origin) + r.pattern, path=r.path and path + r.path)
        for r in rows
    ]


def linear(origin: str, path: str) -> list[Row]:
    """Rows of a ``torch.nn.Linear``."""
    return [
        Row(rf"{origin}\.weight", f"{path}/kernel", "linear"),
        Row(rf"{origin}\.bias", f"{path}/bias"),
    ]


def norm(origin: str, path: str) -> list[Row]:
    """Rows of a LayerNorm."""
    return [Row(rf"{origin}\.weight", f"{path}/scale"), Row(rf"{origin}\.bias", f"{path}/bias")]


def batch_norm(origin: str, path: str) -> list[Row]:
    """Rows of a BatchNorm with its running statistics."""
    return [
        *norm(origin, path),
        Row(rf"{origin}\.running_mean", f"{path}/mean"),
        Row(rf"{origin}\.running_var", f"{path}/var"),
        Row(rf"{origin}\.num_batches_tracked", ""),
    ]


def fused_attention(origin: str, path: str) -> list[Row]:
    """Rows of a ``torch.nn.MultiheadAttention``."""
    rows = linear(rf"{origin}\.out_proj", f"{path}/out")
    for i, name in enumerate("qkv"):
        rows.append(
            Row(rf"{origin}\.in_proj_weight", f"{path}/{name}/kernel", "linear", part=(i, 3))
        )
        rows.append(Row(rf"{origin}\.in_proj_bias", f"{path}/{name}/bias", part=(i, 3)))
    return rows


def _hf_clip_blocks() -> list[Row]:
    layer = r"encoder\.layers\.(?P<layer>\d+)"
    return [
        *linear(rf"{layer}\.self_attn\.([qkv])_proj", "blocks/attn/{0}"),
        *linear(rf"{layer}\.self_attn\.out_proj", "blocks/attn/out"),
        *norm(rf"{layer}\.layer_norm([12])", "blocks/norm{0}"),
        *linear(rf"{layer}\.mlp\.fc1", "blocks/mlp/up"),
        *linear(rf"{layer}\.mlp\.fc2", "blocks/mlp/down"),
    ]


HF_CLIP_VISION = [
    Row(r"embeddings\.class_embedding", "class_token"),
    Row(r"embeddings\.patch_embedding\.weight", "embed/kernel", "conv"),
    Row(r"embeddings\.position_embedding\.weight", "positions"),
    *norm(r"pre_layrnorm", "norm_pre"),
    *_hf_clip_blocks(),
    *norm(r"post_layernorm", "norm_post"),
]

HF_SIGLIP_VISION = [
    Row(r"embeddings\.patch_embedding\.weight", "embed/kernel", "conv"),
    Row(r"embeddings\.patch_embedding\.bias", "embed/bias"),
    Row(r"embeddings\.position_embedding\.weight", "positions"),
    *_hf_clip_blocks(),
    *norm(r"post_layernorm", "norm_post"),
    Row(r"head\.probe", "pool/probe", "squeeze"),
    *fused_attention(r"head\.attention", "pool/attn"),
    *norm(r"head\.layernorm", "pool/norm"),
    *linear(r"head\.mlp\.fc1", "pool/mlp/up"),
    *linear(r"head\.mlp\.fc2", "pool/mlp/down"),
]

HF_CLIP_TEXT = [
    Row(r"embeddings\.token_embedding\.weight", "embed/words/table"),
    Row(r"embeddings\.position_embedding\.weight", "embed/positions"),
    *_hf_clip_blocks(),
    *norm(r"final_layer_norm", "norm_final"),
]

_HF_VIT_EMBED = [
    Row(r"embeddings\.cls_token", "class_token", "squeeze"),
    Row(r"embeddings\.mask_token", ""),
    Row(r"embeddings\.position_embeddings", "positions", "squeeze"),
    Row(r"embeddings\.patch_embeddings\.projection\.weight", "embed/kernel", "conv"),
    Row(r"embeddings\.patch_embeddings\.projection\.bias", "embed/bias"),
]
_HF_LAYER = r"encoder\.layer\.(?P<layer>\d+)"
_HF_VIT_ATTENTION = [
    *linear(rf"{_HF_LAYER}\.attention\.attention\.query", "blocks/attn/q"),
    *linear(rf"{_HF_LAYER}\.attention\.attention\.key", "blocks/attn/k"),
    *linear(rf"{_HF_LAYER}\.attention\.attention\.value", "blocks/attn/v"),
    *linear(rf"{_HF_LAYER}\.attention\.output\.dense", "blocks/attn/out"),
]

HF_VIT = [
    *_HF_VIT_EMBED,
    *_HF_VIT_ATTENTION,
    *norm(rf"{_HF_LAYER}\.layernorm_before", "blocks/norm1"),
    *norm(rf"{_HF_LAYER}\.layernorm_after", "blocks/norm2"),
    *linear(rf"{_HF_LAYER}\.intermediate\.dense", "blocks/mlp/up"),
    *linear(rf"{_HF_LAYER}\.output\.dense", "blocks/mlp/down"),
    *norm(r"layernorm", "norm_post"),
]

HF_DINOV2 = [
    *_HF_VIT_EMBED,
    *_HF_VIT_ATTENTION,
    *norm(rf"{_HF_LAYER}\.norm([12])", "blocks/norm{0}"),
    Row(rf"{_HF_LAYER}\.layer_scale([12])\.lambda1", "blocks/scale{0}"),
    *linear(rf"{_HF_LAYER}\.mlp\.fc1", "blocks/mlp/up"),
    *linear(rf"{_HF_LAYER}\.mlp\.fc2", "blocks/mlp/down"),
    *norm(r"layernorm", "norm_post"),
]

HF_BERT = [
    Row(r"embeddings\.word_embeddings\.weight", "embed/words/table"),
    Row(r"embeddings\.position_embeddings\.weight", "embed/positions"),
    Row(r"embeddings\.token_type_embeddings\.weight", "embed/types"),
    *norm(r"embeddings\.LayerNorm", "embed/norm"),
    *linear(rf"{_HF_LAYER}\.attention\.self\.query", "blocks/attn/q"),
    *linear(rf"{_HF_LAYER}\.attention\.self\.key", "blocks/attn/k"),
    *linear(rf"{_HF_LAYER}\.attention\.self\.value", "blocks/attn/v"),
    *linear(rf"{_HF_LAYER}\.attention\.output\.dense", "blocks/attn/out"),
    *norm(rf"{_HF_LAYER}\.attention\.output\.LayerNorm", "blocks/norm1"),
    *linear(rf"{_HF_LAYER}\.intermediate\.dense", "blocks/mlp/up"),
    *linear(rf"{_HF_LAYER}\.output\.dense", "blocks/mlp/down"),
    *norm(rf"{_HF_LAYER}\.output\.LayerNorm", "blocks/norm2"),
]

_HF_RESNET_BLOCK = r"encoder\.stages\.(\d+)\.layers\.(\d+)"
HF_RESNET = [
    Row(r"embedder\.embedder\.convolution\.weight", "stem_conv/kernel", "conv"),
    *batch_norm(r"embedder\.embedder\.normalization", "stem_norm"),
    Row(
        rf"{_HF_RESNET_BLOCK}\.layer\.(\d+)\.convolution\.weight",
        "stages/{0}/{1}/convs/{2}/kernel",
        "conv",
    ),
    *batch_norm(rf"{_HF_RESNET_BLOCK}\.layer\.(\d+)\.normalization", "stages/{0}/{1}/norms/{2}"),
    Row(
        rf"{_HF_RESNET_BLOCK}\.shortcut\.convolution\.weight",
        "stages/{0}/{1}/shortcut_conv/kernel",
        "conv",
    ),
    *batch_norm(rf"{_HF_RESNET_BLOCK}\.shortcut\.normalization", "stages/{0}/{1}/shortcut_norm"),
]

_OPEN_CLIP_BLOCK = r"transformer\.resblocks\.(?P<layer>\d+)"
_OPEN_CLIP_BLOCKS = [
    *fused_attention(rf"{_OPEN_CLIP_BLOCK}\.attn", "blocks/attn"),
    *norm(rf"{_OPEN_CLIP_BLOCK}\.ln_([12])", "blocks/norm{0}"),
    *linear(rf"{_OPEN_CLIP_BLOCK}\.mlp\.c_fc", "blocks/mlp/up"),
    *linear(rf"{_OPEN_CLIP_BLOCK}\.mlp\.c_proj", "blocks/mlp/down"),
]

_OPEN_CLIP_VISION = [
    *under(
        [
            Row(r"class_embedding", "class_token"),
            Row(r"positional_embedding", "positions"),
            Row(r"conv1\.weight", "embed/kernel", "conv"),
            *norm(r"ln_pre", "norm_pre"),
            *_OPEN_CLIP_BLOCKS,
            *norm(r"ln_post", "norm_post"),
        ],
        "visual.",
        "vision/",
    ),
    Row(r"visual\.proj", "vision_proj/out/kernel"),
    Row(r"logit_scale", "logit_scale"),
    Row(r"logit_bias", "logit_bias"),
]

#: open_clip's ``CLIP``: the text tower lies at the top level.
OPEN_CLIP = [
    *_OPEN_CLIP_VISION,
    *under(_OPEN_CLIP_BLOCKS, "", "text/"),
    Row(r"token_embedding\.weight", "text/embed/words/table"),
    Row(r"positional_embedding", "text/embed/positions"),
    *norm(r"ln_final", "text/norm_final"),
    Row(r"text_projection", "text_proj/out/kernel"),
    Row(r"attn_mask", ""),
]

#: open_clip's ``CustomTextCLIP`` with a Hugging Face BERT and an MLP head.
OPEN_CLIP_BERT = [
    *_OPEN_CLIP_VISION,
    *under(HF_BERT, "text.transformer.", "text/"),
    Row(r"text\.transformer\.embeddings\.position_ids", ""),
    *linear(r"text\.proj\.0", "text_proj/hidden"),
    *linear(r"text\.proj\.2", "text_proj/out"),
]


def load(
    rows: Sequence[Row], tensors: Mapping[str, np.ndarray], model: ModelDef
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(params, buffers)`` of ``model`` from the tensors of a checkpoint.

    Raises:
      ValueError: listing every tensor that no row knows, every parameter that no tensor fills, and
        every shape that does not fit.
    """
    params, buffers = flatten(model.abstract_params), flatten(model.abstract_buffers)
    wanted = {"/".join(path): leaf for path, leaf in {**params, **buffers}.items()}
    filled: dict[str, np.ndarray] = {}
    counts: dict[str, int] = dict.fromkeys(wanted, 0)
    faults: list[str] = []
    for name, tensor in tensors.items():
        matches = [(row, m) for row in rows if (m := re.fullmatch(row.pattern, name))]
        if not matches:
            faults.append(f"unexpected tensor {name} {tensor.shape}")
        for row, match in matches:
            if not row.path:
                continue
            layer = match.groupdict().get("layer")
            named = match.re.groupindex.values()
            path = row.path.format(*(g for i, g in enumerate(match.groups(), 1) if i not in named))
            if path not in wanted:
                faults.append(f"{name} goes to {path}, which the model lacks")
                continue
            piece = tensor if row.part is None else np.split(tensor, row.part[1])[row.part[0]]
            piece = TRANSFORMS[row.transform](piece)
            shape = wanted[path].shape if layer is None else wanted[path].shape[1:]
            if piece.shape != shape:
                faults.append(f"{name} {tensor.shape} gives {piece.shape}; {path} is {shape}")
                continue
            target = filled.setdefault(path, np.empty(wanted[path].shape, np.float32))
            target[... if layer is None else int(layer)] = piece
            counts[path] += 1
            if layer is None:
                counts[path] = wanted[path].shape[0] if wanted[path].shape else 1
    for path, leaf in wanted.items():
        full = leaf.shape[0] if leaf.shape else 1
        if counts[path] == 0 or ("blocks/" in path and counts[path] != full):
            faults.append(f"no tensor fills all of {path} {leaf.shape}")
    if faults:
        raise ValueError("the checkpoint does not fit:\n" + "\n".join(sorted(faults)))
    trees = []
    for keys in (params, buffers):
        trees.append(unflatten({key: filled["/".join(key)] for key in keys}))
    return trees[0], trees[1]
