"""Which pictures of the pool an article shows."""

from collections.abc import Callable, Sequence

import numpy as np

from data_gen.pipelines.pubmed.synthetic.panel import KINDS, Panel
from data_gen.pipelines.pubmed.synthetic.pool import Pool

#: Kind of article -> kinds of figures and their weights; a figure's panels are of one of these
#: groups.
_GROUPS = {
    "brain": (
        (("brain_mri",), 0.42),
        (("brain_ct",), 0.16),
        (("brain_mri", "brain_ct"), 0.16),
        (("brain_mri", "pathology"), 0.06),
        (("brain_mri", "chart"), 0.04),
        (("pathology",), 0.03),
        (("fluorescence",), 0.02),
        (("chart",), 0.06),
        (("diagram",), 0.03),
        (("table",), 0.02),
        (("photograph",), 0.02),
    ),
    "healthy brain": ((("chart",), 0.7), (("diagram",), 0.2), (("photograph",), 0.1)),
    "organ": (
        (("chest_xray",), 0.15),
        (("chest_ct", "chest_xray"), 0.12),
        (("abdomen_ct",), 0.15),
        (("knee_mri",), 0.12),
        (("ultrasound",), 0.12),
        (("fundus",), 0.1),
        (("pathology",), 0.12),
        (("chart",), 0.12),
    ),
    "plain": (
        (("chart",), 0.55),
        (("photograph",), 0.2),
        (("diagram",), 0.12),
        (("table",), 0.08),
        (("gel",), 0.05),
    ),
}
_BLOCK = 12  # pictures of a kind that are set aside for one article


class Drawer:
    """Hands out panels, each article's from its own block of the pool, so that few are seen twice.

    A block is a run of a shuffled pool; which one follows from how many articles of the same split
    come before, so that articles of one split share pictures only once the pool is through.
    """

    def __init__(self, pool: Pool, seed: int, total: int, split_of: Callable[[int], str]) -> None:
        """Args:
        pool: the pictures.
        seed: of the order.
        total: articles.
        split_of: index of an article -> its split.
        """
        self._pool, self._ranks, counts = pool, [], {}
        self._splits = [split_of(index) for index in range(total)]
        for split in self._splits:
            self._ranks.append(counts.get(split, 0))
            counts[split] = self._ranks[-1] + 1
        self._orders = {
            key: np.random.default_rng([seed, n]).permutation(len(panels))
            for n, (key, panels) in enumerate(sorted(pool.panels.items()))
        }

    def panels(
        self, rng: np.random.Generator, kind: str, index: int, count: int
    ) -> Sequence[Panel]:
        """``count`` panels for a figure of an article of a kind, in no order."""
        groups = _GROUPS[kind]
        weights = np.array([weight for _, weight in groups])
        kinds = groups[int(rng.choice(len(groups), p=weights / weights.sum()))][0]
        if len(kinds) > count or not KINDS[kinds[0]].modality:
            kinds = kinds[:1]
        count = count if KINDS[kinds[0]].modality else min(count, 6)
        named = list(kinds) + [kinds[int(rng.integers(len(kinds)))] for _ in range(count)]
        out: list[Panel] = []
        for name in sorted(named[:count], key=kinds.index):
            out.append(self._panel(rng, name, index, out))
        return out

    def _panel(
        self, rng: np.random.Generator, name: str, index: int, taken: Sequence[Panel]
    ) -> Panel:
        key = (self._splits[index], name)
        panels, order = self._pool.panels[key], self._orders[key]
        start = self._ranks[index] * _BLOCK
        for _ in range(8):
            found = panels[order[(start + int(rng.integers(_BLOCK))) % len(panels)]]
            if found not in taken:
                break
        return found
