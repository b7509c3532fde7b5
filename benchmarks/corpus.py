"""A folder of JPEGs with reports, and the same images as record shards and as tar shards.

The pictures are procedural radiographs, enlarged and grained like film, so that a JPEG of them is
about as large as one of a real radiograph.
"""

import csv
import io
import pathlib
import tarfile

import cv2
import numpy as np

from benchmarks.pipeline import RECORDS, STORED, STORED_SIZE, TABLE, TARS
from data_gen.phantom.chest_xray.picture.render import render_batch
from data_gen.phantom.chest_xray.sample import sample_study
from data_gen.phantom.chest_xray.words.report import write_report
from data_gen.sources.importing.job import run_import
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.pipeline import find_tokenizer

TAR_SHARDS = 8
_PICTURES, _PICTURE_SIZE = 16, 256
_QUALITY = 95  # that of MIMIC-CXR-JPG


class Corpus:
    """Images whose shorter side is ``size`` pixels, in every form that a side reads."""

    def __init__(self, folder: str, size: int, count: int):
        root = pathlib.Path(folder)
        images = root / "images"
        images.mkdir(parents=True)
        studies = [sample_study(0, i) for i in range(_PICTURES)]
        pictures = render_batch(studies, _PICTURE_SIZE, masks=False).images
        rng = np.random.default_rng(0)
        rows = []
        for i in range(count):
            data = _jpeg(pictures[i % _PICTURES], size, rng)
            (images / f"{i:06d}.jpg").write_bytes(data)
            report = write_report(studies[i % _PICTURES], 0, i)
            rows.append((f"images/{i:06d}.jpg", f"{report.findings} {report.impression}"))
        with open(root / TABLE, "w", newline="") as f:
            csv.writer(f).writerows([("path", "report"), *rows])
        for name, max_size in ((RECORDS, 0), (STORED, STORED_SIZE)):
            _import(root, root / name, max_size, count)
        data = DataConfig((SourceConfig(str(root / RECORDS)),), batch_size=1, cache_dir=str(root))
        find_tokenizer(data)
        _write_tars(root, rows)
        self._bytes = sum(p.stat().st_size for p in images.iterdir()) / count

    def mean_kilobytes(self) -> float:
        """Mean size of a JPEG."""
        return self._bytes / 1000


def _jpeg(picture: np.ndarray, size: int, rng: np.random.Generator) -> bytes:
    sides = (size, round(size * rng.uniform(1.0, 1.25)))
    width, height = sides if rng.random() < 0.5 else sides[::-1]
    large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 9, large.shape).astype(np.float32), (0, 0), 0.8)
    grained = np.clip(large + grain, 0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", grained, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()


def _import(root: pathlib.Path, out: pathlib.Path, max_size: int, count: int) -> None:
    """As a user would: the package's CSV importer."""
    config = {
        "root": str(root),
        "csv": TABLE,
        "image": "path",
        "texts": {"report": "report"},
        "split_fractions": {"train": 1.0},
        "max_size": max_size,
    }
    run_import("csv", config, out, records_per_shard=-(-count // 4), progress=False)


def _write_tars(root: pathlib.Path, rows: list[tuple[str, str]]) -> None:
    (root / TARS).mkdir()
    for shard in range(TAR_SHARDS):
        with tarfile.open(root / TARS / f"{shard:05d}.tar", "w") as tar:
            for path, text in rows[shard::TAR_SHARDS]:
                stem = pathlib.Path(path).stem
                for suffix, data in (
                    ("jpg", (root / path).read_bytes()),
                    ("txt", text.encode()),
                ):
                    member = tarfile.TarInfo(f"{stem}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
