"""Images per second of the input pipeline from the same JPEGs, at equal cores."""

# pyright: reportMissingImports=false
import contextlib
import csv
import importlib
import pathlib
import tempfile
import time
from typing import Any

from benchmarks.data import LONGEST
from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.models import IMAGE_SIZE
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.torchvision_stand_in import ensure_torchvision

TARGET = Target(1.5, at_most=False)
_BATCH = 32
_SIZES = (1024, 512)
#: What the corpus holds: a table of the JPEGs, their records, those stored smaller, tar shards.
TABLE = "table.csv"
RECORDS, STORED, TARS = "records", "records_stored", "tars"
#: Longer side, pixels, of the records stored smaller: a little more than a crop of 224 needs.
STORED_SIZE = 288
# Buffers of open_clip_train.data, which cannot be imported without torchvision.
_SHARD_SHUFFLE = {"bufsize": 2000, "initial": 500}
_SAMPLE_SHUFFLE = {"bufsize": 5000, "initial": 1000}
#: Name -> what it reads of the
_PEERS = {"dataloader": TABLE, "webdataset": TARS}
_TITLES = {"dataloader": "DataLoader", "webdataset": "webdataset"}
_NOTE = (
    "JPEG to batch with open_clip's crops (RandomResizedCrop of 0.9 to 1.0, {size} px) and the "
    "tokens of a report. Both sides use {threads} cores: ours {threads} decoding threads, the "
    "peers {threads} worker processes. Ours hands over uint8 and normalises on the device, the "
    "peers hand over float32."
)
_STORED_NOTE = (
    "the importer's max_size={stored} scaled the images down once, when the records were made; the "
    "peers read the originals, and could be given smaller files too."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """For two sizes of originals: ours from records of them, and from records stored smaller."""
    batches, rounds = (4, 2) if settings.quick else (20, 5)
    rows = []
    for size in _SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "corpus"
            tell(f"making {batches * _BATCH} JPEGs of {size} px, their records and tar shards")
            made = {"folder": str(root), "size": size, "count": batches * _BATCH}
            with Worker(
                Side("corpus", "benchmarks.corpus:Corpus", made), settings.threads
            ) as maker:
                kilobytes = maker.call("mean_kilobytes")
            rows += _compare(
                root, f"{size} px, {kilobytes:.0f} kB", batches, rounds, settings, tell
            )
    return rows


def _compare(
    root: pathlib.Path, images: str, batches: int, rounds: int, settings: Settings, tell: Tell
) -> list[Row]:
    common = {
        "tokenizer": str(root / "tokenizer"),
        "batch": _BATCH,
        "batches": batches,
        "size": IMAGE_SIZE,
    }
    sides = [
        Side(name, f"{__name__}:OurPipeline", {**common, "records": str(root / name)})
        for name in (RECORDS, STORED)
    ]
    for kind, data in _PEERS.items():
        peer = {"kind": kind, "data": str(root / data), "workers": settings.threads}
        sides.append(Side(kind, f"{__name__}:TorchPipeline", {**common, **peer}))
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(side, settings.threads, keep_memory=False)) for side in sides
        ]
        rates = in_turn([lambda w=w: w.call("epoch") for w in workers], rounds, tell)
    original, stored, *peers = rates
    notes = (
        _NOTE.format(size=IMAGE_SIZE, threads=settings.threads),
        _STORED_NOTE.format(stored=STORED_SIZE),
    )
    rows = []
    for ours, how, note in zip((original, stored), ("", ", stored small"), notes, strict=True):
        for kind, peer in zip(_PEERS, peers, strict=True):
            what = f"pipeline, {images}{how}, {_TITLES[kind]}"
            rows.append(paired_row(what, Paired(ours, peer), "images/s", TARGET, note, digits=0))
    return rows


class OurPipeline:
    """The same crops as open_clip draws, the package's own settings for threads and prefetch."""

    def __init__(self, records: str, tokenizer: str, batch: int, batches: int, size: int):
        from medvlp_jax.core.config import parse
        from medvlp_jax.data.config import DataConfig
        from medvlp_jax.data.pipeline import train_iterator

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


class TorchPipeline:
    """What open_clip builds from a CSV file and from tar shards, a loader whose epochs are timed.

    It decodes with PIL, and uses open_clip's own training transform and tokenizer.

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
    images: Any = CsvImages(table, transform, encode)
    return DataLoader(
        images,
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
    )


def _webdataset(
    folder: pathlib.Path, transform: Any, encode: Any, batch: int, batches: int, workers: int
) -> Any:
    wds: Any = importlib.import_module("webdataset")  # its names are not typed

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
