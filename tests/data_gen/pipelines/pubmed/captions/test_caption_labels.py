"""Lists and ranges of panel labels."""

import pytest

from data_gen.pipelines.pubmed.captions.labels import join_ranges, number_in, read_list


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("A", "A"),
        ("A-C", "A B C"),
        ("a–d", "a b c d"),
        ("A−C", "A B C"),
        ("A~C", "A B C"),
        ("A to C", "A B C"),
        ("a, c and d", "a c d"),
        ("A, B, and C", "A B C"),
        ("A & B", "A B"),
        ("A/B", "A B"),
        ("A-C, E", "A B C E"),
        ("A1-A3", "A1 A2 A3"),
        ("A1–3", "A1 A2 A3"),
        ("A1-C1", "A1 B1 C1"),
        ("i-iii", "i ii iii"),
        ("I–IV", "I II III IV"),
        ("H-J", "H I J"),
        ("c-i", "c d e f g h i"),
        ("1-3", "1 2 3"),
        ("A'", "A'"),
        ("Bii", "Bii"),
        ("A, A", "A"),
    ],
)
def test_lists(text, labels):
    assert read_list(text) == tuple(labels.split())


@pytest.mark.parametrize(
    "text", ["", "CT", "C-A", "A-A", "A and the", "arrow", "n = 5", "A-c", "T2w"]
)
def test_no_lists(text):
    assert read_list(text) is None


def test_ranges_over_brackets():
    assert join_ranges(("A",), ("D",)) == ("A", "B", "C", "D")
    assert join_ranges(("A", "C"), ("E", "G")) == ("A", "C", "D", "E", "G")
    assert join_ranges(("D",), ("A",)) is None


def test_numbers_in_families():
    assert number_in("C", "upper") == number_in("c", "lower") == number_in("C2", "upper") == 3
    assert number_in("iv", "roman_lower") == number_in("IV", "roman_upper") == 4
    assert number_in("12", "digit") == 12
    assert number_in("c", "upper") is number_in("A", "digit") is number_in("xyz", "lower") is None
