"""Eight CPU devices for every test, the helpers that several rooms share, and common fixtures.

``helpers/`` is on the path of every test, so that processes that a test starts find the same
modules by the same names.
"""

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "helpers"))
from quick_flags import QUICK

# Before jax is imported: the count of devices is fixed when the backend starts.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + f" {QUICK} --xla_force_host_platform_device_count=8"
)
# A run that is stopped, resumed and evaluated compiles the same programs again and again: the
# workers of the tests, and the processes that tests start, share what was compiled in this run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.mkdtemp(prefix="medvlp_jax_compiled_")
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import pytest
from absl import flags
from jax.experimental import topologies

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _parsed_flags():
    """Grain's workers read absl flags, which pytest never parses."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="session")
def repo_root() -> pathlib.Path:
    return ROOT


@pytest.fixture(scope="session")
def sample_dir() -> pathlib.Path:
    """Real images with labels, when there are some; never part of this repository."""
    path = pathlib.Path(os.environ.get("MEDVLP_SAMPLE", ROOT.parent / "shared" / "data" / "sample"))
    if not (path / "manifest.csv").exists():
        pytest.skip("no sample of real images: set MEDVLP_SAMPLE to a folder with manifest.csv")
    return path


@pytest.fixture
def devices() -> list[jax.Device]:
    """The eight forced CPU devices."""
    found = jax.devices()
    if len(found) < 8:
        pytest.skip("a GPU or TPU backend shows fewer than eight devices")
    return found[:8]


@pytest.fixture
def tpu_devices(monkeypatch) -> list[jax.Device]:
    """Four TPU chips to compile for; they need libtpu and no TPU."""
    if not hasattr(pytest.importorskip("libtpu"), "get_library_path"):
        pytest.skip("libtpu is not installed whole")
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices


@pytest.fixture(scope="module")
def all_compile_quickly():
    """:func:`quick_compiles` for a whole module, its fixtures and the processes that it starts."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def quick_compiles():
    """Compiles without optimisation: for tests that are all compilation at their sizes, and whose
    values do not depend on fusion."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
