"""The public API on a tiny checkpoint: the evaluation's own numbers."""

import json

import numpy as np
import pytest

import medvlp_jax as mv
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.grounding import heatmap as maps
from medvlp_jax.eval.vectors import embed_texts

from .films import LABELS, in_order


def test_image_vectors_are_those_of_the_evaluation(model, measured, films):
    _, wanted, _ = measured
    found = model.embed_images(in_order(films))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    # Other batches round differently.
    np.testing.assert_allclose(
        model.embed_images(in_order(films), batch_size=8), wanted, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        model.embed_images(in_order(films)[3]), wanted[3:4], rtol=0, atol=1e-6
    )


def test_text_vectors_are_those_of_the_evaluation(model, caplog):
    opened = model._opened
    texts = ["The heart is enlarged.", "No pneumothorax.", "A left pleural effusion."]
    wanted = embed_texts(opened.predict, opened.tokenize, texts)
    found = model.embed_texts(texts)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    np.testing.assert_array_equal(model.embed_texts(texts[1]), found[1:2])
    assert not caplog.records
    model.embed_texts([*texts, "effusion " * 100])
    assert "1 of 4 texts are longer than the 64 tokens" in caplog.text


def test_zero_shot_scores_are_those_of_the_evaluation(model, measured, films):
    _, _, results = measured
    result = results["test-zeroshot"]
    found = model.zero_shot(in_order(films), LABELS)
    assert list(found.classes) == [row["name"] for row in result.details["classes"]] == LABELS
    np.testing.assert_array_equal(found.scores, result.arrays["scores"])
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-found.scores)), atol=1e-12)
    for key in ("protocol", "rule", "prompts", "temperature", "prompt_bank"):
        assert found.protocol[key] == result.details[key]


def test_heat_map_is_that_of_grounding(model, measured, trained):
    _, _, results = measured
    arrays = results["test-pictures"].arrays
    records = {r.id: r for r in open_dataset(trained[1], "test")}
    assert len(arrays["shown_id"])
    for name, label, wanted in zip(
        arrays["shown_id"], arrays["shown_label"], arrays["shown_map"], strict=True
    ):
        image = records[name].images[0]
        found = model.heatmap(image.data, str(label), query="contrast")
        pixels = maps.to_pixels(found.patches, maps.MAPS["default"])
        np.testing.assert_allclose(maps.rescale(pixels), wanted, rtol=0, atol=1e-3)
        film = decode(image.data, image.format)
        np.testing.assert_array_equal(found.film, film)
        assert found.values.shape == film.shape[:2]


def test_heat_map_of_free_text(model, films):
    image = in_order(films)[0]
    phrase = "a tube in the trachea"
    found = model.heatmap(image, phrase, side=96)
    patches = model.embed_patches(image)[0]
    wanted = patches @ model.embed_texts(phrase)[0]
    np.testing.assert_allclose(found.patches, wanted, rtol=0, atol=1e-6)
    assert max(found.film.shape) == 96
    assert found.values.shape == found.film.shape[:2]
    # A cosine of the whole film lies between those of its patches.
    assert found.patches.min() - 1e-9 <= np.nanmin(found.values)
    assert np.nanmax(found.values) <= found.patches.max() + 1e-9
    with pytest.raises(mv.UserError, match="denying prompts"):
        model.heatmap(image, phrase, query="difference")


def test_prompts_of_ones_own(model, films):
    images = in_order(films)[:4]
    opened = model._opened
    own = {"heart": "The heart is enlarged.", "fluid": ["An effusion.", "Fluid on the left."]}
    found = model.zero_shot(images, own)
    assert found.classes == ("heart", "fluid")
    np.testing.assert_allclose(found.probabilities.sum(1), 1.0, atol=1e-12)
    assert found.protocol["temperature"] == opened.temperature
    sharper = model.zero_shot(images, own, temperature=opened.temperature / 10)
    assert sharper.probabilities.max() > found.probabilities.max()
    one = model.zero_shot(images, {"heart": "The heart is enlarged."})
    np.testing.assert_allclose(
        one.scores, model.similarity(images, "The heart is enlarged."), atol=1e-6
    )
    assert one.probabilities is None
    both = {"heart": {"positive": ["Large heart."], "negative": ["Normal heart."]}}
    found = model.zero_shot(images, both)
    cosines = model.similarity(images, ["Large heart.", "Normal heart."])
    np.testing.assert_allclose(found.scores[:, 0], cosines[:, 0] - cosines[:, 1], atol=1e-6)


def test_prompt_banks_by_name_and_file(model, films, tmp_path):
    images = in_order(films)[:4]
    brief = model.zero_shot(images, LABELS[:2], prompts="brief")
    np.testing.assert_array_equal(
        brief.scores, model.zero_shot(images, LABELS[:2], protocol="chexzero").scores
    )
    bank = {
        "name": "mine",
        "description": "one class",
        "positive": ["{c}."],
        "negative": ["No {c}."],
        "slots": {},
        "classes": {"tube": {"names": ["a tube"]}},
    }
    (tmp_path / "mine.json").write_text(json.dumps(bank))
    found = model.zero_shot(images, ["tube"], prompts=tmp_path / "mine.json")
    cosines = model.similarity(images, ["Tube.", "No tube."])
    np.testing.assert_allclose(found.scores[:, 0], cosines[:, 0] - cosines[:, 1], atol=1e-6)


def test_an_exported_folder_answers_the_same(model, exported, films):
    published = mv.load(exported)
    assert published.labels == ()
    assert published.name == "open_clip (open_clip)"
    assert "open_clip" in published.describe()
    images, texts = in_order(films)[:6], ["A large heart.", "No effusion on either side."]
    np.testing.assert_allclose(
        published.embed_images(images), model.embed_images(images), rtol=0, atol=2e-5
    )
    np.testing.assert_allclose(
        published.embed_texts(texts), model.embed_texts(texts), rtol=0, atol=2e-5
    )
    np.testing.assert_allclose(
        published.zero_shot(images, LABELS).scores, model.zero_shot(images, LABELS).scores,
        rtol=0, atol=1e-4,
    )  # fmt: skip
    assert published._opened.temperature == pytest.approx(model._opened.temperature)


def test_published_weights_need_their_own_tokenizer(exported, trained, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (folder / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(mv.UserError, match="tokenizer"):
        mv.load(folder)
    given = mv.load(folder, tokenizer=str(trained[0] / "tokenizer"))
    np.testing.assert_array_equal(
        given.embed_texts("A large heart."), mv.load(exported).embed_texts("A large heart.")
    )


def test_one_device_answers_as_eight_do(model, trained, films, devices):
    images = in_order(films)[:11]
    alone = mv.load(trained[0], devices=devices[:1])
    three = mv.load(trained[0], devices=devices[:3])  # 8 rows of training do not divide by it
    assert "one device" in alone.describe()
    for other in (alone, three):
        np.testing.assert_allclose(
            other.embed_images(images), model.embed_images(images), rtol=0, atol=1e-6
        )
    assert three.config["data"]["batch_size"] == 8


def test_describe(model, trained):
    text = model.describe()
    for words in ("tiny, step 2", "48 px, 1 channel", "cardiomegaly", "bank reports"):
        assert words in text
    assert repr(model) == "<medvlp_jax model: tiny, step 2>"
    assert model.labels == tuple(LABELS)
    assert model.config["name"] == "tiny"
    (checkpoint,) = (trained[0] / "checkpoints").glob("2")
    assert mv.load(checkpoint).name == model.name
