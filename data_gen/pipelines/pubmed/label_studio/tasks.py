"""Matched figures as tasks of Label Studio, what was found as predictions."""

from collections.abc import Iterator, Sequence
from typing import Any

import medvlp_jax
from data_gen.pipelines.pubmed.base import Region
from data_gen.pipelines.pubmed.label_studio import interface as names
from data_gen.pipelines.pubmed.match.matched import MatchedFigure
from data_gen.pipelines.pubmed.match.slots import normal
from data_gen.pipelines.pubmed.match.words import body_text

#: Between the labels of one panel.
JOIN = ", "


def task(figure: MatchedFigure, image: str) -> dict[str, Any]:
    """One task: the figure with its caption, and a prediction of panels, labels and pairs.

    Args:
      image: address of the picture.
    """
    scores = [pair.score for pair in figure.pairs]
    split = figure.split
    parts = [
        f"{JOIN.join(part.labels)}: {body_text(split, i)}" for i, part in enumerate(split.parts)
    ]
    label = figure.figure.label or figure.figure.id
    return {
        "data": {
            names.IMAGE: image,
            "title": f"{figure.folder}, {label}, {figure.graphic}",
            "caption": split.text or "(none)",
            "parts": "\n".join(parts) or "(none)",
            "key": figure.key,
        },
        "predictions": [
            {
                "model_version": f"medvlp_jax {medvlp_jax.__version__} ({figure.separated.method})",
                "score": round(min(scores, default=0.0), 4),
                "result": list(_results(figure)),
            }
        ],
    }


def panel_labels(figure: MatchedFigure) -> list[list[str]]:
    """The caption's labels of every panel, of the parts that it is paired with.

    Of a part with several labels that of the panel, where it was read; else all of them.
    """
    read: dict[int, set[str]] = {}
    for panel, label in figure.separated.labels:
        read.setdefault(panel, set()).add(normal(label.text))
    out: list[list[str]] = [[] for _ in figure.separated.panels]
    for pair in figure.pairs:
        if pair.part < 0 or pair.status == "rejected":
            continue
        every = figure.split.parts[pair.part].labels
        for panel in pair.panels:
            own = [x for x in every if normal(x) in read.get(panel, ())]
            out[panel] += [x for x in own or every if x not in out[panel]]
    return out


def kind_of(figure: MatchedFigure) -> str:
    """What the choice about the figure as a whole says."""
    whole = [pair for pair in figure.pairs if not pair.panels and pair.part < 0]
    if not whole:
        return names.PAIRED
    return names.REJECTED if whole[0].status == "rejected" else names.WHOLE


def _results(figure: MatchedFigure) -> Iterator[dict[str, Any]]:
    found = figure.separated
    size = (found.width, found.height)
    for i, (panel, labels) in enumerate(zip(found.panels, panel_labels(figure), strict=True)):
        yield from _rectangle(f"panel{i}", names.PANEL, panel, JOIN.join(labels), size)
    for i, (panel, label) in enumerate(found.labels):
        box = Region(label.box.x0, label.box.y0, label.box.x1, label.box.y1, label.score)
        yield from _rectangle(f"label{i}", names.LABEL, box, label.text, size)
        yield {
            "type": "relation",
            "from_id": f"label{i}",
            "to_id": f"panel{panel}",
            "direction": "right",
        }
    yield {
        "id": "figure",
        "type": "choices",
        "from_name": names.FIGURE,
        "to_name": names.IMAGE,
        "value": {"choices": [kind_of(figure)]},
    }


def _rectangle(
    name: str, kind: str, box: Region, text: str, size: Sequence[int]
) -> Iterator[dict[str, Any]]:
    place = {
        "x": 100 * box.x0,
        "y": 100 * box.y0,
        "width": 100 * (box.x1 - box.x0),
        "height": 100 * (box.y1 - box.y0),
        "rotation": 0,
    }
    common = {
        "id": name,
        "to_name": names.IMAGE,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
    }
    yield {
        **common,
        "type": "rectanglelabels",
        "from_name": names.KIND,
        "score": box.score,
        "value": {**place, "rectanglelabels": [kind]},
    }
    if text:
        yield {
            **common,
            "type": "textarea",
            "from_name": names.TEXT,
            "value": {**place, "text": [text]},
        }
