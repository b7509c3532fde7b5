"""What is printed and kept: one row per comparison, and the machine it was measured on."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Paired, environment
from medvlp_jax.core.processes.cores import cores

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "grain",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pillow",
    "tokenizers",
    "transformers",
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "webdataset",
    "lxml",
    "pubmed_parser",
)
_NOTE_WIDTH = 96


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a row's value: at most, or at least, ``limit``."""

    limit: float
    at_most: bool
    unit: str = ""

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}{self.unit}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      what: the subject.
      ours, peer: numbers with their units; ``peer`` is empty where there is none.
      value: what the target bounds; the ratio ours / peer, unless there is no peer.
      spread: least and greatest ratio over the rounds; None without a peer.
      target: None for a row that only informs.
      note: what a reader must know to judge the row.
      raw: every measured number, for the JSON file.
    """

    what: str
    ours: str
    value: float
    peer: str = ""
    spread: tuple[float, float] | None = None
    target: Target | None = None
    note: str = ""
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "met" if self.target.met(self.value) else "missed"

    @property
    def ratio(self) -> str:
        if self.spread is None:
            return ""
        return f"{self.value:.2f} ({self.spread[0]:.2f} to {self.spread[1]:.2f})"


def paired_row(
    what: str,
    paired: Paired,
    unit: str,
    target: Target | None = None,
    note: str = "",
    digits: int = 2,
) -> Row:
    """A row of two sides that were measured in turn; its value is the median ratio."""
    ours, peer = (f"{value:.{digits}f} {unit}" for value in paired.medians)
    return Row(
        what=what,
        ours=ours,
        peer=peer,
        value=paired.ratio,
        spread=(min(paired.ratios), max(paired.ratios)),
        target=target,
        note=note,
        raw={"unit": unit, "ours": paired.ours, "peer": paired.peer, "ratios": paired.ratios},
    )


def rate_row(what: str, rates: Sequence[float], unit: str, target: Target | None = None) -> Row:
    """A row of one side, whose value is the middle one of its rates."""
    middle = statistics.median(rates)
    raw = {"unit": unit, "ours": tuple(rates)}
    return Row(what, f"{middle:,.0f} {unit}", middle, target=target, raw=raw)


def table(rows: Sequence[Row]) -> str:
    """The rows under each other, and their notes below."""
    head = ("what", "ours", "peer", "ours / peer", "target", "")
    lines = [
        (r.what, r.ours, r.peer or "-", r.ratio or "-", str(r.target or "-"), r.verdict)
        for r in rows
    ]
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, tuple("-" * width for width in widths), *lines)
    ]
    noted: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            noted.setdefault(row.note, []).append(row.what)
    for note, whats in noted.items():
        text += ["", *textwrap.wrap(f"{'; '.join(whats)}: {note}", _NOTE_WIDTH)]
    return "\n".join(text)


def machine(threads: int) -> dict[str, Any]:
    """Hardware, versions and settings, as JSON values."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "threads": threads,
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "load_average": round(_load(), 2),
        "python": platform.python_version(),
        "versions": {p: v for p in _PACKAGES if (v := _version(p))},
        "environment": environment(threads, keep_memory=True),
    }


def headline(found: Mapping[str, Any]) -> str:
    """Two lines on the machine, and a warning where it is busy."""
    versions = found["versions"]
    named = [f"{p} {versions[p]}" for p in ("jaxlib", "torch", "open_clip_torch") if p in versions]
    lines = [
        f"{found['cpu']}, {found['cores']} cores, {found['threads']} threads a side, "
        f"{found['memory_gib']:g} GiB",
        f"Python {found['python']}, {', '.join(named)}",
    ]
    if found["load_average"] > 0.3 * found["cores"]:
        lines.append(
            f"warning: the load average is {found['load_average']:g}; other work on this machine "
            "makes the seconds wrong and the ratios unsure"
        )
    return "\n".join(lines)


def save(path: str | os.PathLike, rows: Sequence[Row], found: Mapping[str, Any]) -> None:
    """Writes rows and machine as JSON."""
    out = pathlib.Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    listed = [
        {
            **dataclasses.asdict(row),
            "target": None if row.target is None else str(row.target),
            "verdict": row.verdict,
        }
        for row in rows
    ]
    out.write_text(json.dumps({"machine": found, "rows": listed}, indent=1, ensure_ascii=False))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            names = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _load() -> float:
    return os.getloadavg()[0]
