"""A polite end: SIGTERM (or Ctrl-C) asks a run to save at the next step and leave."""

import logging
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

#: Exit status of a run that saved and left because it was asked to: "try again" (EX_TEMPFAIL).
EXIT_CODE = 75

_log = logging.getLogger(__name__)


class Preemption:
    """``with Preemption() as preemption: ... preemption.reached(step)``.

    On one process the signals are caught here; a second Ctrl-C stops at once. With several, JAX's
    preemption service catches SIGTERM on any of them and lets all agree on one step, so that none
    waits for another in a collective.
    """

    def __init__(self) -> None:
        self._asked = False
        self._old: dict[int, Any] = {}
        self._service = jax.process_count() > 1

    def __enter__(self) -> "Preemption":
        # Only the main thread may set handlers; elsewhere (a notebook's) there is none to set.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._old:
            number, handler = self._old.popitem()
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._restore()

    def reached(self, step: int) -> bool:
        """Whether to save and leave after ``step``; call it once per step on every process."""
        if not self._service:
            return self._asked
        try:
            return multihost_utils.reached_preemption_sync_point(step)
        except RuntimeError as e:
            self._service = False
            _log.warning("no save on SIGTERM: the preemption service is off (%s)", e)
            return False
