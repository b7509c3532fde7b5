"""Pictures by Stable Diffusion in JAX: the ``jax`` back end."""

import pathlib
from collections.abc import Sequence

from data_gen.images.base import ImageMakerConfig, ImageRequest, model_fingerprint
from data_gen.phantom.base import Picture
from medvlp_jax.generation.images import stable_diffusion


class JaxMaker:
    """Stable Diffusion in JAX on all devices of this process."""

    def __init__(self, config: ImageMakerConfig):
        self.config = config
        self._generator = stable_diffusion.load(
            config.model,
            config.method,
            text=config.text_encoder or None,
            tokenizer=config.tokenizer or None,
            dtype=config.dtype or None,
            size=(config.size, config.size) if config.size else None,
            batch_size=config.batch_size,
            negative=config.negative,
            **config.sampler,
        )
        self.batch_size = self._generator.batch_size

    @property
    def name(self) -> str:
        return f"jax:{pathlib.Path(self.config.model).name}"

    @property
    def fingerprint(self) -> str:
        dtype = self._generator.model.config.unet.dtype
        return model_fingerprint(self.config, self._generator.size[0], dtype)

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """See :class:`data_gen.images.base.ImageMaker`."""
        return list(self._generator([r.prompt for r in requests], [r.seed for r in requests]))
