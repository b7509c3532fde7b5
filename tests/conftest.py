"""Eight CPU devices for every test, and the optional folder of real sample images."""

import os
import pathlib

# Before jax is imported: the count of devices is fixed when the backend starts.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import pytest
from absl import flags

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
