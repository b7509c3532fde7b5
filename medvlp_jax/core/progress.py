"""How fast a run goes: seconds by activity, rates, and the live line on the terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

from medvlp_jax.core.processes import distributed


class Clock:
    """Seconds spent per activity (``data``, ``step``, ``compile``, ``eval``, ``save``)."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(activity, time.perf_counter() - start)

    def add(self, activity: str, seconds: float) -> None:
        """Adds seconds that were measured elsewhere."""
        self.seconds[activity] = self.seconds.get(activity, 0.0) + seconds


class Rates:
    """Throughput between two log lines. Time for evaluation, saving and compiling is left out."""

    def __init__(self, clock: Clock, peak_flops: float | None) -> None:
        """``peak_flops``: of all devices together, FLOP/s; ``None`` where unknown."""
        self._clock = clock
        self._peak = peak_flops
        self._examples = self._flops = 0.0
        self._from = dict(clock.seconds)

    def add(self, examples: int, flops: float) -> None:
        """Counts one step."""
        self._examples += examples
        self._flops += flops

    def take(self) -> dict[str, float]:
        """Rates since the last call: examples (pairs) per second, share of the time spent waiting
        for data, and model FLOPs utilisation where FLOPs and the device's peak are known. Empty
        if every step of the interval compiled."""
        now = self._clock.seconds
        data, step = (now.get(a, 0.0) - self._from.get(a, 0.0) for a in ("data", "step"))
        total = max(data + step, 1e-9)
        if not self._examples:
            self._from = dict(now)
            return {}
        rates = {"pairs_per_second": self._examples / total, "data_wait": data / total}
        if self._peak and self._flops:
            rates["mfu"] = self._flops / total / self._peak
        self._examples = self._flops = 0.0
        self._from = dict(now)
        return rates


class ProgressLine:
    """One line that is redrawn on a terminal; elsewhere a plain line now and then.

    Only process 0 shows it.
    """

    def __init__(self, total_steps: int, stream: TextIO | None = None, every: float = 10.0) -> None:
        """``every``: seconds between plain lines when the stream is not a terminal."""
        self._total = total_steps
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._every = 0.1 if self._live else every
        self._last = -float("inf")
        self._began: tuple[float, int] | None = None
        self._width = 0

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Shows the state after ``step``; cheap, and silent if the last call was just now."""
        now = time.perf_counter()
        self._began = self._began or (now, step)
        if not distributed.is_main():
            return
        if now - self._last < self._every and step < self._total:
            return
        self._last = now
        self._write(self._text(now, step, values))

    def note(self, text: str) -> None:
        """A line of its own that stays: an evaluation, a saved checkpoint."""
        if distributed.is_main():
            self._clear()
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leaves the last state standing."""
        if self._live and self._width:
            self._stream.write("\n")
            self._width = 0

    def _text(self, now: float, step: int, values: Mapping[str, float]) -> str:
        parts = [f"step {step}/{self._total}"]
        if "loss" in values:
            parts.append(f"loss {values['loss']:.4f}")
        if "pairs_per_second" in values:
            parts.append(f"{values['pairs_per_second']:.1f} pairs/s")
            parts.append(f"data wait {100 * values['data_wait']:.0f} %")
        if "mfu" in values:
            parts.append(f"mfu {100 * values['mfu']:.1f} %")
        began, first = self._began or (now, step)
        if step > first:
            left = (now - began) / (step - first) * (self._total - step)
            parts.append(f"eta {duration(left)}")
        return "  ".join(parts)

    def _write(self, text: str) -> None:
        if self._live:
            self._clear()
            self._stream.write(text)
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._live and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0


def duration(seconds: float) -> str:
    """``3725`` -> ``1:02:05``; days are counted in hours."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}"
