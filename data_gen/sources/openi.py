"""Indiana University chest X-rays (OpenI): reports as XML, images as PNG or DICOM, MeSH codes.

Layout: ``<root>/**/ecgen-radiology/<n>.xml`` (NLMCXR_reports.tgz) and images anywhere below
``images``: ``CXR1_1_IM-0001-3001.png`` (NLMCXR_png.tgz) or ``1/1_IM-0001-3001.dcm``
(NLMCXR_dcm.tgz). The XML does not say which image is lateral; ``views`` can. The copy on Kaggle has
``indiana_reports.csv`` (uid,MeSH,Problems,image,indication,comparison,findings,impression) and
``indiana_projections.csv`` (uid,filename,projection) instead of the XML.
"""

import dataclasses
import os
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from data_gen.sources.importing.base import (
    ImageFile,
    Item,
    Rejects,
    SourceConfig,
    SourceError,
    patient_split,
)
from data_gen.sources.importing.labels import closed_world
from data_gen.sources.importing.report_text import clean
from data_gen.sources.importing.source import Source
from data_gen.sources.importing.splits import Count, NamedSplit
from data_gen.sources.tables.reader import Table, find, find_or_none
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.data.store.record import Text

#: MeSH or RadLex heading of the manual coding (before the first "/") -> label.
MESH = {
    "cardiomegaly": "cardiomegaly",
    "pleural effusion": "pleural effusion",
    "hydropneumothorax": "pneumothorax",
    "pneumothorax": "pneumothorax",
    "consolidation": "consolidation",
    "pneumonia": "pneumonia",
    "pulmonary atelectasis": "atelectasis",
    "pulmonary edema": "edema",
    "nodule": "nodule",
    "mass": "mass",
    "fractures, bone": "fracture",
    "emphysema": "emphysema",
    "pulmonary emphysema": "emphysema",
    "opacity": "lung opacity",
    "infiltrate": "infiltration",
    "hernia, hiatal": "hernia",
    "medical device": "support devices",
    "implanted medical device": "support devices",
    "catheters, indwelling": "support devices",
    "tube, inserted": "support devices",
}
_NAMES = (*dict.fromkeys(MESH.values()), "no finding")
MAX_REPORT = 1 << 24  # bytes of one XML file
_SECTIONS = ("findings", "impression", "indication")
_VIEW_COLUMNS = (("imageid", "tsne-view"), ("filename", "projection"))
_KAGGLE_REPORTS = ("indiana_reports.csv",)
_KAGGLE_IMAGES = ("indiana_projections.csv",)
_VIEWS = {"pa": "PA", "l": "LATERAL", "lateral": "LATERAL", "frontal": "FRONTAL"}


@dataclasses.dataclass(frozen=True)
class OpenIConfig(SourceConfig):
    """What to take of OpenI.

    Attributes:
      root: folder above ``ecgen-radiology``.
      images: folder above the images; empty if it is ``root``.
      view_table: CSV with the view of each image: columns imageid and tsne-view (torchxrayvision's
        nlmcxr_tsne_pa.csv.gz) or filename and projection (the Kaggle copy's projections).
    """

    name: str = "openi"
    images: str = ""
    view_table: str = ""

    def folders(self) -> tuple[str, ...]:
        """Reports and images may lie apart."""
        return (self.root, self.images or self.root)


def items(config: OpenIConfig, rejects: Rejects) -> Iterator[Item]:
    """One item per report. Every report is another patient; they are divided by hash."""
    root = pathlib.Path(config.root)
    if root.is_dir() and (table := find_or_none(root, _KAGGLE_REPORTS)):
        yield from _kaggle(config, table, rejects)
        return
    reports = sorted(root.glob("**/ecgen-radiology/*.xml"), key=_number)
    if not reports:
        raise SourceError(f"{root} has no ecgen-radiology/*.xml; unpack NLMCXR_reports.tgz there")
    folder = pathlib.Path(config.images or root)
    files = _index(folder)
    views = _views(config, rejects)
    for path in reports:
        rejects.rows += 1
        try:
            tree = _tree(path)
        except SourceError as e:
            rejects.refuse(path.name, "unreadable report", str(e))
            continue
        uid = _attribute(tree, "uId") or f"CXR{path.stem}"
        names = [image.get("id", "") for image in tree.iter("parentImage")]
        if not names:
            rejects.refuse(path.name, "no image", f"report {uid} lists none")
            continue
        images = tuple(
            ImageFile(files.get(name, folder / f"{name}.png"), views.get(_key(name), ""))
            for name in dict.fromkeys(names)
        )
        codes = [(code.text or "").strip() for code in tree.findall(".//MeSH/major")]
        yield Item(
            id=uid,
            where=path.name,
            images=images,
            split=patient_split(uid, config.split_fractions, config.split_seed),
            texts=_texts(tree),
            labels=_labels(codes),
            patient_id=uid,
            provenance={"source": "openi", "mesh": codes},
        )


def _kaggle(config: OpenIConfig, reports: pathlib.Path, rejects: Rejects) -> Iterator[Item]:
    root = pathlib.Path(config.root)
    projections = Table(find(root, _KAGGLE_IMAGES, "table of projections"), config, rejects)
    projections.require(("uid", "filename", "projection"))
    folder = pathlib.Path(config.images or root)
    files = _index(folder)
    images: dict[str, list[ImageFile]] = {}
    for number, row in projections:
        if not (row["uid"] and row["filename"]):
            rejects.add(projections.where(number), "bad row", "uid or filename is empty")
            continue
        view = row["projection"].lower()
        name = re.sub(r"(\.dcm)?\.png$", "", row["filename"])
        path = files.get(f"CXR{row['uid']}_{name}", folder / row["filename"])
        images.setdefault(row["uid"], []).append(ImageFile(path, _VIEWS.get(view, view.upper())))
    table = Table(reports, config, rejects, records=True)
    table.require(("uid", "MeSH", *_SECTIONS))
    for number, row in table:
        uid, where = f"CXR{row['uid']}", table.where(number)
        if row["uid"] not in images:
            rejects.refuse(where, "no image", f"report {uid} lists none")
            continue
        codes = [code.strip() for code in row["MeSH"].split(";")]
        texts = [(section, clean(row[section])) for section in _SECTIONS]
        yield Item(
            id=uid,
            where=where,
            images=tuple(images[row["uid"]]),
            split=patient_split(uid, config.split_fractions, config.split_seed),
            texts=tuple(Text(text, section, "radiologist") for section, text in texts if text),
            labels=_labels(codes),
            patient_id=uid,
            provenance={"source": "openi", "mesh": codes},
        )


def _tree(path: pathlib.Path) -> ElementTree.Element:
    """The XML of a report; entities are left alone, so that none can blow up or read a file."""
    with one_net(path, "download it again", SourceError):
        data = read_bytes(path, MAX_REPORT)
        if b"<!ENTITY" in data:
            raise SourceError(f"{path} defines entities, which no report of OpenI does")
        return ElementTree.fromstring(data)


def _texts(tree: ElementTree.Element) -> tuple[Text, ...]:
    """The sections that are kept; one given twice with different words gives two texts."""
    found: dict[tuple[str, str], None] = {}
    for part in tree.iter("AbstractText"):
        section = part.get("Label", "").strip().lower()
        text = clean("".join(part.itertext()))
        if section in _SECTIONS and text:
            found[section, text] = None
    ordered = sorted(found, key=lambda pair: _SECTIONS.index(pair[0]))
    return tuple(Text(text, section, "radiologist") for section, text in ordered)


def _labels(codes: list[str]) -> dict[str, int]:
    """The coders listed all they found, so what is not listed is negative; uncoded gives {}."""
    headings = [code.split("/")[0].strip().lower() for code in codes if code]
    if "normal" in headings:
        return closed_world(["no finding"], _NAMES)
    headings = [h for h in headings if h != "no indexing" and "image unsatisfactory" not in h]
    if not headings:
        return {}
    return closed_world([MESH[h] for h in headings if h in MESH], _NAMES)


def _attribute(tree: ElementTree.Element, tag: str) -> str:
    element = tree.find(f".//{tag}")
    return "" if element is None else element.get("id", "").strip()


def _number(path: pathlib.Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else 10**9, path.stem)


def _index(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """``{image id as in the XML: path}``; DICOM files lack the leading ``CXR<n>_``."""
    index: dict[str, pathlib.Path] = {}
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if extension.lower() in (".png", ".dcm", ".jpg"):
                stem = stem.removesuffix(".dcm")  # Kaggle: 1_IM-0001-4001.dcm.png
                if not stem.startswith("CXR"):
                    stem = f"CXR{stem.split('_')[0]}_{stem}"
                index.setdefault(stem, pathlib.Path(base, name))
    return index


def _key(image: str) -> str:
    """``CXR1_1_IM-0001-3001``, ``1_IM-0001-3001.dcm.png`` -> ``1_IM-0001-3001``."""
    return re.sub(r"^CXR\d+_|\.dcm|\.png", "", image)


def _views(config: OpenIConfig, rejects: Rejects) -> dict[str, str]:
    if not config.view_table:
        return {}
    table = Table(pathlib.Path(config.view_table), config, rejects)
    known = [pair for pair in _VIEW_COLUMNS if pair[0] in table.columns]
    image, view = known[0] if known else _VIEW_COLUMNS[0]
    table.require((image, view), "config.view_table")
    views = {}
    for _, row in table:
        name = row[view].lower()
        views[_key(row[image])] = _VIEWS.get(name, row[view].upper())
    return views


SPLITS = {"all": NamedSplit("OpenI", "own", {"all": Count(images=7_470)})}
SOURCE = Source(OpenIConfig, items, splits=SPLITS)
