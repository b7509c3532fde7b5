"""A pool of panels that nobody drew: words and boxes of some phantom-like findings, gray pixels."""

import numpy as np

from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig
from data_gen.pipelines.pubmed.synthetic.drawer import Drawer
from data_gen.pipelines.pubmed.synthetic.panel import KINDS, Panel, Shown

SPLITS = ("train", "validation", "test")
_PHRASES = (
    ("brain tumor", ("large right frontal tumor with surrounding edema", "left temporal mass")),
    ("infarct", ("acute infarct of the left parietal lobe", "right occipital infarct, 3.2 cm")),
    ("hemorrhage", ("2.6 cm hematoma of the left frontal lobe", "small hemorrhage")),
)


class MadeUpPool:
    """As :class:`data_gen.pipelines.pubmed.synthetic.pool.Pool`, without a folder."""

    def __init__(self, each: int = 30) -> None:
        rng = np.random.default_rng(0)
        self.panels = {}
        for split in SPLITS:
            for kind in KINDS.values():
                self.panels[split, kind.name] = [
                    self._panel(rng, split, kind, i) for i in range(each)
                ]

    def _panel(self, rng, split, kind, i) -> Panel:
        shown = ()
        if kind.phantom and rng.random() < 0.8:
            name, phrases = _PHRASES[int(rng.integers(len(_PHRASES)))]
            x, y = rng.uniform(0.1, 0.6, 2).round(3)
            shown = (Shown(name, phrases, (Region(float(x), float(y), x + 0.3, y + 0.25),)),)
        height = 64 if kind.phantom else int(rng.integers(48, 80))
        technique = ("T1", "T2", "FLAIR", "DWI")[int(rng.integers(4))]
        return Panel(split, i, kind.name, 64, height, technique, shown)

    def pixels(self, panel: Panel) -> np.ndarray:
        value = 40 + panel.position * 7 % 160
        return np.full((panel.height, panel.width), value, np.uint8)


def drawer(config: SyntheticConfig, pool: MadeUpPool | None = None) -> Drawer:
    """Hands out panels of a made-up pool; eight of ten articles are of the training split."""
    splits = ("train",) * 8 + ("validation", "test")
    return Drawer(pool or MadeUpPool(), config.seed, config.total, lambda i: splits[i % 10])
