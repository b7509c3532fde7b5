"""All evaluators on a real (tiny, random) CLIP: one device and a mesh of eight agree."""

import jax
import numpy as np
import pytest
from fake_model import tokenize
from made_up import Studies

from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.heatmap import MapConfig
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.registry import EVALUATORS, evaluate, flat_metrics
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.models.clip import build_clip, clip_config
from medvlp_jax.tasks.registry import make_task

pytestmark = pytest.mark.usefixtures("all_compile_quickly")

SIDE, LENGTH = 16, 16


def short(texts):
    ids, mask = tokenize([t[:LENGTH].ljust(LENGTH) for t in texts])
    return np.minimum(ids, 127), mask


@pytest.fixture(scope="module")
def clip():
    tower = {"width": 16, "depth": 1, "heads": 2}
    config = {
        "vision": {"name": "vit_s16", "image_size": SIDE, "patch": 4, "channels": 1, **tower},
        "text": {"name": "bert_mini", "vocab": 128, "max_length": LENGTH, **tower},
        "embed_dim": 32,
        "dtype": "float32",
    }
    model = ModelDef.of(build_clip(clip_config(config)))
    task = make_task(model, {"name": "contrastive", "channels": 1})
    return model, task, jax.jit(model.init)(jax.random.key(0))


def outcome(clip, mesh):
    model, task, arrays = clip
    studies = Studies(n=21, side=SIDE, seed=3)

    def batches():
        for batch in studies.batches():
            ids, mask = short([f"report {i}" for i in batch["id"]])
            yield batch | {"text": ids, "text_mask": mask}

    data = Embedded("toy", batches, studies.classes)
    bank, few = load_bank("reports"), Bootstrap(50)
    located = studies.classes[:-1]
    evaluators = {
        "zeroshot": EVALUATORS["zeroshot"](data, studies.classes, bank, short, bootstrap=few),
        "retrieval": EVALUATORS["retrieval"](data, bootstrap=few),
        "grounding": EVALUATORS["grounding"](
            data, located, bank, short, query="difference", maps=MapConfig(size=32), bootstrap=few
        ),
        "pictures": EVALUATORS["pictures"](data, located, bank, short),
    }
    predict = Predictor(model, task.predict, mesh).with_arrays(*arrays)
    return evaluate(evaluators, predict)


@pytest.mark.multidevice
def test_a_mesh_gives_what_one_device_gives(clip, devices):
    one = outcome(clip, make_mesh(MeshConfig(), devices[:1]))
    eight = outcome(clip, make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), devices))
    scores = [r["zeroshot"].arrays["scores"] for r in (one, eight)]
    assert np.ptp(scores[0]) > 1e-4
    np.testing.assert_allclose(*scores, atol=1e-5)
    maps = [r["pictures"].arrays["shown_map"] for r in (one, eight)]
    np.testing.assert_allclose(*maps, atol=1e-3)
    a, b = flat_metrics(one), flat_metrics(eight)
    assert a.keys() == b.keys()
    for name in ("grounding/cnr", "grounding/auprc", "zeroshot/ap_macro"):
        assert a[name] == pytest.approx(b[name], abs=1e-3), name
