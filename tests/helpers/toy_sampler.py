"""A sampler whose lines cost nothing, and which can die once."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from data_gen.jobs.sampling import Line, Sampled


@dataclass(frozen=True)
class Item:
    id: str
    number: int


@dataclass(frozen=True)
class ToySampler:
    """Every tenth input gets nothing; the worker that comes to ``die_at`` dies once."""

    count: int = 23
    name: str = "toy"
    die_at: int = -1
    once: str = ""  # file that remembers a death

    unit, lines, failures, per_shard = "toys", "toys.jsonl", "failed.jsonl", 5
    mend = "delete the line"

    def total(self) -> int:
        return self.count

    def items(self, start: int, stop: int) -> Iterator[Item]:
        return (Item(f"t{i}", i) for i in range(start, stop))

    def load(self) -> Any:
        return SimpleNamespace(name=self.name)

    def settings(self, backend: Any) -> dict[str, Any]:
        return {"writer": backend.name}

    def is_done(self, line: Line, item: Item, folder: Path) -> bool:
        return line["number"] == item.number

    def check_line(self, line: Line) -> None:
        int(line["number"])

    def sample(self, backend: Any, items: Iterator[Item], folder: Path) -> Iterator[Line]:
        for item in items:
            if item.number == self.die_at and not Path(self.once).exists():
                Path(self.once).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            (folder / f"{item.id}.asked").open("a").write("x")
            failed = {"error": "nothing"} if item.number % 10 == 9 else {}
            yield {"id": item.id, "number": item.number, **failed}

    def finish(self, folder: Path, result: Sampled) -> None:
        (folder / "done").write_text(str(len(result.lines)))
