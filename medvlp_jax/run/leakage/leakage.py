"""What training folders share with the folders that results come from, and what to leave out."""

import dataclasses
import json
import os
import pathlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from absl import logging

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import Cosine, Folder, Size
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.held_out import LeftOut, write_held_out
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.run.leakage import pairs as search
from medvlp_jax.run.leakage.embedded import vectors
from medvlp_jax.run.leakage.looked import Looked, look
from medvlp_jax.run.leakage.page import write_page
from medvlp_jax.run.leakage.pairs import KINDS, Kind, NearConfig, Pair

#: Kinds whose training records are left out: "alike" says less than that they are the same.
LEFT_OUT: tuple[Kind, ...] = ("same file", "same pixels", "same picture", "same patient")


@dataclasses.dataclass(frozen=True)
class LeakageConfig:
    """What is compared with what.

    Attributes:
      train: splits that are trained on.
      evaluation: splits that results come from.
      near: when two images are the same picture.
      leave_out: kinds of pairs whose training records are left out; any of
        :data:`medvlp_jax.run.leakage.pairs.KINDS`.
      checkpoint: a run of ours, or a folder of published weights; its image tower finds pairs that
        are "alike". "" for none.
      similarity: cosine of its vectors from which two images are "alike".
      shown: pairs of each kind on the page, the most certain and the least certain ones.
    """

    train: tuple[SourceConfig, ...]
    evaluation: tuple[SourceConfig, ...]
    near: NearConfig = dataclasses.field(default_factory=NearConfig)
    leave_out: tuple[str, ...] = LEFT_OUT
    checkpoint: Folder = ""
    similarity: Cosine = 0.99
    shown: Size = 24

    def __post_init__(self) -> None:
        if not self.train or not self.evaluation:
            raise ValueError("train and evaluation must name one split or more")
        unknown = sorted(set(self.leave_out) - {*KINDS})
        if unknown:
            raise ValueError(f"leave_out names {unknown[0]!r}; the kinds are {', '.join(KINDS)}")
        both = {(os.path.abspath(s.path), s.split) for s in self.train}
        for s in self.evaluation:
            if (os.path.abspath(s.path), s.split) in both:
                raise ValueError(f"{s.path}:{s.split} is trained on and evaluated on")


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What was found and written.

    Attributes:
      summary: as in ``leakage.json``.
      list_path: of the records to leave out, for ``data.held_out`` of a training.
      page_path: of the page.
    """

    summary: dict[str, Any]
    list_path: pathlib.Path
    page_path: pathlib.Path

    def __str__(self) -> str:
        s = self.summary
        kinds = ", ".join(f"{count} {kind}" for kind, count in s["pairs"].items())
        lines = [
            f"{s['images']['train']} training images against {s['images']['evaluation']} "
            f"evaluation images in {s['seconds']:.0f} s: {kinds or 'no pair'}",
            *(
                f"  {one['name']}: {one['left_out']} of {one['records']} records to leave out"
                for one in s["train"]
            ),
        ]
        for names, count in s["same_ids"].items():
            lines.append(
                f"  {count} patient ids stand in both data sets of {names}; they are not compared, "
                "ids of other data sets are other people"
            )
        return "\n".join(lines)


def find_leakage(config: LeakageConfig, out: pathlib.Path, command: str) -> Leakage:
    """Compares every training image with every evaluation image, and every patient.

    Writes ``pairs.jsonl`` (all pairs), ``leakage.json`` (counts), ``held_out.json`` (what training
    leaves out, see :mod:`medvlp_jax.data.held_out`), ``report.html``, and keeps in ``looked/`` what
    was read of the images.

    Raises:
      UserError: a folder is not whole, or no image of it can be read.
    """
    started = time.monotonic()
    train = _look(config.train, out, crops=False)
    evaluation = _look(config.evaluation, out, crops=True)
    pairs = [
        *search.equal(train, evaluation),
        *search.near(train, evaluation, config.near),
        *search.patients(train, evaluation),
    ]
    if config.checkpoint:
        rows, found = zip(
            *(vectors(config.checkpoint, part) for part in (train, evaluation)), strict=True
        )
        pairs += search.alike(found[0], found[1], (rows[0], rows[1]), config.similarity)
    pairs = _strongest(pairs)
    left_out = _left_out(pairs, train, evaluation, config.leave_out)
    for looked in (*train, *evaluation):
        for name, why in looked.refused:
            logging.warning("%s: image of %s cannot be read (%s)", looked.name, name, why)
    summary = {
        "command": command,
        "checkpoint": config.checkpoint,
        "seconds": time.monotonic() - started,
        "images": {
            side: sum(len(x.record) for x in part)
            for side, part in (("train", train), ("evaluation", evaluation))
        },
        "pairs": dict(Counter(pair.kind for pair in pairs)),
        "train": [
            _described(x) | {"left_out": len(out)} for x, out in zip(train, left_out, strict=True)
        ],
        "evaluation": [
            _described(x) | {"touched": len({p.evaluation_row for p in pairs if p.evaluation == n})}
            for n, x in enumerate(evaluation)
        ],
        "same_ids": search.same_ids(train, evaluation),
        "leave_out": list(config.leave_out),
        "near": dataclasses.asdict(config.near),
    }
    lines = (json.dumps(_named(p, train, evaluation)) + "\n" for p in pairs)
    replace(out / "pairs.jsonl", "".join(lines))
    replace(out / "leakage.json", json.dumps(summary, indent=1) + "\n")
    page = write_page(out, summary, pairs, train, evaluation, config.shown)
    list_path = out / "held_out.json"
    write_held_out(list_path, [(x.source, ids) for x, ids in zip(train, left_out, strict=True)])
    return Leakage(summary, list_path, page)


def source_of(flag: str, place: str) -> SourceConfig:
    """``FOLDER:SPLIT`` of a flag.

    Raises:
      ConfigError: it is written in another way.
    """
    folder, colon, split = place.rpartition(":")
    if not colon or not folder or not split:
        raise ConfigError(f"--{flag}={place!r} must be FOLDER:SPLIT")
    return SourceConfig(folder, split)


def _look(sources: Sequence[SourceConfig], out: pathlib.Path, crops: bool) -> list[Looked]:
    found = []
    for s in sources:
        logging.info("reading the images of %s, split %s", s.path, s.split)
        found.append(look(open_dataset(s.path, s.split), out / "looked", crops))
    return found


def _strongest(pairs: Sequence[Pair]) -> list[Pair]:
    """One pair per training image and kind of knowledge: equal bytes say more than equal pixels.

    That the two are of one patient says something else, and stays beside it.
    """
    order = list(KINDS)
    best: dict[tuple, Pair] = {}
    for pair in pairs:
        key = (pair.train, pair.train_row, pair.kind == "same patient")
        old = best.get(key)
        rank = (order.index(pair.kind), -pair.score)
        if old is None or rank < (order.index(old.kind), -old.score):
            best[key] = pair
    return sorted(best.values(), key=lambda p: (order.index(p.kind), -p.score, *p[1:5]))


def _left_out(
    pairs: Sequence[Pair],
    train: Sequence[Looked],
    evaluation: Sequence[Looked],
    kinds: Sequence[str],
) -> list[list[LeftOut]]:
    """Per training split the records to leave out, with the first reason of each."""
    found: list[dict[int, LeftOut]] = [{} for _ in train]
    for pair in pairs:
        if pair.kind in kinds:
            looked, other = train[pair.train], evaluation[pair.evaluation]
            record = int(looked.record[pair.train_row])
            why = f"{pair.kind} as {other.name} {other.ids[pair.evaluation_row]}"
            found[pair.train].setdefault(
                record, LeftOut(record, str(looked.ids[pair.train_row]), why)
            )
    for looked, out in zip(train, found, strict=True):
        if len(out) == len(looked.source):
            raise UserError(
                f"every record of {looked.name} is in the evaluation folders: there is nothing "
                "left to train on; check --train and --evaluation"
            )
    return [[out[record] for record in sorted(out)] for out in found]


def _described(looked: Looked) -> dict[str, Any]:
    return {
        "name": looked.name,
        "records": len(looked.source),
        "images": len(looked.record),
        "refused": looked.refused.tolist(),
    }


def _named(pair: Pair, train: Sequence[Looked], evaluation: Sequence[Looked]) -> dict[str, Any]:
    a, b = train[pair.train], evaluation[pair.evaluation]
    return {
        "kind": pair.kind,
        "score": round(pair.score, 4),
        "train": a.name,
        "train_id": str(a.ids[pair.train_row]),
        "train_image": int(a.image[pair.train_row]),
        "evaluation": b.name,
        "evaluation_id": str(b.ids[pair.evaluation_row]),
        "evaluation_image": int(b.image[pair.evaluation_row]),
    }
