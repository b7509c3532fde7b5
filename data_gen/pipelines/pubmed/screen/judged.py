"""A folder of pictures through the screen, with the truth where a manifest has it."""

import csv
import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from data_gen.pipelines.pubmed.drawings import KINDS, draw
from data_gen.pipelines.pubmed.scores.ratios import clusters_of
from data_gen.pipelines.pubmed.scores.screening import (
    PictureScores,
    confusion_table,
    score_pictures,
)
from data_gen.pipelines.pubmed.screen.classes import CLASSES
from data_gen.pipelines.pubmed.screen.images import ImageScreen, PictureVerdict, Pixels
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.run.api.images import as_image, film

MANIFEST = "manifest.csv"
_ENDINGS = {".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
#: Training draws with seeds below.
_FIRST_SEED = 2**31
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Judged:
    """A picture and what was said of it.

    Attributes:
      name: of the file below the folder, or of the drawing.
      verdict: None where it could not be read; ``error`` says why.
      kind: its class, "" where nobody said it.
      group: of one patient or one source; pictures of it are not independent.
    """

    name: str
    verdict: PictureVerdict | None
    error: str = ""
    kind: str = ""
    group: str = ""

    def as_json(self) -> dict[str, Any]:
        found = {} if self.verdict is None else dataclasses.asdict(self.verdict)
        more = {"error": self.error} if self.error else {}
        return {"name": self.name, **({"true": self.kind} if self.kind else {}), **found, **more}


def judge_folder(
    screen: ImageScreen, folder: str | os.PathLike[str], drawn: int = 0
) -> list[Judged]:
    """Judges the image files of a folder, then ``drawn`` drawings of each kind.

    Raises:
      UserError: the folder or its manifest cannot be read.
    """
    waiting: list[tuple[Judged, Pixels]] = []
    out: list[Judged] = []

    def flush() -> None:
        verdicts = screen.screen([pixels for _, pixels in waiting])
        pairs = zip(waiting, verdicts, strict=True)
        out.extend(dataclasses.replace(one, verdict=verdict) for (one, _), verdict in pairs)
        waiting.clear()

    for one, pixels in (*_files(pathlib.Path(folder)), *_drawings(drawn)):
        if pixels is None:
            out.append(one)
            continue
        waiting.append((one, pixels))
        if len(waiting) == _BATCH:
            flush()
    flush()
    return out


def _files(folder: pathlib.Path) -> Iterator[tuple[Judged, Pixels | None]]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one with image files")
    known = _manifest(folder / MANIFEST)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in _ENDINGS or (known and name not in known):
            continue
        kind, group = known.get(name, ("", ""))
        one = Judged(name, None, kind=kind, group=group)
        try:
            with one_net(path, "look at the file"):
                pixels = _rgb(film(as_image(path)))
        except UserError as error:
            yield dataclasses.replace(one, error=str(error)), None
        else:
            yield one, pixels


def _rgb(pixels: np.ndarray) -> Pixels:
    return pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def _manifest(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Name of a file -> (class, group); empty where there is no manifest."""
    if not path.is_file():
        return {}
    with one_net(path, "it needs the columns path and modality"), path.open(newline="") as file:
        rows = list(csv.DictReader(file))
        found = {r["path"]: (r["modality"], r.get("patient_id") or r["path"]) for r in rows}
    for name, (kind, _) in found.items():
        if kind not in CLASSES:
            raise UserError(f"{path}: {name}: modality={kind!r} is none of {', '.join(CLASSES)}")
    return found


def _drawings(count: int) -> Iterator[tuple[Judged, Pixels]]:
    class_of = {kind: name for name, kinds in CLASSES.items() for kind in kinds}
    for kind in KINDS:
        for i in range(count):
            pixels = draw(kind, _FIRST_SEED + i, 256)
            name = f"drawing {kind} {i}"
            yield Judged(name, None, kind=class_of[kind], group=name), pixels


def summary(judged: Sequence[Judged]) -> str:
    """Counts in two lines: kept and dropped by kind, and what could not be read."""
    verdicts = [one.verdict for one in judged if one.verdict is not None]
    lines = []
    for keep, word in ((True, "kept"), (False, "dropped")):
        kinds = Counter(v.kind for v in verdicts if v.keep == keep)
        said = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        lines.append(f"{word}: {sum(kinds.values())}" + (f" ({said})" if said else ""))
    errors = [one for one in judged if one.verdict is None]
    if errors:
        lines.append(f"not read: {len(errors)}, the first: {errors[0].error}")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class JudgedScores:
    """Scores, and the pictures that were taken for the other side: (name, class, class found)."""

    scores: PictureScores
    failures: tuple[tuple[str, str, str], ...]

    def as_json(self) -> dict[str, Any]:
        return self.scores.as_json() | {"failures": [list(one) for one in self.failures]}

    def __str__(self) -> str:
        medical = self.scores.medical
        named = (("accuracy", medical.accuracy), ("precision", medical.precision))
        named = (*named, ("recall", medical.recall), ("same class", self.scores.kinds))
        lines = [f"medical against not, {medical.count} pictures:"]
        lines += [f"  {n:<10} {v.value:.4f} ({v.low:.4f} to {v.high:.4f})" for n, v in named]
        lines += [confusion_table(self.scores)]
        lines += [f"{name}: {true} taken for {found}" for name, true, found in self.failures]
        return "\n".join(lines)


def score_judged(judged: Sequence[Judged]) -> JudgedScores | None:
    """Compares verdicts with the truth; None where no picture has any."""
    known = [(one, one.verdict) for one in judged if one.kind and one.verdict is not None]
    if not known:
        return None
    clusters = clusters_of([one.group for one, _ in known])
    kinds = [one.kind for one, _ in known]
    scores = score_pictures([v for _, v in known], kinds, clusters=clusters)
    wrong = (*scores.medical.missed, *scores.medical.mistaken)
    failures = tuple((known[i][0].name, kinds[i], known[i][1].kind) for i in wrong)
    return JudgedScores(scores, failures)
