"""The demo: a tiny trained checkpoint, files of three formats, and the page in a browser."""

import io
import pathlib
import shutil
import threading

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from data_gen.phantom.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.dataset import open_dataset
from medvlp_jax.data.image import ImageError, decode
from medvlp_jax.demo.page import neighbour_gallery, overlay, score_table
from medvlp_jax.demo.reader import Reader
from medvlp_jax.experiment import Experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(workdir, data folder) of a run of two steps."""
    folder = tmp_path_factory.mktemp("demo")
    splits = SplitCounts(train=20, validation=40, test=0)
    data = folder / "data"
    small = PhantomConfig(size=48, splits=splits, masks=False, processes=1, studies_per_shard=20)
    generate(small, data, progress=False)
    config = {
        "name": "tiny",
        "model": {
            "vision": {"name": "vit_s16", "patch": 16, "width": 16, "depth": 1, "heads": 2},
            "text": {"name": "bert_mini", "vocab": 300, "width": 16, "depth": 1, "heads": 2},
            "embed_dim": 8,
            "dtype": "float32",
        },
        "task": {"name": "contrastive"},
        "data": {
            "sources": [{"path": str(data)}],
            "batch_size": 8,
            "image": {"size": 48, "channels": 1},
            "text": {"buckets": [64], "vocab": 300},
            "labels": ["cardiomegaly", "pleural effusion", "no finding"],
        },
        "loop": {"steps": 2, "save_every": 2},
        "log": {"tensorboard": False},
        "eval": {
            "sets": {
                "validation": {"path": str(data), "split": "validation"},
                "test": {"path": str(data), "split": "validation", "validation": "validation"},
            },
            "bootstrap": {"resamples": 0},
        },
    }
    Experiment(config).train(folder / "run")
    return folder / "run", data


@pytest.fixture(scope="module")
def reader(trained):
    return Reader(trained[0], library=16)


def dicom(pixels):
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
    file.WindowCenter, file.WindowWidth = 128, 256  # without one the values are stretched
    file.PixelData = (255 - pixels).tobytes()
    out = io.BytesIO()
    pydicom.dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def test_a_training_image_finds_itself(trained, reader):
    record = open_dataset(trained[1], "train")[5]
    phrases = ["Cardiomegaly", "a tube in the  chest", "a tube in the chest", ""]
    reading = reader.read(record.images[0].data, phrases, neighbours=3)
    assert [s.phrase for s in reading.scores] == ["Cardiomegaly", "a tube in the chest"]
    assert reading.maps.shape == (2, 384, 384)
    assert reading.neighbours[0].record.id == record.id
    assert reading.neighbours[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert record.id in reading.neighbours[0].provenance
    assert "generator phantom" in reading.neighbours[0].provenance
    known, free = reading.scores
    assert known.probability is not None
    assert 0 < known.probability < 1
    assert free.probability is None
    assert 0 <= free.rank <= 1
    assert "40 records of validation" in reader.calibrated_on


def test_three_formats_read_alike(trained, reader):
    image = open_dataset(trained[1], "train")[2].images[0]
    pixels = decode(image.data, image.format, gray=True)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    readings = [reader.read(data, ["edema"]) for data in (png, dicom(pixels), image.data)]
    similarity = [r.scores[0].similarity for r in readings]
    np.testing.assert_allclose(similarity, similarity[0], atol=0.02)
    np.testing.assert_allclose(readings[0].image.astype(int), readings[1].image, atol=2)


def test_bad_input_is_named(trained, reader):
    with pytest.raises(UserError, match="no phrase"):
        reader.read(open_dataset(trained[1], "train")[0].images[0].data, ["  "])
    with pytest.raises((UserError, ImageError)):
        reader.read(b"not an image at all", ["edema"])


def test_the_library_is_kept(trained, reader):
    (file,) = (trained[0] / "library").glob("*.npz")
    made = file.stat().st_mtime_ns
    again = Reader(trained[0], library=16)
    np.testing.assert_array_equal(again.library.embeddings, reader.library.embeddings)
    assert len(again.library.embeddings) == 16
    assert file.stat().st_mtime_ns == made


def test_what_the_page_shows(trained, reader):
    record = open_dataset(trained[1], "train")[0]
    reading = reader.read(record.images[0].data, ["cardiomegaly", "<b>bold</b>"])
    table = score_table(reading)
    assert "&lt;b&gt;bold" in table
    assert "not calibrated" in table
    assert record.id in neighbour_gallery(reading.neighbours)
    heat = np.full((64, 64), np.nan)
    heat[:32] = 1.0
    seen = overlay(np.full((32, 32), 100, np.uint8), heat)
    assert (seen[40:] == 100).all()
    assert (seen[:20] != 100).any()


def test_in_a_browser(trained, reader, tmp_path):
    pytest.importorskip("gradio")
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    from medvlp_jax.demo.page import build_page

    image = tmp_path / "film.png"
    image.write_bytes(
        cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (80, 80), np.uint8))[1]
    )
    page = build_page(reader)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, share=False)
    try:
        text = _ask(sync_api, chromium, url, image)
    finally:
        page.close()
    assert "cardiomegaly" in text["scores"]
    assert "generator phantom" in text["near"]
    assert text["maps"] >= 3


def _ask(sync_api, chromium, url, image: pathlib.Path):
    """Drops an image on the page and presses the button, in a thread without an event loop."""
    found = {}

    def work():
        with sync_api.sync_playwright() as p:
            browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page()
            tab.goto(url)
            tab.set_input_files("#file input[type=file]", str(image))
            tab.wait_for_selector("#file .file-preview, #file table")
            tab.click("#read")
            tab.wait_for_selector("#scores table", timeout=60_000)
            tab.wait_for_selector("#maps img", timeout=60_000)
            found["scores"], found["near"] = tab.inner_text("#scores"), tab.inner_text("#near")
            found["maps"] = tab.locator("#maps img").count()
            browser.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(150)
    assert found, "the browser gave no answer"
    return found
