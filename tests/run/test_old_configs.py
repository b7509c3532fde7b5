"""Configs that checkpoints of an older version hold: they load, and they may be gone on from."""

import json
import pathlib

import jax
import pytest

from medvlp_jax.core.config import ConfigError, differences
from medvlp_jax.core.config_flag import load_config
from medvlp_jax.data.columns.registry import batch_spec
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import parse_config
from medvlp_jax.run.old_configs import forget_old_keys

STORED = pathlib.Path(__file__).parent / "stored"
#: As they were stored when batches were a set of flags -> the file they were made of.
FILES = {"quickstart": "configs/cxr/quickstart.py", "gloria_small": "configs/cxr/gloria.py:small"}
#: What the files had then and have changed on purpose: the quickstart ends within 15 minutes.
THEN = {
    "quickstart": {
        "loop.steps": 900,
        "loop.eval_every": 225,
        "loop.save_every": 225,
        "eval.downstream.fractions": (0.01, 0.1, 1.0),
        "eval.downstream.probe.l2": (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        "eval.downstream.finetune.steps": 100,
        "eval.downstream.finetune.eval_every": 50,
        "eval.downstream.segmentation.steps": 200,
        "eval.downstream.segmentation.eval_every": 100,
    },
    "gloria_small": {},
}


def stored(name):
    return json.loads((STORED / f"{name}.json").read_text())


@pytest.mark.parametrize("name", FILES)
def test_a_stored_config_says_what_its_file_says_today(name, repo_root):
    old = stored(name)
    assert "with_words" in old["data"]["text"]
    assert {"with_boxes", "with_masks"} <= {*old["data"]}
    assert {"num_labels", "image_size"} <= {*old["task"]}
    before = json.dumps(old)
    run = Run(forget_old_keys(old), jax.devices()[:1])
    assert json.dumps(old) == before  # what was read stays as it was
    config = load_config(str(repo_root / FILES[name]))
    config.update_from_flattened_dict(THEN[name])
    today = Run(config, jax.devices()[:1])
    assert differences(run.resolved, today.resolved) == []
    # and the checkpoint may be gone on from
    assert differences(forget_old_keys(old), today.resolved, today.may_differ) == []
    assert "boxes" in today.task.columns or name != "quickstart"
    spec = batch_spec(today.task.columns, today.config.data, 4, 8)
    assert ("box_label" in spec, "word_ids" in spec) == (name == "quickstart", name != "quickstart")


def test_another_value_is_still_a_difference():
    old = forget_old_keys(stored("quickstart"))
    old["data"]["max_boxes"] = 3
    assert differences(old, forget_old_keys(stored("quickstart"))) == ["data.max_boxes: 3 -> 8"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("data", "with_boxes"), True, r"config\.data\.with_boxes is not .* the task says now"),
        (
            ("data", "text", "with_words"),
            True,
            r"config\.data\.text\.with_words is not .* task",
        ),
        (("task", "num_labels"), 13, r"config\.task\.num_labels is .*config\.data\.labels: leave"),
        (("task", "image_size"), 224, r"config\.task\.image_size is .*config\.data\.image\.size"),
    ],
)
def test_a_key_that_is_gone_is_refused_with_its_new_place(path, value, message, repo_root):
    config = load_config(str(repo_root / FILES["quickstart"])).to_dict()
    group = config
    for name in path[:-1]:
        group = group[name]
    group[path[-1]] = value
    with pytest.raises(ConfigError, match=message):
        parse_config(config)
