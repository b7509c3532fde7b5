"""Images per second of the input pipeline from the same JPEGs, at equal cores."""

import contextlib
import pathlib
import tempfile

from benchmarks import corpus
from benchmarks.harness import Paired, Side, Tell, Worker, in_turn
from benchmarks.models import IMAGE_SIZE
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings

TARGET = Target(1.5, at_most=False)
_BATCH = 32
_SIZES = (1024, 512)
#: Name -> what it reads of the corpus.
_PEERS = {"dataloader": corpus.TABLE, "webdataset": corpus.TARS}
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
            with Worker(Side("corpus", "benchmarks.corpus:make", made), settings.threads) as maker:
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
        Side(name, "benchmarks.our_pipeline:make", {**common, "records": str(root / name)})
        for name in (corpus.RECORDS, corpus.STORED)
    ]
    for kind, data in _PEERS.items():
        peer = {"kind": kind, "data": str(root / data), "workers": settings.threads}
        sides.append(Side(kind, "benchmarks.torch_pipeline:make", {**common, **peer}))
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(side, settings.threads, keep_memory=False)) for side in sides
        ]
        rates = in_turn([lambda w=w: w.call("epoch") for w in workers], rounds, tell)
    original, stored, *peers = rates
    notes = (
        _NOTE.format(size=IMAGE_SIZE, threads=settings.threads),
        _STORED_NOTE.format(stored=corpus.STORED_SIZE),
    )
    rows = []
    for ours, how, note in zip((original, stored), ("", ", stored small"), notes, strict=True):
        for kind, peer in zip(_PEERS, peers, strict=True):
            what = f"pipeline, {images}{how}, {_TITLES[kind]}"
            rows.append(paired_row(what, Paired(ours, peer), "images/s", TARGET, note, digits=0))
    return rows
