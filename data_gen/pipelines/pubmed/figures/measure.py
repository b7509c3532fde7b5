"""Measures on a folder of composites how well figures are taken apart."""

import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tqdm

import medvlp_jax
from data_gen.pipelines.pubmed.base import Region, Separated, as_json
from data_gen.pipelines.pubmed.figures.config import MeasureConfig
from data_gen.pipelines.pubmed.figures.pixels import decode_figure
from data_gen.pipelines.pubmed.figures.separate import Separator
from data_gen.pipelines.pubmed.figures.xy_cut import Cutting, xy_cut
from data_gen.pipelines.pubmed.scores.figures import DrawnFigure, score_figures
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Record
from medvlp_jax.eval.metrics.bootstrap import Bootstrap

SCORES, SEPARATED = "scores.json", "separated.jsonl"
_BATCH = 16


def truth_of(record: Record) -> DrawnFigure:
    """What a record of a composite says of its figure.

    Raises:
      UserError: it has no panels.
    """
    boxes = {
        label: [b for b in record.boxes if b.label == label]
        for label in ("panel", "label", "decoy")
    }
    if not boxes["panel"]:
        raise UserError(f"record {record.id!r} has no box 'panel'; make composites to measure on")
    corners = {
        label: np.array([[b.x0, b.y0, b.x1, b.y1] for b in mine], np.float64).reshape(-1, 4)
        for label, mine in boxes.items()
    }
    return DrawnFigure(
        corners["panel"],
        tuple(b.phrase for b in boxes["panel"]),
        corners["label"],
        tuple(b.phrase for b in boxes["label"]),
        corners["decoy"],
    )


def measure(folder: pathlib.Path, config: MeasureConfig, progress: bool = True) -> dict[str, Any]:
    """Takes every figure of a split apart and writes ``scores.json`` and ``separated.jsonl``.

    Figures in layouts of our own and in real ones are scored apart. ``figures per second`` counts
    separation and reading in this process, decoding left out.

    Raises:
      UserError: the folder has no such split, its figures have no truth, a model cannot be opened.
    """
    source = open_dataset(folder, config.split)
    separator = Separator(config.figures)
    cutting = Cutting(config.figures.gutter)
    truth: list[DrawnFigure] = []
    found: list[Separated] = []
    cut: list[tuple[Region, ...]] = []
    groups: list[str] = []
    seconds, ids = 0.0, []
    for records in _batches(source, progress):
        images = [decode_figure(r.images[0].data, r.id) for r in records]
        if not found:
            separator.separate(images[:1])  # compiled before the clock runs
        start = time.process_time()
        found += separator.separate(images)
        seconds += time.process_time() - start
        cut += [xy_cut(image, cutting) for image in images]
        truth += [truth_of(r) for r in records]
        real = [bool(r.provenance.get("real_layout")) for r in records]
        groups += ["real layouts" if one else "own layouts" for one in real]
        ids += [r.id for r in records]
    bootstrap = Bootstrap(resamples=config.resamples)
    out: dict[str, Any] = {
        "version": medvlp_jax.__version__,
        "config": to_plain(config),
        "figures per second of one core": round(len(found) / max(seconds, 1e-9), 2),
    }
    for name in ("own layouts", "real layouts"):
        mine = [i for i, group in enumerate(groups) if group == name]
        if mine:
            out[name] = score_figures(
                [truth[i] for i in mine],
                [found[i] for i in mine],
                [cut[i] for i in mine],
                bootstrap,
            )
    lines = (json.dumps({"id": i, **as_json(s)}) for i, s in zip(ids, found, strict=True))
    replace(folder / SEPARATED, "\n".join(lines) + "\n")
    replace(folder / SCORES, json.dumps(out, indent=1) + "\n")
    return out


def _batches(source: Any, progress: bool) -> Iterator[Sequence[Record]]:
    starts = range(0, len(source), _BATCH)
    for start in tqdm.tqdm(starts, desc="measuring", disable=None if progress else True):
        yield [source[i] for i in range(start, min(start + _BATCH, len(source)))]


def table(scores: dict[str, Any]) -> str:
    """The numbers as lines for the terminal."""
    lines = []
    for name in ("own layouts", "real layouts"):
        if name not in scores:
            continue
        counts = ", ".join(f"{n} {what}" for what, n in scores[name]["counts"].items())
        lines.append(f"{name}: {counts}")
        for score, value in scores[name]["scores"].items():
            if value["value"] is None:
                continue
            lines.append(
                f"  {score:32} {value['value']:.3f}"
                + (
                    f" ({value['low']:.3f} to {value['high']:.3f})"
                    if value["low"] is not None
                    else ""
                )
            )
    lines.append(f"{scores['figures per second of one core']} figures/s on one core")
    return "\n".join(lines)
