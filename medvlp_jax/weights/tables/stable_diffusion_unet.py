"""UNet of Stable Diffusion 1.x and 2.x: ``unet/`` of a folder of diffusers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medvlp_jax.models.stable_diffusion.unet import UNetConfig
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import convolution, dense, norm
from medvlp_jax.weights.tables.stable_diffusion import differ, refuse, required, resnets
from medvlp_jax.weights.transforms import Transform, conv_as_linear, linear


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

#: Keys of ``unet/config.json`` that change the arithmetic, with the only value that is supported.
_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "addition_embed_type": None,
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dropout": 0.0,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "reverse_transformer_layers_per_block": None,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "transformer_layers_per_block": 1,
}


def table(config: UNetConfig) -> tuple[Row, ...]:
    """Rows of ``unet/diffusion_pytorch_model.safetensors``."""
    rows = [
        *convolution("conv_in", "conv_in"),
        *dense("time_embedding.linear_1", "time_embedding/linear1"),
        *dense("time_embedding.linear_2", "time_embedding/linear2"),
        *norm("conv_norm_out", "conv_norm_out"),
        *convolution("conv_out", "conv_out"),
        *convolution("down_blocks.{i}.downsamplers.0.conv", "down_blocks/{i}/downsample/conv"),
        *convolution("up_blocks.{i}.upsamplers.0.conv", "up_blocks/{i}/upsample/conv"),
    ]
    transformer = _transformer(linear if config.linear_projection else conv_as_linear)
    for stage in ("down_blocks.{i}", "mid_block", "up_blocks.{i}"):
        rows += resnets(stage)
        place = f"{stage}.attentions.{{j}}."
        rows += under(transformer, place, place.replace(".", "/"))
    return tuple(rows)


def _transformer(projection: Transform) -> tuple[Row, ...]:
    block = "transformer_blocks.0."
    rows = [
        *norm("norm", "norm"),
        Row("proj_in.weight", "proj_in/kernel", projection),
        Row("proj_in.bias", "proj_in/bias"),
        Row("proj_out.weight", "proj_out/kernel", projection),
        Row("proj_out.bias", "proj_out/bias"),
        Row(f"{block}ff.net.0.proj.weight", "mlp/kernel", gated),
        Row(f"{block}ff.net.0.proj.bias", "mlp/bias", gated),
        *dense(f"{block}ff.net.2", "mlp/out"),
    ]
    for n in (1, 2, 3):
        rows += norm(f"{block}norm{n}", f"norm{n}")
    for n in (1, 2):
        for part in "qkv":
            rows.append(Row(f"{block}attn{n}.to_{part}.weight", f"attn{n}/{part}/kernel", linear))
        rows += dense(f"{block}attn{n}.to_out.0", f"attn{n}/out")
    return tuple(rows)


def config_from(config: Mapping[str, Any], name: str = "unet") -> UNetConfig:
    """Our config of a ``unet/config.json``.

    Raises:
      UserError: the file asks for arithmetic that this UNet does not have; all such keys are named.
    """
    widths = tuple(required(config, "block_out_channels"))
    levels = len(widths)
    down = config.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"])
    attends = tuple(kind == "CrossAttnDownBlock2D" for kind in down)
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)]
    faults = differ(config, _FIXED)
    if set(down) - {"CrossAttnDownBlock2D", "DownBlock2D"} or len(down) != levels:
        faults.append(f"down_block_types={list(down)}")
    if list(config.get("up_block_types", up)) != up:
        faults.append(f"up_block_types={config['up_block_types']}")
    if config.get("out_channels", 4) != config.get("in_channels", 4):
        faults.append(f"in_channels={config.get('in_channels')} unlike out_channels")
    layers = config.get("layers_per_block", 2)
    context = required(config, "cross_attention_dim")
    for key, value in (("layers_per_block", layers), ("cross_attention_dim", context)):
        if not isinstance(value, int):
            faults.append(f"{key}={value}")
    refuse("unet/config.json", faults)
    # The key is misnamed in the origin: it holds the number of heads.
    heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    size = config.get("sample_size") or 64
    return UNetConfig(
        name=name,
        latent_size=size if isinstance(size, int) else size[0],
        channels=config.get("in_channels", 4),
        widths=widths,
        layers=layers,
        heads=(heads,) * levels if isinstance(heads, int) else tuple(heads),
        attends=attends,
        context_width=context,
        groups=config.get("norm_num_groups", 32),
        linear_projection=bool(config.get("use_linear_projection", False)),
    )


def config_to(config: UNetConfig) -> dict[str, Any]:
    """The ``unet/config.json`` that diffusers builds the same UNet from."""
    c = config
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": c.latent_size,
        "in_channels": c.channels,
        "out_channels": c.channels,
        "block_out_channels": list(c.widths),
        "layers_per_block": c.layers,
        "attention_head_dim": list(c.heads),
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in c.attends],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(c.attends)],
        "cross_attention_dim": c.context_width,
        "norm_num_groups": c.groups,
        "use_linear_projection": c.linear_projection,
        **_FIXED,
    }
