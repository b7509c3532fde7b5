"""Folders of several modalities, in colour, and with counterfactuals."""

import dataclasses

import numpy as np
import pytest
from toy_phantom import ToyPhantom

import medvlp_jax
from data_gen.data_page import write_data_report
from data_gen.phantom.job import PhantomConfig, PhantomJob, SplitCounts, generate
from data_gen.phantom.pieces import pieces
from data_gen.phantom.registry import PHANTOMS, without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import fingerprint


class ColourToy(ToyPhantom):
    name, modality, title = "coloured", "painting", "pictures of coloured squares"


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setitem(PHANTOMS, "square", ToyPhantom(None))
    monkeypatch.setitem(PHANTOMS, "coloured", ColourToy(None, colour=True))


def config(**changes):
    return PhantomConfig(
        name="both",
        size=32,
        image_format="png",
        splits=SplitCounts(7, 0, 4),
        studies_per_shard=2,
        processes=1,
        modalities=("square", "coloured"),
        **changes,
    )


def records(folder, split):
    source = open_dataset(folder, split)
    return [source[i] for i in range(len(source))]


def test_equal_shares_that_take_turns():
    assert [tuple(p) for p in pieces(("a", "b"), 7, 2)] == [
        ("a", 0, 2), ("b", 0, 2), ("a", 2, 4), ("b", 2, 3),
    ]  # fmt: skip
    assert pieces(("a", "b"), 1, 2) == [("a", 0, 1)]
    assert pieces(("a",), 0, 2) == []


def test_several_modalities_in_one_folder(toys, tmp_path):
    made = generate(config(), tmp_path, progress=False)
    assert "pictures of squares and pictures of coloured squares" in made.summary["description"]
    train = records(tmp_path, "train")
    assert [r.images[0].modality for r in train] == ["drawing"] * 2 + ["painting"] * 2 + [
        "drawing"
    ] * 2 + ["painting"]
    assert len({r.id for r in train}) == len({r.patient_id for r in train}) == 7
    # A study is the one that a folder of its modality alone has.
    alone = PhantomJob(dataclasses.replace(config(), modalities=(), modality="coloured"))
    (same,) = alone.make([1], "train")
    assert same.images == train[3].images
    red, green, blue = decode(train[3].images[0].data, "png")[0, 0]
    assert (red, green, blue) == (200, 100, 0)
    write_data_report(tmp_path)


def test_a_stopped_folder_goes_on(toys, tmp_path):
    generate(config(), tmp_path / "whole", progress=False)
    job = PhantomJob(config())
    for shard in job.shards():
        assert len(list(job.records(shard))) == shard.count
    path = tmp_path / "part"
    generate(dataclasses.replace(config(), splits=SplitCounts(7, 0, 0)), path, progress=False)
    assert [r.id for r in records(path, "train")] == [
        r.id for r in records(tmp_path / "whole", "train")
    ]


def test_every_study_is_followed_by_its_counterfactual(toys, tmp_path):
    made = generate(
        config(counterfactual=True, counterfactual_splits=("test",)), tmp_path, progress=False
    )
    assert "In test each study is followed by its counterfactual" in made.summary["description"]
    assert made.summary["splits"]["test"]["records"] == 8
    assert all("counterfactual" not in r.provenance for r in records(tmp_path, "train"))
    test = records(tmp_path, "test")
    for one, other in zip(test[::2], test[1::2], strict=True):
        assert other.id == f"{one.id}-switched"
        assert other.patient_id == one.patient_id
        assert other.provenance["counterfactual"] == {
            "of": one.id,
            "label": "dot",
            "present": other.labels["dot"] == 1,
        }
        assert other.labels["dot"] == 1 - one.labels["dot"]
        pixels = [decode(r.images[0].data, "png").astype(int) for r in (one, other)]
        changed = np.abs(pixels[0] - pixels[1]).reshape(32, 32, -1).any(-1)
        np.testing.assert_array_equal(changed, np.eye(32, dtype=bool))


def test_keys_that_came_later_change_no_old_fingerprint():
    old = PhantomConfig()
    settings = without_default(to_plain(old))
    for key in ("processes", "modalities", "counterfactual", "counterfactual_splits"):
        del settings[key]
    assert PhantomJob(old).fingerprint == fingerprint(medvlp_jax.__version__, settings)
    unused = dataclasses.replace(old, counterfactual_splits=("test",))
    assert PhantomJob(unused).fingerprint == PhantomJob(old).fingerprint
    for change in ({"counterfactual": True}, {"modalities": ("chest_xray",)}):
        changed = dataclasses.replace(old, **change)
        assert PhantomJob(changed).fingerprint != PhantomJob(old).fingerprint


def test_contradictions_are_refused(toys):
    with pytest.raises(ValueError, match="names one twice"):
        PhantomConfig(modalities=("square", "square"))
    with pytest.raises(ValueError, match="are both given"):
        PhantomConfig(modality="square", modalities=("square",))
    with pytest.raises(ValueError, match="did you mean 'square'"):
        PhantomConfig(modalities=("sqare",))
