"""The bad set: images that no accepted one may resemble."""

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Float

from data_gen.curation.candidate import Pixels
from data_gen.curation.duplicates import unit
from data_gen.curation.encoders.base import Encoder
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Cosine
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode

#: What a folder of pictures may hold.
PICTURES = (".png", ".jpg", ".jpeg", ".dcm")


@dataclasses.dataclass(frozen=True)
class BadSetConfig:
    """Which images are known to be bad.

    Attributes:
      folder: of pictures (searched through, also below), or a ``.npy`` file of embeddings by the
        same encoder; empty for none.
      threshold: an image whose cosine to any of them is above this is refused. 0 takes what was
        found for the encoder (:class:`data_gen.curation.encoders.base.Encoder`).
    """

    folder: str = ""
    threshold: Cosine = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"bad.threshold={self.threshold} must be 0 to 1")


@dataclasses.dataclass(frozen=True)
class BadSet:
    """Embeddings of bad images, and how alike is too alike."""

    rows: Float[np.ndarray, "n d"]
    threshold: float

    @classmethod
    def load(cls, config: BadSetConfig, encoder: Encoder) -> "BadSet":
        """Reads and embeds the images of ``config.folder``.

        Raises:
          UserError: nothing is there, or embeddings are not of this encoder.
        """
        place = pathlib.Path(config.folder)
        threshold = config.threshold or encoder.bad_threshold
        if place.suffix == ".npy" and place.is_file():
            rows = np.load(place, allow_pickle=False)
            if rows.ndim != 2 or rows.shape[1] != encoder.width:
                raise UserError(
                    f"{place} holds an array of {rows.shape}, and the encoder gives vectors of "
                    f"{encoder.width}; embed the bad images again, or give their folder"
                )
            return cls(unit(rows), threshold)
        return cls(unit(encoder.encode(read_pictures(place))), threshold)

    def likeness(self, rows: Float[np.ndarray, "n d"]) -> list[float]:
        """Per row its largest cosine to a bad image; -1 for an empty set."""
        if not len(self.rows):
            return [-1.0] * len(rows)
        # Rounded: a matrix product rounds differently by position, and verdicts must not.
        return np.round((unit(rows) @ self.rows.T).max(1), 9).tolist()


def read_pictures(folder: str | os.PathLike[str]) -> list[Pixels]:
    """All pictures below ``folder`` in the order of their paths, as grey levels.

    Raises:
      UserError: there is none, or one cannot be decoded; the message names it.
    """
    place = pathlib.Path(folder)
    files = sorted(p for p in place.rglob("*") if p.suffix.lower() in PICTURES)
    if not files:
        raise UserError(f"{place} holds no picture ({', '.join(PICTURES)})")
    found = []
    for path in files:
        kind = "dicom" if path.suffix.lower() == ".dcm" else path.suffix[1:].lower()
        try:
            found.append(decode(path.read_bytes(), kind, gray=True))
        except ImageError as error:
            raise UserError(f"{path}: {error}") from error
    return found
