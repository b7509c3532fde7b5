"""Autoencoder of Stable Diffusion: ``vae/`` of a folder of diffusers, old and new names."""

from collections.abc import Mapping
from typing import Any

from medvlp_jax.models.stable_diffusion.vae import VAEConfig
from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.tables.common import convolution, norm
from medvlp_jax.weights.tables.stable_diffusion import differ, refuse, required, resnets
from medvlp_jax.weights.transforms import conv_as_linear, linear

#: Names of the attention before diffusers 0.17, to the present ones.
RENAME = (
    (r"(attentions\.0)\.query\.", r"\1.to_q."),
    (r"(attentions\.0)\.key\.", r"\1.to_k."),
    (r"(attentions\.0)\.value\.", r"\1.to_v."),
    (r"(attentions\.0)\.proj_attn\.", r"\1.to_out.0."),
)
#: Tensors whose rank tells whether the attention is stored as 1×1 convolutions.
TELLTALES = tuple(f"encoder.mid_block.attentions.0.{name}.weight" for name in ("to_q", "query"))

#: Keys of ``vae/config.json`` that change the arithmetic, with the only value that is supported.
_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "latents_mean": None,
    "latents_std": None,
    "mid_block_add_attention": True,
    "shift_factor": None,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}


def table(config: VAEConfig, pointwise: bool = False) -> tuple[Row, ...]:
    """Rows of ``vae/diffusion_pytorch_model.safetensors``, under the present names.

    Args:
      config: has no influence; taken so that every family's table is called alike.
      pointwise: whether the attention's matrices are stored as 1×1 convolutions, as files
        converted from the original release have them.
    """
    del config
    rows = [*convolution("quant_conv", "quant_conv")]
    rows += convolution("post_quant_conv", "post_quant_conv")
    for side, resampling, ours in (
        ("encoder", "down_blocks.{i}.downsamplers.0", "down_blocks/{i}/downsample"),
        ("decoder", "up_blocks.{i}.upsamplers.0", "up_blocks/{i}/upsample"),
    ):
        part = [
            *convolution("conv_in", "conv_in"),
            *norm("conv_norm_out", "conv_norm_out"),
            *convolution("conv_out", "conv_out"),
            *convolution(f"{resampling}.conv", f"{ours}/conv"),
            *resnets("mid_block"),
            *resnets(resampling.partition(".")[0] + ".{i}"),
            *under(_attention(pointwise), "mid_block.attentions.0.", "mid_block/attentions/0/"),
        ]
        rows += under(part, f"{side}.", f"{side}/")
    return tuple(rows)


def _attention(pointwise: bool) -> list[Row]:
    rows = norm("group_norm", "norm")
    for name, word in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("out", "to_out.0")):
        transform = conv_as_linear if pointwise else linear
        rows.append(Row(f"{word}.weight", f"attn/{name}/kernel", transform))
        rows.append(Row(f"{word}.bias", f"attn/{name}/bias"))
    return rows


def config_from(config: Mapping[str, Any], name: str = "vae") -> VAEConfig:
    """Our config of a ``vae/config.json``.

    Raises:
      UserError: the file asks for arithmetic that this autoencoder does not have.
    """
    widths = tuple(required(config, "block_out_channels"))
    faults = differ(config, _FIXED)
    for key, kind in (
        ("down_block_types", "DownEncoderBlock2D"),
        ("up_block_types", "UpDecoderBlock2D"),
    ):
        if list(config.get(key, [kind] * len(widths))) != [kind] * len(widths):
            faults.append(f"{key}={config[key]}")
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        faults.append(f"in_channels={config.get('in_channels')} unlike out_channels")
    refuse("vae/config.json", faults)
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


def config_to(config: VAEConfig) -> dict[str, Any]:
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
        **_FIXED,
    }
