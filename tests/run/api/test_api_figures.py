"""The screen of figures asks a model of images and texts through the public API."""

import numpy as np

from data_gen.pipelines.pubmed.drawings import draw
from data_gen.pipelines.pubmed.screen.classes import CLASSES
from data_gen.pipelines.pubmed.screen.images import ImageScreenConfig
from data_gen.pipelines.pubmed.screen.open import open_images
from data_gen.pipelines.pubmed.screen.zero_shot import PROMPTS, read_prompts


def test_any_clip_screens_pictures_by_sentences(trained, model):
    config = ImageScreenConfig(backend="clip", model=str(trained[0]), keep=("ct", "chart"))
    screen = open_images(config)
    pictures = [draw("gel", 1, (60, 90)), draw("bar_chart", 2, 80), draw("fluorescence", 3, 64)]
    found = screen.backend.probabilities(pictures)
    assert screen.backend.classes == tuple(CLASSES)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-4  # the pictures are looked at
    asked = model.zero_shot(pictures, read_prompts(PROMPTS), protocol="multiclass").probabilities
    np.testing.assert_allclose(found, asked / asked.sum(1, keepdims=True), atol=1e-6)
    kept = [list(CLASSES).index(name) for name in config.keep]
    for verdict, row in zip(screen.screen(pictures), found, strict=True):
        assert verdict.keep == (row[kept].sum() >= config.least)
