"""The reader of tables: what it takes, refuses and says, and that one row costs no other."""

import gzip
import os
import zlib

import pytest

from data_gen.sources.importing.base import Rejects, SourceConfig, SourceError
from data_gen.sources.importing.splits import read_list
from data_gen.sources.tables.reader import Table
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.errors import UserError

HEAD = "path,patient,findings,edema\n"
GOOD = "".join(f'a{i}.png,p{i},"Text {i}, ok.",{i % 2}\n' for i in range(3, 9))


def read(tmp_path, data, name="t.csv", records=True, **settings):
    """``({path: row}, rejects)`` of a table."""
    (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    rejects = Rejects()
    config = parse(SourceConfig, {"root": str(tmp_path), **settings})
    table = Table(tmp_path / name, config, rejects, records=records)
    rows = {next(iter(row.values())): row for _, row in table}
    assert rejects.rows == len(rows) + rejects.refused
    return rows, rejects


def refused(rejects):
    return [(r.where, r.kind) for r in rejects]


# Each is one damaged row, with what is said of it; the six rows behind it must stay as they are.
ROWS = {
    'a1.png,p1,"Tube tip 5 cm above carina.,1': "unclosed quote",
    'a1.png,p1,"Tube tip,1\nand more': "unclosed quote",
    '"a1.png,p1,Text.,1': "unclosed quote",
    'a1.png,p1,Text.,"1': "unclosed quote",
    'a1.png,p1,"He said "no" again.",1': "unclosed quote",
    'a1.png,p1,"Text." more,1': "unclosed quote",
    "a1.png,p1,Small effusion, 1,0": "long row",
    "a1.png,p1,Text.,1,": "long row",
    "a1.png,p1,Text.": "short row",
    "a1.png;p1;Text.;1": "short row",
    "a1.png,p1,Te\0xt.,1": "NUL character",
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_damaged_row_costs_itself_alone(tmp_path, row, end):
    text = HEAD + 'a0.png,p0,"First,\nof two lines",1\n' + row + "\n" + GOOD
    rows, rejects = read(tmp_path, text.replace("\n", end))
    good, _ = read(tmp_path, HEAD + GOOD)
    assert {key: rows[key] for key in good} == good
    assert rows.keys() - good.keys() == {"a0.png"}
    assert refused(rejects) == [("t.csv row 3, line 4", ROWS[row])]
    assert rejects[0].as_json()["mend"]


def test_bytes_of_another_encoding_cost_their_row_alone(tmp_path):
    text = HEAD.encode() + "a0.png,p0,Pleuraerguß,1\n".encode()
    text += "a1.png,p1,Señal,0\n".encode("cp1252") + GOOD.encode()
    rows, rejects = read(tmp_path, text)
    assert rows["a0.png"]["findings"] == "Pleuraerguß"
    assert refused(rejects) == [("t.csv row 3", "bad bytes")]
    assert len(rows) == 7


def test_an_unclosed_quote_that_a_later_one_closes_swallows_nothing(tmp_path):
    """The later quote stands before a comma, so that the file is a valid table of fewer rows."""
    text = (
        HEAD
        + 'a1.png,p1,"Open,0\n'
        + "b1.png,q,Fine,1\nb2.png,q,Fine,1\n"
        + 'a9.png,p9,Shut",1\n'
        + GOOD
    )
    rows, rejects = read(tmp_path, text)
    assert rows["a9.png"]["findings"] == 'Shut"'
    assert refused(rejects) == [("t.csv row 2", "unclosed quote")]
    assert not any(",q," in row["findings"] for row in rows.values())


def test_reports_of_many_lines_are_taken_whole(tmp_path):
    report = "FINDINGS:\nHeart, lungs, 3, normal\n\n IMPRESSION: a, b, c, 4\nsee image 2"
    text = HEAD + "".join(f'a{i}.png,p{i},"{report}",1\n' for i in range(50))
    rows, rejects = read(tmp_path, text)
    assert len(rows) == 50
    assert {row["findings"] for row in rows.values()} == {report}
    assert "50 of 50 rows of t.csv span several lines" in rejects.notes
    assert not rejects


@pytest.mark.parametrize("ids", ["img{}.png", "s{:05d}", "{}", "a/b_{}"])
@pytest.mark.parametrize(
    "report",
    [
        "FINDINGS: the heart, lungs.\n\nIMPRESSION: none, really.\n",
        "1,5 cm nodule\n2,5 cm mass",
        "x,1",
    ],
)
def test_lines_of_reports_with_the_width_of_a_row_are_no_rows(tmp_path, ids, report):
    text = "id,text\n" + "".join(f'{ids.format(i)},"{report * 5}"\n' for i in range(300))
    rows, rejects = read(tmp_path, text)
    assert len(rows) == 300
    assert not rejects
    text += f'{ids.format(300)},"open\n' + "".join(f"{ids.format(i)},ok\n" for i in range(301, 320))
    rows, rejects = read(tmp_path, text)
    if ids != "{}":  # a number alone may begin a line of a report
        assert (len(rows), len(rejects)) == (319, 1)
    else:
        assert len(rows) + len(rejects) >= 319


TEXT = HEAD + "a0.png,p0,Kein Pleuraerguß – Größe normal,1\n"


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_found_and_said(tmp_path, encoding, found):
    rows, rejects = read(tmp_path, TEXT.encode(encoding))
    assert rows["a0.png"]["findings"] == "Kein Pleuraerguß – Größe normal"
    assert rejects.tables["t.csv"].encoding == found
    assert any("is read as" in note for note in rejects.notes) == (not found.startswith("utf-8"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Выпот в плевральной полости", "cp1251"),
        ("右侧胸腔积液", "gb18030"),
        ("胸水あり", "shift_jis"),
        ("Płuca bez zmian", "cp1250"),
        ("πνευμονία", "cp1253"),
    ],
)
def test_encodings_that_cannot_be_told_are_asked_for(tmp_path, text, encoding):
    data = (HEAD + f"a0.png,p0,{text},1\n").encode(encoding)
    with pytest.raises(SourceError, match=r"is not UTF-8.*set config\.encoding"):
        read(tmp_path, data)
    rows, _ = read(tmp_path, data, encoding=encoding)
    assert rows["a0.png"]["findings"] == text


def test_an_unknown_encoding_is_a_wrong_config(tmp_path):
    for name in ("utf-9", "base64", "rot13"):
        with pytest.raises(ConfigError, match=r"encoding .* is unknown"):
            read(tmp_path, TEXT, encoding=name)


WORDS = ["", "nan", "NaN", "None", "NULL", "null", "N/A", "NA", "<NA>", "-", "?", " nan ", "#N/A"]


@pytest.mark.parametrize("word", WORDS)
def test_null_words_are_empty_cells(tmp_path, word):
    rows, _ = read(tmp_path, HEAD + f"a0.png,{word},{word},{word}\n")
    assert list(rows["a0.png"].values()) == ["a0.png", "", "", ""]


def test_null_words_can_be_set(tmp_path):
    rows, _ = read(tmp_path, HEAD + "a0.png,None,n.a.,1\n", null_words=["n.a."])
    assert (rows["a0.png"]["patient"], rows["a0.png"]["findings"]) == ("None", "")


@pytest.mark.parametrize("cut", [";", "\t", "|"])
def test_delimiters_are_found_and_said(tmp_path, cut):
    rows, rejects = read(tmp_path, f"path{cut}text\na.png{cut}Effusion, small\n")
    assert rows["a.png"] == {"path": "a.png", "text": "Effusion, small"}
    assert f"t.csv is cut at {cut!r}" in rejects.notes


def _flipped(data):
    packed = bytearray(gzip.compress(data.encode() * 50))
    packed[len(packed) // 2] ^= 255
    return bytes(packed)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("path,edema,edema\na.png,1,0\n", "'edema' twice (columns 2 and 3); rename or delete one"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        (",,,\n1,2,3\n", "is empty"),
        ("<!DOCTYPE html>\n<html>log in</html>", "is a web page"),
        ('{"error": "expired"}', "is a web page or JSON"),
        (b"PK\x03\x04" + b"\0" * 99, "an Excel workbook"),
        (b"PAR1" + b"\0" * 99, "a Parquet file"),
        (b"\0" * 9999, "is binary"),
        ('path,"text\na.png,b\n', "a quote of the header is not closed"),
        (_flipped(HEAD + GOOD), "download it again"),
        (gzip.compress((HEAD + GOOD).encode())[:-9], "download it again"),
        (gzip.compress(b"<html>log in</html>", mtime=0), "is a web page"),
        (b"\x1f\x8b not gzip at all", "download it again"),
        (zlib.compress(HEAD.encode() * 99), "not UTF-8|binary|NUL|no text"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_what_is_no_table_is_one_line(tmp_path, data, said, name):
    with pytest.raises(UserError) as caught:
        read(tmp_path, data, name)
    assert any(word in str(caught.value) for word in said.split("|")), str(caught.value)
    assert "\n" not in str(caught.value)


def test_compression_is_told_by_the_bytes(tmp_path):
    plain, rejects = read(tmp_path, HEAD + GOOD, "t.csv.gz")
    assert "t.csv.gz is not compressed, unlike its name says" in rejects.notes
    packed, rejects = read(tmp_path, gzip.compress((HEAD + GOOD).encode()), "t.csv")
    assert "t.csv is compressed, unlike its name says" in rejects.notes
    assert plain == packed
    assert len(plain) == 6


def test_long_cells_and_many_lines(tmp_path):
    long = "word " * 60_000
    rows, _ = read(tmp_path, HEAD + f'a0.png,p0,"{long}",1\n' + GOOD)
    assert rows["a0.png"]["findings"] == long.strip()
    assert len(rows) == 7


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "sparse"])
def test_special_files_are_named_in_bounded_time(tmp_path, kind):
    path = tmp_path / "t.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text(HEAD + GOOD)
        os.truncate(path, 50 * 2**30)
    config = SourceConfig(root=str(tmp_path))
    with pytest.raises(UserError, match=r"t\.csv .*(pipe|device|folder|more than|binary)"):
        list(Table(path, config, Rejects()))


def test_columns_that_a_flag_cannot_spell(tmp_path):
    (tmp_path / "t.csv").write_text("path,Report text,a/b,a b,1st\nx.png,T,1,2,3\n")
    rejects = Rejects()
    table = Table(tmp_path / "t.csv", SourceConfig(root=str(tmp_path)), rejects)
    table.require(("Report_text", "_1st"), "config.texts")
    ((_, row),) = table
    assert (row["Report_text"], row["_1st"]) == ("T", "3")
    assert "config.texts 'Report_text' is 'Report text' of t.csv" in rejects.notes
    with pytest.raises(SourceError, match="no column 'a_b'"):  # two columns could be meant
        table.require(("a_b",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "text",
    ["niño.png\nb c.png\n", "id;x\nniño.png;1\nb c.png;2\n", 'path\n"niño.png"\n"b c.png"'],
)
def test_lists_of_ids(tmp_path, encoding, text):
    name = "l.txt" if text.startswith("niño") else "l.csv"
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read_list(tmp_path / name)[0] == "niño.png"
    assert len(read_list(tmp_path / name)) == 2


def test_lists_that_cannot_be_read_name_their_line(tmp_path):
    cases = [
        (b'id,x\na,1\n"b,2\nc,3\n', "line 3"),
        (b"id,x\n\na,1\n", ""),
        (b"a.png\n\0\n", "line 2"),
    ]
    for data, said in cases:
        (tmp_path / "l.csv").write_bytes(data)
        if said:
            with pytest.raises(SourceError, match=said):
                read_list(tmp_path / "l.csv")
        else:
            assert read_list(tmp_path / "l.csv") == ["a"]
