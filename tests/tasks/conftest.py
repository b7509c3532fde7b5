"""Makes ``loss_oracle`` importable by the process that a test here starts and imports."""

import pathlib
import sys

import jax
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def quick_compiles():
    """Compiles without optimisation: for tests that are all compilation at their sizes, and whose
    values do not depend on fusion."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
