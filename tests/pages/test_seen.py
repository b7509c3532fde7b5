"""The part of the report about what a run was trained on."""

from made_up import seen_lines as lines

from medvlp_jax.pages.seen import seen_section


def test_the_last_line_is_told_and_drawn():
    history = [{"step": 1, "kind": "train", "loss": 1.0}, *lines((10, 20), ("a", "b"))]
    page = seen_section(history)
    assert "first 20 steps" in page
    for words in ("epochs of each source", "texts: caption", "unreadable, replaced", "33.3 %"):
        assert words in page
    assert page.index(">b<") < page.index(">a<") or page.index("400") < page.index("200")
    assert ">ct<" in page
    assert ">400 " in page


def test_many_sources_and_none():
    names = [f"s{i}" for i in range(13)] + ["b"]
    page = seen_section(list(lines((10, 20), names)))
    assert "the most and the least repeated source" in page
    assert all(name in page for name in names)
    assert seen_section([{"step": 1, "kind": "train", "loss": 1.0}]) == ""


def test_one_modality_needs_no_table_of_its_own():
    history = [
        {k: v for k, v in line.items() if "mri" not in k} for line in lines((10, 20), ("a", "b"))
    ]
    assert ">ct<" not in seen_section(history)
