"""Encoders by name."""

from collections.abc import Callable

from data_gen.curation.encoders.base import Encoder, EncoderConfig
from data_gen.curation.encoders.pixels import PixelEncoder


def _pixels() -> type[Encoder]:
    return PixelEncoder


def _clip() -> type[Encoder]:
    from data_gen.curation.encoders.towers import ClipEncoder  # brings JAX along

    return ClipEncoder


def _dinov2() -> type[Encoder]:
    from data_gen.curation.encoders.towers import TowerEncoder

    return TowerEncoder


#: ``config.kind`` -> the class, imported when it is asked for.
ENCODERS: dict[str, Callable[[], type[Encoder]]] = {
    "pixels": _pixels,
    "clip": _clip,
    "dinov2": _dinov2,
}


def make_encoder(config: EncoderConfig) -> Encoder | None:
    """The encoder of a config, loaded; None for ``none``.

    Raises:
      UserError: the model cannot be loaded.
    """
    return None if config.kind == "none" else ENCODERS[config.kind]()(config)


def thresholds(config: EncoderConfig) -> tuple[float, float]:
    """``bad_threshold`` and ``same_threshold`` of a kind of encoder, without loading it."""
    made = PixelEncoder if config.kind == "none" else ENCODERS[config.kind]()
    return made.bad_threshold, made.same_threshold
