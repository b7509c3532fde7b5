"""What the plan must know of every record without reading it: which texts it has and how long.

One pass over a data set per tokenizer, kept beside the data as ``text-<split>-<key>.npz``.
"""

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, Int

from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.store.kept_arrays import read_arrays, write_arrays
from medvlp_jax.data.store.record import Image, Record, Source
from medvlp_jax.data.texts.choice import TextConfig, candidates, names_a_side
from medvlp_jax.data.texts.tokenizer import Tokenizer, check_known
from medvlp_jax.data.unreadable import MAX_BAD_FRACTION, Readable, still_unreadable

_LAYOUT = 1  # of the file; a change makes old files unknown
_LOG_EVERY_S = 20.0
_ARRAYS = ("records", "counts", "lengths", "modality")
_MODALITIES = "modalities"  # key of the summary: names of the codes of ``modality``
_LEFT_OUT = "unreadable"  # key of the summary: indices of records that are out of the index
#: The modality of a record whose images name none.
UNKNOWN = "unknown"
_CHUNK = 8192  # texts that are tokenized at once


class IndexingError(UserError, ValueError):
    """A source and the options leave nothing to train on; one line with the mend."""


def eligible_images(record: Record, config: ImageConfig) -> list[Image]:
    """Images of a view that ``config`` allows, the preferred views first."""
    if not config.views:
        return list(record.images)
    return [i for view in config.views for i in record.images if i.view == view]


def modality_of(images: Sequence[Image]) -> str:
    """The modality of a record, from its images; :data:`UNKNOWN` if they name none.

    Several make a modality of their own, such as "ct+mri": a visit may show any of them.
    """
    return "+".join(sorted({image.modality for image in images} - {""})) or UNKNOWN


@dataclasses.dataclass(frozen=True)
class TextIndex:
    """The usable records of one source and the lengths of their candidate texts.

    Attributes:
      records: indices into the source, ascending; those without image or text are left out.
      counts: number of candidates per record and group of ``TextConfig.groups``.
      lengths: tokens of all candidates, special tokens included, record by record.
      summary: counts of what was left out and why, fraction of unknown pieces, and how many
        records name a side.
      content: identifies source, tokenizer and options; "" where the source has no identity.
      modality: code of each record's modality, an index into ``modalities``; None: one for all.
      modalities: names; see :func:`modality_of`.
    """

    records: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, "n g"]
    lengths: Int[np.ndarray, " m"]
    summary: dict[str, Any]
    content: str = ""
    modality: Int[np.ndarray, " n"] | None = None
    modalities: tuple[str, ...] = (UNKNOWN,)

    def __post_init__(self) -> None:
        ends = np.cumsum(self.counts.sum(axis=1, dtype=np.int64))
        object.__setattr__(self, "_starts", ends - self.counts.sum(axis=1))

    def modality_of(self, rows: Any) -> Int[np.ndarray, " b"]:
        """Codes of the modalities of these rows."""
        codes = np.zeros(len(self.records), np.int64) if self.modality is None else self.modality
        return codes[rows]

    def group_of(
        self, rows: Int[np.ndarray, " b"], choice: Int[np.ndarray, " b"]
    ) -> Int[np.ndarray, " b"]:
        """The group that each chosen candidate is of; -1 where none was chosen."""
        ends = np.cumsum(self.counts[rows], axis=1)
        return np.where(choice < 0, -1, (ends <= choice[:, None]).sum(axis=1))

    def choose(
        self,
        rows: Int[np.ndarray, " b"],
        weights: tuple[float, ...],
        group_draw: Float[np.ndarray, " b"],
        text_draw: Float[np.ndarray, " b"],
    ) -> tuple[Int[np.ndarray, " b"], Int[np.ndarray, " b"]]:
        """A candidate per row (position in ``records``) and its length in tokens.

        A group is drawn by weight among those that the record has, then a text in it, evenly.
        Candidates count through all groups; -1 (length 0) where there is none.
        """
        counts = self.counts[rows].astype(np.int64)
        share = np.cumsum(np.where(counts > 0, np.asarray(weights), 0.0), axis=1)
        total = share[:, -1]
        group = (group_draw[:, None] * total[:, None] >= share).sum(axis=1)
        group = np.minimum(group, counts.shape[1] - 1)
        at = np.arange(len(rows))
        size = counts[at, group]
        before = np.cumsum(counts, axis=1)[at, group] - size
        choice = before + np.minimum((text_draw * size).astype(np.int64), size - 1)
        none = total == 0
        choice[none] = -1
        starts: np.ndarray = self._starts  # type: ignore[attr-defined]
        flat = np.where(none, 0, starts[rows] + choice)
        lengths = self.lengths[flat] if len(self.lengths) else np.zeros(len(rows), np.int64)
        return choice, np.where(none, 0, lengths)

    def kept(self, keep: Bool[np.ndarray, " n"]) -> "TextIndex":
        """The index of those of its records that ``keep`` says; itself where that is all."""
        if keep.all():
            return self
        of_each = self.counts.sum(axis=1, dtype=np.int64)
        which = hashlib.sha256(np.packbits(keep).tobytes()).hexdigest()[:16]
        # A modality of which nothing is left is none of this index.
        codes, modality = np.unique(self.modality_of(keep), return_inverse=True)
        return TextIndex(
            self.records[keep],
            self.counts[keep],
            self.lengths[np.repeat(keep, of_each)],
            self.summary | {"held_out": int((~keep).sum())},
            f"{self.content}:{which}",
            modality.astype(np.int16),
            tuple(self.modalities[code] for code in codes),
        )


def text_index(
    source: Source,
    tokenizer: Tokenizer,
    text: TextConfig,
    image: ImageConfig,
    cache_dir: str = "",
    max_bad_fraction: float = MAX_BAD_FRACTION,
) -> TextIndex:
    """The index of ``source``, from the cache or by one pass over it, which is then cached.

    A source without content hashes (a list) is not cached. A folder that cannot be written costs
    a warning and the pass at each start, and so does a file that is damaged. Concurrent builders
    are harmless: a file appears whole.

    Raises:
      DataError: more than ``max_bad_fraction`` of the records cannot be read; fewer are left out.
      TokenizerError: most pieces of the corpus are unknown to the tokenizer.
      IndexingError: no record is usable.
    """
    content = content_key(source, tokenizer, text, image)
    if not content:
        return scan(source, tokenizer, text, image, max_bad_fraction)
    folder = pathlib.Path(cache_dir or source.directory)  # type: ignore[attr-defined]
    path = folder / f"text-{source.split}-{content}.npz"  # type: ignore[attr-defined]
    index = _read(path, content)
    if index is not None and still_unreadable(source, index.summary.get(_LEFT_OUT, [])):
        return index
    index = scan(source, tokenizer, text, image, max_bad_fraction)
    index = dataclasses.replace(index, content=content)
    arrays = {name: getattr(index, name) for name in _ARRAYS}
    arrays["summary"] = np.array(json.dumps(index.summary | {_MODALITIES: index.modalities}))
    write_arrays(path, arrays, "text lengths are counted at each start; set data.cache_dir")
    return index


def content_key(source: Source, tokenizer: Tokenizer, text: TextConfig, image: ImageConfig) -> str:
    """16 hex digits of the shards' hashes, the tokenizer and the options that the index obeys."""
    shards = getattr(source, "shards", None)
    if shards is None:
        return ""
    parts = [_LAYOUT, [s.sha256 for s in shards], tokenizer.hash, text.groups, text.min_words]
    parts += [text.missing, image.views]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def scan(
    source: Source,
    tokenizer: Tokenizer,
    text: TextConfig,
    image: ImageConfig,
    max_bad_fraction: float = MAX_BAD_FRACTION,
) -> TextIndex:
    """Reads every record once and counts the tokens of its candidate texts."""
    readable = Readable(source, max_bad_fraction)
    records: list[int] = []
    counts: list[list[int]] = []
    lengths: list[int] = []
    modalities: list[str] = []
    waiting: list[str] = []
    summary: dict[str, Any] = {
        "records": len(source),
        "without_image": 0,
        "without_text": 0,
        "name_a_side": 0,
    }
    sample: list[str] = []
    started = last = time.monotonic()
    for i, record in readable:
        groups = candidates(record, text)
        found = [t for group in groups for t in group]
        summary["name_a_side"] += _names_a_side(record)
        images = eligible_images(record, image)
        if not images:
            summary["without_image"] += 1
            continue
        if not found:
            summary["without_text"] += 1
            if text.missing == "skip":
                continue
        records.append(i)
        modalities.append(modality_of(images))
        counts.append([len(group) for group in groups])
        waiting += found
        if len(waiting) >= _CHUNK:
            lengths += tokenizer.lengths(waiting)
            waiting.clear()
        if len(sample) < 1000:
            sample += found[:1]
        if time.monotonic() - last > _LOG_EVERY_S:
            last = time.monotonic()
            logging.info("counting tokens: %d of %d records", i + 1, len(source))
    lengths += tokenizer.lengths(waiting)
    if readable.left_out:
        summary[_LEFT_OUT] = readable.left_out
    if not records:
        raise IndexingError(
            f"no record of {source!r} is usable: {summary}; check text.policy and image.views, or "
            "set text.missing='empty' to train without texts"
        )
    if sample:
        check_known(tokenizer, sample)
    logging.info("counted tokens in %.0f s: %s", time.monotonic() - started, summary)
    names, codes = np.unique(np.array(modalities, np.str_), return_inverse=True)
    return TextIndex(
        np.asarray(records, np.int64),
        np.asarray(counts, np.int32),
        np.asarray(lengths, np.int32),
        summary,
        modality=codes.astype(np.int16),
        modalities=tuple(map(str, names)),
    )


def _names_a_side(record: Record) -> bool:
    names = [*record.labels, *(b.label for b in record.boxes), *(m.label for m in record.masks)]
    texts = (t.text for t in (*record.texts, *record.turns))
    return any(names_a_side(s) for s in (*texts, *names))


def _read(path: pathlib.Path, content: str) -> TextIndex | None:
    arrays = read_arrays(path, "counting again")
    if arrays is None:
        return None
    if "modality" not in arrays:
        logging.info("%s was written before it held modalities; counting again", path)
        return None
    try:
        summary = json.loads(str(arrays["summary"]))
        names = tuple(summary.pop(_MODALITIES))
        records, counts, lengths, modality = (arrays[name] for name in _ARRAYS)
        return TextIndex(records, counts, lengths, summary, content, modality, names)
    except (KeyError, ValueError) as e:  # of another version
        logging.warning("%s is damaged (%s); counting again", path, reason(e))
        return None
