"""``croissant.json``: valid by the validator of its makers, in every folder, covered by digests."""

import json

import pytest
from every_field import folder

from medvlp_jax.data.store import croissant, parquet, tfrecord, webdataset
from medvlp_jax.data.store.croissant import CROISSANT, Origin
from medvlp_jax.data.store.dataset import finalise, open_dataset, verify
from medvlp_jax.data.store.export import read_lines
from medvlp_jax.data.store.shards import file_sha256

ORIGIN = Origin("https://creativecommons.org/licenses/by/4.0/", "A. Author, 2026", "https://a.org")
#: What is not known of every folder; the specification recommends these.
UNKNOWN = ("citeAs", "datePublished", "license")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("records")
    folder(path)
    finalise(path, "Two kinds of records.", ORIGIN)
    return path


def told(path):
    return json.loads((path / CROISSANT).read_text())


def validated(path):
    """Raises for an error; returns the validator's warnings and its reading of the file."""
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(path / CROISSANT))
    return dataset.metadata.issues.warnings, dataset.metadata


@pytest.fixture(params=["array_record", "tfrecord", "webdataset", "parquet"])
def made(request, source, tmp_path):
    write = {
        "tfrecord": tfrecord.export,
        "webdataset": webdataset.export_webdataset,
        "parquet": parquet.export_parquet,
    }
    if request.param == "array_record":
        return source
    write[request.param](source, tmp_path)
    return tmp_path


def test_every_format_is_valid_and_says_where_it_comes_from(made):
    warnings, metadata = validated(made)
    assert [w for w in warnings if "datePublished" not in w] == []
    assert (metadata.name, metadata.url) == ("toy", ORIGIN.url)
    assert metadata.cite_as == ORIGIN.citation
    assert metadata.license == [ORIGIN.license]
    whole = told(made)
    assert whole["description"] == "Two kinds of records."
    splits, records, *_ = whole["recordSet"]
    assert splits["data"] == [
        {"splits/name": "train", "splits/records": 4},
        {"splits/name": "validation", "splits/records": 1},
    ]
    names = {field["name"] for field in records["field"]}
    assert {"records/id", "records/texts/text", "records/boxes/x0", "records/provenance"} <= names
    files = [node for node in whole["distribution"] if node["@type"] == "cr:FileObject"]
    assert len(files) == 3
    for node in files:
        assert node["sha256"] == file_sha256(made / node["contentUrl"])
        assert node["contentSize"] == f"{(made / node['contentUrl']).stat().st_size} B"


def test_what_is_not_known_is_left_out(tmp_path):
    folder(tmp_path)
    assert not {"license", "citeAs", "url", "datePublished"} & told(tmp_path).keys()
    warnings, _ = validated(tmp_path)
    assert all(any(name in w for name in UNKNOWN) for w in warnings)
    assert croissant.read_origin(tmp_path) == Origin()


def test_it_names_the_columns_that_parquet_has(source, tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    parquet.export_parquet(source, tmp_path)
    columns = set(pyarrow.read_schema(tmp_path / "data/train-00000-of-00002.parquet").names)
    records = told(tmp_path)["recordSet"][1]["field"]
    named = {field["source"]["extract"]["column"] for field in records}
    assert named == columns


def test_a_changed_description_is_found(tmp_path):
    records = folder(tmp_path)
    assert verify(tmp_path) == []
    before = {r.id: r.provenance["content_sha256"] for r in open_dataset(tmp_path, "train")}
    assert before == {i: r.provenance["content_sha256"] for i, r in records.items() if i in before}
    path = tmp_path / CROISSANT
    path.write_text(path.read_text().replace("Two kinds", "One kind"))
    (line,) = verify(tmp_path)
    assert CROISSANT in line


def test_a_folder_without_it_is_whole(tmp_path):
    """Folders of older versions have none, and no digest of one."""
    folder(tmp_path)
    (tmp_path / CROISSANT).unlink()
    digests = tmp_path / "digests.json"
    digests.unlink()
    assert verify(tmp_path) == []
    assert len(open_dataset(tmp_path, "train")) == 4
    assert croissant.read_origin(tmp_path) == Origin()
    webdataset.export_webdataset(tmp_path, tmp_path.parent / "tars")
    assert len(read_lines(tmp_path.parent / "tars")) == 3


def test_equal_folders_get_equal_files(tmp_path):
    for name in ("a", "b"):
        folder(tmp_path / name)
    assert (tmp_path / "a" / CROISSANT).read_bytes() == (tmp_path / "b" / CROISSANT).read_bytes()
