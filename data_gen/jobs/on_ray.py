"""Shards on the workers of a Ray cluster: one that Ray starts on this machine, or a running one.

Every worker is an actor that keeps its job, and so the job's model, from shard to shard. Workers
write into the data folder themselves: on a cluster of several machines it has to lie on a file
system that all of them share.
"""

import dataclasses
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_gen.jobs.job import AnyJob, Deaths, JobError, Shard, Watch, is_finished, make_shard
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import NonNegative, Workers
from medvlp_jax.core.processes.cores import cores
from medvlp_jax.core.processes.lock import LOCK_NAME
from medvlp_jax.data.store.shards import remove_leftovers

_STORE = 80 * 2**20  # bytes of Ray's object store: shards go to disk, not through it
_LOOK = 1.0  # seconds between two looks at the keyboard


@dataclasses.dataclass(frozen=True)
class Needs:
    """What one worker of a job takes of the cluster.

    Attributes:
      workers: at most so many; 0 is as many as the cluster has room for.
      cpus, gpus: of each; a share of a GPU is possible.
      resources: others by Ray's name for them, e.g. ``{"TPU": 4}``.
    """

    workers: Workers = 0
    cpus: NonNegative = 1.0
    gpus: NonNegative = 0.0
    resources: dict[str, NonNegative] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.workers, self.cpus, self.gpus, *self.resources.values(), 0) < 0:
            raise ValueError("workers, cpus, gpus and resources must not be negative")

    def all(self) -> dict[str, float]:
        """By Ray's names, without what is not needed."""
        named = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: float(amount) for name, amount in named.items() if amount}


class OnRay:
    """Makes shards with Ray; connects at the first job and stays connected until closed."""

    def __init__(self, address: str = "", needs: Needs | None = None) -> None:
        """``address``: of a running cluster ("auto", "ray://host:10001"); empty starts one here.

        Raises:
          UserError: Ray is not installed.
        """
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(
                "--runner=ray needs Ray: EXTRAS=ray bash launch/setup.sh (or leave --runner out: "
                "local processes need nothing)"
            ) from error
        self.address, self.needs = address, needs or Needs()
        self._connected = False

    def run(self, job: AnyJob, todo: Sequence[Shard], folder: Path, watch: Watch) -> None:
        """See :class:`data_gen.jobs.job.Runner`."""
        self._connect()
        count = min(self._room(), len(todo))
        _Crew(self._ray, job, folder.absolute(), watch, self._options()).run(todo, count)

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        if self._connected:
            self._ray.shutdown()
            self._connected = False

    def for_job(self, needs: Needs) -> "OnRay":
        """The same cluster for a job with other needs; close the first of them."""
        self._connect()
        return OnRay(self.address, needs)

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's default for the future, which it asks for with a warning otherwise.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self.address:
            options: dict[str, Any] = {"address": self.address}
        else:
            options = {"address": "local", "num_cpus": cores(), "object_store_memory": _STORE}
            options["include_dashboard"] = False
        try:
            self._ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self.address or "this machine"
            reason = " ".join(str(error).split())
            raise JobError(
                f"Ray has no cluster on {where}: {reason}; start one with 'ray start --head' and "
                "give its address, or leave --ray_address out"
            ) from error
        self._connected = True

    def _room(self) -> int:
        """How many workers the cluster can hold at a time."""
        have, needs = self._ray.cluster_resources(), self.needs.all()
        for name, amount in needs.items():
            if have.get(name, 0.0) < amount:
                raise JobError(
                    f"a worker needs {amount:g} {name} and the Ray cluster has "
                    f"{have.get(name, 0.0):g}; ask for less, or give --ray_address of a larger one"
                )
        room = min((int(have[name] // amount) for name, amount in needs.items()), default=cores())
        return max(1, min(room, self.needs.workers or room))

    def _options(self) -> dict[str, Any]:
        """Of the actors."""
        n = self.needs
        variables = {"NPROC": str(max(1, int(n.cpus))), "OMP_NUM_THREADS": str(max(1, int(n.cpus)))}
        if not n.gpus and not n.resources:
            variables["JAX_PLATFORMS"] = "cpu"
        if not self.address:
            # Workers of a cluster that stood before have the package from their own environment.
            variables["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        return {
            "num_cpus": n.cpus,
            "num_gpus": n.gpus,
            "resources": dict(n.resources),
            "max_restarts": 0,  # a dead worker's shard is counted and made again here
            "runtime_env": {"env_vars": variables},
        }


class _RayWorker:
    """An actor: holds a job and makes its shards."""

    def __init__(self, job: AnyJob, folder: Path, proof: str) -> None:
        self._job, self._folder, self._proof = job, folder, proof

    def make(self, shard: Shard) -> tuple[str, str]:
        """("finished", ""), or the kind of error and what it says."""
        try:
            if _proof(self._folder) != self._proof:
                raise UserError(
                    f"{self._folder} on {os.uname().nodename} is not the folder of the process "
                    "that runs the job; choose one on a file system that all machines share"
                )
            make_shard(self._job, shard, self._folder)
        except UserError as error:
            return "user error", str(error)
        except Exception:
            return "defect", traceback.format_exc()
        return "finished", ""


def _proof(folder: Path) -> str:
    """What the holder of the folder's lock has written; nobody else's folder has the same."""
    for place in (folder, *folder.parents):
        if (place / LOCK_NAME).is_file():
            return (place / LOCK_NAME).read_text()
    return ""


class _Crew:
    """The actors of one job, each with at most one shard."""

    def __init__(
        self, ray: Any, job: AnyJob, folder: Path, watch: Watch, options: dict[str, Any]
    ) -> None:
        self._ray, self._job, self._folder, self._watch = ray, job, folder, watch
        self._actor = ray.remote(_RayWorker).options(**options)
        self._stored = ray.put(job)  # once, not with every worker
        self._busy: dict[Any, tuple[Any, Shard]] = {}
        self._queue: list[Shard] = []
        self._deaths = Deaths()

    def run(self, todo: Sequence[Shard], count: int) -> None:
        """Makes all shards with ``count`` actors."""
        self._queue = list(todo)
        try:
            for _ in range(count):
                self._give(self._hire())
            while self._busy:
                # With a time-out, because Ray's wait does not let Ctrl-C through.
                ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=_LOOK)
                for reference in ready:
                    self._hear(reference)
        finally:
            for actor, _ in self._busy.values():
                self._ray.kill(actor)
            remove_leftovers(self._folder)

    def _hire(self) -> Any:
        return self._actor.remote(self._stored, self._folder, _proof(self._folder))

    def _give(self, actor: Any) -> None:
        if not self._queue:
            return self._ray.kill(actor)
        shard = self._queue.pop(0)
        self._busy[actor.make.remote(shard)] = (actor, shard)
        return None

    def _hear(self, reference: Any) -> None:
        actor, shard = self._busy.pop(reference)
        try:
            kind, value = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a defect: nothing of ours raises there
        except self._ray.exceptions.RayError as error:
            if not is_finished(self._job, shard, self._folder):
                self._deaths.at(shard, _reason(error))
                self._queue.insert(0, shard)
                return self._give(self._hire())
            kind, value, actor = "finished", "", self._hire()
        if kind == "user error":
            raise JobError(value)
        if kind == "defect":
            raise RuntimeError(f"shard {shard.title} failed in a worker:\n{value}")
        self._watch.records(shard.count)
        self._watch.finished()
        return self._give(actor)


def _reason(error: Exception) -> str:
    """Ray's words about a death without its advice: the first sentence, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    return ((detail or lines or [type(error).__name__])[0])[:200].rstrip(".")
