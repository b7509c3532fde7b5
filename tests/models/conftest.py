"""Makes ``model_toys`` importable here, and compiles without optimisation.

At these sizes a test is all compilation, and the values asserted do not depend on fusion.
"""

import pathlib
import sys

import jax
import pytest
from jax.experimental import topologies

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True)
def _compile_quickly():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def tpu_devices(monkeypatch) -> list[jax.Device]:
    """Four TPU chips to compile for; they need libtpu and no TPU."""
    if not hasattr(pytest.importorskip("libtpu"), "get_library_path"):
        pytest.skip("libtpu is not installed whole")
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
