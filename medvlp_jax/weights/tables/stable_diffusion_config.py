"""``config.json`` of Stable Diffusion's UNet and autoencoder, to our configs and back."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.models.unet import UNetConfig
from medvlp_jax.models.vae import VAEConfig

#: Keys of ``unet/config.json`` that change the arithmetic, with the only value that is supported.
_UNET_FIXED: dict[str, Any] = {
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
_VAE_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "latents_mean": None,
    "latents_std": None,
    "mid_block_add_attention": True,
    "shift_factor": None,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}


def unet_config_from(config: Mapping[str, Any], name: str = "unet") -> UNetConfig:
    """Our config of a ``unet/config.json``.

    Raises:
      UserError: the file asks for arithmetic that this UNet does not have; all such keys are named.
    """
    widths = tuple(_key(config, "block_out_channels"))
    levels = len(widths)
    down = config.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"])
    attends = tuple(kind == "CrossAttnDownBlock2D" for kind in down)
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)]
    faults = _differ(config, _UNET_FIXED)
    if set(down) - {"CrossAttnDownBlock2D", "DownBlock2D"} or len(down) != levels:
        faults.append(f"down_block_types={list(down)}")
    if list(config.get("up_block_types", up)) != up:
        faults.append(f"up_block_types={config['up_block_types']}")
    if config.get("out_channels", 4) != config.get("in_channels", 4):
        faults.append(f"in_channels={config.get('in_channels')} unlike out_channels")
    layers = config.get("layers_per_block", 2)
    context = _key(config, "cross_attention_dim")
    for key, value in (("layers_per_block", layers), ("cross_attention_dim", context)):
        if not isinstance(value, int):
            faults.append(f"{key}={value}")
    _refuse("unet/config.json", faults)
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


def unet_config_to(config: UNetConfig) -> dict[str, Any]:
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
        **_UNET_FIXED,
    }


def vae_config_from(config: Mapping[str, Any], name: str = "vae") -> VAEConfig:
    """Our config of a ``vae/config.json``.

    Raises:
      UserError: the file asks for arithmetic that this autoencoder does not have.
    """
    widths = tuple(_key(config, "block_out_channels"))
    faults = _differ(config, _VAE_FIXED)
    for key, kind in (
        ("down_block_types", "DownEncoderBlock2D"),
        ("up_block_types", "UpDecoderBlock2D"),
    ):
        if list(config.get(key, [kind] * len(widths))) != [kind] * len(widths):
            faults.append(f"{key}={config[key]}")
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        faults.append(f"in_channels={config.get('in_channels')} unlike out_channels")
    _refuse("vae/config.json", faults)
    return VAEConfig(
        name=name,
        image_size=config.get("sample_size", 512),
        channels=config.get("in_channels", 3),
        latent_channels=config.get("latent_channels", 4),
        widths=widths,
        layers=config.get("layers_per_block", 1),
        scaling=config.get("scaling_factor", 0.18215),
        groups=config.get("norm_num_groups", 32),
    )


def vae_config_to(config: VAEConfig) -> dict[str, Any]:
    """The ``vae/config.json`` that diffusers builds the same autoencoder from."""
    c = config
    levels = len(c.widths)
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": c.image_size,
        "in_channels": c.channels,
        "out_channels": c.channels,
        "latent_channels": c.latent_channels,
        "block_out_channels": list(c.widths),
        "layers_per_block": c.layers,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "scaling_factor": c.scaling,
        "norm_num_groups": c.groups,
        **_VAE_FIXED,
    }


def _key(config: Mapping[str, Any], key: str) -> Any:
    if key not in config:
        raise UserError(f"config.json has no {key!r}: is it the config of this part?")
    return config[key]


def _differ(config: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[str]:
    return [f"{k}={config[k]}" for k, v in fixed.items() if k in config and config[k] != v]


def _refuse(file: str, faults: list[str]) -> None:
    if faults:
        raise UserError(
            f"{file} asks for what is not implemented: {', '.join(faults)}. Stable Diffusion 1.x "
            "and 2.x are"
        )
