"""Images that are nearly the same, by the cosine of their embeddings."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.errors import UserError

#: Single precision finds pairs down to this far below the threshold; double precision decides.
_MARGIN = 1e-4
_BLOCK = 1024

Search = Literal["auto", "faiss", "matmul"]


def near_duplicates(
    embeddings: Float[np.ndarray, "n d"],
    ids: Sequence[str],
    threshold: float,
    search: Search = "auto",
) -> dict[str, str]:
    """What to drop so that no two kept images are more alike than ``threshold``.

    Goes through the rows in order and keeps a row unless its cosine to a row kept before it is
    above ``threshold``. Both searches give the same answer.

    Args:
      embeddings: any length; zero vectors are like nothing.
      ids: one per row, distinct.
      threshold: -1 to 1; 1 drops nothing.
      search: ``auto`` takes faiss where it is installed.

    Returns:
      id of each dropped row -> id of the first kept row that it is like.

    Raises:
      UserError: ids that repeat or do not fit the rows, or faiss is asked for and not installed.
    """
    if len(ids) != len(embeddings) or len(set(ids)) != len(ids):
        raise UserError(f"near-duplicates: {len(embeddings)} embeddings need as many distinct ids")
    if not len(ids) or threshold >= 1:  # rounding may put a cosine above 1
        return {}
    rows = unit(embeddings)
    single = rows.astype(np.float32)
    kept = _Faiss(rows.shape[1]) if _use_faiss(search) else _Matmul(rows.shape[1])
    numbers: list[int] = []  # of the kept rows, in the order of ``kept``
    dropped: dict[str, str] = {}
    for start in range(0, len(rows), _BLOCK):
        block = single[start : start + _BLOCK]
        before = [
            _first(rows, start + i, (numbers[j] for j in near), threshold)
            for i, near in enumerate(kept.near(block, threshold - _MARGIN))
        ]
        inside = block @ block.T > threshold - _MARGIN
        fresh: list[int] = []
        for i, like in enumerate(before):
            row = start + i
            if like is None:
                own = (j for j in fresh if inside[i, j - start])
                like = _first(rows, row, own, threshold)
            if like is None:
                fresh.append(row)
            else:
                dropped[ids[row]] = ids[like]
        numbers += fresh
        kept.add(single[fresh])
    return dropped


def unit(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length one in double precision; a zero row stays zero."""
    rows = np.asarray(embeddings, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _first(rows: np.ndarray, row: int, others: Any, threshold: float) -> int | None:
    return next((j for j in others if float(rows[row] @ rows[j]) > threshold), None)


def _use_faiss(search: Search) -> bool:
    there = importlib.util.find_spec("faiss") is not None
    if search == "faiss" and not there:
        raise UserError("search='faiss' needs faiss: pip install faiss-cpu (or search='matmul')")
    return there and search != "matmul"


class _Matmul:
    """The kept rows in growing memory, searched by blocks."""

    def __init__(self, width: int) -> None:
        self._rows = np.zeros((_BLOCK, width), np.float32)
        self._count = 0

    def add(self, rows: np.ndarray) -> None:
        while self._count + len(rows) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    def near(self, block: np.ndarray, low: float) -> list[np.ndarray]:
        """Per row of ``block`` the kept rows above ``low``, in order."""
        found: list[list[np.ndarray]] = [[] for _ in block]
        for start, part in self._parts():
            rows, columns = np.nonzero(block @ part.T > low)
            for i in np.unique(rows):
                found[i].append(columns[rows == i] + start)
        return [np.concatenate(f) if f else np.zeros(0, np.int64) for f in found]

    def _parts(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self._count, 16 * _BLOCK):
            yield start, self._rows[start : min(start + 16 * _BLOCK, self._count)]


class _Faiss:
    """The same by faiss's exact index of inner products."""

    def __init__(self, width: int) -> None:
        faiss: Any = importlib.import_module("faiss")
        self._index = faiss.IndexFlatIP(width)

    def add(self, rows: np.ndarray) -> None:
        if len(rows):
            self._index.add(np.ascontiguousarray(rows))

    def near(self, block: np.ndarray, low: float) -> list[np.ndarray]:
        """Per row of ``block`` the kept rows above ``low``, in order."""
        ends, _, found = self._index.range_search(np.ascontiguousarray(block), low)
        return [np.sort(found[ends[i] : ends[i + 1]]) for i in range(len(block))]
