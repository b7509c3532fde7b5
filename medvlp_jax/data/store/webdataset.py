"""Records out to WebDataset: tar files whose members belong together by the name before the point.

The record ``train-00000012`` has the members ``.jpg`` (or ``.png``, ``.dcm``: the image's bytes as
they are), ``.1.jpg`` and so on (its further images), ``.txt`` (its first text), ``.json`` (all
fields, see :mod:`.plain`) and ``.mask0.png`` and so on. Loaders of image-text pairs take
``jpg;png`` and ``txt``; :mod:`data_gen.sources.webdataset` reads everything back.
"""

import io
import json
import os
import pathlib
import tarfile
from collections.abc import Iterable, Iterator

from medvlp_jax.data.store import croissant
from medvlp_jax.data.store.croissant import Field, Format
from medvlp_jax.data.store.export import Target, export
from medvlp_jax.data.store.plain import EXTENSIONS, to_plain
from medvlp_jax.data.store.record import Record


def export_webdataset(source: str | os.PathLike, target: str | os.PathLike) -> dict[str, int]:
    """Writes a data folder as ``NAME-SPLIT-000000.tar`` and so on, one for each shard.

    Returns:
      ``{split: records}``.

    Raises:
      ShardError: see :func:`medvlp_jax.data.store.export.export`.
    """
    return export(source, target, Target("webdataset/1", _filename, _write, _layout()))


def members(record: Record, key: str) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the members of one record, in order."""
    for i, image in enumerate(record.images):
        middle = f".{i}" if i else ""
        yield f"{key}{middle}.{EXTENSIONS[image.format]}", image.data
    if record.texts:
        yield f"{key}.txt", record.texts[0].text.encode()
    told = json.dumps(to_plain(record), sort_keys=True, ensure_ascii=False)
    yield f"{key}.json", told.encode()
    for i, mask in enumerate(record.masks):
        yield f"{key}.mask{i}.png", mask.data


def _filename(dataset: str, split: str, index: int, count: int) -> str:
    return f"{dataset}-{split}-{index:06d}.tar"


def _write(path: pathlib.Path, records: Iterable[Record], start: int) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, record in enumerate(records, start):
            for name, data in members(record, f"{record.split}-{number:08d}"):
                info = tarfile.TarInfo(name)  # neither time nor user: equal records, equal bytes
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _layout() -> Format:
    fields = []
    for field in croissant.examples("tar", turns=True).fields:
        name, _, inner = field.name.partition("/")
        if field.kind == "bytes":
            source = {"fileSet": {"@id": name}, "extract": {"fileProperty": "content"}}
        else:
            path = f"$.{name}[*].{inner}" if inner and name != "labels" else f"$.{name}"
            source = {"fileSet": {"@id": "json"}, "extract": {"fileProperty": "content"}}
            source["transform"] = {"jsonPath": path}
        fields.append(Field(field.name, field.kind, source, field.repeated))
    sets = {
        "json": ("application/json", ["*.json"]),
        "images": ("image/*", [f"*.{extension}" for extension in EXTENSIONS.values()]),
        "masks": ("image/png", ["*.mask*.png"]),
    }
    inside = [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "containedIn": {"@id": "files"},
            "encodingFormat": media_type,
            "includes": patterns,
        }
        for name, (media_type, patterns) in sets.items()
    ]
    return Format("application/x-tar", "*.tar", tuple(fields), tuple(inside))
