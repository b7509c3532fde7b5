"""Statistics, layout, faults, near-duplicates, the bad set and the gate."""

import dataclasses

import cv2
import numpy as np
import pytest

from data_gen.curation import Candidate, Gate, GateConfig, near_duplicates
from data_gen.curation.agreement import AgreementConfig
from data_gen.curation.decisions import decide
from data_gen.curation.duplicates import unit
from data_gen.curation.encoders.base import EncoderConfig
from data_gen.curation.encoders.pixels import PixelEncoder
from data_gen.curation.encoders.registry import make_encoder
from data_gen.curation.faults import FAULTS, spoil
from data_gen.curation.judges.base import JudgeConfig
from data_gen.curation.layout import distances, layout, learn
from data_gen.curation.reasons import REASONS
from data_gen.curation.review import Reviewed
from data_gen.curation.similarity import BadSet, BadSetConfig
from data_gen.curation.statistics import Limits, measure, objections
from data_gen.phantom.registry import PHANTOMS
from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.core.errors import UserError

from .films import films, png

FILMS = films()


def why(image, **limits):
    return list(objections(measure(image), Limits(**limits)))


def test_films_pass_the_statistics():
    refused = [i for i, film in enumerate(FILMS) if why(film)]
    assert len(refused) <= 1


#: Fault -> the reasons that fit it, and the least share that must be found for one of them.
FOUND = {
    "black": ({"black"}, 1.0),
    "white": ({"white"}, 1.0),
    "constant": ({"constant", "black"}, 1.0),
    "inverted": ({"inverted"}, 0.95),
    "cropped": ({"layout", "rotated", "inverted", "blur"}, 0.4),
    "quarter turn": ({"rotated"}, 0.9),
    "half turn": ({"rotated"}, 0.9),
    "blurred": ({"blur"}, 1.0),
    "noisy": ({"noise"}, 1.0),
    "text": ({"text overlay"}, 0.9),
    "coloured": ({"colour"}, 1.0),
    "compressed": ({"blocks"}, 1.0),
    "stretched": ({"aspect"}, 1.0),
    "framed": ({"border"}, 1.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_for_what_it_is(fault):
    reasons, share = FOUND[fault]
    found = [bool(reasons & set(why(spoil(film, fault, i)))) for i, film in enumerate(FILMS)]
    assert np.mean(found) >= share


def test_faults_are_repeatable_and_leave_the_film_alone():
    film = FILMS[0]
    before = film.copy()
    for fault in FAULTS:
        first, again, other = (spoil(film, fault, seed) for seed in (1, 1, 2))
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
        if fault not in ("inverted", "half turn", "quarter turn"):
            assert first.shape != other.shape or (first != other).any()
    np.testing.assert_array_equal(film, before)


def test_every_reason_is_explained():
    every = [r for fault in FAULTS for i in range(4) for r in why(spoil(FILMS[i], fault, i))]
    questions = PHANTOMS["chest_xray"].review.questions
    assert {*every, *(q.reason for q in questions)} <= REASONS.keys()


def test_a_grey_film_stored_in_colour_is_no_colour():
    assert not why(np.repeat(FILMS[0][..., None], 3, axis=2))


def test_a_large_film_is_judged_as_its_small_copy():
    large = cv2.resize(FILMS[1], (700, 700), interpolation=cv2.INTER_CUBIC)
    assert why(large) == []
    assert measure(large)["layout/distance"] == pytest.approx(
        measure(FILMS[1])["layout/distance"], abs=0.02
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 9), (64, 64, 3), (2, 2, 3)])
def test_any_shape_can_be_measured(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    scores = measure(pixels)
    assert all(np.isfinite(v) and type(v) is float for v in scores.values())
    assert list(objections(scores, Limits()))


def test_blocks_are_found_beside_strong_edges_of_anatomy():
    film = FILMS[2].copy()
    film[:, 64:] //= 3  # one edge that lies on the grid
    assert "blocks" not in why(film)


def test_limits_can_be_switched_off():
    off = Limits(
        min_side=0,
        max_aspect=99,
        min_contrast=0,
        max_clipped=1,
        max_chroma=1,
        max_coloured=1,
        max_text=1,
        min_detail=0,
        max_noise=99,
        max_blocks=999,
        max_border=1,
        margin=9,
        max_layout=9,
        min_bright=0,
        max_dark=1,
    )
    for fault in FAULTS:
        assert not list(objections(measure(spoil(FILMS[3], fault, 0)), off)), fault


def test_lateral_films_are_not_compared_with_frontal_ones():
    turned = measure(spoil(FILMS[0], "quarter turn", 0))
    assert list(objections(turned, Limits(), "PA")) == ["rotated"]
    assert list(objections(turned, Limits(), "LATERAL")) == []


def test_the_distance_is_that_of_probabilistic_pca():
    space = learn(FILMS)
    assert space.axes.shape == (16, 576)
    np.testing.assert_allclose(space.axes @ space.axes.T, np.eye(16), atol=1e-9)
    rng = np.random.default_rng(0)
    for row in unit(rng.normal(size=(5, 576))):
        left, inside = row - space.mean, 0.0
        for axis, spread in zip(space.axes, space.spread, strict=True):
            along = float(axis @ (row - space.mean))
            left = left - along * axis
            inside += (along / spread) ** 2 / 16
        expected = float(left @ left) + 0.1 * inside
        assert distances(row[None], space)[0] == pytest.approx(expected, rel=1e-9)


def test_layout_turns_with_the_picture():
    upright = layout(FILMS[4])
    turned = layout(np.ascontiguousarray(np.rot90(FILMS[4], 2)))
    assert turned["layout/half"] == pytest.approx(upright["layout/distance"], abs=1e-9)
    negative = layout(255 - FILMS[4])["layout/negative"]
    assert negative == pytest.approx(upright["layout/distance"], abs=1e-3)


def duplicates_by_loop(rows, ids, threshold):
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kept, dropped = [], {}
    for i in range(len(rows)):
        like = next((j for j in kept if float(rows[i] @ rows[j]) > threshold), None)
        if like is None:
            kept.append(i)
        else:
            dropped[ids[i]] = ids[like]
    return dropped


@pytest.mark.parametrize("search", ["matmul", "faiss"])
def test_near_duplicates_are_those_of_the_loop(search):
    if search == "faiss":
        pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 6))  # crosses the blocks' ends
    rows[1000] = rows[3]
    rows[1400] = 5 * rows[1199]
    ids = [f"i{i}" for i in range(len(rows))]
    found = near_duplicates(rows, ids, 0.97, search)
    assert found == duplicates_by_loop(rows, ids, 0.97)
    assert found["i1000"] == found.get("i3", "i3")
    assert found["i1400"] == found.get("i1199", "i1199")


def test_a_chain_keeps_what_is_unlike_the_kept():
    angles = np.radians([0, 20, 40, 60])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1)
    # 20 is like 0; 40 is like 20, which is gone, and unlike 0: it stays.
    assert near_duplicates(rows, list("abcd"), np.cos(np.radians(25))) == {"b": "a", "d": "c"}


def test_degenerate_duplicates():
    assert near_duplicates(np.zeros((0, 3)), [], 0.5) == {}
    assert near_duplicates(np.zeros((3, 3)), list("abc"), 0.5) == {}
    assert near_duplicates(np.ones((3, 3)), list("abc"), 1.0) == {}
    with pytest.raises(UserError, match="as many distinct ids"):
        near_duplicates(np.ones((2, 3)), ["a", "a"], 0.5)


def test_the_pixel_encoder_knows_copies_from_patients():
    encoder = PixelEncoder()
    rows = encoder.encode(FILMS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    cosines = rows @ rows.T - 2 * np.eye(len(rows))
    assert cosines.max() < encoder.bad_threshold < encoder.same_threshold
    copies = {
        "jpeg": lambda x: cv2.imdecode(cv2.imencode(".jpg", x, [1, 30])[1], 0),
        "half": lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "darker": lambda x: (0.7 * x).astype(np.uint8),
        "colour": lambda x: np.repeat(x[..., None], 3, axis=2),
    }
    for name, copy in copies.items():
        like = (rows * encoder.encode([copy(film) for film in FILMS])).sum(1)
        assert like.min() > encoder.same_threshold, name
    assert encoder.encode([]).shape == (0, encoder.width)
    assert not encoder.encode([np.full((40, 40), 7, np.uint8)]).any()


def test_the_gate_reviews_each_candidate_for_itself():
    gate = Gate()
    images = [FILMS[0], spoil(FILMS[1], "blurred", 0), FILMS[2]]
    together = gate.review([Candidate(str(i), x) for i, x in enumerate(images)])
    assert [v.accepted for v in together] == [True, False, True]
    assert together[1].reasons == ("blur",)
    assert together[1].embedding is None
    alone = gate.review([Candidate("z", images[2])])[0]
    assert alone.as_json() == together[2].as_json()
    np.testing.assert_array_equal(alone.embedding, together[2].embedding)
    assert gate.review([]) == []


def test_the_bad_set_refuses_copies(tmp_path):
    folder = tmp_path / "bad" / "below"
    folder.mkdir(parents=True)
    (folder / "one.PNG").write_bytes(png(FILMS[5]))
    gate = Gate(GateConfig(bad=BadSetConfig(str(tmp_path / "bad"))))
    copy = cv2.imdecode(cv2.imencode(".jpg", FILMS[5], [1, 40])[1], 0)
    like, unlike = gate.review([Candidate("a", copy), Candidate("b", FILMS[6])])
    assert like.reasons == ("like a bad one",)
    assert like.scores["bad/cosine"] > 0.95 > unlike.scores["bad/cosine"]
    assert unlike.accepted
    np.save(tmp_path / "bad.npy", PixelEncoder().encode([FILMS[5]]))
    again = Gate(GateConfig(bad=BadSetConfig(str(tmp_path / "bad.npy"), 0.1)))
    assert again.review([Candidate("a", copy)])[0].reasons == ("like a bad one",)


def test_a_bad_set_that_cannot_be_read(tmp_path):
    encoder = PixelEncoder()
    with pytest.raises(UserError, match="holds no picture"):
        BadSet.load(BadSetConfig(str(tmp_path)), encoder)
    np.save(tmp_path / "x.npy", np.ones((2, 5)))
    with pytest.raises(UserError, match="embed the bad images again"):
        BadSet.load(BadSetConfig(str(tmp_path / "x.npy")), encoder)
    (tmp_path / "y.png").write_bytes(png(FILMS[0])[:200])
    with pytest.raises(UserError, match=r"y\.png"):
        BadSet.load(BadSetConfig(str(tmp_path)), encoder)


def test_the_fingerprint_is_of_what_decides(tmp_path):
    base = GateConfig()
    same = dataclasses.replace(base, encoder=EncoderConfig(batch_size=7))
    other = dataclasses.replace(base, statistics=Limits(max_text=0.5))
    assert base.fingerprint == same.fingerprint != other.fingerprint
    (tmp_path / "a.png").write_bytes(png(FILMS[0]))
    bad = dataclasses.replace(base, bad=BadSetConfig(str(tmp_path)))
    before = bad.fingerprint
    (tmp_path / "b.png").write_bytes(png(FILMS[1]))
    assert bad.fingerprint != before
    assert parse(GateConfig, to_plain(base)) == base


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderConfig("clip"), "which need it"),
        (lambda: EncoderConfig("pixels", "x"), "which need it"),
        (lambda: EncoderConfig(batch_size=0), "must be positive"),
        (lambda: BadSetConfig("x", 2.0), "must be 0 to 1"),
        (lambda: AgreementConfig(minimum=-1.0), "must be 0 to 1"),
        (lambda: JudgeConfig(kind="clip"), "give both or neither"),
        (lambda: JudgeConfig(minimum=3.0), "must be 0 to 1"),
        (lambda: GateConfig(EncoderConfig("none"), bad=BadSetConfig("x")), "set encoder.kind"),
    ],
)
def test_bad_settings(make, message):
    if message == "set encoder.kind":

        def make():
            return GateConfig(encoder=EncoderConfig("none"), bad=BadSetConfig("x"))

    with pytest.raises(ValueError, match=message):
        make()


def test_no_encoder_gives_no_embedding():
    assert make_encoder(EncoderConfig("none")) is None
    gate = Gate(GateConfig(encoder=EncoderConfig("none")))
    assert gate.review([Candidate("a", FILMS[0])])[0].embedding is None


def line(name, angle, reasons=(), split="train"):
    row = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))], np.float32)
    return Reviewed(name, split, 0, tuple(reasons), {}, None if "blur" in reasons else row)


def test_decisions_spread_from_what_the_judge_refused():
    lines = [
        line("judged", 0, ["not human"]),
        line("near", 10),
        line("far", 50),
        line("blurred", 50, ["blur"]),
        line("unanswered", 52, ["judge failed"]),
    ]
    drops = decide(lines, bad_above=float(np.cos(np.radians(20))))
    assert drops["near"].reasons == ("like a bad one",)
    assert drops["near"].detail == "like judged"
    assert drops.keys() == {"judged", "near", "blurred", "unanswered"}
    assert decide(lines).keys() == {"judged", "blurred", "unanswered"}


def test_of_copies_the_held_out_one_stays():
    lines = [line("a", 0), line("b", 1), line("c", 60), line("t", 2, split="test")]
    drops = decide(lines, same_above=float(np.cos(np.radians(5))))
    assert {k: d.detail for k, d in drops.items()} == {"a": "like t", "b": "like t"}
    with pytest.raises(UserError, match="one id"):
        decide([line("a", 0), line("a", 1)])
