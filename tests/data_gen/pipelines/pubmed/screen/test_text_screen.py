"""Screening by text: decoys, word boundaries, denials, sponsors, animals, topics of one's own."""

import json

import pytest
import screened_articles

from data_gen.pipelines.pubmed.base import Article, Figure, Mention, as_json
from data_gen.pipelines.pubmed.jats.article import read_article
from data_gen.pipelines.pubmed.scores.screening import score_kept
from data_gen.pipelines.pubmed.screen.lexicon import open_lexicon
from data_gen.pipelines.pubmed.screen.terms import Terms
from data_gen.pipelines.pubmed.screen.text import Minimum, TextScreen, TextScreenConfig
from medvlp_jax.core.config import parse
from medvlp_jax.core.errors import UserError

NOBODY = frozenset()


@pytest.fixture(scope="module")
def screen():
    return TextScreen(TextScreenConfig())


def found(text, *terms, ignored=(), credits=(), organisations=NOBODY):
    hits = Terms(terms, ignored, credits).find(text, organisations)
    return [(h.term, text[h.start : h.end], h.denied) for h in hits]


def test_terms_stand_at_word_boundaries_in_any_spelling_and_number():
    assert found("Tumours, TUMOR; tumorous", "tumor") == [
        ("tumor", "Tumours", False),
        ("tumor", "TUMOR", False),
    ]
    assert found("Haemorrhages and ischaemia", "hemorrhage", "ischem*") == [
        ("hemorrhage", "Haemorrhages", False),
        ("ischem*", "ischaemia", False),
    ]
    assert found("white-matter lesion", "white matter", "matter", "lesion") == [
        ("white matter", "white-matter", False),
        ("lesion", "lesion", False),
    ]
    assert found("stroma, meningioma and -oma", "*oma") == [
        ("*oma", "stroma", False),
        ("*oma", "meningioma", False),
    ]
    assert found("Alzheimer's and Alzheimers", "alzheimer*")[0][1] == "Alzheimer's"


def test_abbreviations_count_only_as_they_are_written():
    assert [w for _, w, _ in found("CT, a pet, PET, ct and CTs", "CT", "PET")] == [
        "CT",
        "PET",
        "CTs",
    ]


def test_ignored_phrases_denials_sponsors_and_institutions_do_not_count():
    assert found("The brain drain of the brain", "brain", ignored=("brain drain",)) == [
        ("brain", "brain", False)
    ]
    denied = found("There was no tumor. A lesion was seen.", "tumor", "lesion")
    assert denied == [("tumor", "tumor", True), ("lesion", "lesion", False)]
    said = "A brain lesion. We thank the brain bank. The brain healed."
    assert len(found(said, "brain", credits=("we thank",))) == 2
    words = frozenset({"institute", "foundation"})
    for name in ("Institute for Brain Research", "the Brain Foundation", "Brain and Eye Institute"):
        assert found(f"Seen at {name}.", "brain", organisations=words) == []
    assert len(found("Brain tumours at the Institute", "brain", organisations=words)) == 1


def test_no_term_without_a_word():
    for term in ("*", "**", "*a", "-"):
        with pytest.raises(ValueError, match="is no term"):
            Terms([term], (), ())


def article(title, abstract="", caption="", paragraph=""):
    mention = (Mention(paragraph, 0, 1),) if paragraph else ()
    return Article(
        "PMC1",
        title=title,
        abstract=abstract,
        figures=(Figure("f1", "", caption, mentions=mention),),
    )


def test_the_terms_that_decide_are_said_with_the_lexicon_and_its_version(screen):
    verdict = screen.screen(
        article("Glioblastoma of the brain", "MRI of a patient: a brain tumour.", "T2.")
    )
    assert verdict.article.keep
    assert verdict.article.reason == "on topic"
    assert verdict.article.lexicon == "brain_abnormality 1"
    assert ("brain disease", "glioblastoma*", "title", "Glioblastoma") in {
        (h.group, h.term, h.field, h.said) for h in verdict.article.hits
    }
    assert json.loads(json.dumps(as_json(verdict)))["figures"][0]["keep"]


@pytest.mark.parametrize(
    ("title", "abstract", "reason"),
    [
        (
            "Brain drain in surgery",
            "Brain drain of patients with tumours.",
            "too little about brain",
        ),
        (
            "Glioma in mice",
            "Mice with glioma of the brain were treated; MRI.",
            "about other species",
        ),
        (
            "Networks of the brain",
            "MRI of volunteers; brain activity.",
            "too little about abnormal",
        ),
        ("A tumour of the kidney", "No metastasis to the brain. CT.", "too little about brain"),
    ],
)
def test_dropped_articles_say_why_and_drop_their_figures(screen, title, abstract, reason):
    verdict = screen.screen(article(title, abstract, "MRI of the brain."))
    assert not verdict.article.keep
    assert verdict.article.reason.startswith(reason)
    assert [f.reason for f in verdict.figures] == ["article dropped"]


def test_figures_of_charts_are_dropped_unless_their_caption_names_a_picture_too(screen):
    text = "Kaplan-Meier curves of survival."
    assert not screen.figure(Figure("f", caption=text)).keep
    assert screen.figure(Figure("f", caption=f"(A) Axial MRI. (B) {text}")).keep
    silent = screen.figure(Figure("f", caption="Overview."))
    assert (silent.keep, silent.reason) == (True, "caption says nothing")
    off = TextScreen(TextScreenConfig(figures=False))
    assert off.figure(Figure("f", caption=text)).keep


def test_a_field_with_minimum_0_is_not_looked_at():
    one = article("Glioblastoma of the brain: MRI of patients with tumours", "")
    screen = TextScreen(TextScreenConfig(minimum=Minimum(title=0)))
    assert not screen.screen(one).article.keep
    assert TextScreen(TextScreenConfig()).screen(one).article.keep


def test_paragraphs_that_mention_two_figures_count_once():
    mention = Mention("Glioblastoma was seen by MRI in the patient.", 0, 1)
    figures = tuple(Figure(f"f{i}", mentions=(mention,)) for i in range(9))
    one = Article("PMC1", figures=figures)
    assert not TextScreen(TextScreenConfig()).screen(one).article.keep


def test_any_topic_by_a_lexicon_of_ones_own(tmp_path):
    path = tmp_path / "knee.json"
    path.write_text(json.dumps({"groups": {"knee": ["knee", "menisc*", "cruciate ligament"]}}))
    config = parse(TextScreenConfig, {"lexicon": str(path), "minimum": {"abstract": 1, "least": 2}})
    screen = TextScreen(config)
    verdict = screen.screen(article("Meniscal tears", "Tears of the knee.")).article
    assert (verdict.keep, verdict.lexicon) == (True, "knee 0")
    assert not screen.screen(article("Meniscal tears")).article.keep  # one hit is below least
    assert not screen.screen(article("Brain tumours")).article.keep


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"groups": {"a": ["x"]}, "requires": 1}, "'requires' is no key"),
        ({"groups": {"a": ["x"]}, "article": {"require": [["b"]]}}, "'b' is no group"),
        ({"groups": {"a": [3]}}, "must be strings"),
        ({"groups": {"a": ["*"]}}, "is no term"),
        ([], "is an object"),
    ],
)
def test_a_wrong_lexicon_is_one_line_that_names_the_key(tmp_path, tree, said):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(UserError, match=said) as error:
        open_lexicon(str(path))
    assert "own.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_lexicon_lists_those_that_there_are():
    with pytest.raises(UserError, match="brain_abnormality"):
        open_lexicon("brian")


@pytest.mark.parametrize("part", sorted(screened_articles.TOPICS))
def test_precision_and_recall_on_articles_with_decoys(screen, part):
    made = screened_articles.articles(200, 1, part)
    verdicts = [screen.screen(one.article) for one in made]
    articles = score_kept([v.article.keep for v in verdicts], [one.wanted for one in made])
    assert articles.precision.value >= 0.95, [made[i].article.title for i in articles.mistaken]
    assert articles.recall.value >= 0.95, [made[i].article.title for i in articles.missed]
    kept = [f.keep for v in verdicts for f in v.figures]
    wanted = [f for one in made for f in one.figures]
    figures = score_kept(kept, wanted)
    assert figures.precision.value >= 0.95
    assert figures.recall.value >= 0.95
    assert articles.precision.low <= articles.precision.value <= articles.precision.high


def test_of_the_real_articles_only_the_one_about_the_skull_base_is_kept(screen, sample_dir):
    folder = sample_dir / "articles"
    files = [*sorted(folder.glob("nxml_only/*.nxml")), *folder.glob("*/manuscript.xml")]
    articles = [read_article(file.read_bytes(), file.name) for file in files]
    kept = [a.title for a in articles if screen.screen(a).article.keep]
    assert len(articles) == 17
    assert [title.split(":")[0] for title in kept] == [
        "Clival Ectopic Pituitary Adenoma Mimicking a Chordoma"
    ]
