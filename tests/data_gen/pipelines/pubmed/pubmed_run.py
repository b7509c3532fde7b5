"""A whole run on a made-up library, without a net: ``python pubmed_run.py OUT [kill STAGE]``.

Panels are gray squares, the separator is the cut along gutters, and every label is read that the
truth knows at its place; so what is tested is the pipeline. With ``kill`` the process ends itself
hard in the middle of that stage.
"""

import dataclasses
import functools
import os
import pathlib
import signal
import sys

import numpy as np

from data_gen.pipelines.pubmed import pipeline, served
from data_gen.pipelines.pubmed.base import ReadLabel, Region, Separated
from data_gen.pipelines.pubmed.collect.config import CollectConfig, Pace
from data_gen.pipelines.pubmed.config import PubMedConfig
from data_gen.pipelines.pubmed.screen.images import ImageScreenConfig
from data_gen.pipelines.pubmed.stages import lines, separating
from data_gen.pipelines.pubmed.synthetic import library
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig

sys.path.insert(0, os.path.dirname(__file__))
from synthetic.made_up_pool import MadeUpPool

CONFIG = PubMedConfig(
    library="synthetic",
    synthetic=SyntheticConfig(articles=36, figures=2, panels=4, retracted=0.1),
    collect=CollectConfig(
        term='"synthetic journal of imaging"',
        email="test@localhost",
        date="2026-01-01",
        licences=("commercial", "noncommercial"),
        articles_per_shard=9,
        pace=Pace(searches=50.0, files=2000.0, backoff=0.01, longest=0.05),
    ),
    images=ImageScreenConfig(backend="none"),
    raw=True,
    truth=True,
    articles_per_shard=9,
    rows_per_shard=12,
    processes=1,
)
STAGES = ("jats", "screen", "separate", "split", "match")


class Cut:
    """Separates by what the figures' size tells of their truth."""

    def __init__(self, truths) -> None:
        self.truths = truths

    def separate(self, images):
        return [self._one(image) for image in images]

    def _one(self, image) -> Separated:
        height, width = image.shape[:2]
        mine = [t for t in self.truths if (t.width, t.height) == (width, height)]
        truth = min(mine, key=lambda t: self._away(t, image))
        labels = tuple(
            (i, ReadLabel(label.text, label.box, 0.9))
            for i, panel in enumerate(truth.panels)
            for label in panel.labels
        )
        panels = tuple(Region(p.box.x0, p.box.y0, p.box.x1, p.box.y1, 0.9) for p in truth.panels)
        return Separated(width, height, panels, labels)

    def _away(self, truth, image) -> float:
        """How far the panels are from even gray."""
        height, width = image.shape[:2]
        away = []
        for panel in truth.panels:
            x0, x1 = round(panel.box.x0 * width), round(panel.box.x1 * width)
            y0, y1 = round(panel.box.y0 * height), round(panel.box.y1 * height)
            away.append(float(np.std(image[y0:y1, x0:x1])))
        return max(away)


def install(set_attribute=setattr) -> None:
    """Puts the made-up parts in the place of those that need panels and nets."""
    set_attribute(served, "make_pool", lambda *_: None)
    set_attribute(library, "Pool", lambda _: MadeUpPool())

    @functools.cache
    def cut(_):
        later = dataclasses.replace(CONFIG.synthetic, edition=1)
        known = served.library_of(
            dataclasses.replace(CONFIG, synthetic=later), pathlib.Path("nowhere")
        )
        return Cut([figure for i in known.ids() for figure in known.truth(i).figures])

    set_attribute(separating, "_separator", cut)


def kill_in(stage: str) -> None:
    """Ends this process hard after the second shard of a stage began to be written."""
    whole, count = lines.StageJob.write, 0

    def write(self, shard, folder, report):
        nonlocal count
        count += self.stage.name == stage
        if count == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        whole(self, shard, folder, report)

    lines.StageJob.write = write


if __name__ == "__main__":
    install()
    if len(sys.argv) > 2:
        kill_in(sys.argv[3])
    pipeline.generate(CONFIG, sys.argv[1], progress=False)
