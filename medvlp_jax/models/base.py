"""What the registries ask of a tower and of a model: facts that follow from a config alone."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from flax import nnx

from medvlp_jax.core.state import param_count


class VisionTowerConfig(Protocol):
    """Sizes of a vision tower. The module that :meth:`build` makes is called with images [b, y, x,
    c] and gives :class:`medvlp_jax.models.features.ImageFeatures`.

    Attributes:
      name: for the reader; presets are keyed by it.
      image_size: side in pixels.
      channels: of the image, 1 or 3.
      dtype: of the computation.
    """

    name: str
    image_size: int
    channels: int
    dtype: str

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        ...

    @property
    def stride(self) -> int:
        """Pixels a side of a position of the last map."""
        ...

    def build(self, *, rngs: nnx.Rngs) -> Any:
        """The module."""
        ...

    def map_width(self, which: Literal["last", "middle"]) -> int:
        """Channels of the last feature map, or of the one below it.

        Raises:
          ValueError: there is no such map.
        """
        ...

    def levels(self) -> list[tuple[int, float]] | None:
        """(channels, stride in pixels) of the maps that the tower's ``maps`` gives, the finest
        first; None for a tower that has one map."""
        ...

    def flops(self, *, train: bool = True) -> int:
        """Forward operations on one image of ``image_size``; ``train``: with patch dropout."""
        ...


class ModelConfig(Protocol):
    """A whole model, as ``config.model`` describes it."""

    def build(self, *, rngs: nnx.Rngs) -> nnx.Module:
        """The module, whose parts are called as :meth:`summary` calls them."""
        ...

    def flops(self, rows: int, text_len: int, *, train: bool = True) -> int:
        """Forward operations of one batch: ``rows`` records with texts of ``text_len`` tokens."""
        ...

    def summary(self, params: Mapping[str, Any]) -> str:
        """The size in a few words: ``12.3 M parameters (vision 5.0 M, text 7.0 M)``."""
        ...


def parameters(params: Mapping[str, Any], parts: tuple[str, ...]) -> str:
    """``12.3 M parameters (vision 5.0 M, text 7.0 M)`` of a tree of (abstract) parameters."""
    told = ", ".join(f"{part} {param_count(params[part]) / 1e6:.1f} M" for part in parts)
    return f"{param_count(params) / 1e6:.1f} M parameters ({told})"
