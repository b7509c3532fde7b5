"""Damaged tables of every layout: one line or rows that add up, and no other row is touched."""

import gzip
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medvlp_jax.core.errors import UserError

from .table_layouts import LAYOUTS, Layout, lay_out, put, read

OUTCOMES = ("refused", "rows refused", "other", "same")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def _at(rng, size: int) -> int:
    return int(rng.integers(0, max(1, size)))


def _insert(row: bytes, rng, what: bytes) -> bytes:
    place = _at(rng, len(row) + 1)
    return row[:place] + what + row[place:]


def _cell(row: bytes, rng, what: bytes) -> bytes:
    cells = row.split(b",")
    cells[_at(rng, len(cells))] = what
    return b",".join(cells)


def _delete(row: bytes, rng) -> bytes:
    start = _at(rng, len(row))
    return row[:start] + row[start + 1 + _at(rng, 6) :]


def _drop(row: bytes, rng, what: bytes) -> bytes:
    places = [i for i in range(len(row)) if row[i : i + 1] == what]
    if not places:
        return row
    place = places[_at(rng, len(places))]
    return row[:place] + row[place + 1 :]


def _open_cell(row: bytes, rng) -> bytes:
    starts = [0, *(i + 1 for i in range(len(row)) if row[i : i + 1] == b",")]
    place = starts[_at(rng, len(starts))]
    return row[:place] + b'"' + row[place:]


#: What is done to one physical line.
OF_A_LINE = {
    "a quote at the start of a cell": _open_cell,
    "a quote": lambda row, rng: _insert(row, rng, b'"'),
    "two quotes": lambda row, rng: _insert(row, rng, b'""'),
    "a comma": lambda row, rng: _insert(row, rng, b","),
    "a comma at the end": lambda row, rng: row + b",",
    "a comma less": lambda row, rng: _drop(row, rng, b","),
    "a quote less": lambda row, rng: _drop(row, rng, b'"'),
    "NUL": lambda row, rng: _insert(row, rng, b"\0"),
    "a byte of no UTF-8": lambda row, rng: _insert(row, rng, b"\xfe\xff"),
    "a line break": lambda row, rng: _insert(row, rng, b"\n"),
    "a carriage return": lambda row, rng: _insert(row, rng, b"\r"),
    "U+2028": lambda row, rng: _insert(row, rng, "\u2028".encode()),
    "U+0085 and controls": lambda row, rng: _insert(row, rng, "\x85\x0b\x1c\x07".encode()),
    "a null word": lambda row, rng: _cell(row, rng, rng.choice([b"nan", b"NULL", b"<NA>", b"?"])),
    "a number that is none": lambda row, rng: _cell(
        row, rng, rng.choice([b"1e999", b"-inf", b"x"])
    ),
    "a path outside": lambda row, rng: _cell(row, rng, rng.choice([b"../../x.png", b"/dev/zero"])),
    "a long cell": lambda row, rng: _cell(row, rng, b"word " * 40_000),
    "characters less": _delete,
    "the line less": lambda row, rng: b"",
}


def _flip(data: bytes, rng) -> bytes:
    out = bytearray(data)
    for _ in range(1 + _at(rng, 8)):
        out[_at(rng, len(out))] ^= 1 << _at(rng, 8)
    return bytes(out)


def _header(data: bytes, rng, change) -> bytes:
    first, _, rest = data.partition(b"\n")
    return change(first, rng) + b"\n" + rest


#: What is done to a whole file.
OF_A_FILE = {
    "bits turned": _flip,
    "cut short": lambda data, rng: data[: _at(rng, len(data))],
    "gzip, cut short": lambda data, rng: gzip.compress(data)[: -1 - _at(rng, 20)],
    "gzip, bits turned": lambda data, rng: _flip(gzip.compress(data), rng),
    "Latin-1": lambda data, rng: data.decode().encode("latin-1", "replace"),
    "Shift JIS": lambda data, rng: data.decode().encode("shift_jis", "replace") + b"\x8b\xbb,\n",
    "UTF-16, cut short": lambda data, rng: data.decode().encode("utf-16")[: -1 - _at(rng, 9)],
    "a web page": lambda data, rng: b"<!DOCTYPE html><html>log in</html>",
    "a column twice": lambda data, rng: _header(
        data, rng, lambda h, _: h + b"," + h.split(b",")[0]
    ),
    "an odd header": lambda data, rng: _header(data, rng, lambda h, r: _insert(h, r, b'"')),
    "no header": lambda data, rng: data.partition(b"\n")[2],
    "nothing": lambda data, rng: b"",
    "zeros behind it": lambda data, rng: data + b"\0" * 100_000,
}
#: What changes nothing in what is read.
OF_NO_RECORD = {
    "UTF-8 with its mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda data: data.decode().encode("utf-16-be"),
    "Windows-1252": lambda data: data.decode().encode("cp1252"),
    "CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "gzip": gzip.compress,
    "empty lines": lambda data: data.replace(b"\n", b"\n\n") if b'"' not in data else data,
}


def _lines_are_covered(root: Path, name: str, rejects) -> None:
    """Each line that is not empty belongs to a row, counted without the reader."""
    found = rejects.tables.get(name)
    if found is None:
        return
    data = (root / name).read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    lines = LINE.findall(data.decode(found.encoding, "replace"))
    full = [line for line in lines if re.search(r'[^\s,;|"]', line)]
    assert len(full) - 1 <= found.lines
    assert found.lines <= len(lines) - 1


def damage(layout: Layout, root: Path, before: dict, seed: int) -> tuple[str, str]:
    """Damages one table and reads the data set; what was done and what came of it."""
    rng = np.random.default_rng(seed)
    name = list(layout.tables)[_at(rng, len(layout.tables))]
    whole = layout.tables[name].encode()
    ways = [*OF_A_LINE, *OF_A_FILE] if layout.cells else [*OF_A_FILE, "a byte of no UTF-8", "NUL"]
    way = ways[seed % len(ways)]
    line = -1
    if way in OF_A_FILE:
        data = OF_A_FILE[way](whole, rng)
    else:
        lines = whole.split(b"\n")
        line = 1 + _at(rng, len(lines) - 2) if len(lines) > 2 else 0
        lines[line] = OF_A_LINE[way](lines[line], rng)
        data = b"\n".join(lines)
    put(root / name, data)
    try:
        after, rejects = read(layout, root)  # counts every row, twice
        _lines_are_covered(root, name, rejects)
    except UserError as error:
        said = str(error)
        return way, "refused" if said and said.isprintable() else f"no line: {said!r}"
    finally:
        put(root / name, whole)
    first = next(iter(layout.tables))
    changed = {id for id in before if after.get(id) != before[id]}
    if line >= 0 and layout.cells and name == first and layout.source != "vindr":
        # A study of several rows, or one that takes up the damaged row's, may change with it; and
        # with VinDr, what one row names is negative in all others.
        assert len(changed) <= 2, f"{way} in line {line} of {name} changed {changed}"
    return way, "rows refused" if rejects.refused else "other" if changed else "same"


def fuzz(folder: Path, count: int, start: int = 0) -> Counter:
    """``count`` damages of each layout."""
    outcomes: Counter = Counter()
    for number, (title, make) in enumerate(LAYOUTS.items()):
        layout, root = make(), folder / title
        lay_out(layout, root)
        before, rejects = read(layout, root)
        assert rejects.rows == layout.rows
        assert not rejects.refused
        for i in range(count):
            try:
                way, outcome = damage(layout, root, before, start + 100_000 * number + i)
            except BaseException as error:
                error.add_note(f"layout {title}, number {i}")
                raise
            outcomes[outcome] += 1
            outcomes[way] += 1
    assert sum(outcomes[o] for o in OUTCOMES) == count * len(LAYOUTS)
    return outcomes


def test_a_few_damages_of_every_layout(tmp_path):
    outcomes = fuzz(tmp_path, 16)
    assert outcomes["refused"] > 10
    assert outcomes["rows refused"] > 30


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_many_damages_of_every_layout(tmp_path):
    outcomes = fuzz(tmp_path, 400, start=1000)
    print(dict(outcomes))
    assert outcomes.total() >= 2 * 2000


@pytest.mark.parametrize("way", OF_NO_RECORD)
def test_other_encodings_and_line_ends_change_no_record(tmp_path, way):
    for title, make in LAYOUTS.items():
        layout, root = make(), tmp_path / title
        if not layout.cells:
            continue
        lay_out(layout, root)
        before, _ = read(layout, root)
        for name, text in layout.tables.items():
            put(root / name, OF_NO_RECORD[way](text.encode()))
        after, rejects = read(layout, root)
        assert after == before, title
        assert not rejects.refused
