"""The two small nets: which images a figure is made of, and which sign a glyph is."""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from data_gen.pipelines.pubmed.figures.alphabet import CLASSES, SIGNS
from data_gen.pipelines.pubmed.figures.words import Answers
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images import geometry
from medvlp_jax.run.conversion.compact import Opened, open_model

SHIPPED = pathlib.Path(__file__).parent / "weights"
#: Rows of a batch: each size is compiled once.
_GLYPHS = 128


@functools.lru_cache(maxsize=4)
def opened(name: str, path: str) -> Opened:
    """The model of a run's workdir or compact folder; for "" the one of the package."""
    return open_model(path or SHIPPED / name)


class PanelDetector:
    """Boxes of images.

    Args:
      path: workdir or compact folder of a run of configs/brain/panels.py; "" is our own.
      batch: figures that go through the net together.

    Raises:
      UserError: there is no such model, or it is no detector.
    """

    def __init__(self, path: str = "", batch: int = 4) -> None:
        self.model = opened("panels", path)
        if "boxes" not in self.model.predict.names:
            raise UserError(
                f"config.figures.panels={path} is no detector; see configs/brain/panels.py"
            )
        self.size = self.model.run.config.data.image.size
        self.batch = batch

    def __call__(
        self, images: Sequence[UInt8[np.ndarray, "h w 3"]]
    ) -> list[Float[np.ndarray, "k 5"]]:
        """Boxes in pixels of each figure with scores, the best first, not suppressed."""
        out: list[np.ndarray] = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            maps = [_letterbox(image, self.size) for image in part]
            rows = [pixels for pixels, _ in maps]
            rows += [rows[-1]] * (self.batch - len(rows))
            found = self.model.predict("boxes", {"image": np.stack(rows)})
            for image, (_, matrix), boxes in zip(part, maps, found, strict=False):
                out.append(_unboxed(boxes, matrix, image.shape))
        return out


def _letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """As the data pipeline does in evaluation: the longer side fits, black beside the shorter."""
    height, width = image.shape[:2]
    matrix = geometry.snap(geometry.matrix("pad", width, height), width, height)
    return geometry.warp(image, matrix, size), matrix


def _unboxed(boxes: np.ndarray, matrix: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Boxes in fractions of the input as pixels of the figure, those beside it left out."""
    back = np.linalg.inv(matrix)
    height, width = shape[:2]
    xs = (boxes[:, [0, 2]] * back[0, 0] + back[0, 2]) * width
    ys = (boxes[:, [1, 3]] * back[1, 1] + back[1, 2]) * height
    out = np.stack(
        [
            np.clip(xs[:, 0], 0, width),
            np.clip(ys[:, 0], 0, height),
            np.clip(xs[:, 1], 0, width),
            np.clip(ys[:, 1], 0, height),
            boxes[:, 4],
        ],
        1,
    ).astype(np.float64)
    return out[(out[:, 2] - out[:, 0] > 1) & (out[:, 3] - out[:, 1] > 1)]


class LabelReader:
    """Signs of glyphs.

    Args:
      path: workdir or compact folder of a run of configs/brain/labels.py; "" is our own.

    Raises:
      UserError: there is no such model, or it answers other questions.
    """

    def __init__(self, path: str = "") -> None:
        self.model = opened("labels", path)
        if tuple(self.model.run.config.data.labels) != CLASSES:
            raise UserError(
                f"config.figures.labels={path} is no reader of labels; see configs/brain/labels.py"
            )

    def __call__(self, crops: Sequence[UInt8[np.ndarray, "s s"]]) -> list[Answers]:
        """What each glyph may be."""
        out: list[Answers] = []
        for start in range(0, len(crops), _GLYPHS):
            part = crops[start : start + _GLYPHS]
            rows = np.zeros((_GLYPHS, *part[0].shape, 1), np.uint8)
            rows[: len(part), ..., 0] = part
            logits = np.asarray(self.model.predict("logits", {"image": rows}), np.float64)
            p = 1 / (1 + np.exp(-logits[: len(part)]))
            out += [Answers(row[: len(SIGNS)], float(row[len(SIGNS)])) for row in p]
        return out
