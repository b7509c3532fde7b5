"""How the studies of a split are divided among modalities, and into shards."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Studies ``start`` to ``stop`` (exclusive) of one modality, counted within it."""

    modality: str
    start: int
    stop: int


def pieces(modalities: Sequence[str], count: int, per_shard: int) -> list[Piece]:
    """``count`` studies in equal shares, the first ones one larger where they do not divide.

    The modalities take turns, so that the first shards have all of them.
    """
    share, more = divmod(count, len(modalities))
    cut = []
    for i, modality in enumerate(modalities):
        mine = share + (i < more)
        cut.append(
            [
                Piece(modality, start, min(start + per_shard, mine))
                for start in range(0, mine, per_shard)
            ]
        )
    turns = itertools.zip_longest(*cut)
    return [piece for turn in turns for piece in turn if piece is not None]
