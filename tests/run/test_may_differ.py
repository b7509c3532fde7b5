"""What a run may change between two starts: never what the schedule or the data order follow."""

from medvlp_jax.core.checkpoints.checkpoint import differences
from medvlp_jax.run.config import MAY_DIFFER


def test_length_of_a_run_may_not_change_but_its_cadence_may():
    old = {"loop": {"steps": 100, "save_every": 10}, "data": {"workers": 0, "seed": 0}}
    cadence = {"loop": {"steps": 100, "save_every": 20}, "data": {"workers": 2, "seed": 0}}
    longer = {"loop": {"steps": 200, "save_every": 10}, "data": {"workers": 0, "seed": 0}}
    reseeded = {"loop": {"steps": 100, "save_every": 10}, "data": {"workers": 0, "seed": 1}}
    assert differences(old, cadence, MAY_DIFFER) == []
    assert differences(old, longer, MAY_DIFFER) == ["loop.steps: 100 -> 200"]
    assert differences(old, reseeded, MAY_DIFFER) == ["data.seed: 0 -> 1"]
