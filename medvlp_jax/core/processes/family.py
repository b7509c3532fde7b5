"""Processes that do not outlive the one that started them."""

import multiprocessing
import os
import threading


def follow_parent() -> None:
    """Ends this process as soon as the one that started it is gone, whatever it died of.

    To be called at the start of a process that ``multiprocessing`` made. A parent that is killed
    (-9, out of memory) can stop nobody: its workers would live for ever, hold memory, and go on
    writing to a folder whose lock is free. Without such a parent nothing happens. The kernel's
    parent-death signal is no choice: it comes when the *thread* ends that started the process.
    """
    threading.Thread(target=_wait, name="follow-parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once, even in the middle of a compilation
