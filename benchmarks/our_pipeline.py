"""Our side of the input pipeline: ``data.pipeline.train_iterator`` over record shards."""

import time

from medvlp_jax.core.config import parse
from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.pipeline import train_iterator


class OurPipeline:
    """The same crops as open_clip draws, the package's own settings for threads and prefetch."""

    def __init__(self, records: str, tokenizer: str, batch: int, batches: int, size: int):
        config = {
            "sources": [{"path": records}],
            "batch_size": batch,
            "image": {
                "size": size,
                "channels": 3,
                "resize": "stretch",
                "geometry": {"crop_area": [0.9, 1.0], "crop_aspect": [3 / 4, 4 / 3]},
            },
            "text": {"tokenizer": tokenizer},
        }
        self._images = batch * batches
        self._iterator = train_iterator(
            parse(DataConfig, config), batches, columns=("image", "text")
        )
        self._start = self._iterator.get_state()
        self.epoch()

    def epoch(self) -> float:
        """Images per second of one epoch, from rest to rest."""
        self._iterator.set_state(self._start)
        start = time.perf_counter()
        for _ in self._iterator:
            pass
        return self._images / (time.perf_counter() - start)


def make(records: str, tokenizer: str, batch: int, batches: int, size: int) -> OurPipeline:
    return OurPipeline(records, tokenizer, batch, batches, size)
