"""What was typed and which code ran: the command line, and the commit of the checkout."""

import datetime
import json
import os
import pathlib
import shlex
import subprocess
import sys
from typing import Any

#: In a workdir: one line per start of a training.
STARTS = "starts.jsonl"
_ROOT = pathlib.Path(__file__).resolve().parents[3]  # of the checkout; a test holds it


def command() -> str:
    """The command line of this process, its script relative to the checkout."""
    script = pathlib.Path(sys.argv[0])
    if script.is_absolute() and script.is_relative_to(_ROOT):
        script = script.relative_to(_ROOT)
    return shlex.join(["python", str(script), *sys.argv[1:]])


def commit() -> str:
    """Abbreviated commit of the checkout, with ``-dirty`` where files differ; empty without one."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != _ROOT:  # installed, perhaps inside of another one
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a disk that hangs
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def note_start(workdir: str | os.PathLike[str], step: int) -> None:
    """Appends when, how and with which code a training in ``workdir`` starts."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = {"time": now, "step": step, "command": command(), "commit": commit()}
    with (pathlib.Path(workdir) / STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def last_start(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """The newest line of :func:`note_start`; empty where there is none that can be read."""
    file = pathlib.Path(workdir) / STARTS
    lines = file.read_bytes().split(b"\n") if file.is_file() else []
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:  # cut by a kill
            continue
        if isinstance(found, dict):
            return found
    return {}
