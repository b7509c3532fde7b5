"""Pairs of a training image and an evaluation image that are one, of each kind there is."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.fields import Cosine, Size
from medvlp_jax.core.processes.cores import cores
from medvlp_jax.run.leakage.alike import likeness
from medvlp_jax.run.leakage.looked import Looked

Kind = Literal["same file", "same pixels", "same picture", "same patient", "alike"]
#: What a pair says, in the order in which one is preferred to another.
KINDS: dict[Kind, str] = {
    "same file": "the files are equal, byte by byte",
    "same pixels": "other bytes, equal pixels",
    "same picture": "one is a copy of the other: encoded again, resized, cropped, or made brighter",
    "alike": "the image tower gives them nearly the same vector",
    "same patient": "two images of one patient",
}
_BLOCK = 512  # evaluation images that are compared at a time


class Pair(NamedTuple):
    """An image of a training split and one of an evaluation split.

    train, evaluation: numbers of the splits. train_row, evaluation_row: of the images in them.
    score: of the kind: 1 where it is a matter of yes and no.
    """

    kind: Kind
    train: int
    train_row: int
    evaluation: int
    evaluation_row: int
    score: float


@dataclasses.dataclass(frozen=True)
class NearConfig:
    """When two images are the same picture.

    Attributes:
      threshold: of :func:`medvlp_jax.run.leakage.alike.likeness`.
      candidates: nearest training images by descriptor that are looked at per evaluation image;
        where all of them are copies, twice as many.
      coarse: descriptors less alike than this are not looked at.
    """

    threshold: Cosine = 0.83
    candidates: Size = 10
    coarse: Cosine = 0.6


def equal(train: Sequence[Looked], evaluation: Sequence[Looked]) -> Iterator[Pair]:
    """Every training image whose file or pixels some evaluation image has, once each."""
    for kind, name in (("same file", "bytes"), ("same pixels", "pixels")):
        there: dict[str, tuple[int, int]] = {}
        for number, looked in enumerate(evaluation):
            for row, digest in enumerate(getattr(looked, name).tolist()):
                there.setdefault(digest, (number, row))
        for number, looked in enumerate(train):
            for row, digest in enumerate(getattr(looked, name).tolist()):
                if digest in there:
                    yield Pair(kind, number, row, *there[digest], 1.0)  # type: ignore[arg-type]


def near(
    train: Sequence[Looked], evaluation: Sequence[Looked], config: NearConfig
) -> Iterator[Pair]:
    """Training images that are the same picture as an evaluation image, without equal pixels.

    Candidates come from the descriptors of the whole training images and of the evaluation images
    with their crops; each is then laid over the evaluation image and compared.
    """
    rows, places = _distinct(train)
    with ThreadPoolExecutor(cores()) as pool:
        for number, looked in enumerate(evaluation):
            for start in range(0, len(looked.record), _BLOCK):
                part = range(start, min(start + _BLOCK, len(looked.record)))
                scores = _best(rows, looked.descriptors[part.start : part.stop])

                def one(row: int, found: np.ndarray, looked: Looked = looked) -> list:
                    return _verified(train, places, looked, row, found, config)

                for row, found in zip(part, pool.map(one, part, scores), strict=True):
                    for place, score in found:
                        for split, index in places[place]:
                            if train[split].pixels[index] != looked.pixels[row]:
                                yield Pair("same picture", split, index, number, row, score)


def patients(train: Sequence[Looked], evaluation: Sequence[Looked]) -> Iterator[Pair]:
    """Every training image whose patient has an evaluation image, once each."""
    there: dict[str, tuple[int, int]] = {}
    for number, looked in enumerate(evaluation):
        for row, key in enumerate(looked.patient_keys.tolist()):
            if key:
                there.setdefault(key, (number, row))
    for number, looked in enumerate(train):
        for row, key in enumerate(looked.patient_keys.tolist()):
            if key in there:
                yield Pair("same patient", number, row, *there[key], 1.0)


def same_ids(train: Sequence[Looked], evaluation: Sequence[Looked]) -> dict[str, int]:
    """Patient ids that two data sets of other names share: "a / b" -> how many.

    ``1`` of one hospital is not ``1`` of another, and they count for nothing; but two importers of
    one data set name the same people.
    """
    of: Mapping[str, Mapping[str, set[str]]] = {"train": defaultdict(set), "eval": defaultdict(set)}
    for side, splits in (("train", train), ("eval", evaluation)):
        for looked in splits:
            for namespace, patient in zip(
                looked.namespaces.tolist(), looked.patients.tolist(), strict=True
            ):
                if patient:
                    of[side][namespace].add(patient)
    shared = {
        f"{a or 'unnamed'} / {b or 'unnamed'}": len(ids & others)
        for a, ids in of["train"].items()
        for b, others in of["eval"].items()
        if a != b
    }
    return {names: count for names, count in shared.items() if count}


def alike(
    train: Sequence[Float[np.ndarray, "n e"]],
    evaluation: Sequence[Float[np.ndarray, "m e"]],
    rows: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    threshold: float,
) -> Iterator[Pair]:
    """Training images whose vector is at least ``threshold`` (cosine) from an evaluation image's.

    Args:
      train, evaluation: unit vectors, split by split.
      rows: the image of each vector, as a row of :class:`Looked`, for either side.
    """
    for number, vectors in enumerate(train):
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            best = np.full(len(block), -1.0)
            at: list[tuple[int, int]] = [(0, 0)] * len(block)
            for other, theirs in enumerate(evaluation):
                if not len(theirs):
                    continue
                cosines = block @ theirs.T
                nearest = cosines.argmax(1)
                for i, j in enumerate(nearest):
                    if cosines[i, j] > best[i]:
                        best[i], at[i] = cosines[i, j], (other, rows[1][other][int(j)])
            for i in np.flatnonzero(best >= threshold):
                row = rows[0][number][start + int(i)]
                yield Pair("alike", number, row, *at[int(i)], float(best[i]))


def _distinct(
    train: Sequence[Looked],
) -> tuple[Float[np.ndarray, "n d"], list[list[tuple[int, int]]]]:
    """Descriptors of the pictures of all splits, equal ones once, and where each of them is."""
    known: dict[str, int] = {}
    rows: list[np.ndarray] = []
    places: list[list[tuple[int, int]]] = []
    for number, looked in enumerate(train):
        for row, digest in enumerate(looked.pixels.tolist()):
            if digest in known:
                places[known[digest]].append((number, row))
                continue
            known[digest] = len(rows)
            rows.append(looked.descriptors[row, 0])
            places.append([(number, row)])
    return np.stack(rows), places


def _best(
    rows: Float[np.ndarray, "n d"], crops: Float[np.ndarray, "b c d"]
) -> Float[np.ndarray, "b n"]:
    """Per image the largest cosine of any of its crops to every row."""
    out = np.full((len(crops), len(rows)), -1.0, np.float32)
    for crop in range(crops.shape[1]):
        np.maximum(out, crops[:, crop] @ rows.T, out=out)
    return out


def _verified(
    train: Sequence[Looked],
    places: Sequence[Sequence[tuple[int, int]]],
    looked: Looked,
    row: int,
    scores: Float[np.ndarray, " n"],
    config: NearConfig,
) -> list[tuple[int, float]]:
    """The candidates that are the picture, with their scores."""
    picture = looked.gray(row)
    found: list[tuple[int, float]] = []
    seen, wanted = 0, config.candidates
    while True:
        top = _top(scores, min(wanted, len(scores)))[seen:]
        top = [place for place in top if scores[place] >= config.coarse]
        hits = 0
        for place in top:
            split, index = places[place][0]
            score = likeness(picture, train[split].gray(index))
            if score >= config.threshold:
                found.append((place, score))
                hits += 1
        if not top or hits < len(top):
            return found
        seen, wanted = wanted, 2 * wanted


def _top(scores: Float[np.ndarray, " n"], count: int) -> list[int]:
    some: Int[np.ndarray, " k"] = np.argpartition(-scores, count - 1)[:count]
    return some[np.lexsort((some, -scores[some]))].tolist()
