"""Composites: their truth, their layouts, the job that makes records of them."""

import json

import numpy as np
import pytest
from small_pictures import small_pool

from data_gen.phantom.job import SplitCounts
from data_gen.pipelines.pubmed.compose import job as compose_job
from data_gen.pipelines.pubmed.compose.config import CompositesConfig
from data_gen.pipelines.pubmed.compose.figure import Sizes, compose
from data_gen.pipelines.pubmed.compose.layouts import (
    draw_layout,
    is_held_out,
    place_real,
    read_layouts,
)
from data_gen.pipelines.pubmed.compose.lettering import series
from data_gen.pipelines.pubmed.compose.letters import draw_scene
from data_gen.pipelines.pubmed.compose.pool import load_pool, save_pool
from data_gen.pipelines.pubmed.figures.glyphs import SIDE
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.dataset import open_dataset

SIZES = Sizes((300, 500))


def composite(seed, real=()):
    return compose(np.random.default_rng(seed), small_pool(), SIZES, real)


def test_series():
    assert series("upper", [0, 0, 1]) == ["A", "B", "C"]
    assert series("roman", [0] * 4) == ["i", "ii", "iii", "iv"]
    assert series("A1", [0, 0, 1, 1]) == ["A1", "A2", "B1", "B2"]


def test_a_figure_is_a_function_of_its_seed_and_its_truth_lies_within_it():
    for seed in range(12):
        figure, again = composite(seed), composite(seed)
        assert np.array_equal(figure.pixels, again.pixels)
        assert figure.panels == again.panels
        height, width = figure.pixels.shape[:2]
        for panel in figure.panels:
            for box in (panel.box, *panel.images):
                assert 0 <= box.x0 < box.x1 <= width
                assert 0 <= box.y0 < box.y1 <= height
            assert bool(panel.label) == (panel.label_box is not None)


def test_a_label_is_ink_where_the_truth_says():
    seen = 0
    for seed in range(20):
        figure = composite(seed)
        for panel in figure.panels:
            if panel.label_box is not None:
                x0, y0, x1, y1 = map(round, panel.label_box)
                ink = figure.pixels[y0:y1, x0:x1].astype(int)
                assert ink.max() - ink.min() > 60
                seen += 1
    assert seen > 10


def test_the_kinds_of_figures_that_are_asked_for_all_come():
    rng = np.random.default_rng(0)
    layouts = [draw_layout(rng, 800, 0.0, labelled=True) for _ in range(200)]
    assert any(len(one.slots) == 1 for one in layouts)
    assert any(len(one.slots) > 15 for one in layouts)
    assert any(one.grouped for one in layouts)
    assert any(one.gutter == 0 for one in layouts)
    figures = [composite(seed) for seed in range(60)]
    styles = [f.lettering for f in figures if f.lettering is not None]
    assert {True, False} == {style.inside for style in styles}
    assert len({style.scheme for style in styles}) >= 4
    assert any(f.lettering is None for f in figures)
    assert any(f.decoys for f in figures)
    assert any(p.label == "" for f in figures if f.lettering for p in f.panels)


def layouts_file(folder, count=30):
    rng = np.random.default_rng(0)
    figures = []
    for i in range(count):
        cut = float(rng.uniform(0.3, 0.6))
        panels = [[0, 0, cut, 1], [cut + 0.02, 0, 1, 1]]
        figures.append({"id": f"figure {i}", "aspect": 1.5, "panels": panels})
    path = folder / "layouts.json"
    path.write_text(json.dumps({"figures": figures}))
    return str(path)


def test_a_third_of_real_layouts_is_held_out(tmp_path):
    path = layouts_file(tmp_path)
    kept, held = read_layouts(path, False), read_layouts(path, True)
    assert len(kept) + len(held) == 30
    assert 4 <= len(held) <= 16
    assert not {one.id for one in kept} & {one.id for one in held}
    assert all(is_held_out(one.id) for one in held)
    placed = place_real(np.random.default_rng(0), held[0], 600, vary=False)
    assert placed.real
    (left,), (right,) = placed.slots
    assert left.x1 < right.x0


@pytest.mark.parametrize("text", ["[]", "{", '{"figures": [{"id": "a"}]}', '{"figures": []}'])
def test_a_file_that_is_no_table_of_layouts_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=r"x\.json"):
        read_layouts(str(tmp_path / "x.json"), False)
    with pytest.raises(UserError, match=r"none\.json"):
        read_layouts(str(tmp_path / "none.json"), False)


def test_the_job_makes_records_that_do_not_depend_on_the_shards(tmp_path, monkeypatch):
    home = tmp_path / "pools"
    for part in ("train", "held_out"):
        save_pool(small_pool(), home / part)
    assert len(load_pool(home / "train").pictures) == len(small_pool().pictures)
    monkeypatch.setattr(compose_job, "make_pools", lambda config, folder: home)
    config = CompositesConfig(
        longer=(300, 400), layouts=layouts_file(tmp_path), real=0.5, processes=1, per_shard=4,
        splits=SplitCounts(6, 0, 3),
    )  # fmt: skip
    compose_job.generate(config, tmp_path / "out", progress=False)
    rows = open_dataset(tmp_path / "out", "train")
    assert len(rows) == 6
    job = compose_job.CompositesJob(config, str(home))
    assert rows[5] == job.make("train", 5)
    boxes = [box for i in range(6) for box in rows[i].boxes]
    assert {box.label for box in boxes} >= {"panel", "image"}
    letters = [b.phrase for b in boxes if b.label == "label"]
    assert letters == [b.phrase for b in boxes if b.label == "panel" and b.phrase]
    assert job.fingerprint == compose_job.CompositesJob(config, "elsewhere").fingerprint


def test_a_damaged_pool_is_named(tmp_path):
    (tmp_path / "pool.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"pool\.zip"):
        load_pool(tmp_path)


def test_glyphs_of_a_scene():
    found = [g for seed in range(6) for g in draw_scene(np.random.default_rng(seed), small_pool())]
    assert all(pixels.shape == (SIDE, SIDE) for pixels, _ in found)
    signs = {sign for _, sign in found}
    assert "" in signs
    assert len(signs) > 8
