"""Parquet: the way back, tables of ``datasets``, and what is wrong with them."""

import dataclasses
import json

import pytest
from every_field import encoded, folder

from data_gen.sources import run_import
from data_gen.sources.importing.base import SourceError
from data_gen.sources.importing.labels import LabelColumns
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.parquet import SOURCE
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.parquet import export_parquet
from medvlp_jax.data.store.record import Text

from .layouts import image_file, run

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def checked(root, **settings):
    records, places, rejects = run(SOURCE, root=root, **settings)
    check_rows(rejects, len(records))
    return records, places, rejects


def test_the_way_back_keeps_every_field(tmp_path):
    wanted = folder(tmp_path / "records")
    export_parquet(tmp_path / "records", tmp_path / "table")
    config = SOURCE.config(root=str(tmp_path / "table"), name="toy")
    report = run_import("parquet", config, tmp_path / "back", progress=False)
    found = {r.id: r for s in report.records for r in open_dataset(tmp_path / "back", s)}
    assert found.keys() == wanted.keys()
    for id, record in wanted.items():
        said = found[id].provenance["split_name"]
        told = dataclasses.replace(record, provenance=record.provenance | {"split_name": said})
        assert found[id] == told
    again = run_import("parquet", config, tmp_path / "back", progress=False)
    assert again.shards_written == 0


def test_a_table_that_datasets_wrote(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "captions": [datasets.Value("string")],
            "label": datasets.ClassLabel(names=["Benign", "Malignant"]),
            "who": datasets.Value("string"),
        }
    )
    rows = {
        "picture": [{"bytes": encoded(i), "path": f"{i}.png"} for i in range(3)],
        "captions": [["One.", "Two."], [], ["Three."]],
        "label": [0, 1, 1],
        "who": ["a", "b", "b"],
    }
    (tmp_path / "data").mkdir()
    made = datasets.Dataset.from_dict(rows, features=features)
    made.to_parquet(str(tmp_path / "data/test-00000-of-00001.parquet"))
    records, rejects, _ = checked(
        tmp_path,
        image="picture",
        texts={"captions": "caption"},
        class_column="label",
        patient="who",
        modality="ultrasound",
    )
    assert rejects == []
    first, second, third = records.values()
    assert first.texts == (Text("One.", "caption"), Text("Two.", "caption"))
    assert (first.labels, third.labels["malignant"]) == ({"benign": 1, "malignant": 0}, 1)
    assert {r.split for r in records.values()} == {"test"}
    assert (second.patient_id, second.texts) == ("b", ())
    assert second.images[0].data == encoded(1)
    assert second.images[0].modality == "ultrasound"


def test_other_kinds_of_images_and_columns(tmp_path):
    image_file(tmp_path / "films/a.png")
    table = pa.table(
        {
            "file": ["films/a.png", "films/gone.png", None],
            "text": ["A._chexpert_B._chexpert_", "x", "y"],
            "Effusion": [1.0, None, 0.0],
            "part": ["dev", "train", "train"],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    records, rejects, _ = checked(
        tmp_path,
        image="file",
        split="part",
        labels=LabelColumns(columns={"Effusion": "pleural effusion"}),
    )
    (record,) = records.values()
    assert [t.text for t in record.texts] == ["A.", "B."]
    assert (record.split, record.labels) == ("validation", {"pleural effusion": 1})
    assert rejects == [("t.parquet row 1", "missing image"), ("t.parquet row 2", "no image")]


def test_whole_numbers_that_pandas_made_fractions_are_classes(tmp_path):
    image_file(tmp_path / "a.png")
    table = pa.table({"file": ["a.png"] * 4, "label": [1.0, None, float("nan"), 0.5]})
    pq.write_table(table, tmp_path / "t.parquet")
    how = {"image": "file", "texts": {}, "class_column": "label"}
    how["classes"] = ("benign", "malignant")
    records, rejects, _ = checked(tmp_path, **how)
    assert [r.labels for r in records.values()] == [{"benign": 0, "malignant": 1}, {}, {}]
    assert rejects == [("t.parquet row 3", "bad row")]


def test_bytes_and_lists_of_images(tmp_path):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    several = [{"bytes": encoded(i), "path": None} for i in range(2)]
    table = pa.table(
        {
            "image": pa.array([several, [], several[:1]], pa.list_(struct)),
            "raw": [encoded(1), b"no image", None],
            "text": ["x", "y", "z"],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    records, rejects, _ = checked(tmp_path)
    assert [len(r.images) for r in records.values()] == [2, 1]
    assert records["t/000000"].images[1].data == encoded(1)
    assert rejects == [("t.parquet row 1", "no image")]
    records, rejects, whole = checked(tmp_path, image="raw")
    assert list(records) == ["t/000000"]
    assert rejects == [(f"t.parquet row {i}", "unreadable image") for i in (1, 2)]
    assert "row group 0 row 1 raw" in whole[0].detail


def test_a_damaged_row_group_costs_its_rows(tmp_path):
    rows = {"image": [encoded(i) for i in range(6)], "text": [f"Text {i}." for i in range(6)]}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(rows), path, row_group_size=2, write_page_checksum=True)
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    records, rejects, whole = checked(tmp_path)
    assert list(records) == [f"t/{i:06d}" for i in (0, 1, 4, 5)]
    assert rejects == [("t.parquet rows 2 to 3", "bad rows")]
    assert whole[0].rows == 2


def test_what_is_wrong_is_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"holds no \*\*/\*\.parquet"):
        checked(tmp_path)
    pq.write_table(pa.table({"image": [encoded(1)], "caption": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"no column 'text' \(config.texts\); it has image, cap"):
        checked(tmp_path)
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(data[:-9])
    with pytest.raises(SourceError, match=r"t\.parquet cannot be read"):
        checked(tmp_path)


def test_origin_is_kept_through_an_export(tmp_path):
    pq.write_table(pa.table({"image": [encoded(1)], "text": ["x"]}), tmp_path / "t.parquet")
    config = SOURCE.config(root=str(tmp_path), license="CC-BY-4.0", citation="A, 2026")
    run_import("parquet", config, tmp_path / "records", progress=False)
    export_parquet(tmp_path / "records", tmp_path / "out")
    told = json.loads((tmp_path / "out/croissant.json").read_text())
    assert (told["license"], told["citeAs"]) == ("CC-BY-4.0", "A, 2026")
