"""The runner that a command line asks for."""

import contextlib
from collections.abc import Iterator

from data_gen.jobs.job import Runner
from data_gen.jobs.on_ray import Needs, OnRay


@contextlib.contextmanager
def chosen(kind: str, address: str = "", needs: Needs | None = None) -> Iterator[Runner | None]:
    """Yields the runner of a kind, and gives back what it holds; None for local processes.

    Args:
      kind: ``local`` or ``ray``.
      address, needs: see :class:`data_gen.jobs.on_ray.OnRay`.
    """
    if kind == "local":
        yield None
        return
    runner = OnRay(address, needs)
    try:
        yield runner
    finally:
        runner.close()
