"""A panel of the pool: what it shows, in words and boxes, without its pixels."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

from data_gen.phantom.base import Phantom, PhantomBox, Study
from data_gen.pipelines.pubmed.base import Region
from medvlp_jax.data.store.record import Record

#: Words of a phrase that name the picture itself; a caption says them once, of the panel.
_PICTURE = re.compile(
    r"\b(mri?|ct|images?|imaging|scans?|radiographs?|films?|views?|sonogra\w*|ultraso\w*|"
    r"photograph\w*|smear|stain\w*|show\w*|demonstrat\w*|depict\w*|seen|tomogra\w*|slice|H&E)\b",
    re.IGNORECASE,
)
_SEEDS = 12  # wordings that are asked for, to find some that name no picture
_KEPT = 3


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of picture.

    Attributes:
      name: as a truth says it.
      modality: as a record says it; "" for a drawing.
      phantom: which draws it; "" for a drawing.
      site: region of the phantom's studies, or "" for all.
      brain: whether it shows the head.
      drawings: of :mod:`data_gen.pipelines.pubmed.drawings`, one of which is drawn.
    """

    name: str
    modality: str = ""
    phantom: str = ""
    site: str = ""
    brain: bool = False
    drawings: tuple[str, ...] = ()


_CHARTS = (
    *("bar_chart", "line_chart", "scatter", "box_plot", "kaplan_meier", "heat_map"),
    "forest_plot",
)

#: By name.
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("brain_mri", "mri", "mri", "brain", True),
        Kind("brain_ct", "ct", "ct", "head", True),
        Kind("knee_mri", "mri", "mri", "knee"),
        Kind("chest_ct", "ct", "ct", "chest"),
        Kind("abdomen_ct", "ct", "ct", "abdomen"),
        Kind("chest_xray", "xray", "chest_xray"),
        Kind("ultrasound", "ultrasound", "ultrasound"),
        Kind("fundus", "fundus", "fundus"),
        Kind("pathology", "pathology", "pathology"),
        Kind("fluorescence", "fluorescence", drawings=("fluorescence",)),
        Kind("chart", drawings=_CHARTS),
        Kind("diagram", drawings=("flow_diagram", "schema")),
        Kind("table", drawings=("table",)),
        Kind("photograph", drawings=("photograph",)),
        Kind("gel", drawings=("gel",)),
    )
}


@dataclasses.dataclass(frozen=True)
class Shown:
    """A finding of a panel.

    Attributes:
      name: its label.
      phrases: some wordings that do not name the picture ("large left frontal infarct").
      boxes: within the picture.
    """

    name: str
    phrases: tuple[str, ...]
    boxes: tuple[Region, ...]


@dataclasses.dataclass(frozen=True)
class Panel:
    """A picture of the pool.

    Attributes:
      split: of the pool; an article draws from that of its own split.
      position: within the split.
      kind: a key of :data:`KINDS`.
      width, height: of the stored picture, in pixels.
      technique: sequence, window or probe, as the phantom names it.
      shown: what is abnormal and has a box.
      present, absent: labels of the picture that are true, and that are not; others say nothing.
    """

    split: str
    position: int
    kind: str
    width: int
    height: int
    technique: str = ""
    shown: tuple[Shown, ...] = ()
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def technique_of(study: Study) -> str:
    """Sequence, probe, phase and window of a study, in words."""
    told = cast(Any, study)
    if hasattr(told, "technique"):
        return str(told.technique)
    if hasattr(told, "window"):
        return f"{told.phase}, {told.window} window"
    return study.view


def shown_in(phantom: Phantom, study: Study, boxes: list[PhantomBox]) -> tuple[Shown, ...]:
    """The findings of a study that have a box in its picture."""
    found = []
    for i, finding in enumerate(study.findings):
        mine = tuple(Region(b.x0, b.y0, b.x1, b.y1) for b in boxes if b.finding == i)
        if mine:
            found.append(Shown(finding.name, _phrases(phantom, study, i), mine))
    return tuple(found)


def _phrases(phantom: Phantom, study: Study, finding: int) -> tuple[str, ...]:
    """Wordings of a finding that name no picture; its bare name where there is none."""
    kept: dict[str, None] = {}
    for seed in range(_SEEDS):
        phrase = phantom.report(study, seed).phrases.get(finding, "")
        if phrase and not _PICTURE.search(phrase) and ":" not in phrase:
            kept.setdefault(phrase[:1].lower() + phrase[1:] if phrase[1:2].islower() else phrase)
        if len(kept) == _KEPT:
            break
    return tuple(kept) or (study.findings[finding].name,)


def panel_of(record: Record, position: int) -> Panel:
    """The panel that a record of the pool holds."""
    told, image = record.provenance["panel"], record.images[0]
    shown = tuple(
        Shown(
            one["name"],
            tuple(one["phrases"]),
            tuple(Region(**box) for box in one["boxes"]),
        )
        for one in told["shown"]
    )
    return Panel(
        record.split,
        position,
        told["kind"],
        image.width,
        image.height,
        told["technique"],
        shown,
        tuple(name for name, value in record.labels.items() if value == 1),
        tuple(name for name, value in record.labels.items() if value == 0),
    )
