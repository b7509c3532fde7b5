"""Where each stage runs."""

import dataclasses
from typing import Literal

from data_gen.jobs.job import Runner
from data_gen.jobs.local import InProcess, local
from data_gen.jobs.on_ray import OnRay
from data_gen.pipelines.syncxr.config import SynCXRConfig

Kind = Literal["local", "ray"]


class FanOut:
    """Runners for the stages of one run.

    Locally, stages without a model run in processes; those with one run here, on JAX's own device,
    as do those that ask a server, whose requests run side by side anyway. On Ray every stage runs
    on workers, which take of the cluster what the config says; one worker asks the server.
    """

    def __init__(self, config: SynCXRConfig, kind: Kind = "local", address: str = "") -> None:
        self._config = config
        self._ray = OnRay(address, config.ray.plain) if kind == "ray" else None

    def reports(self) -> Runner:
        """For the reports."""
        c = self._config
        if self._ray is not None:
            one = dataclasses.replace(c.ray.plain, workers=1)
            plain = c.ray.plain if c.chat is None else one
            return self._ray.for_job(c.ray.model if c.model_writes else plain)
        return local(c.processes) if c.chat is None else InProcess()

    def images(self) -> Runner:
        """For the images and the gate."""
        c = self._config
        if self._ray is not None:
            return self._ray.for_job(c.ray.model if c.model_draws else c.ray.plain)
        return InProcess() if c.model_draws else local(c.processes)

    def final(self) -> Runner:
        """For the copy."""
        return self._ray or InProcess()

    def close(self) -> None:
        """Gives back what was started."""
        if self._ray is not None:
            self._ray.close()
