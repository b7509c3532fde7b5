"""What a report shows besides results: studies, rejected ones, heat-maps. Plain data."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.record import Record
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.pages.boxes import LabelledBox
from medvlp_jax.pages.pictures import Pixels
from medvlp_jax.pages.studies import Sample


@dataclasses.dataclass(frozen=True)
class Heatmap:
    """A phrase on an image.

    Attributes:
      heat: [s, s] in 0..1, over the whole image.
      boxes: [m, 4] corners as fractions; where the finding is. Empty if the set does not say.
      hit: share of the largest pixels that lie in a box (1 = the peak is inside); NaN without box.
    """

    image: Pixels
    heat: Float[np.ndarray, "s s"]
    phrase: str
    label: str
    boxes: Float[np.ndarray, "m 4"]
    hit: float
    id: str = ""
    set: str = ""


@dataclasses.dataclass(frozen=True)
class Segmented:
    """A film with the true and the predicted regions.

    Attributes:
      truth: bool [s, s, l].
      names: of the l regions.
      predicted: title -> bool [s, s, l].
    """

    image: Pixels
    truth: Bool[np.ndarray, "s s l"]
    names: tuple[str, ...]
    predicted: Mapping[str, Bool[np.ndarray, "s s l"]]
    id: str = ""
    set: str = ""


def sample_of(record: Record, note: str = "") -> Sample:
    """The first image of a record with its boxes, and all its texts."""
    image = record.images[0]
    return Sample(
        image=decode(image.data, image.format),
        texts=tuple((t.section, t.text) for t in record.texts),
        boxes=tuple(
            LabelledBox(b.x0, b.y0, b.x1, b.y1, b.label, b.phrase)
            for b in record.boxes
            if b.image == 0
        ),
        labels=record.labels,
        id=record.id,
        view=image.view,
        note=note,
    )


def heatmaps_of(result: EvalResult) -> list[Heatmap]:
    """The pictures that a ``Grounding`` or ``PhrasePictures`` evaluator kept."""
    a = result.arrays
    if "shown_map" not in a:
        return []
    return [
        Heatmap(
            image=a["shown_image"][i],
            heat=a["shown_map"][i],
            phrase=str(a["shown_phrase"][i]),
            label=str(a["shown_label"][i]),
            boxes=a["shown_boxes"][i][np.isfinite(a["shown_boxes"][i]).all(1)],
            hit=float(a["shown_hit"][i]),
            id=str(a["shown_id"][i]),
            set=result.details.get("pictures_of", result.details["set"]),
        )
        for i in range(len(a["shown_map"]))
    ]


def segmented_of(result: EvalResult) -> list[Segmented]:
    """The pictures that a ``Segmentation`` evaluator kept."""
    a = result.arrays
    if "segmented_image" not in a:
        return []
    titles = {"pretrained": "trained tower", "random": "random start"}
    names = tuple(map(str, a["segmented_names"]))
    return [
        Segmented(
            image=a["segmented_image"][i],
            truth=a["segmented_truth"][i],
            names=names,
            predicted={
                title: a[f"segmented_{key}"][i]
                for key, title in titles.items()
                if f"segmented_{key}" in a
            },
            id=str(a["segmented_id"][i]),
            set=result.details["set"],
        )
        for i in range(len(a["segmented_image"]))
    ]
