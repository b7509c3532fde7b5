"""Makes the helpers here and those of ``tests/parity`` importable, and compiles quickly."""

import pathlib
import sys

import jax
import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]


@pytest.fixture(autouse=True)
def _compile_quickly():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
