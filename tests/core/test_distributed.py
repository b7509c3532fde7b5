"""Start-up of several processes: what is detected, what is refused."""

import jax
import pytest

from medvlp_jax.core import distributed
from medvlp_jax.core.distributed import DistributedConfig, initialize


@pytest.fixture
def started(monkeypatch):
    """The keyword arguments of every call of ``jax.distributed.initialize``."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: calls.append(options))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(jax.config, "update", lambda *args: calls.append(args))
    for name in (
        "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "SLURM_NTASKS",
        "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES", "KUBERNETES_SERVICE_HOST",
        "JOB_COMPLETION_INDEX",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "")
    return calls


AUTOMATIC = {"coordinator_address": None, "num_processes": None, "process_id": None}


def test_single_host_does_nothing(started, monkeypatch):
    initialize()
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    initialize()
    assert started == []


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_NTASKS": "4"},
        {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"},
    ],
    ids=["slurm", "tpu pod", "jobset"],
)
def test_clusters_are_left_to_jax(started, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    initialize()
    assert started == [AUTOMATIC]


def test_addresses_from_the_environment_or_the_config(started, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    initialize()
    expected = {"coordinator_address": "host:1", "num_processes": 2, "process_id": 0}
    assert started == [("jax_cpu_collectives_implementation", "gloo"), expected]
    started.clear()
    initialize(DistributedConfig("other:2", 4, 3))
    assert started[1] == {"coordinator_address": "other:2", "num_processes": 4, "process_id": 3}


def test_address_without_a_place_in_the_row(started):
    with pytest.raises(ValueError, match="set JAX_NUM_PROCESSES and JAX_PROCESS_ID"):
        initialize(DistributedConfig(coordinator="host:1"))


def test_helpers_on_one_process():
    assert distributed.is_main()
    assert distributed.from_main(7) == 7
    distributed.barrier("nobody else")
