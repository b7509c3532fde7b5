"""The 5x200 set of CheXpert: images of the training set that show one of five findings alone.

Huang et al., ICCV 2021. Of the frontal training images, those where exactly one of five findings is
1 and all others of the thirteen (without "No Finding") are 0 or empty; 200 of each. The published
code removes these images from the training set; their patients' other images are removed here too.
"""

from collections.abc import Callable

import numpy as np

from data_gen.sources.importing.base import SourceConfig, SourceError
from data_gen.sources.importing.labels import CHEXPERT, normalise
from data_gen.sources.importing.splits import list_path, read_list
from data_gen.sources.tables.reader import Row, Table

SPLIT = "test_5x200"
PER_FINDING = 200
FINDINGS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
LABELS = tuple(normalise(name) for name in FINDINGS)
_JUDGED = tuple(name for name in CHEXPERT if name != "No Finding")


def choose(
    table: Table, column: str, config: SourceConfig, per_finding: int, key: Callable[[str], str]
) -> dict[str, str]:
    """``{key of image: finding}``, from ``config.split_lists`` or by the recipe with seed 0.

    Raises:
      SourceError: the table holds too few images of a finding, or the list names none.
    """
    alone: dict[str, list[str]] = {name: [] for name in FINDINGS}
    for _, row in table:
        name = only_finding(row)
        if name:
            alone[name].append(key(row[column]))
    if SPLIT in config.split_lists:
        path = list_path(config, SPLIT)
        listed = dict.fromkeys(map(key, read_list(path, config.encoding)))
        findings = {image: name for name, images in alone.items() for image in images}
        chosen = {image: findings[image] for image in listed if image in findings}
        if len(chosen) < len(listed):
            other = next(image for image in listed if image not in findings)
            raise SourceError(
                f"{path}: {len(listed) - len(chosen)} images are not in {table.path} with one "
                f"finding alone, first {other}; check config.split_lists.{SPLIT}"
            )
        return chosen
    chosen = {}
    for name, images in alone.items():
        if len(images) < per_finding:
            raise SourceError(
                f"{table.path} has {len(images)} frontal images of {name} alone, "
                f"5x200 takes {per_finding}; complete it, or set config.per_finding"
            )
        # The generator and the call that pandas' DataFrame.sample(random_state=0) makes.
        order = np.random.RandomState(0).permutation(len(images))
        chosen |= {images[i]: name for i in order[:per_finding]}
    return chosen


def only_finding(row: Row) -> str:
    """The finding that a frontal image shows alone, or ""."""
    if row.get("Frontal/Lateral", "").lower() != "frontal":
        return ""
    try:
        values = {name: float(row[name] or 0) for name in _JUDGED}
    except ValueError:
        return ""
    shown = [name for name, value in values.items() if value]  # uncertain (-1) counts as shown
    alone = len(shown) == 1 and shown[0] in FINDINGS and values[shown[0]] == 1
    return shown[0] if alone else ""
