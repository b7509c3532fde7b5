"""The peers of the input pipeline: what open_clip builds from a CSV file and from tar shards.

Both decode with PIL, and use open_clip's own training transform and tokenizer.
"""

# pyright: reportMissingImports=false
import csv
import pathlib
import time
from typing import Any

from benchmarks.data import LONGEST
from benchmarks.torchvision_stand_in import ensure_torchvision

# Buffers of open_clip_train.data, which cannot be imported without torchvision.
_SHARD_SHUFFLE = {"bufsize": 2000, "initial": 500}
_SAMPLE_SHUFFLE = {"bufsize": 5000, "initial": 1000}


class TorchPipeline:
    """A loader whose epochs are timed.

    ``kind`` is ``dataloader`` (a CSV file of image paths and texts) or ``webdataset`` (tar shards).
    Worker processes stay alive between epochs.
    """

    def __init__(
        self,
        kind: str,
        data: str,
        tokenizer: str,
        batch: int,
        batches: int,
        size: int,
        workers: int,
    ):
        ensure_torchvision()
        import open_clip
        import torch
        from open_clip.tokenizer import HFTokenizer

        torch.set_num_threads(1)  # batches are put together here, the workers do the rest
        transform = open_clip.image_transform(size, is_train=True)
        encode = HFTokenizer(tokenizer, context_length=LONGEST)
        make = {"dataloader": _dataloader, "webdataset": _webdataset}[kind]
        self._loader = make(pathlib.Path(data), transform, encode, batch, batches, workers)
        self.epoch()

    def epoch(self) -> float:
        """Images per second of one epoch, from rest to rest."""
        images = 0
        start = time.perf_counter()
        for pixels, _ in self._loader:
            images += len(pixels)
        return images / (time.perf_counter() - start)


class CsvImages:
    """A map-style data set: row to (pixels, token ids)."""

    def __init__(self, table: pathlib.Path, transform: Any, encode: Any):
        with open(table, newline="") as f:
            self._rows = [(table.parent / r["path"], r["report"]) for r in csv.DictReader(f)]
        self._transform, self._encode = transform, encode

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image

        path, text = self._rows[index]
        return self._transform(Image.open(path)), self._encode([text])[0]


def _dataloader(
    table: pathlib.Path, transform: Any, encode: Any, batch: int, batches: int, workers: int
) -> Any:
    from torch.utils.data import DataLoader

    del batches  # all of the table, less what does not fill a batch
    return DataLoader(
        CsvImages(table, transform, encode),  # type: ignore[arg-type]
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
    )


def _webdataset(
    folder: pathlib.Path, transform: Any, encode: Any, batch: int, batches: int, workers: int
) -> Any:
    import webdataset as wds

    stages = [
        wds.SimpleShardList([str(p) for p in sorted(folder.glob("*.tar"))]),
        wds.shuffle(**_SHARD_SHUFFLE),
        wds.split_by_worker,
        wds.tarfile_to_samples(),
        wds.shuffle(**_SAMPLE_SHUFFLE),
        wds.decode("pilrgb"),
        wds.rename(image="jpg;png;jpeg;webp", text="txt"),
        wds.map_dict(image=transform, text=lambda text: encode(text)[0]),
        wds.to_tuple("image", "text"),
        wds.batched(batch, partial=False),
    ]
    data = wds.DataPipeline(*stages).with_epoch(batches // workers)
    return wds.WebLoader(
        data, batch_size=None, shuffle=False, num_workers=workers, persistent_workers=True
    )


def make(**args: Any) -> TorchPipeline:
    return TorchPipeline(**args)
