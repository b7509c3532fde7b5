"""What grounding keeps of a record that has a region: maps, masks, and a few pictures."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from medvlp_jax.eval.base import Batch, EvalError, PredictFn, TokenizeFn
from medvlp_jax.eval.embedded import GatherFn, apply, gather_strings
from medvlp_jax.eval.vectors import embed_texts, ensemble
from medvlp_jax.eval.zeroshot.promptbank import PromptBank


@dataclasses.dataclass(frozen=True)
class ClassMaps:
    """Similarity of every patch to every class [k, h, w], for records with a region; else None.

    Attributes:
      positive: affirming prompts, one tuple per class.
      negative: denying prompts, subtracted; empty: the affirming similarity alone.
      others: prompts of classes whose mean similarity is subtracted; empty: nothing is.
      tokenize: of the text tower.
    """

    positive: tuple[tuple[str, ...], ...]
    negative: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...]
    tokenize: TokenizeFn = dataclasses.field(compare=False)

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        text = self.queries(predict)

        def read(batch: Batch) -> np.ndarray:
            return _maps(predict, batch, [text if w else None for w in gather(_has_region(batch))])

        return read

    def queries(self, predict: PredictFn) -> Float[np.ndarray, "k e"]:
        """The text side: one vector per class."""
        text = ensemble(predict, self.tokenize, self.positive)
        if self.negative:
            return text - ensemble(predict, self.tokenize, self.negative)
        if self.others:
            return text - ensemble(predict, self.tokenize, self.others).mean(axis=0)
        return text


#: What the map of a class may ask.
ClassQuery = Literal["positive", "difference", "contrast"]


def class_maps(
    bank: PromptBank,
    classes: Sequence[str],
    tokenize: TokenizeFn,
    query: ClassQuery,
    among: Sequence[str] = (),
) -> ClassMaps:
    """The maps of ``classes`` from the prompts of a bank.

    ``positive`` is the similarity to the affirming prompts, ``difference`` that minus the one to
    the denying prompts, ``contrast`` that minus its mean over the classes ``among`` (by default
    ``classes``): all texts have much in common, and a map of that shows whatever is remarkable.

    Raises:
      EvalError: the bank lacks a class, or, for a difference, its denying prompts; a contrast of a
        single class with itself.
    """
    prompts = bank.select(classes)
    negative = tuple(p.negative for p in prompts) if query == "difference" else ()
    if not all(negative):
        raise EvalError(f"prompt bank {bank.name!r}: query='difference' needs denying prompts")
    others = tuple(p.positive for p in bank.select(among or classes)) if query == "contrast" else ()
    if len(others) == 1:
        raise EvalError("query='contrast' needs two classes or more; use query='positive'")
    return ClassMaps(tuple(p.positive for p in prompts), negative, others, tokenize)


@dataclasses.dataclass(frozen=True)
class PhraseMaps:
    """Similarity of every patch to every distinct phrase of the record's own boxes [q, h, w].

    The order is that of :func:`distinct`; records without a phrase are ``None``.
    """

    tokenize: TokenizeFn = dataclasses.field(compare=False)

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            if "box_phrase" not in batch:
                raise EvalError("the batches carry no 'box_phrase'")
            valid = gather(np.asarray(batch["valid"], bool))
            written = gather_strings(np.asarray(batch["box_phrase"]), gather)
            phrases = [distinct(row) if v else [] for row, v in zip(written, valid, strict=True)]
            flat = list(dict.fromkeys(p for row in phrases for p in row))
            if not flat:
                return np.full(len(valid), None, dtype=object)
            text = dict(zip(flat, embed_texts(predict, self.tokenize, flat), strict=True))
            queries = [np.stack([text[p] for p in row]) if row else None for row in phrases]
            return _maps(predict, batch, queries)

        return read


def distinct(phrases: np.ndarray) -> list[str]:
    """The phrases of a record in order, each once, in the first spelling; case does not matter."""
    seen: dict[str, str] = {}
    for phrase in phrases:
        if phrase:
            seen.setdefault(phrase.lower(), phrase)
    return list(seen.values())


def _maps(
    predict: PredictFn, batch: Batch, queries: list[Float[np.ndarray, "q e"] | None]
) -> np.ndarray:
    out = np.full(len(queries), None, dtype=object)
    if any(q is not None for q in queries):
        patches = apply(predict, "patch_embed", batch)
        for i, query in enumerate(queries):
            if query is not None:
                out[i] = np.einsum("hwe,qe->qhw", patches[i], query.astype(np.float32))
    return out


@dataclasses.dataclass(frozen=True)
class RegionMasks:
    """Masks of the batch [b, s, s, l] at ``size`` x ``size``, nearest pixel; ``None`` if empty."""

    size: int

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        def read(batch: Batch) -> np.ndarray:
            masks = np.asarray(batch["masks"])
            rows = ((np.arange(self.size) + 0.5) / self.size * masks.shape[1]).astype(int)
            columns = ((np.arange(self.size) + 0.5) / self.size * masks.shape[2]).astype(int)
            small = gather(np.moveaxis(masks[:, rows][:, :, columns] > 0, -1, 1))
            out = np.full(len(small), None, dtype=object)
            for i in np.flatnonzero(small.any((1, 2, 3))):
                out[i] = small[i]
            return out

        return read


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The images of the first ``per_class`` records in set order that have a box of each class.

    A fixed rule, so that the pictures of a report are not chosen by how well they came out.
    """

    per_class: int

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        taken: dict[int, int] = {}

        def read(batch: Batch) -> np.ndarray:
            boxed = gather(np.asarray(batch["box_label"]))
            valid = gather(np.asarray(batch["valid"], bool))
            out = np.full(len(boxed), None, dtype=object)
            wanted = []
            for i in np.flatnonzero(valid):
                new = {int(c) for c in boxed[i] if c >= 0 and taken.get(int(c), 0) < self.per_class}
                if new:
                    wanted.append(i)
                    for c in new:
                        taken[c] = taken.get(c, 0) + 1
            if wanted:  # the same on every process: it follows from gathered arrays
                images = gather(np.asarray(batch["image"]))
                for i in wanted:
                    out[i] = images[i]
            return out

        return read


@dataclasses.dataclass(frozen=True)
class PositiveMaps:
    """(image, class maps [k, h, w]) of the first ``per_class`` records with each positive label,
    and of the first ``unlabelled`` ones without any label.

    Needs no region. The rule is fixed for the same reason as that of :class:`Pictures`.

    Attributes:
      maps: the classes and their prompts.
      columns: the label number of each class.
    """

    maps: ClassMaps
    columns: tuple[int, ...]
    per_class: int
    unlabelled: int = 0

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        text = self.maps.queries(predict)
        taken = np.zeros(len(self.columns), np.int64)
        unread = 0

        def read(batch: Batch) -> np.ndarray:
            valid = gather(np.asarray(batch["valid"], bool))
            nonlocal unread
            labels = gather(np.asarray(batch["labels"]))
            positive, silent = labels[:, self.columns] == 1, (labels == -2).all(1)
            out = np.full(len(valid), None, dtype=object)
            queries: list[np.ndarray | None] = [None] * len(valid)
            for i in np.flatnonzero(valid):
                new = positive[i] & (taken < self.per_class)
                if new.any():
                    queries[i] = text
                    taken[new] += 1
                elif silent[i] and unread < self.unlabelled:
                    queries[i] = text
                    unread += 1
            maps = _maps(predict, batch, queries)
            if any(m is not None for m in maps):  # the same on every process
                images = gather(np.asarray(batch["image"]))
                for i, m in enumerate(maps):
                    out[i] = None if m is None else (images[i], m)
            return out

        return read


def _has_region(batch: Batch) -> Bool[np.ndarray, "b"]:
    found = np.zeros(len(batch["valid"]), bool)
    if "box_label" in batch:
        found |= (np.asarray(batch["box_label"]) >= 0).any(1)
    if "masks" in batch:
        found |= np.asarray(batch["masks"]).any((1, 2, 3))
    return found & np.asarray(batch["valid"], bool)
