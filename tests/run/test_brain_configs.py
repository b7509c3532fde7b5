"""The configs of the experiments on the literature describe runs."""

import jax
import pytest

from configs.brain import blip
from medvlp_jax.run.build import Run


@pytest.mark.parametrize("word", blip.WORDS)
def test_blip_is_a_run(word):
    run = Run(blip.get_config(f"{word}:somewhere"), jax.devices()[:1])
    c = run.config
    assert c.data.sources[0].path == "somewhere"
    assert c.data.image.geometry.flip == 0  # captions name sides
    assert c.data.text.max_len >= 64
    assert c.task["cam_block"] < run.model_config.text.depth
    assert run.model_config.queue % c.data.batch_size == 0
    if word == "base":
        assert (run.model_config.queue, c.data.text.buckets, c.loop.steps) == (
            57_600,
            (200,),
            29_640,
        )
        assert c.optim.lr * c.optim.final_lr_fraction == pytest.approx(1e-6)
