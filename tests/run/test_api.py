"""The public API on a tiny trained checkpoint: the evaluation's own numbers."""

import inspect
import io
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

import medvlp_jax as mv
from data_gen.phantom.chest_xray.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.core.files import npz
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.embedded import Predicted
from medvlp_jax.eval.grounding import heatmap as maps
from medvlp_jax.eval.vectors import embed_texts
from medvlp_jax.run import convert as conversion
from medvlp_jax.run.api.images import as_image
from medvlp_jax.run.experiment import Experiment

SIDE = 48
LABELS = ["cardiomegaly", "pleural effusion", "no finding"]
TOWER = {"width": 32, "depth": 1, "heads": 2, "mlp_width": 64}
#: Ten lines, as the README has them.
SNIPPET = """\
import medvlp_jax as mv

model = mv.load("runs/quickstart/train")  # or a folder or hub id with weights of a CLIP or SigLIP
images = ["film.png", "film.dcm"]  # paths, bytes, NumPy arrays, images of Pillow
vectors = model.embed_images(images)
texts = model.embed_texts(["A large left pleural effusion.", "The lungs are clear."])
cosines = model.similarity(images, "A large left pleural effusion.")
scores = model.zero_shot(images, ["cardiomegaly", "pleural effusion", "no finding"])
own = model.zero_shot(images, {"wet": "A pleural effusion.", "dry": ["Clear lungs.", "No fluid."]})
heat = model.heatmap("film.png", "pleural effusion")  # heat.values on the pixels of heat.film
print(model.features("runs/quickstart/data", split="test", out="features.npz"))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(workdir, data folder) of a run of two steps, whose model the open_clip layout can hold."""
    folder = tmp_path_factory.mktemp("api")
    data = folder / "data"
    splits = SplitCounts(train=20, validation=8, test=40)
    small = PhantomConfig(size=SIDE, splits=splits, masks=False, processes=1, studies_per_shard=20)
    generate(small, data, progress=False)
    config = {
        "name": "tiny",
        "model": {
            "vision": {"name": "vit", "patch": 8, **TOWER},
            "text": {"name": "clip_text", "vocab": 400, "max_length": 64, **TOWER},
            "embed_dim": 16,
            "dtype": "float32",
        },
        "task": {"name": "contrastive"},
        "data": {
            "sources": [{"path": str(data)}],
            "batch_size": 8,
            "image": {"size": SIDE, "channels": 1},
            "text": {"buckets": [64], "vocab": 300},
            "labels": LABELS,
        },
        "loop": {"steps": 2, "save_every": 2},
        "log": {"tensorboard": False},
        "eval": {
            "sets": {"test": {"path": str(data), "evaluators": ["zeroshot", "pictures"]}},
            "heatmap": "contrast",
            "bootstrap": {"resamples": 0},
        },
    }
    Experiment(config).train(folder / "run")
    return folder / "run", data


@pytest.fixture(scope="module")
def model(trained):
    return mv.load(trained[0])


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "open_clip"
    conversion.convert(str(trained[0]), str(folder), layout="open_clip")
    return folder


@pytest.fixture(scope="module")
def measured(model):
    """``(ids, image vectors, results)`` of the run's own evaluators."""
    opened = model._opened
    tokenizer = opened.tokenize.tokenizer
    built = opened.experiment.evaluators(tokenizer, during_training=False)
    results = {name: one(opened.predict) for name, one in built.items()}
    rows = built["test-zeroshot"].test.rows(opened.predict)
    return list(rows.ids), rows[Predicted("image_embed")], results


@pytest.fixture(scope="module")
def films(trained, tmp_path_factory):
    """The test images as files, in a folder with folders."""
    folder = tmp_path_factory.mktemp("films")
    for i, record in enumerate(open_dataset(trained[1], "test")):
        image = record.images[0]
        path = folder / f"part{i % 2}" / f"{i:03}.{image.format}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.data)
    return folder


def in_order(films):
    return sorted((p for p in films.rglob("*.*")), key=lambda p: p.name)


def dicom(pixels, path):
    """The pixels as a DICOM file whose white is low (MONOCHROME1)."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID = SecondaryCaptureImageStorage
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME1"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.WindowCenter, file.WindowWidth = 128, 256
    file.PixelData = (255 - pixels).tobytes()
    pydicom.dcmwrite(path, file, enforce_file_format=True)


# --- names, and what an import costs ------------------------------------------------------------

SIGNATURES = {
    "load": "(path, step='latest', *, family='', tokenizer='', devices=None)",
    "Model.embed_images": "(self, images, *, batch_size=None)",
    "Model.embed_patches": "(self, images)",
    "Model.embed_texts": "(self, texts)",
    "Model.similarity": "(self, images, texts)",
    "Model.zero_shot": "(self, images, classes, *, prompts=None, protocol=None, temperature=None)",
    "Model.heatmap": "(self, image, phrase, *, query='positive', protocol=None, side=None)",
    "Model.features": "(self, folder, *, split=None, out=None, batch_size=None)",
    "Model.describe": "(self)",
    "HeatMap": "(phrase, film, values, patches)",
    "Features": "(ids, vectors, refused, path=None)",
    "ZeroShotScores": "(classes, scores, probabilities, protocol)",
}


def test_public_names_stay():
    assert sorted(mv.__all__) == [
        "Features", "HeatMap", "Model", "UserError", "ZeroShotScores", "load",
    ]  # fmt: skip
    assert set(mv.__all__) <= set(dir(mv))
    properties = {n for n, x in vars(mv.Model).items() if isinstance(x, property)}
    assert properties == {"name", "labels", "config"}
    methods = {n for n, x in vars(mv.Model).items() if inspect.isfunction(x) and n[0] != "_"}
    assert methods == {n.split(".")[1] for n in SIGNATURES if n.startswith("Model.")}
    for name, wanted in SIGNATURES.items():
        found = mv
        for part in name.split("."):
            found = getattr(found, part)
        plain = [
            p.replace(annotation=inspect.Parameter.empty)
            for p in inspect.signature(found).parameters.values()
        ]
        assert str(inspect.Signature(plain)) == wanted, name
        assert inspect.getdoc(found)
    with pytest.raises(AttributeError, match="no attribute 'embed'"):
        _ = mv.embed


def test_import_is_light():
    """Launch scripts set the environment of JAX first."""
    code = (
        "import sys, medvlp_jax as mv; mv.UserError; dir(mv); "
        "print([m for m in ('jax', 'flax', 'numpy', 'cv2', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_comes_before_the_backend():
    """The preset for CPUs must be in the environment when the backend starts."""
    code = (
        "import os, medvlp_jax as mv; load = mv.load\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()\n"
        "try: load('there/is/nothing')\n"
        "except mv.UserError: print(os.environ.get('XLA_FLAGS', ''))"
    )
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert "ynn_fusion" in done.stdout


# --- the same numbers as the evaluation ---------------------------------------------------------


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


# --- what an image may be -----------------------------------------------------------------------


def test_all_kinds_of_images_at_once(model, films, tmp_path):
    path = next(p for p in in_order(films) if p.suffix == ".png")
    pixels = decode(path.read_bytes(), "png", gray=True)
    dicom(pixels, tmp_path / "film.dcm")
    tiff = io.BytesIO()
    PIL.Image.fromarray(pixels).save(tiff, "TIFF")
    given = [
        path,
        str(path),
        path.read_bytes(),
        pixels,
        pixels[..., None],
        pixels / 255,
        pixels.astype(np.int64),
        PIL.Image.open(path),
        PIL.Image.fromarray(pixels),
        tmp_path / "film.dcm",
        (tmp_path / "film.dcm").read_bytes(),
        tiff.getvalue(),
    ]
    found = model.embed_images(given)
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), rtol=0, atol=1e-6)
    many = np.stack([pixels, 255 - pixels])[..., None]
    np.testing.assert_allclose(model.embed_images(many)[0], found[0], rtol=0, atol=1e-6)
    assert np.abs(model.embed_images(many)[1] - found[0]).max() > 1e-3


def test_dicom_has_the_pixels_of_the_pipeline(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 52), np.uint8)
    dicom(pixels, tmp_path / "film.dcm")
    data = (tmp_path / "film.dcm").read_bytes()
    image = as_image(tmp_path / "film.dcm")
    assert (image.data, image.format) == (data, "dicom")
    config = model._opened.data.image
    seen, _ = load_image(data, "dicom", config, None)
    wanted = model._opened.rows("image_embed", [seen])
    np.testing.assert_array_equal(model.embed_images(tmp_path / "film.dcm"), wanted)


def test_colour_and_sixteen_bits():
    wide = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 20
    seen = decode(as_image(wide).data, "png")
    assert (seen.min(), seen.max()) == (0, 255)
    assert (np.diff(seen.ravel().astype(int)) >= 0).all()
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(decode(as_image(colour).data, "png"), colour)
    with_alpha = np.concatenate([colour, colour[..., :1]], -1)
    np.testing.assert_array_equal(decode(as_image(with_alpha).data, "png"), colour)


# --- folders ------------------------------------------------------------------------------------


def test_features_of_a_data_folder(model, measured, trained, tmp_path):
    ids, wanted, _ = measured
    found = model.features(trained[1], split="test", out=tmp_path / "new" / "features.npz")
    assert (found.ids, found.refused) == (ids, {})
    np.testing.assert_array_equal(found.vectors, wanted)
    kept = npz.read(found.path)
    assert kept["ids"].tolist() == ids
    np.testing.assert_array_equal(kept["vectors"], wanted)
    assert str(kept["model"]) == "tiny, step 2"
    assert [p.name for p in found.path.parent.iterdir()] == ["features.npz"]
    assert str(found) == f"40 vectors of 16 numbers in {found.path}"


def test_features_of_image_files(model, films, tmp_path):
    for path in in_order(films)[:5]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "notes.csv").write_text("path,label\n")
    cut = in_order(films)[5].read_bytes()
    (tmp_path / "more" / "cut.png").write_bytes(cut[: len(cut) // 2])
    (tmp_path / ".hidden").write_text("x")
    found = model.features(tmp_path)
    names = [path.name for path in in_order(films)[:5]]
    assert found.ids == names
    assert set(found.refused) == {"more/notes.csv", "more/cut.png"}
    assert "a text" in found.refused["more/notes.csv"]
    assert found.path is None
    np.testing.assert_allclose(
        found.vectors, model.embed_images([tmp_path / n for n in names]), rtol=0, atol=1e-6
    )
    assert "2 could not be read, the first: more/cut.png (" in str(found)


def test_a_failed_pass_leaves_the_old_file(model, trained, tmp_path, monkeypatch):
    file = tmp_path / "features.npz"
    model.features(trained[1], split="validation", out=file)
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(5, "no more")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(mv.UserError, match="cannot be written"):
        model.features(trained[1], split="test", out=file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["features.npz"]


# --- classes and prompts ------------------------------------------------------------------------


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
    bank = {"name": "mine", "description": "", "positive": ["{c}."], "negative": ["No {c}."],
            "slots": {}, "classes": {"tube": {"names": ["a tube"]}}}  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps(bank))
    found = model.zero_shot(images, ["tube"], prompts=tmp_path / "mine.json")
    cosines = model.similarity(images, ["Tube.", "No tube."])
    np.testing.assert_allclose(found.scores[:, 0], cosines[:, 0] - cosines[:, 1], atol=1e-6)


# --- refusals, one line each --------------------------------------------------------------------

FILM = np.zeros((SIDE, SIDE), np.uint8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.embed_images([]), "the list is empty"),
        (lambda m: m.embed_images("gone.png"), "gone.png does not exist"),
        (lambda m: m.embed_images([FILM, "gone.png"]), "gone.png does not exist"),
        (lambda m: m.embed_images([FILM, b"some text"]), "image 1: this is a text"),
        (lambda m: m.embed_images(b""), "image 0: this is an empty file"),
        (lambda m: m.embed_images(["/"]), "a folder"),
        (lambda m: m.embed_images(7), "int is no image"),
        (lambda m: m.embed_images([None]), "NoneType is no image"),
        (lambda m: m.embed_images(np.zeros((3, 9, 9))), "channels last"),
        (lambda m: m.embed_images([np.zeros((3, 9, 9))]), "image 0: an array of shape"),
        (lambda m: m.embed_images(np.full((9, 9), 200.0)), "fractions .* bring them to 0..1"),
        (lambda m: m.embed_images(np.full((9, 9), np.nan)), "fractions"),
        (lambda m: m.embed_images(np.full((9, 9), -3)), "choose a window"),
        (lambda m: m.embed_images(np.zeros((9, 9), bool)), "array of bool"),
        (lambda m: m.embed_images(FILM, batch_size=0), "batch_size=0 must be positive"),
        (lambda m: m.embed_texts([]), "the list is empty"),
        (lambda m: m.embed_texts(["a", " "]), "is no text"),
        (lambda m: m.embed_texts([3]), "3 is no text"),
        (lambda m: m.zero_shot(FILM, []), "classes is empty"),
        (lambda m: m.zero_shot(FILM, {}), "classes is empty"),
        (lambda m: m.zero_shot(FILM, "edema"), "must be a list of names"),
        (lambda m: m.zero_shot(FILM, ["edema", "edema"]), "named twice"),
        (lambda m: m.zero_shot(FILM, ["a unicorn"]), "no class 'a unicorn'"),
        (lambda m: m.zero_shot(FILM, [3]), "3 is no name"),
        (lambda m: m.zero_shot(FILM, {"a": []}), "no affirming prompt"),
        (lambda m: m.zero_shot(FILM, {"a": 3}), "no list of prompts"),
        (lambda m: m.zero_shot(FILM, {"a": {"yes": "x"}}), "'positive' and 'negative'"),
        (lambda m: m.zero_shot(FILM, {"a": "x"}, prompts="brief"), "leave out prompts="),
        (lambda m: m.zero_shot(FILM, {"a": "x"}, protocol="pos_vs_neg"), "no denying prompts"),
        (lambda m: m.zero_shot(FILM, ["edema"], prompts="nobody"), "no prompt bank 'nobody'"),
        (lambda m: m.zero_shot(FILM, ["edema"], protocol="chexone"), "chexzero"),
        (lambda m: m.zero_shot(FILM, ["edema"], temperature=0), "must be positive"),
        (lambda m: m.zero_shot(FILM, ["edema", "mass"], protocol="gloria_pairs"), "pairs"),
        (lambda m: m.heatmap([FILM, FILM], "edema"), "of one image"),
        (lambda m: m.heatmap(FILM, ""), "is no phrase"),
        (lambda m: m.heatmap(FILM, "edema", protocol="x"), "is not one of default"),
        (lambda m: m.heatmap("gone.png", "edema"), "gone.png does not exist"),
        (lambda m: m.features("nowhere"), "nowhere is no folder"),
        (lambda m: m.features(".", split="test"), "is no data folder"),
        (lambda m: m.features("."), "has no file"),
        (lambda m: m.features(".", out="features.csv"), "must end in .npz"),
        (lambda m: mv.load("runs/none/here"), "does not exist"),
        (lambda m: mv.load("."), "does not say what it is"),
        (lambda m: mv.load(".", step=7), "no workdir"),
    ],
)  # fmt: skip
def test_refusals(model, call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mv.UserError, match=said) as error:
        call(model)
    assert "\n" not in str(error.value)
    assert "max_bad_fraction" not in str(error.value)


def test_splits_have_to_be_chosen(model, trained):
    with pytest.raises(mv.UserError, match="splits test, train, validation: choose one"):
        model.features(trained[1])
    with pytest.raises(mv.UserError, match="no split 'dev'"):
        model.features(trained[1], split="dev")


def test_models_that_cannot_answer(trained, tmp_path):
    with pytest.raises(mv.UserError, match="has no step 7"):
        mv.load(trained[0], step=7)
    with pytest.raises(mv.UserError, match=r"no checkpoint in .* has an evaluation metric"):
        mv.load(trained[0], step="best")
    (tmp_path / "starts.jsonl").touch()
    with pytest.raises(mv.UserError, match="saved no checkpoint yet"):
        mv.load(tmp_path)
    conversion.convert(
        str(trained[0]), str(tmp_path / "text"), tower="text", layout="clip_text_model"
    )
    with pytest.raises(mv.UserError, match="no model of images and texts") as error:
        mv.load(tmp_path / "text")
    assert "\n" not in str(error.value)


# --- published weights, and other devices -------------------------------------------------------


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


# --- the README's lines -------------------------------------------------------------------------


def snippet(root: pathlib.Path) -> str:
    """The block of the README that uses the API, where it has one."""
    blocks = re.findall(r"^```python\n(.*?)^```", (root / "README.md").read_text(), re.M | re.S)
    return next((b for b in blocks if "import medvlp_jax as mv" in b), SNIPPET)


def run_snippet(code: str, place: pathlib.Path, run: pathlib.Path, data: pathlib.Path):
    (place / "runs" / "quickstart").mkdir(parents=True)
    (place / "runs" / "quickstart" / "train").symlink_to(run)
    (place / "runs" / "quickstart" / "data").symlink_to(data)
    image = open_dataset(data, "test")[0].images[0]
    pixels = decode(image.data, image.format, gray=True)
    PIL.Image.fromarray(pixels).save(place / "film.png")
    dicom(pixels, place / "film.dcm")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def check_snippet(names, count: int) -> None:
    vectors, texts, scores = names["vectors"], names["texts"], names["scores"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0, atol=1e-5)  # the same film
    assert texts.shape == (2, vectors.shape[1])
    np.testing.assert_allclose(names["cosines"][:, 0], vectors @ texts[0], rtol=0, atol=1e-6)
    assert scores.scores.shape == (2, 3)
    np.testing.assert_allclose(names["own"].probabilities.sum(1), 1.0, atol=1e-9)
    assert names["heat"].values.shape == names["heat"].film.shape[:2]
    kept = npz.read("features.npz")
    assert kept["vectors"].shape == (count, vectors.shape[1])
    assert np.isfinite(kept["vectors"]).all()


def test_the_readme_on_a_checkpoint(trained, repo_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_snippet(run_snippet(snippet(repo_root), tmp_path, *trained), 40)


def test_the_readme_on_an_open_clip_folder(trained, exported, repo_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_snippet(snippet(repo_root), tmp_path, exported, trained[1])
    check_snippet(names, 40)
    assert names["model"].name.endswith("(open_clip)")


def test_the_readme_has_about_ten_lines(repo_root):
    code = snippet(repo_root)
    assert 8 <= len([line for line in code.splitlines() if line.strip()]) <= 12
    assert max(map(len, code.splitlines())) <= 100


@pytest.mark.slow
def test_the_readme_on_the_quickstart(repo_root, tmp_path, monkeypatch):
    place = repo_root / "runs" / "quickstart"
    if not (place / "train" / "checkpoints").is_dir():
        pytest.skip("bash launch/quickstart.sh makes runs/quickstart")
    monkeypatch.chdir(tmp_path)
    names = run_snippet(snippet(repo_root), tmp_path, place / "train", place / "data")
    check_snippet(names, len(open_dataset(place / "data", "test")))
