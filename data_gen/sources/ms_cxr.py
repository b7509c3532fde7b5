"""MS-CXR: phrases with boxes on images of MIMIC-CXR-JPG.

Layout: ``MS_CXR_Local_Alignment_v1.0.0.csv`` (v1.1.0 adds the column split) or the COCO file of the
same name in JSON, a row per box, and ``files/p10/...jpg`` of MIMIC-CXR-JPG. Several boxes may share
one phrase, and one image may have several phrases.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    PixelBox,
    Rejects,
    SourceConfig,
    SourceError,
)
from data_gen.sources.importing.labels import is_number, normalise
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.encoding import has_bad_bytes
from data_gen.sources.tables.reader import Row, Table, find
from medvlp_jax.core.errors import one_net, reason
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.data.store.record import Text

_COLUMNS = ("category_name", "label_text", "path", "x", "y", "w", "h")
_FRAME = ("image_width", "image_height")
_SPLITS = {"val": "validation", "valid": "validation", "validate": "validation"}

SPLITS = {
    "official": NamedSplit(
        "Boecking et al., ECCV 2022, PhysioNet", "own", {"all": Count(phrases=1_162)}
    )
}


@dataclasses.dataclass(frozen=True)
class MsCxrConfig(SourceConfig):
    """What to take of MS-CXR.

    Attributes:
      root: folder of the table.
      images: the folder of MIMIC-CXR-JPG that holds ``files``; empty if it is ``root``.
      table: the CSV or JSON file, relative to ``root``; empty takes the newest CSV, or else JSON.
    """

    name: str = "ms_cxr"
    images: str = ""
    table: str = ""

    def folders(self) -> tuple[str, ...]:
        """The table and the images may lie apart."""
        return (self.root, self.images or self.root)


def items(config: MsCxrConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per image, all of split "test" unless the table says another.

    A phrase is a text (section "phrase") and stands in each of its boxes; its category is positive,
    and categories that are not named are not judged.
    """
    root = pathlib.Path(config.root)
    patterns = (config.table,) if config.table else ("MS_CXR*.csv", "MS_CXR*.json")
    path = find(root, patterns, "MS-CXR table")
    rows = _coco(path, rejects) if path.suffix == ".json" else _table(path, config, rejects)
    folder = pathlib.Path(config.images or root)
    found: dict[str, Item] = {}
    for where, row in rows:
        cells = [row[c] for c in ("x", "y", "w", "h")]
        frame = [row.get(c, "") for c in _FRAME]
        phrase, category = clean(row["label_text"]), normalise(row["category_name"])
        size = (float(frame[0]), float(frame[1])) if all(map(is_number, frame)) else None
        numbers = all(map(is_number, cells)) and min(size or (1,)) > 0
        if not (numbers and phrase and category and row["path"]):
            rejects.refuse(where, "bad row", f"{row['path']}: {','.join(cells)} {phrase!r}")
            continue
        x, y, width, height = map(float, cells)
        box = PixelBox(x, y, width, height, category, phrase, frame=size)
        text = Text(phrase, "phrase", "radiologist", (category,))
        name = pathlib.PurePosixPath(row["path"])
        item = found.get(name.stem)
        if item is None:
            split = row.get("split", "").lower() or "test"
            subject = next((p for p in name.parts if len(p) > 3 and p[0] == "p"), name.stem)
            item = Item(
                id=name.stem,
                where=where,
                images=(ImageFile(folder / name, row.get("view", "")),),
                split=_SPLITS.get(split, split),
                patient_id=subject,
                provenance={
                    "source": "ms-cxr",
                    "study": name.parent.name,
                    "table": path.name,
                    "split_name": "official",
                },
                rows=0,
            )
        found[name.stem] = dataclasses.replace(
            item,
            labels=item.labels | {category: 1},
            boxes=item.boxes if box in item.boxes else (*item.boxes, box),
            texts=item.texts if text in item.texts else (*item.texts, text),
            rows=item.rows + 1,
        )
    yield from found.values()


def _table(path: pathlib.Path, config: MsCxrConfig, rejects: Rejects) -> Iterator[tuple[str, Row]]:
    table = Table(path, config, rejects, records=True)
    table.require(_COLUMNS)
    for number, row in table:
        yield table.where(number), row


def _coco(path: pathlib.Path, rejects: Rejects) -> Iterator[tuple[str, Row]]:
    """The rows of the CSV file, from the JSON file; an annotation that is none is refused."""
    with one_net(path, "it is no COCO file of MS-CXR: download it again", SourceError):
        tree: dict[str, Any] = json.loads(read_bytes(path))
        images = {image["id"]: image for image in tree["images"]}
        names = {category["id"]: category["name"] for category in tree["categories"]}
        annotations = list(tree["annotations"])
    for i, box in enumerate(annotations):
        where = f"{path.name} annotation {i}"
        rejects.rows += 1
        try:
            row = _coco_row(box, images, names)
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            rejects.refuse(where, "bad row", reason(e))
        else:
            yield where, row


def _coco_row(box: dict[str, Any], images: dict[Any, Any], names: dict[Any, Any]) -> Row:
    image = images[box["image_id"]]
    x, y, width, height = map(str, box["bbox"])
    row = {
        "category_name": names[box["category_id"]],
        "label_text": box["label_text"],
        "path": image["path"],
        "x": x,
        "y": y,
        "w": width,
        "h": height,
        "image_width": str(box.get("width", image.get("width", ""))),
        "image_height": str(box.get("height", image.get("height", ""))),
        "split": str(image.get("split", "")),
    }
    for key, value in row.items():
        if not isinstance(value, str) or has_bad_bytes(value) or "\0" in value:
            raise ValueError(f"{key} is {value!r}, no text")
    return row


SOURCE = Source(MsCxrConfig, items, splits=SPLITS)
