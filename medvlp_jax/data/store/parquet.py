"""Records out to Parquet, in the layout of the Hugging Face ``datasets`` library.

``data/SPLIT-00000-of-00004.parquet`` has a row for each record. ``image`` is the first image,
``{bytes, path}``, which ``datasets`` decodes; ``more_images`` the others; ``text`` the first text;
all other columns have the names and fields of the record. :mod:`data_gen.sources.parquet` reads
everything back.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.croissant import Field, Format, column
from medvlp_jax.data.store.export import Target, export, formats_of
from medvlp_jax.data.store.layout import schema as record_schema
from medvlp_jax.data.store.plain import EXTENSIONS, LAYOUT, MARK, to_plain
from medvlp_jax.data.store.record import Record

#: Rows that are read at once: a reader of one image reads its row group.
ROW_GROUP = 100
#: Fields of ``images`` and ``masks`` that hold bytes, which stand in columns of their own.
_BYTES = "data"


def library() -> Any:
    """``pyarrow``.

    Raises:
      UserError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError(
            "Parquet needs pyarrow: EXTRAS=parquet bash launch/setup.sh installs it"
        ) from error
    return pyarrow


def export_parquet(source: str | os.PathLike, target: str | os.PathLike) -> dict[str, int]:
    """Writes a data folder as ``data/SPLIT-00000-of-00004.parquet`` and so on.

    ``datasets`` decodes images with Pillow, which knows no DICOM: where a record has any, the
    feature says so and the column comes as bytes.

    Returns:
      ``{split: records}``.

    Raises:
      UserError: pyarrow is not installed.
      ShardError: see :func:`medvlp_jax.data.store.export.export`.
    """
    library()
    decode = not formats_of(source, ("dicom",))
    schema = arrow_schema(decode)

    def write(path: pathlib.Path, records: Iterable[Record], start: int) -> None:
        _write(path, records, schema)

    return export(source, target, Target(f"parquet/1/{decode}", _filename, write, _layout()))


def row(record: Record) -> dict[str, Any]:
    """A record as the values of the columns."""
    told = to_plain(record)
    del told[MARK]
    images = [
        {"bytes": image.data, "path": f"image{i}.{EXTENSIONS[image.format]}"}
        for i, image in enumerate(record.images)
    ]
    masks = [{"bytes": m.data, "path": f"mask{i}.png"} for i, m in enumerate(record.masks)]
    return {
        **told,
        "image": images[0] if images else None,
        "more_images": images[1:],
        "text": record.texts[0].text if record.texts else None,
        "mask_images": masks,
        "labels": [{"name": k, "value": v} for k, v in sorted(record.labels.items())],
        "provenance": json.dumps(record.provenance, sort_keys=True, ensure_ascii=False),
    }


def arrow_schema(decode: bool = True) -> Any:
    """The schema of the files, with the features that ``datasets`` reads from its metadata."""
    pa = library()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    feature = {"_type": "Image"} | ({} if decode else {"decode": False})
    mask = {"_type": "Image"}
    columns: dict[str, tuple[Any, Any]] = {
        "id": _column(pa, "str"),
        "image": (image, feature),
        "text": _column(pa, "str"),
        "more_images": (pa.list_(image), [feature]),
        "mask_images": (pa.list_(image), [mask]),
    }
    for name, kind in record_schema(turns=True).items():
        if name in columns:
            continue
        if isinstance(kind, dict):
            inner = {k: _column(pa, _kind(name, k, v)) for k, v in kind.items() if k != _BYTES}
            struct = pa.struct([(k, arrow) for k, (arrow, _) in inner.items()])
            columns[name] = (pa.list_(struct), [{k: hf for k, (_, hf) in inner.items()}])
        else:
            columns[name] = _column(pa, kind)
    features = {name: hf for name, (_, hf) in columns.items()}
    metadata = {
        "huggingface": json.dumps({"info": {"features": features}}),
        MARK: str(LAYOUT),
    }
    return pa.schema([(name, arrow) for name, (arrow, _) in columns.items()], metadata)


def _kind(name: str, field: str, kind: str) -> str:
    """Lists of a record that an Example holds as one string are lists here."""
    return {"texts/labels": "strs", "turns/images": "ints"}.get(f"{name}/{field}", kind)


def _column(pa: Any, kind: str) -> tuple[Any, Any]:
    """Arrow type and feature."""
    types = {"str": (pa.string(), "string"), "int": (pa.int64(), "int64")}
    types["float"] = (pa.float32(), "float32")
    arrow, name = types[kind.removesuffix("s")]
    value = {"dtype": name, "_type": "Value"}
    return (pa.list_(arrow), [value]) if kind.endswith("s") else (arrow, value)


def _filename(dataset: str, split: str, index: int, count: int) -> str:
    return f"data/{split}-{index:05d}-of-{count:05d}.parquet"


def _write(path: pathlib.Path, records: Iterable[Record], schema: Any) -> None:
    pa = library()
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for rows in _groups(map(row, records)):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(islice(rows, ROW_GROUP)):
        yield group


def _layout() -> Format:
    fields = [
        Field("image", "bytes", column("image", "bytes")),
        Field("more_images", "bytes", column("more_images", "[*].bytes"), repeated=True),
        Field("mask_images", "bytes", column("mask_images", "[*].bytes"), repeated=True),
        Field("text", "str", column("text")),
    ]
    for name, kind in record_schema(turns=True).items():
        if isinstance(kind, dict):
            inner = {k: v for k, v in kind.items() if k != _BYTES}
            fields += [
                Field(f"{name}/{k}", v, column(name, f"[*].{k}"), repeated=True)
                for k, v in inner.items()
            ]
        else:
            fields.append(Field(name, kind, column(name)))
    return Format("application/x-parquet", "data/*.parquet", tuple(fields))
