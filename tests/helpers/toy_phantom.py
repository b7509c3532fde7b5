"""A modality of a few lines: a square, which may have a dot."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_gen.phantom.base import (
    Finding,
    FindingMix,
    PhantomBox,
    PictureReview,
    Question,
    Rendered,
    Report,
    ReportPrompt,
    Switched,
)


@dataclass(frozen=True)
class Dot:
    name: str = "dot"


@dataclass(frozen=True)
class ToyStudy:
    """Odd ones have a dot, unless it was switched."""

    seed: int
    index: int
    view: str = "Left"
    switched: bool = False
    findings: tuple[Dot, ...] = field(init=False)

    def __post_init__(self) -> None:
        dots = (self.index + self.switched) % 2
        object.__setattr__(self, "findings", (Dot(),) * dots)

    def labels(self) -> dict[str, int]:
        return {"dot": len(self.findings), "nothing": 1 - len(self.findings)}


class ToyPhantom:
    name, title, modality, no_finding = "square", "pictures of squares", "drawing", "nothing"
    prompt = ReportPrompt("You look at squares.", "drawing", ("a dot",), "Left", "FINDINGS: A dot.")

    def __init__(self, layout: pathlib.Path | None, colour: bool = False) -> None:
        self.colour = colour
        self.review = PictureReview(
            "You check squares.",
            (Question("square", "Is it a square?", "no square"),),
            {"square": (("A square.",), ("A circle.",))},
            layout,
            frozenset({"RIGHT"}),
            {"no square": "judge: no square"},
        )

    def sample(self, seed: int, index: int, mix: FindingMix | None = None) -> ToyStudy:
        return ToyStudy(seed, index % 1000)

    def restore(self, provenance: Mapping[str, Any]) -> ToyStudy:
        index, dots = provenance["index"], len(provenance["findings"])
        return ToyStudy(provenance["seed"], index, switched=index % 2 != dots)

    def requested(
        self,
        id: str,
        seed: int,
        labels: Mapping[str, int],
        findings: Sequence[Finding] | None = None,
    ) -> ToyStudy:
        return ToyStudy(0, labels["dot"] + 2 * (seed // 2))

    def switched(self, study: ToyStudy) -> Switched:
        other = ToyStudy(study.seed, study.index, switched=not study.switched)
        return Switched(other, "dot", bool(other.findings))

    def report(self, study: ToyStudy, seed: int) -> Report:
        if not study.findings:
            return Report("A square without a dot.", "Nothing.", {})
        return Report("A square with a dot.", "A dot.", {0: "a dot"})

    def render(self, studies: Sequence[ToyStudy], size: int, masks: bool = True) -> Rendered:
        dots = np.stack([np.eye(size, dtype=np.uint8) * len(s.findings) for s in studies])
        whole = np.ones((len(studies), size, size), np.uint8)
        boxes = [[PhantomBox(0.0, 0.0, 1.0, 1.0, "dot", 0)] * len(s.findings) for s in studies]
        named = {"square": whole, "finding 0": dots} if masks else {}
        gray = (100 * whole + 100 * dots).astype(np.uint8)
        # Red at its brightest, blue at none, so that exchanged channels are seen.
        coloured = np.stack([gray, gray // 2, 0 * gray], -1)
        return Rendered(coloured if self.colour else gray, named, boxes)

    def parameters(self, study: ToyStudy) -> dict[str, Any]:
        return {"view": study.view}
