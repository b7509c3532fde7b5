"""What a run came to: rejects with their pictures, and the numbers of each stage."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_gen.curation.reasons import DUPLICATE
from data_gen.curation.rejects import Pictures, RejectRow, small
from data_gen.pipelines.syncxr import drawing, work, writing
from data_gen.pipelines.syncxr.choosing import Choice
from data_gen.pipelines.syncxr.config import SynCXRConfig
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Record


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Where to read what happened.

    Attributes:
      config: of the data set.
      reports, images: folders of the two stages.
      names: finished shards of the images, in order.
      choice: what stays of them.
    """

    config: SynCXRConfig
    reports: Path
    images: Path
    names: Sequence[ShardName]
    choice: Choice

    def rejects(self, pictures: Pictures) -> Iterator[RejectRow]:
        """Every row of the rejects file; ``pictures`` keeps the first of each reason."""
        for name in self.names:
            report = dataclasses.replace(name, dataset=writing.STAGE)
            for row, _ in work.read_rejects_beside(self.reports, report):
                yield row
        for name in self.names:
            for row, picture in work.read_rejects_beside(self.images, name):
                yield pictures.keep(row, picture)
        duplicates = self.choice.duplicates
        for name in self.names if duplicates else ():
            if duplicates.keys().isdisjoint(work.read_accepted(self.images, name)[0]):
                continue
            for record in work.read_shard(self.images, name):
                if record.id in duplicates:
                    first = record.images[0]
                    picture = small(decode(first.data, first.format))
                    yield pictures.keep(_duplicate(record, duplicates[record.id]), picture)

    def numbers(self, balance: Mapping[str, float], rejects: Sequence[RejectRow]) -> dict[str, Any]:
        """For the summary: what each stage made, found and lost."""
        reports: dict[str, Any] = {}
        images: dict[str, Any] = {}
        for name in self.names:
            report = dataclasses.replace(name, dataset=writing.STAGE)
            for total, folder, one in (
                (reports, self.reports, report),
                (images, self.images, name),
            ):
                work.add_counts(total, work.read_json_beside(folder, one, "counts.json"))
        for stage, total in ((writing.STAGE, reports), (drawing.STAGE, images)):
            total["rejects"] = _count(r.reasons[0] for r in rejects if r.stage == stage)
        planted = images.pop("planted")
        if planted:
            images["gate"] = _gate(planted, images["images"], rejects)
        return {
            "plan": {name.replace("_", " "): round(value, 4) for name, value in balance.items()},
            "reports": reports,
            "images": images,
            "near-duplicates": len(self.choice.duplicates),
            "kept": {split: len(places) for split, places in self.choice.kept.items()},
            "not needed": self.choice.spare,
            "missing": self.choice.missing(self.config),
        }


def _duplicate(record: Record, like: str) -> RejectRow:
    texts = {text.section: text.text for text in record.texts}
    return RejectRow(
        id=record.id,
        stage="duplicates",
        reasons=(DUPLICATE,),
        detail=f"like {like}",
        attempt=record.provenance["image"]["attempts"] - 1,
        text=texts.get("impression", ""),
        labels=record.labels,
    )


def _gate(
    planted: Mapping[str, Mapping[str, int]], images: int, rejects: Sequence[RejectRow]
) -> dict[str, Any]:
    """The gate's recall of planted faults, and what it refused besides."""
    spoilt = sum(one["planted"] for one in planted.values())
    found = sum(one["found"] for one in planted.values())
    others = sum(r.stage == drawing.STAGE and not r.detail for r in rejects)
    return {
        "planted": spoilt,
        "found": found,
        "recall": round(found / spoilt, 4),
        "refused of the others": round(others / max(images - spoilt, 1), 4),
        "by fault": {name: dict(planted[name]) for name in sorted(planted)},
    }


def as_lines(outcome: Mapping[str, Any]) -> str:
    """The part ``syncxr`` of a summary as lines for the terminal."""
    lines = []
    for stage, done in ((writing.STAGE, "written"), (drawing.STAGE, "images")):
        refused = ", ".join(f"{reason} {n}" for reason, n in outcome[stage]["rejects"].items())
        lines.append(f"{stage}: {outcome[stage][done]}; refused: {refused or 'none'}")
    lines.append(f"near-duplicates: {outcome['near-duplicates']}")
    if gate := outcome["images"].get("gate"):
        lines.append(
            f"gate: found {gate['found']} of {gate['planted']} planted faults "
            f"({100 * gate['recall']:.1f} %), refused "
            f"{100 * gate['refused of the others']:.2f} % of the other images"
        )
    if outcome["missing"]:
        lacking = ", ".join(f"{split} {n}" for split, n in outcome["missing"].items())
        lines.append(
            f"warning: too few studies passed, and these are missing: {lacking}; a larger "
            "config.spare makes up for more"
        )
    return "\n".join(lines)


def reasons(rejects: Sequence[RejectRow]) -> str:
    """The commonest reasons, for a message."""
    counts = _count(f"{r.stage}: {r.reasons[0]}" for r in rejects)
    return ", ".join(f"{reason} {n}" for reason, n in list(counts.items())[:4]) or "no rejects"


def _count(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
