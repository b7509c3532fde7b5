"""JSON Lines: what a line is, broken ones by number, records that know their own digest."""

import pytest

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.files import jsonl


def test_only_a_newline_ends_a_line(tmp_path):
    path = tmp_path / "a.jsonl"
    records = [{"id": "a\u2028b\u0085c\x0bd"}, {"id": "e"}]
    path.write_text(jsonl.dump(records))
    assert jsonl.read(path, "mend it") == records
    path.write_text('{"id": "a\u2028b\u0085"}\n{"id": "e"}\n', encoding="utf-8")  # of others
    assert [r["id"] for r in jsonl.read(path, "mend it")] == ["a\u2028b\u0085", "e"]


def test_a_last_line_that_is_cut_is_none(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n\n{"id": 2')
    assert jsonl.tolerant(path) == ([{"id": 1}], {})
    with pytest.raises(UserError, match=r"line 3.*mend it"):  # of a file that is written whole
        jsonl.read(path, "mend it")
    assert jsonl.resumed(path, "mend it") == [{"id": 1}]
    assert path.read_text() == '{"id": 1}\n\n'


def test_a_last_line_needs_no_newline(tmp_path):
    """Some editors end files without one."""
    path, text = tmp_path / "a.jsonl", '{"id": 1}\n\n{"id": 2}'
    path.write_text(text)
    assert jsonl.read(path, "mend it") == [{"id": 1}, {"id": 2}]
    assert jsonl.tolerant(path) == ([{"id": 1}, {"id": 2}], {})
    assert jsonl.resumed(path, "mend it") == [{"id": 1}, {"id": 2}]
    assert path.read_text() == text + "\n"


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, b'{"a": 1} {"b": 2}']
)
def test_a_broken_line_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1}\n' + line + b'\n{"id": 3}\n')
    records, broken = jsonl.tolerant(path)
    assert (records, list(broken)) == ([{"id": 1}, {"id": 3}], [2])
    with pytest.raises(UserError, match=r"a\.jsonl, line 2, cannot be read .*; mend it") as caught:
        jsonl.read(path, "mend it")
    assert "\n" not in str(caught.value)


def test_every_turned_bit_of_a_sealed_record_is_found():
    record = {"file": "a", "records": 12, "labels": {"edema": [1, 2, 3]}}
    raw = jsonl.line(jsonl.seal(record)).encode()[:-1]
    assert jsonl.unseal(jsonl.parse(raw)) == record
    for bit in range(8 * len(raw)):
        turned = bytearray(raw)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            again = jsonl.unseal(jsonl.parse(bytes(turned)))
        except (ValueError, RecursionError):
            continue
        # The name of the digest itself may be hit: then a key is there that nobody knows.
        assert again == record or "check" not in jsonl.parse(bytes(turned))
        assert again == record or set(again) != set(record)
