"""DenseNet as a tower: its maps are where its config says, and a CLIP can be built on it.

That it computes what torchvision computes stands in ``tests/weights/test_published_towers.py``.
"""

import jax
import numpy as np
import pytest

from medvlp_jax.core.state import ModelDef, flatten
from medvlp_jax.models.clip import build_clip, clip_config
from medvlp_jax.models.densenet import PRESETS, DenseNetConfig
from medvlp_jax.models.heads import Pyramid
from medvlp_jax.models.towers import build_vision

TINY = {"name": "densenet", "channels": 1, "width": 8, "growth": 4, "stage_sizes": (2, 1, 1)}


def test_maps_are_where_the_config_says():
    config = DenseNetConfig(**TINY)
    model = ModelDef.of(lambda rngs: build_vision(config, rngs=rngs))
    image = np.ones((1, 64, 64, 1), np.float32)

    def run(params, buffers):
        module = model.merge(params, buffers)
        return module.maps(image), module(image)

    params, buffers = jax.eval_shape(model.init, jax.random.key(0))
    maps, features = jax.eval_shape(run, params, buffers)
    levels = Pyramid.levels(config)
    assert [(x.shape[-1], 64 / x.shape[1]) for x in maps] == levels
    assert features.pooled.shape == (1, config.features)
    assert features.middle.shape == maps[-2].shape


def test_published_sizes():
    """Multiply-adds and widths as in the paper's table 1 and torchvision's."""
    assert PRESETS["densenet121"].features == 1024
    assert PRESETS["densenet169"].features == 1664
    assert PRESETS["densenet121"].flops() / 2 == pytest.approx(2.83e9, rel=0.01)
    model = ModelDef.of(lambda rngs: build_vision(PRESETS["densenet121"], rngs=rngs))
    count = sum(int(np.prod(x.shape)) for x in flatten(model.abstract_params).values())
    assert count == 6_953_856


def test_a_clip_on_it():
    config = clip_config({"vision": TINY, "text": {"name": "bert_tiny"}, "patch_map": "middle"})
    model = ModelDef.of(build_clip(config))
    paths = {"/".join(p) for p in flatten(model.abstract_params)}
    assert "vision/stages/0/1/conv2/kernel" in paths
    assert "vision/transitions/1/conv/kernel" in paths
    assert config.patch_width == config.vision.stage_width(1)
