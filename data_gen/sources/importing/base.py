"""What every importer shares: a study before its images are read, and how it becomes a record.

An importer is a generator of :class:`Item` (cheap: paths, labels and texts from the tables of the
data set). Reading and checking the images comes after (:mod:`.load`), so that it can be cut into
shards, spread over processes and resumed. Whatever cannot be used is a :class:`Reject` that names
file and row.
"""

import codecs
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from data_gen.sources.importing.errors import SourceError
from data_gen.sources.importing.masks import MaskFile, MaskRuns
from data_gen.sources.importing.rejects import Reject, Rejects
from medvlp_jax.core.fields import Count, ExtentOrNone, Fraction, Seed
from medvlp_jax.core.files.opening import read_bytes, shown
from medvlp_jax.data.store.record import SPLIT_PATTERN, Text, Turn

__all__ = ["Reject", "Rejects", "SourceError"]  # beside what is defined here

#: What databases, data frames and spreadsheets write for "nothing", compared in lower case.
NULL_WORDS = (
    *("nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "nat", "#n/a", "#na"),
    *("#value!", "#ref!", "#name?", "#null!", "#div/0!", "-", "--", "?", "\\n"),
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """What all importers can be told.

    Attributes:
      root: folder of the data set.
      name: of the data set in the names of its shards; lower case, digits, underscores.
      max_size: longer side in pixels above which an image is scaled down and encoded again (JPEG
        stays JPEG, all else becomes PNG). 0 keeps every file byte for byte.
      views: keep only images of these views, e.g. ("PA", "AP"); empty keeps all. An image of which
        no more is known than that it is frontal counts as either.
      split_fractions: of the patients, where the data set comes without a split.
      split_seed: another seed gives another split of the patients.
      split_name: a published split of the data set (``data_gen/sources/importing/splits.py``), or
        any name for ``split_lists``; empty takes the data set's own, or divides the patients.
      split_lists: split -> file that lists its images, relative to ``root`` or absolute.
      check_counts: compare the size of each split with what is published. A named split that
        differs is an error; otherwise it is a warning.
      held_out: a file that lists images, relative to ``root``; their patients are left out of split
        "train". For a test set that another release took from this one, as MS-CXR from MIMIC-CXR.
      text_required: reject studies without any text.
      texts_from_labels: a study without a text gets sentences made of its labels (section
        "findings", source "labels").
      limit: take so many studies, 0 for all; to try a config.
      encoding: of all tables and lists, e.g. "cp1252"; empty finds it (see
        ``data_gen/sources/tables/encoding.py``).
      null_words: cells that are empty, whatever their case: in texts, labels, ids, patients and
        paths. Words that ``labels`` of the csv source spell keep their meaning there.
    """

    root: str = ""
    name: str = "dataset"
    max_size: ExtentOrNone = 0
    views: tuple[str, ...] = ()
    split_fractions: dict[str, Fraction] = dataclasses.field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    split_seed: Seed = 0
    split_name: str = ""
    split_lists: dict[str, str] = dataclasses.field(default_factory=dict)
    check_counts: bool = True
    held_out: str = ""
    text_required: bool = False
    texts_from_labels: bool = False
    limit: Count = 0
    encoding: str = ""
    null_words: tuple[str, ...] = NULL_WORDS

    def __post_init__(self) -> None:
        if not self.root:
            raise ValueError("root is empty; set it to the folder of the data set")
        if not _NAME.fullmatch(self.name):
            usable = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_0123456789")[:64]
            raise ValueError(
                f"name {shown(self.name, 80)!r} must be lower-case letters, digits and "
                f"underscores, a letter first, 64 at most; e.g. {usable or 'mine'!r}"
            )
        for key in ("split_fractions", "split_lists"):
            for split in getattr(self, key):
                if not SPLIT_PATTERN.fullmatch(split):
                    raise ValueError(f"{key} has {shown(split, 80)!r}, which is no split name")
        _check_encoding(self.encoding)
        if self.max_size < 0 or self.limit < 0:
            raise ValueError("max_size and limit are 0 or positive")
        total = sum(self.split_fractions.values())
        if abs(total - 1) > 1e-6 or min(self.split_fractions.values(), default=-1) < 0:
            raise ValueError(f"split_fractions {self.split_fractions} must add up to 1")
        if self.split_lists and not self.split_name:
            raise ValueError("split_lists need split_name, the name that results will carry")

    def folders(self) -> tuple[str, ...]:
        """Where files may lie: a path that leads out of all of them is refused.

        Links are followed without asking where to: whoever made the folder put them there.
        """
        return (self.root,)


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image that has not been read.

    ``intensity`` is how 16-bit PNG becomes 8-bit: by the window of its quantiles, as
    :func:`medvlp_jax.data.images.decoding.decode` does, or divided by its largest value ("max").
    """

    path: pathlib.Path
    view: str = ""
    modality: str = "xray"
    intensity: Literal["quantile", "max"] = "quantile"

    @property
    def name(self) -> str:
        """What messages and lists call it; of an image in an archive, with its name there."""
        return str(self.path)

    def read(self) -> bytes:
        """The encoded image; errors as :func:`medvlp_jax.core.files.opening.read_bytes`."""
        return read_bytes(self.path)


@dataclasses.dataclass(frozen=True)
class PixelBox:
    """A box as data sets give it: top-left corner and size in pixels.

    ``frame`` is (width, height) of the image the pixels count on; None is the file's own size.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    phrase: str = ""
    image: int = 0
    frame: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Item:
    """A study as the tables give it.

    ``where`` names file and row, for error messages; ``rows`` is of how many rows it was made.
    ``turns`` is a conversation about the images.
    """

    id: str
    where: str
    images: tuple[ImageFile, ...]
    split: str
    texts: tuple[Text, ...] = ()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    boxes: tuple[PixelBox, ...] = ()
    masks: tuple[MaskFile | MaskRuns, ...] = ()
    patient_id: str = ""
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    report: pathlib.Path | None = None  # a text file that the source's ``read_report`` sections
    rows: int = 1
    # Fingerprints of imports are made of what an item's repr shows; turns are added to it there.
    turns: tuple[Turn, ...] = dataclasses.field(default=(), repr=False)


def _check_encoding(name: str) -> None:
    try:
        "".encode(name or "utf-8")
        codecs.lookup(name or "utf-8")
    except LookupError as e:
        raise ValueError(f"encoding {name!r} is unknown; e.g. utf-8, cp1252, utf-16") from e


def patient_split(patient: str, fractions: dict[str, float], seed: int = 0) -> str:
    """The split of a patient: a hash, so it depends neither on the other patients nor on order."""
    digest = hashlib.sha256(f"{seed}/{patient}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for name, fraction in fractions.items():
        edge += fraction
        if point < edge:
            return name
    return max(fractions, key=lambda name: fractions[name])  # fractions add up to 1 - epsilon


def whole_id(cell: str) -> str:
    """An id of digits; ``"10000033.0"``, as data frames write it, without its point. "" if none."""
    found = re.fullmatch(r"([0-9]+)(\.0+)?", cell)
    return found[1] if found else ""


def wanted_view(view: str, views: Sequence[str]) -> bool:
    """Whether a view is asked for; all are if nothing is. "FRONTAL" is PA or AP, either."""
    wanted = set(views)
    if wanted & {"PA", "AP"}:
        wanted.add("FRONTAL")
    elif "FRONTAL" in wanted:
        wanted |= {"PA", "AP"}
    return not views or view in wanted


def only_images(item: Item, keep: Sequence[ImageFile]) -> Item:
    """The item with some of its images, and with the boxes and masks on these.

    A conversation that refers to another image goes with it: it could not be understood.
    """
    if len(keep) == len(item.images):
        return item
    place = {i: keep.index(image) for i, image in enumerate(item.images) if image in keep}
    return dataclasses.replace(
        item,
        images=tuple(keep),
        boxes=tuple(
            dataclasses.replace(b, image=place[b.image]) for b in item.boxes if b.image in place
        ),
        masks=tuple(
            dataclasses.replace(m, image=place[m.image]) for m in item.masks if m.image in place
        ),
        turns=only_turns(item.turns, place) or (),
    )


def only_turns(turns: Sequence[Turn], place: Mapping[int, int]) -> tuple[Turn, ...] | None:
    """The turns with the new places of their images; None if one that they refer to has none."""
    if any(i not in place for turn in turns for i in turn.images):
        return None
    return tuple(
        dataclasses.replace(turn, images=tuple(place[i] for i in turn.images)) for turn in turns
    )
