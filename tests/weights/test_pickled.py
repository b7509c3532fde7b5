"""Files of PyTorch, read without it (``make_pickles.py`` wrote them)."""

import json
import os
import pathlib
import pickle
import shutil

import ml_dtypes
import numpy as np
import pytest
from folders import write

from medvlp_jax.weights.faults import Faults, WeightsError
from medvlp_jax.weights.files.pickled import read_tensors
from medvlp_jax.weights.files.tensors import open_checkpoint
from medvlp_jax.weights.source import open_source

HERE = pathlib.Path(__file__).parent
FORMATS = ("zip", "stream")
BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
WANTED = {
    "whole": BASE,
    "turned": BASE.T,
    "part": BASE[1:3, 2:5],
    "parameter": np.full(2, 7, np.float32),
    "half": BASE[0].astype(np.float16),
    "brain": BASE[1].astype(ml_dtypes.bfloat16),
    "whole_numbers": np.arange(3),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_tensor(kind):
    found = read_tensors(HERE / f"tiny_{kind}.pt")
    assert found.keys() == WANTED.keys()
    for name, value in WANTED.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        np.testing.assert_array_equal(found[name].read(), value, err_msg=name)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.95])
def test_truncated(kind, share, tmp_path):
    raw = (HERE / f"tiny_{kind}.pt").read_bytes()
    file = tmp_path / "tiny.pt"
    file.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(WeightsError, match=r"tiny\.pt"):
        [tensor.read() for tensor in read_tensors(file).values()]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_code_of_the_file_runs(tmp_path):
    file = tmp_path / "evil.bin"
    marks = [0x1950A86A20F9469CFC6C, 1001, {}]
    harm = {"state_dict": Evil(str(tmp_path / "harm")), "other": [Evil(str(tmp_path / "harm"))]}
    file.write_bytes(b"".join(pickle.dumps(x, 2) for x in (*marks, harm, [])))
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        read_tensors(file)
    assert not (tmp_path / "harm").exists()
    pickle.loads(pickle.dumps(Evil(str(tmp_path / "harm"))))
    assert (tmp_path / "harm").exists()  # an ordinary reader would have run it


def test_safe_files_come_first(tmp_path):
    shutil.copy(HERE / "tiny_zip.pt", tmp_path / "pytorch_model.bin")
    assert open_checkpoint(tmp_path, Faults()).tensors.keys() == WANTED.keys()
    write("bert", tmp_path)
    assert "embeddings.LayerNorm.weight" in open_checkpoint(tmp_path, Faults()).tensors


def test_several_files(tmp_path):
    for name in ("a.pt", "b.pt"):
        shutil.copy(HERE / "tiny_zip.pt", tmp_path / name)
    with pytest.raises(WeightsError, match=r"a\.pt, b\.pt: give the path"):
        open_checkpoint(tmp_path, Faults())
    assert open_checkpoint(tmp_path / "b.pt", Faults()).tensors.keys() == WANTED.keys()
    index = {"weight_map": {"whole": "a.pt", "half": "c.pt"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"c\.pt is missing"):
        open_checkpoint(tmp_path, Faults())


def test_a_published_model_that_is_pickled(tmp_path):
    """A BERT with its settings beside ``pytorch_model.bin``; loaded as from safetensors."""
    torch = pytest.importorskip("torch")
    tensors = write("bert", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(
        {name: torch.tensor(x) for name, x in tensors.items()}, tmp_path / "pytorch_model.bin"
    )
    source = open_source(tmp_path)
    assert source.family.name == "bert"
    found = open_checkpoint(tmp_path, Faults()).tensors
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name].read(), value, err_msg=name)
