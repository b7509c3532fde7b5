"""Reads a data folder for its page: counts from the manifest, the rest from a sample of records."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from data_gen.curation.clean import REVIEW
from data_gen.curation.encoders.pixels import PixelEncoder
from data_gen.curation.rejects import read_rejects
from data_gen.curation.review import read_review
from data_gen.jobs import summary
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import RecordSource, open_dataset, splits
from medvlp_jax.data.store.record import Record
from medvlp_jax.eval.page.inputs import sample_of
from medvlp_jax.pages.studies import Reject, Sample

#: Records that lengths, entities and scores are counted in, and whose images are compared.
_COUNTED, _COMPARED = 20_000, 1500
#: Studies and rejected images shown.
_STUDIES, _PER_REASON = 12, 8


@dataclasses.dataclass
class Folder:
    """What the page is made of.

    Attributes:
      whole: as :func:`data_gen.jobs.summary.summarise` gives it.
      counted: records that were read, and of how many.
      entities: type -> name -> records of those counted.
      words: section -> words per text.
      scores: name of a score -> its values in images that were kept, and in those dropped.
      likeness: cosine of an image to its nearest other one, by the pixels.
      texts: distinct texts, and texts, per section.
      samples: studies to show.
      rejects, pictured: all rows of ``rejects.jsonl``, and those to show with their pictures.
    """

    path: pathlib.Path
    whole: dict[str, Any]
    counted: tuple[int, int]
    entities: dict[str, Counter[str]]
    words: dict[str, list[int]]
    texts: dict[str, tuple[int, int]]
    scores: dict[str, tuple[list[float], list[float]]]
    likeness: Float[np.ndarray, "n"]
    samples: list[Sample]
    rejects: list[dict[str, Any]]
    pictured: list[Reject]


def collect(folder: pathlib.Path) -> Folder:
    """Reads ``folder``.

    Raises:
      ShardError: it is no complete data folder.
    """
    sources = [open_dataset(folder, split) for split in splits(folder)]
    whole = summary.read(folder) if summary.exists(folder) else summary.summarise(folder)
    rejects = read_rejects(folder)
    entities: dict[str, Counter[str]] = {}
    words: dict[str, list[int]] = {}
    said: dict[str, Counter[str]] = {}
    kept: dict[str, list[float]] = {}
    total = sum(map(len, sources))
    pixels: list[np.ndarray] = []
    encoder = PixelEncoder()
    chosen = _places(sources, _COUNTED)
    every = max(1, len(chosen) // _COMPARED)
    for n, (source, i) in enumerate(chosen):
        record = source[i]
        for text in record.texts:
            words.setdefault(text.section, []).append(len(text.text.split()))
            said.setdefault(text.section, Counter())[text.text] += 1
        for kind, names in _entities(record).items():
            entities.setdefault(kind, Counter()).update(names)
        for scores in _scores(record):
            for name, value in scores.items():
                kept.setdefault(name, []).append(value)
        if n % every == 0 and record.images:
            pixels += _embedded(record, encoder)
    dropped = _dropped(rejects)
    if not kept:
        kept = _reviewed(folder)
    names = sorted(set(kept) | set(dropped))
    return Folder(
        path=folder,
        whole=whole,
        counted=(len(chosen), total),
        entities=entities,
        words=words,
        texts={s: (len(c), c.total()) for s, c in said.items()},
        scores={n: (kept.get(n, []), dropped.get(n, [])) for n in names},
        likeness=_nearest(pixels),
        samples=_samples(sources),
        rejects=rejects,
        pictured=_pictured(folder, rejects),
    )


def _places(sources: Sequence[RecordSource], most: int) -> list[tuple[RecordSource, int]]:
    """At most so many records, evenly spaced over all splits."""
    every = [(source, i) for source in sources for i in range(len(source))]
    step = max(1, -(-len(every) // most))
    return every[::step]


def _entities(record: Record) -> dict[str, list[str]]:
    """Type -> canonical names, from the provenance of a record that was sampled from a bank."""
    found: dict[str, list[str]] = {}
    given = record.provenance.get("entities")
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping):
            name = str(one.get("canonical") or one.get("text") or "")
            found.setdefault(str(one.get("type", "entity")), []).append(name)
        elif isinstance(one, list | tuple) and len(one) == 2:
            found.setdefault(str(one[1]), []).append(str(one[0]))
        else:
            found.setdefault("entity", []).append(str(one))
    return found


def _scores(record: Record) -> list[Mapping[str, float]]:
    """The scores of a record's images, as a cleaning or a pipeline notes them."""
    kept = record.provenance
    found = list(kept.get("curation", {}).get("scores", ()))
    image = kept.get("image")
    if isinstance(image, Mapping) and "verdict" in image:
        found.append(image["verdict"]["scores"])
    return found


def _dropped(rejects: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rejects:
        for name, value in row.get("scores", {}).items():
            found.setdefault(name, []).append(value)
    return found


def _reviewed(folder: pathlib.Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    if (folder / REVIEW).is_dir():
        for split in splits(folder / REVIEW):
            for one in read_review(open_dataset(folder / REVIEW, split)):
                for name, value in one.scores.items() if not one.reasons else ():
                    found.setdefault(name, []).append(value)
    return found


def _embedded(record: Record, encoder: PixelEncoder) -> list[np.ndarray]:
    first = record.images[0]
    try:
        return [encoder.encode([decode(first.data, first.format, size_hint=64, gray=True)])[0]]
    except ImageError:
        return []


def _nearest(rows: Sequence[np.ndarray]) -> Float[np.ndarray, "n"]:
    if len(rows) < 2:
        return np.zeros(0)
    cosines = np.stack(rows) @ np.stack(rows).T
    np.fill_diagonal(cosines, -1)
    return np.clip(cosines.max(1), -1, 1)


def _samples(sources: Sequence[RecordSource]) -> list[Sample]:
    found = []
    for source, i in _places(sources, _STUDIES):
        record = source[i]
        if record.images:
            try:
                found.append(sample_of(record, note=record.split))
            except ImageError:
                continue
    return found


def _pictured(folder: pathlib.Path, rejects: Sequence[Mapping[str, Any]]) -> list[Reject]:
    """The first rejects of every reason that have a picture."""
    seen: Counter[str] = Counter()
    found = []
    for row in rejects:
        kind, name = str(row.get("kind", "")), row.get("thumbnail", "")
        if not name or seen[kind] == _PER_REASON or not (folder / name).is_file():
            continue
        seen[kind] += 1
        image = decode((folder / name).read_bytes(), "jpeg")
        detail = str(row.get("detail", ""))
        also = ", ".join(row.get("reasons", ())[1:])
        texts = ((("also", also),) if also else ()) + ((("", detail),) if detail else ())
        found.append(Reject(kind, str(row.get("where", "")), image, texts))
    order = {kind: n for n, kind in enumerate(seen)}
    return sorted(found, key=lambda r: order[r.reason])
