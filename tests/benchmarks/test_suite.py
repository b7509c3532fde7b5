"""The set that the suite's benchmark makes, and what holds its two sides against each other."""

import importlib.util

import numpy as np
import PIL.Image
import pytest

from benchmarks import suite, suite_set, torchvision_stand_in
from benchmarks.harness import Side, Worker
from data_gen.sources.importing.job import run_import
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.suites.unimed import SETS


def test_the_public_layout_is_read_whole(tmp_path):
    suite_set.write_images(tmp_path / "public", 7)
    found = suite_set.files(tmp_path / "public")
    assert [place for _, place in found] == [0, 0, 0, 1, 1, 2, 2]
    settings = {"root": str(tmp_path / "public"), "set": suite_set.SET, "check_counts": False}
    done = run_import("suite", settings, tmp_path / "data", progress=False)
    assert done.records == {"test": 7}
    assert not done.rejected
    # Each side names a record as the other does, and puts it into the same class.
    source = open_dataset(tmp_path / "data", "test")
    classes = list(suite_set.FOLDERS.values())
    ours = {
        record.id.rpartition("/")[2]: [classes.index(k) for k, v in record.labels.items() if v == 1]
        for record in (source[i] for i in range(7))
    }
    assert ours == {path.stem: [place] for path, place in found}


def test_classes_and_prompts_are_those_of_the_suite():
    (one,) = [s for s in SETS if s.name == suite_set.SET]
    assert tuple(suite_set.FOLDERS.values()) == one.classes
    # open_clip's classifier takes as many templates for every class.
    assert len({len(texts) for texts in suite_set.prompts()}) == 1


def test_models_differ_in_size_alone():
    (large, bert), (small, tiny) = (
        suite_set.model_config("bert", small) for small in (False, True)
    )
    assert (large["vision_cfg"]["width"], bert["hidden_size"]) == (768, 768)
    assert (small["vision_cfg"]["width"], tiny["hidden_size"]) == (192, 128)
    assert large["vision_cfg"]["patch_size"] == small["vision_cfg"]["patch_size"] == 16
    assert large["text_cfg"] == small["text_cfg"]


def test_scores_are_held_against_each_other():
    ours, peer = {"a": [0.1, 0.2], "b": [0.0, 0.3]}, {"b": [0.0, 0.25], "a": [0.1, 0.2]}
    assert suite.largest_difference(ours, peer) == pytest.approx(0.05)
    with pytest.raises(UserError, match="image b was scored by one side alone"):
        suite.largest_difference(ours, {"a": [0.1, 0.2]})


def test_seconds_of_the_text_tower_are_apart(monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 13.0])
    monkeypatch.setattr(suite.time, "perf_counter", lambda: next(clock))
    timed = suite._Timed(lambda name, batch, shared: (name, batch))
    assert timed("text_embed", "x") == ("text_embed", "x")
    assert timed("image_embed", "y") == ("image_embed", "y")
    assert timed.texts == 2.0


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (33, 33), (32, 32)])
def test_stand_in_prepares_as_torchvision(shape):
    transforms = pytest.importorskip("torchvision.transforms")
    image = PIL.Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    )
    done = []
    for library in (transforms, torchvision_stand_in):
        bicubic = library.InterpolationMode.BICUBIC
        steps = [library.Resize(32, interpolation=bicubic), library.CenterCrop((32, 32))]
        done.append(np.asarray(library.Compose(steps)(image)))
    assert done[0].shape == (32, 32, 3)
    np.testing.assert_array_equal(*done)


@pytest.mark.slow
@pytest.mark.torch
def test_both_sides_score_alike(tmp_path):
    for library in ("torch", "torchvision", "open_clip", "transformers"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    made = {"folder": str(tmp_path), "count": 6, "small": True}
    with Worker(Side("set", "benchmarks.suite_set:SuiteSet", made), 1):
        pass
    found, given = [], {"folder": str(tmp_path), "threads": 1}
    for name in ("OurSuite", "OpenClipLoop"):
        with Worker(Side(name, f"benchmarks.suite:{name}", given), 1) as side:
            found.append(side.call("cosines"))
            assert 0 < side.call("evaluation") < side.call("without_prompts")
    assert suite.largest_difference(*found) < suite._SAME
