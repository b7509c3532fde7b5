"""Figures in all the forms in which articles have them."""

import pytest

from data_gen.pipelines.pubmed.base import Mark
from medvlp_jax.core.errors import UserError

from .made import article, read

pytest.importorskip("lxml")


def graphic(href, more=""):
    return f'<graphic xlink:href="{href}" {more}/>'


def caption_of(inside):
    (figure,) = read(f"<fig id='f'><caption>{inside}</caption></fig>").figures
    return figure


def stretch(figure, kind):
    return [figure.caption[m.start : m.end] for m in figure.marks if m.kind == kind]


def test_a_whole_figure():
    (figure,) = read(
        '<fig id="F1"><label>Figure 1</label><caption><title>A title</title>\n <p>(<bold>A</bold>)'
        " One&#160;<italic>in vivo </italic>case.</p><p>Two.</p></caption>"
        + graphic("f1")
        + "</fig>"
    ).figures
    assert (figure.id, figure.label, figure.graphics) == ("F1", "Figure 1", ("f1",))
    assert figure.caption == "A title (A) One in vivo case. Two."
    assert stretch(figure, "title") == ["A title"]
    assert stretch(figure, "bold") == ["A"]
    assert stretch(figure, "italic") == ["in vivo"]
    assert stretch(figure, "paragraph") == ["(A) One in vivo case.", "Two."]


def test_lists_keep_their_labels_beside_the_text():
    figure = caption_of(
        "<p>Views:<list><list-item><label>(a)</label><p>Front.</p></list-item>"
        "<list-item><label>(b)</label><p>Back.</p></list-item></list></p>"
    )
    assert figure.caption == "Views: Front. Back."
    assert [m.label for m in figure.marks if m.kind == "list_item"] == ["(a)", "(b)"]
    assert stretch(figure, "list_item") == ["Front.", "Back."]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("alpha-upper", ["A", "B"]),
        ("roman-lower", ["i", "ii"]),
        ("order", ["1", "2"]),
        ("bullet", ["", ""]),
    ],
)
def test_numbered_lists_tell_their_labels(kind, labels):
    items = "<list-item><p>One.</p></list-item><list-item><p>Two.</p></list-item>"
    figure = caption_of(f'<list list-type="{kind}">{items}</list>')
    assert [m.label for m in figure.marks if m.kind == "list_item"] == labels


def test_formulas_are_said_once():
    tex = r"\documentclass{minimal}\begin{document}$$x^2$$\end{document}"
    both = (
        "<alternatives><mml:math><mml:mi>x</mml:mi></mml:math>"
        f"<tex-math>{tex}</tex-math></alternatives>"
    )
    assert caption_of(f"<p>At <inline-formula>{both}</inline-formula>.</p>").caption == "At x."
    alone = f"<inline-formula><tex-math>{tex}</tex-math></inline-formula>"
    assert caption_of(f"<p>At {alone}.</p>").caption == "At x^2."


@pytest.mark.parametrize(
    ("inside", "hrefs"),
    [
        (graphic("a") + graphic("b.tif") + graphic("a"), ("a", "b.tif")),
        ("<alternatives>" + graphic("a.gif") + graphic("a.jpg") + "</alternatives>", ("a.jpg",)),
        ('<media xlink:href="a.jpg"/>', ("a.jpg",)),
        ('<media mimetype="video" xlink:href="a"/><media xlink:href="b.mp4"/>', ()),
        ("<p>" + graphic("in-paragraph") + "</p>", ("in-paragraph",)),
        ("<caption><p><inline-graphic xlink:href='sign'/>x</p></caption>" + graphic("a"), ("a",)),
        ("<graphic/>", ()),
    ],
)
def test_graphics(inside, hrefs):
    assert read(f"<fig id='f'>{inside}</fig>").figures[0].graphics == hrefs


def test_what_is_missing_is_made_up_or_empty():
    found = read("<fig><label>Figure 2</label></fig><fig/><fig id='x'/><fig id='x'/>").figures
    assert [f.id for f in found] == ["figure-2", "fig-at-2", "x", "x-2"]
    assert found[1].caption == found[1].label == ""
    assert found[1].graphics == found[1].marks == ()


def test_a_group_with_one_caption_is_one_figure():
    (figure,) = read(
        "<fig-group id='g'><label>Figure 3</label><caption><p>(a) One. (b) Two.</p></caption>"
        f"<fig id='a'>{graphic('a')}</fig><fig id='b'>{graphic('b')}</fig></fig-group>",
        '<p>See <xref ref-type="fig" rid="b">Fig. 3b</xref>.</p>',
    ).figures
    assert (figure.id, figure.group, figure.graphics) == ("g", "g", ("a", "b"))
    assert figure.mentions[0].letters == ("B",)


def test_members_with_captions_are_figures_of_a_group():
    one, two = read(
        "<fig-group id='g'><label>Figure 3</label><caption><title>Both.</title></caption>"
        "<fig id='a'><caption><p>One.</p></caption></fig>"
        "<fig id='b'><label>3S</label><caption><p>Two.</p></caption></fig></fig-group>",
        '<p>See <xref ref-type="fig" rid="g">Fig. 3</xref>.</p>',
    ).figures
    assert [one.caption, two.caption] == ["Both. One.", "Both. Two."]
    assert [one.label, two.label] == ["Figure 3", "3S"]
    assert one.group == two.group == "g"
    assert len(one.mentions) == len(two.mentions) == 1


def test_letters_of_reviewers_are_left_out():
    data = article("<fig id='f'/>").replace(
        b"</article>", b"<sub-article><body><fig id='r'/></body></sub-article></article>"
    )
    from data_gen.pipelines.pubmed.jats import read_article

    assert [f.id for f in read_article(data, "a.xml").figures] == ["f"]


def test_rights_of_a_single_figure_are_kept():
    (figure,) = read(
        "<fig id='f'><attrib>Courtesy of a museum.</attrib><permissions><copyright-statement>"
        "© A publisher</copyright-statement></permissions></fig>"
    ).figures
    assert figure.rights == "© A publisher Courtesy of a museum."


def test_marks_of_nested_stretches_are_sorted():
    figure = caption_of("<p><bold>Bold <italic>both</italic></bold> plain</p>")
    assert figure.marks == (
        Mark(0, 15, "paragraph"),
        Mark(0, 9, "bold"),
        Mark(5, 9, "italic"),
    )


def test_about_the_article():
    found = read(
        meta='<article-id pub-id-type="pmc">77</article-id><article-id pub-id-type="doi">10.1/x'
        "</article-id><title-group><article-title>On <italic>E. coli</italic></article-title>"
        "</title-group><pub-date><year>2021</year></pub-date><pub-date><year>2020</year></pub-date>"
        "<abstract abstract-type='graphical'><p>G</p></abstract><abstract><p>Text.</p></abstract>"
        "<kwd-group><kwd>brain</kwd><kwd>MRI</kwd></kwd-group>",
        attributes='article-type="case-report"',
        name="PMC77.3.xml",
    )
    assert (found.pmcid, found.version, found.doi) == ("PMC77", 3, "10.1/x")
    assert (found.title, found.year, found.abstract) == ("On E. coli", 2020, "Text.")
    assert found.keywords == ("brain", "MRI")
    assert found.article_type == "case-report"
    assert not found.retracted


@pytest.mark.parametrize(
    ("meta", "attributes", "retracted"),
    [
        ("<title-group><article-title>RETRACTED: On x</article-title></title-group>", "", True),
        ("<title-group><article-title>Retracted tendons</article-title></title-group>", "", False),
        ('<related-article related-article-type="retraction-forward"/>', "", True),
        ('<related-article related-article-type="retracted-article"/>', "", False),
        ("", 'article-type="retracted-article"', True),
        (
            '<related-article related-article-type="retraction"/>',
            'article-type="retraction"',
            False,
        ),
        (
            "<article-categories><subj-group><subject>Retracted Article</subject></subj-group>"
            "</article-categories>",
            "",
            True,
        ),
    ],
)
def test_retraction(meta, attributes, retracted):
    assert read(meta=meta, attributes=attributes).retracted is retracted


def test_a_broken_article_is_named():
    with pytest.raises(UserError, match=r"PMC1\.xml"):
        read("<fig>")
