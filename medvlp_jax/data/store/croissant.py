"""``croissant.json``: what a folder of records holds, in the vocabulary that data portals read.

Croissant 1.0 of ML Commons (https://docs.mlcommons.org/croissant/docs/croissant-spec.html) is
JSON-LD on top of schema.org: files with their digests, and the fields of a record with where in
the files each one stands. What is not known (licence, citation, date) is left out, never guessed.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.opening import is_regular
from medvlp_jax.data.store.layout import schema
from medvlp_jax.data.store.manifest import write_errors
from medvlp_jax.data.store.metadata import VERSION
from medvlp_jax.data.store.shards import whole_file

CROISSANT = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_TYPES = {
    "str": "sc:Text",
    "bytes": "sc:ImageObject",
    "int": "sc:Integer",
    "float": "sc:Float",
}
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty"),
    *("fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField"),
    *("path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where data come from; what is empty is not known.

    Attributes:
      license: a URL, or the name of the licence.
      citation: how the authors want to be cited.
      url: of the data set's own page.
    """

    license: str = ""
    citation: str = ""
    url: str = ""


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A file of records: its path in the folder, size, digest ("" where nobody took it)."""

    name: str
    bytes: int
    sha256: str
    split: str


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a record; ``source`` says where it stands, as Croissant's property ``source``."""

    name: str
    kind: str  # of medvlp_jax.data.store.layout.schema
    source: Mapping[str, Any]
    repeated: bool = False


@dataclasses.dataclass(frozen=True)
class Format:
    """How a folder holds its records.

    Attributes:
      media_type: of its files.
      pattern: that matches all of them.
      fields: of a record; their sources speak of the file set "files", or of ``inside``.
      inside: more nodes of ``distribution``, e.g. the members of archives.
    """

    media_type: str
    pattern: str
    fields: tuple[Field, ...]
    inside: tuple[Mapping[str, Any], ...] = ()


def column(name: str, path: str = "") -> dict[str, Any]:
    """The source of a field that is a column of the files, or a path into that column."""
    found: dict[str, Any] = {"fileSet": {"@id": "files"}, "extract": {"column": name}}
    return found | ({"transform": {"jsonPath": path}} if path else {})


def examples(suffix: str, turns: bool) -> Format:
    """ArrayRecord (``array_record``) or TFRecord (``tfrecord``) files: features of an Example."""
    fields = []
    for name, kind in schema(turns).items():
        if isinstance(kind, dict):
            pairs = [(f"{name}/{inner}", k) for inner, k in kind.items()]
            fields += [Field(path, k, column(path), repeated=True) for path, k in pairs]
        else:
            fields.append(Field(name, kind, column(name)))
    return Format(f"application/x-{suffix.replace('_', '')}", f"*.{suffix}-*", tuple(fields))


def write(
    directory: str | os.PathLike,
    name: str,
    description: str,
    files: Sequence[StoredFile],
    records: Mapping[str, int],
    layout: Format,
    origin: Origin | None = None,
) -> None:
    """Writes ``croissant.json``; equal folders get equal bytes.

    Args:
      name: of the data set.
      description: one or more sentences about it.
      files: in the order in which their records count.
      records: split -> how many.

    Raises:
      ShardError: the disk is full or not writable.
    """
    path = pathlib.Path(directory) / CROISSANT
    origin = origin or Origin()
    known = {"license": origin.license, "citeAs": origin.citation, "url": origin.url}
    counts = ", ".join(f"{split} {n}" for split, n in records.items())
    whole = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": description or f"The data set {name}: records of medvlp_jax ({counts}).",
        "version": VERSION,
        **{key: value for key, value in known.items() if value},
        "distribution": [*map(_file, files, [layout] * len(files)), _file_set(layout)],
        "recordSet": [_splits(records), *_records(layout.fields, counts)],
    }
    whole["distribution"] += [dict(node) for node in layout.inside]
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    with whole_file(path) as temporary, write_errors(path):
        temporary.write_text(text, encoding="utf-8")


def read_origin(directory: str | os.PathLike) -> Origin:
    """What the ``croissant.json`` of a folder says of its origin; nothing where there is none.

    Raises:
      ValueError: the file is no JSON object.
    """
    path = pathlib.Path(directory) / CROISSANT
    if not is_regular(path):
        return Origin()
    whole = jsonl.parse(path.read_bytes())
    found = (whole.get(key) for key in ("license", "citeAs", "url"))
    return Origin(*(value if isinstance(value, str) else "" for value in found))


def read_description(directory: str | os.PathLike) -> str:
    """The description that the metadata for TFDS or ``croissant.json`` holds; "" without either."""
    for name in ("dataset_info.json", CROISSANT):
        path = pathlib.Path(directory) / name
        if is_regular(path) and (said := jsonl.parse(path.read_bytes()).get("description")):
            return str(said)
    return ""


def _file(file: StoredFile, layout: Format) -> dict[str, Any]:
    node = {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": f"records of split {file.split}",
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": layout.media_type,
    }
    return node | ({"sha256": file.sha256} if file.sha256 else {})


def _file_set(layout: Format) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "files",
        "name": "files",
        "description": "all files of records",
        "includes": layout.pattern,
        "encodingFormat": layout.media_type,
    }


def _splits(records: Mapping[str, int]) -> dict[str, Any]:
    def field(name: str, kind: str) -> dict[str, Any]:
        id = f"splits/{name}"
        return {"@type": "cr:Field", "@id": id, "name": id, "dataType": _TYPES[kind]}

    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "the splits and how many records each has",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [field("name", "str"), field("records", "int")],
        "data": [{"splits/name": split, "splits/records": n} for split, n in records.items()],
    }


def _records(fields: Sequence[Field], counts: str) -> list[dict[str, Any]]:
    """A record set for each set of files: ``records``, and those that hold images alone."""
    groups: dict[str, list[Field]] = {}
    for field in fields:
        groups.setdefault(field.source["fileSet"]["@id"], []).append(field)
    whole = []
    for files, chosen in groups.items():
        main = any(field.name == "id" for field in chosen)
        name = "records" if main else f"records-{files}"
        about = f"one record a study: {counts}" if main else f"the bytes of {files}"
        whole.append(
            {
                "@type": "cr:RecordSet",
                "@id": name,
                "name": name,
                "description": about,
                **({"key": {"@id": f"{name}/id"}} if main else {}),
                "field": [_field(name, field) for field in chosen],
            }
        )
    return sorted(whole, key=lambda node: node["@id"])


def _field(records: str, field: Field) -> dict[str, Any]:
    id = f"{records}/{field.name}"
    node = {"@type": "cr:Field", "@id": id, "name": id, "dataType": _TYPES[field.kind]}
    node |= {"repeated": True} if field.repeated else {}
    return node | {"source": dict(field.source)}
