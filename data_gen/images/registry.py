"""Image makers by name."""

from collections.abc import Callable

from data_gen.images.base import ImageMaker, ImageMakerConfig, model_fingerprint


def _phantom(config: ImageMakerConfig) -> ImageMaker:
    from data_gen.images.phantom import PhantomMaker

    return PhantomMaker(config.size or 512, config.batch_size, config.modality)


def _jax(config: ImageMakerConfig) -> ImageMaker:
    from data_gen.images.native import JaxMaker  # brings JAX along

    return JaxMaker(config)


def _diffusers(config: ImageMakerConfig) -> ImageMaker:
    from data_gen.images.on_torch import DiffusersMaker

    return DiffusersMaker(config)


#: ``config.backend`` -> the maker, loaded.
MAKERS: dict[str, Callable[[ImageMakerConfig], ImageMaker]] = {
    "phantom": _phantom,
    "jax": _jax,
    "diffusers": _diffusers,
}


def make_maker(config: ImageMakerConfig) -> ImageMaker:
    """The back end of a config, loaded.

    Raises:
      UserError: the model cannot be loaded, or PyTorch is not installed.
    """
    return MAKERS[config.backend](config)


def maker_fingerprint(config: ImageMakerConfig) -> str:
    """Equal for equal pictures, without loading the model.

    Where ``size`` or ``dtype`` are left to the model and the machine, they enter as such.
    """
    if config.backend == "phantom":
        return make_maker(config).fingerprint
    return model_fingerprint(config, config.size, config.dtype)
