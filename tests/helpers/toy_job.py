"""A job whose records cost nothing, and which can be slow, die, raise or run out of disk."""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_gen.jobs import run as jobs
from data_gen.jobs.job import Shard, cut
from medvlp_jax.data.store.record import Box, Image, Mask, Record, Text, with_content_hash


@dataclass(frozen=True)
class ToyJob:
    """``trouble`` is one of "", "die", "die once", "raise", "full"; it strikes in ``at``."""

    train: int = 23
    test: int = 7
    per_shard: int = 5
    seed: int = 0
    slow: float = 0.0  # seconds per record
    trouble: str = ""
    at: str = "toy-train.array_record-00002-of-00005"
    once: str = ""  # file that remembers a death

    description = "A toy."

    @property
    def fingerprint(self) -> str:
        return f"toy {self.train} {self.test} {self.per_shard} {self.seed}"

    def shards(self) -> list[Shard]:
        out = cut("toy", "train", self.train, self.per_shard)
        return out + cut("toy", "test", self.test, self.per_shard)

    def records(self, shard: Shard) -> Iterator[Record]:
        for i in range(shard.start, shard.stop):
            if i == shard.start + 1 and shard.name.filename == self.at:
                self._strike()
            time.sleep(self.slow)
            yield toy_record(self.seed, i, shard.name.split)

    def _strike(self) -> None:
        if self.trouble == "raise":
            raise ZeroDivisionError("a defect of the toy")
        if self.trouble == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        elif self.trouble == "die" or (self.trouble == "die once" and not Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def toy_record(seed: int, i: int, split: str) -> Record:
    rng = np.random.default_rng([seed, i, len(split)])
    pixels = rng.integers(0, 255, (24, 24), np.uint8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    record = Record(
        id=f"{split}-{i}",
        images=(Image(data, "png", ("PA", "AP")[i % 2], width=24, height=24),),
        texts=(Text("word " * (i + 1), "findings"), Text("A mass.", "impression")),
        labels={"mass": i % 2, "edema": -1},
        boxes=(Box(0.1, 0.2, 0.5, 0.75, "mass", "a mass"),),
        masks=(Mask(cv2.imencode(".png", np.zeros((24, 24), np.uint8))[1].tobytes(), "heart"),),
        split=split,
    )
    return with_content_hash(record)


if __name__ == "__main__":  # toy_job.py FOLDER PROCESSES SLOW
    # As under a terminal: a shell that starts the tests in the background makes them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        jobs.run_job(ToyJob(slow=float(sys.argv[3])), sys.argv[1], int(sys.argv[2]))
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
