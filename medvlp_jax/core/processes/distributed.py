"""Start-up of a multi-process run, and the few things processes must agree on."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax._src.clusters import GceTpuCluster
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.fields import CountOrAuto

#: Above 1 only where a job has more than one process: Slurm, Open MPI, several TPU slices.
_TASK_COUNTS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES")
#: Lists of the workers of a TPU slice on GKE.
_WORKER_LISTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """How processes find each other; the defaults let JAX find out.

    Attributes:
      coordinator: ``host:port`` of process 0; empty = ``JAX_COORDINATOR_ADDRESS`` or the cluster's.
      num_processes: -1 = ``JAX_NUM_PROCESSES`` or the cluster's.
      process_id: -1 = ``JAX_PROCESS_ID`` or the cluster's.
    """

    coordinator: str = ""
    num_processes: CountOrAuto = -1
    process_id: CountOrAuto = -1


def initialize(config: DistributedConfig | None = None) -> None:
    """Joins the other processes, if there are any; must run before JAX touches a device.

    Cloud TPU slices (GCE by its metadata server, GKE by its environment), Slurm, Open MPI and
    Kubernetes are detected; elsewhere give a coordinator address. On CPU the collectives run on
    gloo. On a single host nothing happens.

    Raises:
      UserError: an address without a process count or id, outside of a known cluster; a variable
        of the environment that is no number; or the other processes are not found.
    """
    if jax.distributed.is_initialized():
        return
    config = config or DistributedConfig()
    address = config.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS", "")
    count = config.num_processes
    if count < 0:
        count = _number("JAX_NUM_PROCESSES", -1)
    index = config.process_id
    if index < 0:
        index = _number("JAX_PROCESS_ID", -1)
    if count == 1:
        return
    in_cluster = _in_cluster()
    if not (address or in_cluster):
        return
    if address and not in_cluster and (count < 0 or index < 0):
        raise UserError(
            f"coordinator {address} is given, but not the number of processes and this one's id: "
            "set JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        )
    platforms = os.environ.get("JAX_PLATFORMS") or ""
    if platforms == "cpu":
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    with one_net(
        "the other processes of this job",
        "start all of them, and check JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID",
        verb="cannot be joined",
    ):
        jax.distributed.initialize(
            coordinator_address=address or None,
            num_processes=count if count > 0 else None,
            process_id=index if index >= 0 else None,
        )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise UserError(f"the variable {name}={text!r} must be a whole number") from None


def _in_cluster() -> bool:
    if any(_number(name, 1) > 1 for name in _TASK_COUNTS):
        return True
    if any("," in os.environ.get(name, "") for name in _WORKER_LISTS):
        return True
    if "KUBERNETES_SERVICE_HOST" in os.environ and "JOB_COMPLETION_INDEX" in os.environ:
        return True
    return _in_gce_slice()


def _in_gce_slice() -> bool:
    """Whether this is one of several hosts of a TPU slice on Google Compute Engine.

    Nothing in the environment says so there; JAX asks the metadata server of the VM, and so does
    this, by JAX's own class. ``TPU_SKIP_MDS_QUERY`` turns it off.
    """
    platforms = os.environ.get("JAX_PLATFORMS") or "tpu"
    if "tpu" not in platforms.split(","):
        return False
    with one_net(
        "the metadata server of this TPU VM",
        "try again; TPU_SKIP_MDS_QUERY=1 runs on this host alone",
    ):
        return GceTpuCluster.is_env_present() and GceTpuCluster.get_process_count() > 1


def is_main() -> bool:
    """True on the one process that writes logs, reports and the progress line."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until every process is here; free on a single process."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def from_main(value: int) -> int:
    """The integer that process 0 holds, on every process."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int64(value)))


def largest(value: int) -> int:
    """The largest of the integers that the processes hold, on every process."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.int64(value)).max())


def data_slice(mesh: Mesh) -> tuple[int, int]:
    """``(index, count)``: this process loads the index-th of ``count`` equal pieces of a batch.

    Not always ``(process_index, process_count)``: processes that differ only along ``tensor`` need
    the same rows.

    Raises:
      ConfigError: the mesh gives this process rows that are not one aligned piece.
    """
    n = sharding.batch_shards(mesh)
    index_map = sharding.batch_sharding(mesh).addressable_devices_indices_map((n,))
    rows = sorted({index[0].start or 0 for index in index_map.values() if index})
    first, k = rows[0], len(rows)
    if rows != list(range(first, first + k)) or n % k or first % k:
        raise ConfigError(
            f"the mesh {dict(mesh.shape)} gives process {jax.process_index()} the batch pieces "
            f"{rows} of {n}: they are not one contiguous piece. Use the default device order."
        )
    return first // k, n // k


def make_global_batch(batch: Mapping[str, Any], place: NamedSharding) -> dict[str, jax.Array]:
    """Puts this process's rows of a batch on its devices, as global arrays.

    Args:
      batch: numpy arrays with this process's share of the rows in front; arrays of text (such as
        ``id``) stay on the host and are left out.
      place: ``sharding.batch_sharding(mesh)``; or ``sharding.replicated(mesh)``, if each process
        holds all rows.
    """
    return {
        name: jax.make_array_from_process_local_data(place, np.asarray(value))
        for name, value in batch.items()
        if np.asarray(value).dtype.kind not in "USO"
    }
