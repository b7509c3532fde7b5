"""Rows in are records and rejects; pixels and words are those of the figure."""

import dataclasses
import io

import numpy as np
import PIL.Image
import pytest
from matched_figures import PANELS, letter, matched, picture, split_of

from data_gen.pipelines.pubmed import base
from data_gen.pipelines.pubmed.match import reasons
from data_gen.pipelines.pubmed.match.match import match
from data_gen.pipelines.pubmed.records import build as stage
from data_gen.pipelines.pubmed.records.build import build, build_raw, rows_of
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from data_gen.pipelines.pubmed.records.pixels import (
    as_jpeg,
    as_png,
    crop,
    pixels_of,
    rectangle,
)
from data_gen.pipelines.pubmed.records.texts import mentions, sentence_of
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.record import check_record

PIXELS = picture()
PNG, JPEG = as_png(PIXELS), as_jpeg(PIXELS, 90)


def texts(record, section):
    return [t.text for t in record.texts if t.section == section]


def again(figure, **more):
    changed = dataclasses.replace(figure, **more)
    return dataclasses.replace(changed, pairs=match(changed.separated, changed.split))


def test_a_sub_figure_is_its_panel_at_full_resolution_with_its_own_words():
    built = build(matched(), PNG)
    assert (built.rows, len(built.records), built.rejects) == (3, 3, ())
    first = built.records[0]
    check_record(first)
    image = first.images[0]
    assert (image.format, image.width, image.height) == ("png", 96, 80)
    assert np.array_equal(decode(image.data, "png"), PIXELS[0:80, 0:96])
    assert texts(first, "caption") == ["Axial view."]
    assert texts(first, "preface") == ["Brain MRI."]
    assert texts(first, "suffix") == ["Scale bar, 5 mm."]
    assert texts(first, "report") == ["Brain MRI. Axial view. Scale bar, 5 mm."]
    assert {t.source for t in first.texts} == {"publication"}


def test_a_mention_is_of_the_panels_that_it_names():
    first, second, _ = build(matched(), PNG).records
    assert texts(first, "mention") == ["All of it is in Figure 1."]
    assert texts(second, "mention") == ["Fig. 1B shows its edge.", "All of it is in Figure 1."]
    whole = RecordsConfig(mentions="paragraph")
    second = build(matched(), PNG, whole).records[1]
    assert texts(second, "mention")[0].startswith("The tumour grew. Fig. 1B")
    none = RecordsConfig(mentions="none")
    assert texts(build(matched(), PNG, none).records[1], "mention") == []


@pytest.mark.parametrize(
    ("policy", "want"),
    [("body", "Axial view."), ("preface_body", "Brain MRI. Axial view.")],
)
def test_the_joined_text_follows_the_policy(policy, want):
    first = build(matched(), PNG, RecordsConfig(text=policy)).records[0]
    assert texts(first, "report") == [want]
    assert texts(first, "caption") == ["Axial view."]


def test_provenance_says_where_it_is_from_and_why_it_holds():
    record = build(matched(5, "a.c"), PNG, modalities={1: "mri"}).records[1]
    told = record.provenance
    assert (told["pmcid"], told["version"], told["figure"]) == ("PMC5", 1, "PMC5.1/f1")
    assert told["licence"]["code"] == "CC BY"
    assert told["licence"]["group"] == "commercial"
    assert told["rectangle"] == [104, 0, 200, 80]
    assert (told["figure_size"], told["panel"], told["labels"]) == ([200, 160], 1, ["B"])
    assert (told["status"], told["reason"]) == ("order_match", reasons.BETWEEN)
    assert 0 < told["score"] < 1
    assert told["source_url"] == "https://example.org/f1.png"
    assert told["retrieved"] == "2026-11-30"
    assert record.images[0].modality == "mri"
    assert record.patient_id == "PMC5"
    assert "content_sha256" in told


def test_an_article_is_never_divided_and_the_splits_have_their_shares():
    got = [{r.split for r in build(matched(i), PNG).records} for i in range(60)]
    assert all(len(names) == 1 for names in got)
    share = sum(names == {"train"} for names in got) / len(got)
    assert 0.65 < share < 0.95
    for i in range(20):
        raw = build_raw(matched(i), PNG).records[0]
        assert {raw.split} == got[i]


def test_the_raw_arm_is_the_file_with_the_whole_caption():
    built = build_raw(matched(), JPEG, modality="ct")
    assert built.rows == len(built.records) == 1
    (record,) = built.records
    assert record.images[0].data == JPEG  # not encoded again
    assert record.images[0].modality == "ct"
    assert texts(record, "caption") == [matched().split.text]
    assert record.provenance["rectangle"] == [0, 0, 200, 160]
    assert record.id != build(matched(), JPEG).records[0].id


def test_crops_of_a_jpeg_are_nearly_what_the_jpeg_shows():
    smooth = np.asarray(
        PIL.Image.fromarray(PIXELS).resize((200, 160), PIL.Image.Resampling.BICUBIC)
    )
    source = as_jpeg(smooth, 85)
    shown = decode(source, "jpeg")[0:80, 0:96].astype(float)
    sizes = {}
    for crops in ("as_source", "png"):
        image = build(matched(), source, RecordsConfig(crops=crops)).records[0].images[0]
        sizes[crops] = len(image.data)
        got = decode(image.data, image.format).astype(float)
        error = ((got - shown) ** 2).mean()
        if crops == "png":
            assert (image.format, error) == ("png", 0)
        else:
            assert image.format == "jpeg"
            assert 10 * np.log10(255**2 / error) > 36
    assert sizes["as_source"] < 0.6 * sizes["png"]


def test_gray_crops_of_a_colour_figure_are_stored_gray():
    gray = np.repeat(PIXELS[..., :1], 3, axis=2)
    image = build(matched(), as_png(gray)).records[0].images[0]
    assert decode(image.data, "png").ndim == 2


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_other_formats_become_png(kind):
    buffer = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(buffer, kind)
    record = build_raw(matched(), buffer.getvalue()).records[0]
    assert record.images[0].format == "png"
    check_record(record)


FIGURES = [
    matched(1),
    matched(2, "a.c"),
    matched(3, "...", [("A", "One."), ("B", "Two.")]),
    matched(4, "ab.", [("AB", "Both."), ("CD", "More.")]),
    matched(5, "abE", [("A", "One."), ("B", "Two."), ("C", "Three.")]),
    matched(6, "abc", [("A", ""), ("B", "Two."), ("C", "Three.")]),
    again(matched(7), split=base.SplitCaption("")),
    again(matched(8), split=base.SplitCaption("All of it.")),
    again(matched(9), separated=base.Separated(200, 160, PANELS[:1])),
]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: one.folder)
@pytest.mark.parametrize(
    ("data", "config"),
    [
        (PNG, RecordsConfig()),
        (PNG, RecordsConfig(statuses=("label_match",))),
        (PNG, RecordsConfig(min_score=0.9)),
        (PNG, RecordsConfig(min_side=75)),
        (PNG[:100], RecordsConfig()),
        (as_png(PIXELS[:50]), RecordsConfig()),
    ],
)
def test_rows_in_are_records_and_rejects(figure, data, config):
    built = build(figure, data, config)
    panels = {panel for pair in figure.pairs for panel in pair.panels}
    assert built.rows == rows_of(figure.pairs) >= len(panels)
    assert built.rows == len(built.records) + len(built.rejects)
    for record in built.records:
        check_record(record)
        assert record.provenance["status"] in config.statuses
        assert record.provenance["score"] >= config.min_score
    assert len({r.id for r in built.records}) == len(built.records)
    assert all(row.reasons and row.reasons[0] for row in built.rejects)


def test_why_something_is_no_record():
    def why(figure, data=PNG, config=None):
        return {reason for row in build(figure, data, config).rejects for reason in row.reasons}

    assert why(FIGURES[2]) == {reasons.COUNTS_DIFFER}
    assert why(FIGURES[5]) == {stage.NO_WORDS}
    assert why(matched(), PNG[:90]) == {stage.UNREADABLE}
    assert why(matched(), as_png(PIXELS[:50])) == {stage.OTHER_SIZE}
    assert why(matched(), PNG, RecordsConfig(min_side=100)) == {stage.SMALL}
    weak = again(matched(), separated=base.Separated(200, 160, PANELS, (letter(0, "a"),)))
    assert stage.WEAK in why(weak, PNG, RecordsConfig(min_score=0.9))
    assert why(matched(2, "a.c"), PNG, RecordsConfig(statuses=("label_match",))) == {
        stage.NOT_WANTED
    }
    row = build(FIGURES[3], PNG).rejects[0]
    assert row.as_json()["where"].startswith("PMC4-1_f1_f1_p")


def test_an_image_that_is_a_panel_has_the_words_of_its_part():
    """One of several images of a figure; see ``match/several.py``."""
    pairs = (base.Pair((), 1, "order_match", "why", 0.6),)
    figure = dataclasses.replace(matched(), pairs=pairs)
    built = build(figure, JPEG)
    (record,) = built.records
    assert record.images[0].data == JPEG
    assert texts(record, "caption") == ["Coronal view."]
    assert (record.provenance["labels"], record.provenance["panel"]) == (["B"], -1)
    assert build(figure, JPEG, RecordsConfig(min_score=0.7)).records == ()


def test_a_panel_of_two_parts_has_the_words_of_both():
    figure = matched(1, "abc", [("ABC", "MRI of all."), ("A", "The lesion.")])
    built = build(figure, PNG)
    assert texts(built.records[0], "caption") == ["MRI of all. The lesion."]
    assert texts(built.records[1], "caption") == ["MRI of all."]
    assert built.records[0].provenance["labels"] == ["A", "B", "C"]


def test_separators_at_the_ends_of_a_part_are_no_words():
    figure = matched(1, bodies=[("A", "axial view;"), ("B", "coronal view, and"), ("C", "– x.")])
    said = [texts(r, "caption")[0] for r in build(figure, PNG).records]
    assert said == ["axial view", "coronal view, and", "x."]


def test_rectangles_stay_inside_and_are_never_empty():
    assert rectangle(base.Region(-0.1, -0.1, 1.2, 1.2), 100, 50) == (0, 0, 100, 50)
    assert rectangle(base.Region(1.0, 1.0, 1.0, 1.0), 100, 50) == (99, 49, 100, 50)
    assert crop(PIXELS, (0, 0, 1, 1)).shape[:2] == (1, 1)


def test_what_is_no_picture_is_refused_by_one_line():
    for data in (b"", b"GIF89a", b"II*\0garbage", b"%PDF-1.4", PNG[:40]):
        with pytest.raises(ImageError) as caught:
            pixels_of(data)
        assert "\n" not in str(caught.value)


def test_a_gif_that_claims_too_much_is_refused():
    buffer = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(buffer, "GIF")
    bomb = bytearray(buffer.getvalue())
    bomb[6:10] = b"\xff\xff\xff\xff"  # 65,535 x 65,535
    with pytest.raises(ImageError):
        pixels_of(bytes(bomb))


def test_the_sentence_of_a_reference_is_found_in_a_ragged_paragraph():
    text = "First one.\n  As Fig.\n 2B shows, it grew.   Then it\nshrank (Fig. 2C)."
    for word, want in (("2B", "As Fig. 2B shows, it grew."), ("2C", "Then it shrank (Fig. 2C).")):
        start = text.index(word)
        assert sentence_of(base.Mention(text, start, start + 2)) == want


def test_equal_mentions_are_kept_once():
    one = base.Mention("See Fig. 1.", 4, 10)
    assert list(mentions([one, one], ("A",), RecordsConfig())) == ["See Fig. 1."]


def test_split_fractions_have_to_add_up():
    with pytest.raises(ConfigError, match=r"add up to 0\.9"):
        parse(RecordsConfig, {"split_fractions": {"train": 0.9}})


def test_the_words_of_a_part_are_those_between_its_marks():
    split = split_of([("A", "one  two."), ("B", "three.")])
    figure = again(matched(), split=split, separated=base.Separated(200, 160, PANELS[:2]))
    assert [texts(r, "caption") for r in build(figure, PNG).records] == [["one two."], ["three."]]
