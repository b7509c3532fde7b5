"""Start-up of several processes: what is detected, what is refused."""

import jax
import pytest
from jax._src.clusters import cloud_tpu_cluster

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.distributed import DistributedConfig, initialize


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
        "JOB_COMPLETION_INDEX", "TPU_PROCESS_ADDRESSES", "MEGASCALE_NUM_SLICES",
        "TPU_SKIP_MDS_QUERY",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", False)
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
        {"TPU_PROCESS_ADDRESSES": "10.0.0.1:8476,10.0.0.2:8476"},
        {"MEGASCALE_NUM_SLICES": "2", "TPU_WORKER_HOSTNAMES": "10.0.0.1"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"},
    ],
    ids=["slurm", "tpu pod", "tpu pod, addresses", "one host a slice", "jobset"],
)
def test_clusters_are_left_to_jax(started, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    initialize()
    assert started == [AUTOMATIC]


def metadata_server(monkeypatch, answers):
    """A TPU VM of Google Compute Engine, which says nothing in its environment."""

    def get(key):
        if isinstance(answers, Exception):
            raise answers
        return answers.get(key, ""), 200 if key in answers else 404

    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", get)


SLICE = {
    "agent-worker-number": "1",
    "worker-network-endpoints": "unknown:8470:10.0.0.1,unknown:8470:10.0.0.2",
    "tpu-env": "",
}


@pytest.mark.parametrize(
    ("answers", "environment", "joins"),
    [
        (SLICE, {}, True),
        (SLICE, {"JAX_PLATFORMS": "tpu,cpu"}, True),
        (SLICE | {"worker-network-endpoints": "host-0,host-1,host-2,host-3"}, {}, True),
        (SLICE | {"worker-network-endpoints": "host-0"}, {}, False),  # a slice of one host
        (SLICE | {"worker-network-endpoints": "host-0", "tpu-env": "MEGASCALE_NUM_SLICES: '2'"},
         {}, True),
        (SLICE, {"JAX_PLATFORMS": "cpu"}, False),
        (SLICE, {"TPU_SKIP_MDS_QUERY": "1"}, False),
        ({}, {}, False),  # a VM that is no TPU worker
    ],
)  # fmt: skip
def test_slices_of_compute_engine(started, monkeypatch, answers, environment, joins):
    metadata_server(monkeypatch, answers)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    initialize()
    assert started == [AUTOMATIC] * joins


def test_a_silent_metadata_server_is_one_line(started, monkeypatch):
    metadata_server(monkeypatch, ConnectionError("no route\nto host"))
    with pytest.raises(UserError, match=r"metadata server .* TPU_SKIP_MDS_QUERY=1") as caught:
        initialize()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "SLURM_NTASKS"])
def test_a_variable_that_is_no_number(started, monkeypatch, name):
    monkeypatch.setenv(name, "two")
    with pytest.raises(UserError, match=f"{name}='two' must be a whole number"):
        initialize()


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
    with pytest.raises(UserError, match="set JAX_NUM_PROCESSES and JAX_PROCESS_ID"):
        initialize(DistributedConfig(coordinator="host:1"))


def test_helpers_on_one_process():
    assert distributed.is_main()
    assert distributed.from_main(7) == 7
    distributed.barrier("nobody else")
