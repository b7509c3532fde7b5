"""Text to image with Stable Diffusion 1.x and 2.x: text tower, UNet, sampler and autoencoder as one
compiled program.

The images of a batch are split over every device that does not share one layer's arithmetic, so
that no chip repeats another's work, and what an image looks like depends on its prompt and its
seed alone.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int, UInt8

from medvlp_jax.core import sharding
from medvlp_jax.core.state import ModelDef
from medvlp_jax.diffusion.sampler import SamplerConfig, guided, plan, sample
from medvlp_jax.diffusion.schedule import ScheduleConfig, per_image_noise
from medvlp_jax.models.stable_diffusion.unet import UNet, UNetConfig
from medvlp_jax.models.stable_diffusion.vae import AutoencoderKL, VAEConfig
from medvlp_jax.models.text_encoder import TextConfig, TextEncoder

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TextToImageConfig:
    """The parts of a Stable Diffusion.

    Attributes:
      name: for the reader.
      text: the text tower; its last hidden state is what the UNet attends to.
      unet, vae, schedule: as the checkpoint has them.
    """

    name: str
    text: TextConfig
    unet: UNetConfig
    vae: VAEConfig
    schedule: ScheduleConfig

    def __post_init__(self) -> None:
        if self.text.width != self.unet.context_width:
            raise ValueError(
                f"the text tower is {self.text.width} wide and the UNet attends to vectors of "
                f"{self.unet.context_width}: they are not of one checkpoint"
            )
        if self.vae.latent_channels != self.unet.channels:
            raise ValueError(
                f"the autoencoder has {self.vae.latent_channels} latent channels and the UNet "
                f"{self.unet.channels}: they are not of one checkpoint"
            )

    def with_dtype(self, dtype: str) -> "TextToImageConfig":
        """The same, computing in ``dtype``."""
        parts = {
            name: dataclasses.replace(getattr(self, name), dtype=dtype)
            for name in ("text", "unet", "vae")
        }
        return dataclasses.replace(self, **parts)

    @property
    def image_size(self) -> int:
        """Side in pixels that the UNet was trained on."""
        return self.unet.latent_size * self.vae.factor


def _clip_text(name: str, width: int, depth: int, heads: int, activation: Any) -> TextConfig:
    return TextConfig(
        name=name,
        vocab=49408,
        max_length=77,
        types=0,
        width=width,
        depth=depth,
        heads=heads,
        mlp_width=4 * width,
        norm="pre",
        norm_embed=False,
        norm_final=True,
        causal=True,
        pool="last",
        activation=activation,
        eps=1e-5,
    )


#: Sizes as published; both at 512 px.
PRESETS: dict[str, TextToImageConfig] = {
    c.name: c
    for c in (
        TextToImageConfig(
            name="sd1.5",
            text=_clip_text("clip_l14_text", 768, 12, 12, "quick_gelu"),
            unet=UNetConfig(name="sd1"),
            vae=VAEConfig(),
            schedule=ScheduleConfig(),
        ),
        TextToImageConfig(
            name="sd2.1",
            text=_clip_text("clip_h14_text", 1024, 23, 16, "gelu"),
            unet=UNetConfig(
                name="sd2",
                heads=(5, 10, 20, 20),
                context_width=1024,
                linear_projection=True,
            ),
            vae=VAEConfig(),
            schedule=ScheduleConfig(),
        ),
    )
}


class TextToImage:
    """The models without their arrays, and the program that makes images of token ids."""

    def __init__(self, config: TextToImageConfig):
        self.config = config
        c = config
        self.text = ModelDef.of(lambda rngs: TextEncoder(c.text, rngs=rngs))
        self.unet = ModelDef.of(lambda rngs: UNet(c.unet, rngs=rngs))
        self.vae = ModelDef.of(lambda rngs: AutoencoderKL(c.vae, rngs=rngs))

    @property
    def parts(self) -> dict[str, ModelDef]:
        """``text``, ``unet`` and ``vae``, the keys of the parameters too."""
        return {"text": self.text, "unet": self.unet, "vae": self.vae}

    def abstract(self, mesh: Mesh, dtype: str = "float32") -> Params:
        """The parameters of every part as shapes with types and places, nothing allocated."""
        return {name: _abstract(part, mesh, dtype) for name, part in self.parts.items()}

    def images(
        self,
        params: Params,
        ids: Int[Array, "b t"],
        negative: Int[Array, "1 t"],
        noise: Float[Array, "b h w z"],
        keys: jax.Array,
        sampler: SamplerConfig,
    ) -> UInt8[Array, "b y x c"]:
        """The whole way; pure, meant to be jitted.

        Args:
          params: of ``text``, ``unet`` and ``vae``.
          ids: token ids of the prompts, padded as the tokenizer does; the tower sees the padding.
          negative: of the prompt to steer away from, usually the empty one.
          noise: standard normal latents that sampling starts from.
          keys: one key per image, for samplers that draw.
          sampler: how to sample.

        Returns:
          Pixels 0 to 255.
        """
        text = self.text.merge(params["text"], {})
        unet = self.unet.merge(params["unet"], {})
        vae = self.vae.merge(params["vae"], {})
        context = text(ids, jnp.ones(ids.shape, bool)).tokens
        nothing = text(negative, jnp.ones(negative.shape, bool)).tokens
        predict = guided(unet, context, nothing, sampler)
        latents = sample(predict, self.config.schedule, sampler, noise, keys)
        image = vae.decode(latents)
        return jnp.round(jnp.clip(image / 2 + 0.5, 0.0, 1.0) * 255.0).astype(jnp.uint8)

    def program(self, mesh: Mesh, sampler: SamplerConfig, size: tuple[int, int]) -> Any:
        """``(params, ids, negative, seeds) -> images``, jitted for ``mesh``.

        Args:
          mesh: ids, seeds and images are split over its batch axes.
          sampler: how to sample.
          size: height and width in pixels.

        Raises:
          ValueError: the size does not fit, or there are more steps than in training.
        """
        shape = self.latent_shape(size)
        plan(self.config.schedule, sampler)  # raises here, not in the middle of a trace

        def run(params: Params, ids: Array, negative: Array, seeds: Array) -> Array:
            with sharding.use_mesh(mesh):
                keys = image_keys(seeds)
                noise = per_image_noise(keys, shape, 0)
                return self.images(params, ids, negative, noise, keys, sampler)

        params = {name: _places(part, mesh) for name, part in self.parts.items()}
        rows, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
        return jax.jit(run, in_shardings=(params, rows, whole, rows), out_shardings=rows)

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Of one image of ``size`` pixels.

        Raises:
          ValueError: a side is no multiple of what the UNet and the autoencoder halve.
        """
        c = self.config
        multiple = c.vae.factor * c.unet.multiple
        if any(side < multiple or side % multiple for side in size):
            raise ValueError(
                f"size {size[0]} x {size[1]}: sides of {c.name} are multiples of {multiple} pixels"
            )
        return size[0] // c.vae.factor, size[1] // c.vae.factor, c.unet.channels


def image_keys(seeds: Int[Array, " b"]) -> jax.Array:
    """One random key per image, a function of its seed alone."""
    return jax.vmap(jax.random.key)(seeds)


def _places(part: ModelDef, mesh: Mesh) -> Any:
    return sharding.tree_shardings(part.abstract_params, part.logical_axes, mesh)


def _abstract(part: ModelDef, mesh: Mesh, dtype: str) -> Any:
    def leaf(x: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, jnp.dtype(dtype), sharding=place)

    return jax.tree.map(leaf, part.abstract_params, _places(part, mesh))


class Generator:
    """A loaded Stable Diffusion that makes images of prompts in batches of one size."""

    def __init__(
        self,
        model: TextToImage,
        params: Params,
        tokenizer: Any,
        mesh: Mesh,
        sampler: SamplerConfig,
        *,
        size: tuple[int, int] | None = None,
        batch_size: int = 8,
        negative: str = "",
    ):
        """Compiles nothing yet.

        Args:
          model: the parts.
          params: as :meth:`TextToImage.abstract` describes them.
          tokenizer: CLIP's, of ``transformers``.
          mesh: of this process's devices.
          sampler: how to sample.
          size: height and width in pixels; what the UNet was trained on by default.
          batch_size: images at a time, rounded up to a multiple of the devices that share a batch.
          negative: the prompt to steer away from.

        Raises:
          ValueError: the size does not fit.
        """
        shards = sharding.batch_shards(mesh)
        side = model.config.image_size
        self.model, self.sampler, self.mesh = model, sampler, mesh
        self.size = (side, side) if size is None else size
        self.batch_size = -(-max(batch_size, 1) // shards) * shards
        self.negative = negative
        self._params, self._tokenizer = params, tokenizer
        self._program = model.program(mesh, sampler, self.size)

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[UInt8[np.ndarray, "y x c"]]:
        """Images in the order of the prompts, a batch at a time.

        Args:
          prompts: texts; what is longer than the tower's table is cut, as in training.
          seeds: one per prompt, 0 to 2³²-1; the same prompt and seed give the same image whatever
            else is made with it.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds")
        for start in range(0, len(prompts), self.batch_size):
            chunk = list(prompts[start : start + self.batch_size])
            some = list(seeds[start : start + self.batch_size])
            missing = self.batch_size - len(chunk)
            # One shape, one program: a short last batch is filled up and its filling dropped.
            ids = self.token_ids(chunk + [""] * missing)
            numbers = np.asarray(some + [0] * missing, np.uint32)
            made = np.asarray(self._program(self._params, ids, self._nothing, numbers))
            yield from made[: len(chunk)]

    @functools.cached_property
    def _nothing(self) -> np.ndarray:
        return self.token_ids([self.negative])

    def token_ids(self, texts: Sequence[str]) -> Int[np.ndarray, "b t"]:
        """Ids of whole rows of the tower's length, padded by the tokenizer's own padding."""
        length = self.model.config.text.max_length
        out = self._tokenizer(list(texts), padding="max_length", truncation=True, max_length=length)
        return np.asarray(out["input_ids"], np.int32)
