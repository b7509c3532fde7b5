"""Synthetic articles: a pure function, JATS that reads back to the truth, boxes where ink is."""

import dataclasses
import math

import numpy as np
import pytest

from data_gen.pipelines.pubmed.base import as_json, from_json
from data_gen.pipelines.pubmed.jats.article import read_article
from data_gen.pipelines.pubmed.synthetic import library as library_module
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig
from data_gen.pipelines.pubmed.synthetic.layout import choose
from data_gen.pipelines.pubmed.synthetic.lettering import box_of
from data_gen.pipelines.pubmed.synthetic.library import SyntheticLibrary
from data_gen.pipelines.pubmed.synthetic.markup import jats
from data_gen.pipelines.pubmed.synthetic.plan import plan_article, pmcid_of
from data_gen.pipelines.pubmed.synthetic.render import render
from data_gen.pipelines.pubmed.synthetic.truth import ArticleTruth

from .made_up_pool import SPLITS, MadeUpPool, drawer

CONFIG = SyntheticConfig(articles=80)


@pytest.fixture(scope="module")
def plans():
    hands_out = drawer(CONFIG)
    return [plan_article(CONFIG, hands_out, i) for i in range(CONFIG.total)]


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setattr(library_module, "Pool", lambda _: MadeUpPool())

    def make(config=CONFIG):
        return SyntheticLibrary(config, "nowhere", lambda pmcid: SPLITS[int(pmcid[3:]) % 3])

    return make


def test_an_article_is_a_function_of_seed_and_index(plans):
    assert plan_article(CONFIG, drawer(CONFIG), 17) == plans[17]
    other = dataclasses.replace(CONFIG, seed=1)
    assert plan_article(other, drawer(other), 17) != plans[17]
    larger = dataclasses.replace(CONFIG, articles=200)
    assert plan_article(larger, drawer(larger), 17) == plans[17]


def test_the_truth_goes_to_json_and_back(plans):
    for plan in plans[:10]:
        assert from_json(ArticleTruth, as_json(plan.truth)) == plan.truth


def test_jats_reads_back_to_the_truth(plans):
    forms = set()
    for plan in plans[:40]:
        truth = plan.truth
        article = read_article(jats(plan, truth.version), f"{plan.pmcid}.{truth.version}.xml")
        assert (article.pmcid, article.version) == (truth.pmcid, truth.version)
        assert len(article.figures) == len(truth.figures)
        for figure, wanted in zip(article.figures, truth.figures, strict=True):
            assert figure.caption == wanted.caption.text
            assert figure.label == wanted.label
            assert [m.letters for m in figure.mentions] == [m.letters for m in wanted.mentions]
            assert [m.text for m in figure.mentions] == [m.text for m in wanted.mentions]
        forms.add(plan.licence_form)
        if plan.licence_form in ("address", "prose", "statement") and plan.licence_code != "TDM":
            assert article.licence.code == plan.licence_code
    assert forms == {"address", "prose", "statement", "none"}


def test_panels_lie_in_the_figure_and_apart(plans):
    for figure in (f for plan in plans for f in plan.figures):
        boxes = figure.layout.boxes
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= figure.layout.width
            assert 0 <= y0 < y1 <= figure.layout.height
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                wide = min(a[2], b[2]) - max(a[0], b[0])
                high = min(a[3], b[3]) - max(a[1], b[1])
                assert min(wide, high) <= 1, "panels overlap"


def test_a_layout_keeps_every_aspect():
    rng = np.random.default_rng(0)
    for _ in range(60):
        aspects = rng.uniform(0.6, 1.8, int(rng.integers(1, 10))).tolist()
        layout, _ = choose(rng, aspects, 900, 0)
        for (x0, y0, x1, y1), aspect in zip(layout.boxes, aspects, strict=True):
            assert math.isclose((x1 - x0) / (y1 - y0), aspect, rel_tol=0.12, abs_tol=0.05)


def test_boxes_of_findings_are_those_of_the_panels(plans):
    seen = 0
    for truth in (f for plan in plans for f in plan.truth.figures):
        for one in truth.findings:
            panel = truth.panels[one.panel].box
            wide = panel.x1 - panel.x0
            assert one.box.x0 == pytest.approx(panel.x0 + one.within.x0 * wide, abs=1e-5)
            seen += 1
    assert seen > 50


def test_labels_captions_and_pairs_name_the_same_panels(plans):
    exchanged, unlabelled = 0, 0
    for figure in (f for plan in plans for f in plan.figures):
        truth = figure.truth
        for pair in truth.pairs:
            if pair.part < 0:
                assert not any(panel.name for panel in truth.panels)
                continue
            labels = truth.caption.parts[pair.part].labels
            assert {truth.panels[p].name for p in pair.panels} == set(labels)
            printed = [label.text for p in pair.panels for label in truth.panels[p].labels]
            assert {text.upper() for text in printed} <= set(labels)
            assert pair.status == ("label_match" if printed else "order_match")
            unlabelled += not printed
        exchanged += truth.swapped
        assert truth.swapped == any(panel.exchanged for panel in truth.panels)
    assert exchanged >= 3
    assert unlabelled >= 3


def test_ink_of_labels_is_where_the_truth_says(plans):
    pool, checked = MadeUpPool(), 0
    for figure in (f for plan in plans for f in plan.figures):
        if not any(figure.printed) or figure.lettering.plate or checked == 12:
            continue
        plain = dataclasses.replace(figure, printed=("",) * len(figure.printed))
        changed = (render(figure, pool) != render(plain, pool)).any(-1)
        for text, panel in zip(figure.printed, figure.layout.boxes, strict=True):
            x0, y0, x1, y1 = box_of(text, figure.lettering, panel)
            inside = changed[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2]
            assert inside.any(), text
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            assert rows[-1] - rows[0] + 1 >= 0.7 * (y1 - y0)
            assert columns[-1] - columns[0] + 1 >= 0.6 * (x1 - x0)
            changed[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3] = False
        assert not changed.any(), "ink outside of the boxes"
        checked += 1
    assert checked == 12


def test_a_library_serves_versions_files_and_their_truth(library):
    books = library()
    assert len(set(books.ids())) == CONFIG.articles
    kinds = set()
    for pmcid in books.ids():
        article, truth = books.article(pmcid), books.truth(pmcid)
        chosen = [v for v in article.versions if v.version == truth.version]
        assert len(chosen) == 1
        assert chosen[0].fields["is_manuscript"] is False
        assert set(chosen[0].media) == {figure.graphic for figure in truth.figures}
        kinds.add((len(article.versions), article.versions[-1].fields["is_manuscript"]))
    assert kinds == {(1, False), (2, False), (2, True)}
    name, data = next(iter(article.versions[0].media.items()))
    assert data == library().article(pmcid).versions[0].media[name]
    assert data[:2] in (b"\xff\xd8", b"\x89P")
    for strange in ("PMC1", pmcid_of(CONFIG.articles), "PMCx"):
        with pytest.raises(KeyError):
            books.article(strange)


def test_a_later_edition_adds_retracts_and_relicenses(library):
    config = dataclasses.replace(CONFIG, articles=200)
    first, second = library(config), library(dataclasses.replace(config, edition=1))
    assert second.ids()[:200] == first.ids()
    assert len(second.ids()) == 210
    before = [first.truth(pmcid) for pmcid in first.ids()]
    after = [second.truth(pmcid) for pmcid in first.ids()]
    assert sum(a.retracted for a in after) > sum(b.retracted for b in before)
    assert sum(b.licence != a.licence for b, a in zip(before, after, strict=True)) >= 1
    same = [(a.figures, b.figures) for a, b in zip(after, before, strict=True)]
    assert all(a == b for a, b in same)
