"""The demo: a tiny trained checkpoint, files of three formats, and the page in a browser."""

import io
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pydicom
import pytest
from chromium import Chromium
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from quick_flags import QUICK

from data_gen.phantom.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.run.api.images import to_image
from medvlp_jax.run.build import Run
from medvlp_jax.run.demo.familiar import Familiar
from medvlp_jax.run.demo.maps import PhraseMaps
from medvlp_jax.run.demo.page import caption, free_port, neighbour_gallery, overlay, score_table
from medvlp_jax.run.demo.reader import MOST_PHRASES, Reader
from medvlp_jax.run.demo.upload import MAX_BYTES, read_upload
from medvlp_jax.run.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(workdir, data folder) of a run of two steps."""
    folder = tmp_path_factory.mktemp("demo")
    splits = SplitCounts(train=20, validation=40, test=40)
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
                "test": {"path": str(data), "split": "test", "validation": "validation"},
            },
            "bootstrap": {"resamples": 0},
        },
    }
    train(Run(config), folder / "run")
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
    assert reading.maps.shape == (2, 640, 640)
    assert reading.film.shape == (640, 640)
    assert reading.read_as.startswith(("PNG, 48 x 48", "JPEG, 48 x 48"))
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
    assert "40 images of the same kind" in reader.measured_against
    assert not reading.strange


def pillow(pixels, kind, **options):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_format_reads_alike(trained, reader):
    image = open_dataset(trained[1], "train")[2].images[0]
    pixels = decode(image.data, image.format, gray=True)
    files = {
        "PNG": pillow(pixels, "PNG"),
        "DICOM": dicom(pixels),
        "TIFF": pillow(pixels, "TIFF"),
        "TIFF, 48": pillow(pixels, "TIFF", compression="tiff_lzw"),
        "WebP": pillow(pixels, "WEBP", lossless=True),
        image.format.upper(): image.data,
    }
    readings = {name: reader.read(data, ["edema"]) for name, data in files.items()}
    for name, reading in readings.items():
        assert reading.read_as.startswith(name), name
        np.testing.assert_allclose(reading.film.astype(int), readings["PNG"].film, atol=3)
        similarity = reading.scores[0].similarity
        assert similarity == pytest.approx(readings["PNG"].scores[0].similarity, abs=0.02), name


def test_sixteen_bits_and_pages():
    wide = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 10
    for kind in ("TIFF", "PNG"):
        image, _ = to_image(pillow(wide, kind))
        seen = decode(image.data, image.format)
        assert seen.dtype == np.uint8
        assert (seen.min(), seen.max()) == (0, 255)
        assert (np.diff(seen.ravel().astype(int)) >= 0).all()
    fractions = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
    image, _ = to_image(pillow(fractions, "TIFF"))
    assert (np.diff(decode(image.data, "png").ravel().astype(int)) >= 0).all()
    first, second = (PIL.Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (10, 200))
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=[second])
    image, words = to_image(buffer.getvalue())
    assert words == "TIFF, 8 x 8, the first of 2 pages"
    assert (decode(image.data, "png") == 10).all()


def test_bad_input_is_named_in_one_line(trained, reader, tmp_path):
    good = open_dataset(trained[1], "train")[0].images[0].data
    tiff = pillow(np.zeros((40, 40), np.uint8), "TIFF", compression="tiff_lzw")
    for data, phrases, said in (
        (good, ["  "], "no phrase"),
        (good, [f"phrase {i}" for i in range(MOST_PHRASES + 1)], "too many"),
        (good, ["a" * 4000], "write at most"),
        (b"not an image at all", ["edema"], "a text"),
        (bytes(range(256)), ["edema"], "no image that is known here"),
        (b"%PDF-1.7\n\xff\xff" * 40, ["edema"], "PNG, JPEG, TIFF, WebP or DICOM"),
        (tiff[: len(tiff) // 3], ["edema"], "TIFF"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(30), ["edema"], "WebP"),
        (good[: len(good) // 2], ["edema"], "cut|truncated|corrupt|cannot be"),
        (b"\x08\0\x05\0" + bytes(200), ["edema"], "DICOM|cannot be read"),
    ):
        with pytest.raises(UserError, match=said) as error:
            reader.read(data, phrases)
        assert "\n" not in str(error.value)
        assert "max_bad_fraction" not in str(error.value)


def test_files_that_are_no_ordinary_ones(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (tmp_path / "empty.png").touch()
    for name, said in (
        ("pipe.png", "no ordinary file"),
        ("large.png", "more than 64"),
        ("empty.png", "is empty"),
        (".", "no ordinary file|cannot be read"),
        ("gone\n.png", "gone.*cannot be read"),
    ):
        with pytest.raises(UserError, match=said) as error:
            read_upload(tmp_path / name)
        assert "\n" not in str(error.value)


def test_strange_images_are_told_from_familiar_ones():
    rng = np.random.default_rng(0)

    def kind(n, centre):
        rows = centre + 0.4 * rng.normal(size=(n, len(centre)))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    own, other = rng.normal(size=64), rng.normal(size=64)
    train, held = kind(300, own), kind(200, own)
    plain = rng.normal(size=(500, 6))
    familiar = Familiar.fit(train, plain[:300], held, plain[300:])
    fresh = kind(400, own), rng.normal(size=(400, 6))
    assert (familiar.strangeness(*fresh) > 1).mean() < 0.05
    assert (familiar.strangeness(kind(50, other), rng.normal(size=(50, 6))) > 1).all()
    assert (familiar.strangeness(kind(50, own), 9 + rng.normal(size=(50, 6))) > 1).all()
    one = Familiar.fit(train[:1], plain[:1], train[:1], plain[:1])  # the least there can be
    assert np.isfinite(one.strangeness(*fresh)).all()


def test_a_meaningless_phrase_stays_dark():
    rng = np.random.default_rng(1)
    size = 24
    usual = rng.normal(size=(40, 8, 8, size))
    meaningless = rng.normal(size=(40, size)) / 5
    finding = np.zeros(size)
    finding[0] = 1.0
    maps = PhraseMaps(usual, meaningless, finding[None])
    image = rng.normal(size=(8, 8, size))
    image[2:5, 2:5, 0] += 6.0  # the finding is there
    nonsense = rng.normal(size=(200, size)) / 5
    nonsense[:, 0] = 0.0
    scaled = maps(image, np.concatenate([finding[None], nonsense]))
    assert scaled.peaks[0] > 1
    assert scaled.maps[0, 3, 3] == scaled.maps[0].max() > 0
    assert scaled.maps[0, 6:, 6:].max() == 0
    assert (scaled.maps[1:].max((1, 2)) > 0).mean() < 0.15
    # Of one finding on many places the brighter one is brighter: the scale is not each map's own.
    image[2:5, 2:5, 0] -= 4.0
    assert maps(image, finding[None]).peaks[0] < scaled.peaks[0]


def test_ports():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port={port} cannot be listened on"):
            free_port("127.0.0.1", port)
    assert 0 < free_port("127.0.0.1", 0) < 65536
    with pytest.raises(UserError, match="cannot be listened on"):
        free_port("no.such.host.invalid", 7860)


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
    heat[:, :8] = 0.0
    seen = overlay(np.full((64, 64), 100, np.uint8), heat)
    assert (seen[40:] == 100).all()
    assert (seen[:, :8] == 100).all()
    assert (seen[:20, 8:] != 100).any()
    assert all("meaningless phrases" in caption(s) for s in reading.scores)


@pytest.fixture(scope="module")
def served(trained):
    """Address of launch/demo.py in a process of its own, as it prints it."""
    pytest.importorskip("gradio")
    root = pathlib.Path(__file__).resolve().parents[2]
    command = [sys.executable, "launch/demo.py", f"--checkpoint={trained[0]}", "--port=0",
               "--library=16"]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "XLA_FLAGS": QUICK,
        "PYTHONUNBUFFERED": "1",
    }
    log = (trained[0] / "demo.log").open("w+")
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end and process.poll() is None:
            said = (trained[0] / "demo.log").read_text()
            found = [w for w in said.split() if w.startswith("http://127.0.0.1:")]
            if found:
                yield found[0]
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"no address: {(trained[0] / 'demo.log').read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def head_ct():
    """A bright ring with grey matter on black: nothing like a chest film."""
    y, x = np.mgrid[:96, :96] - 47.5
    radius = np.hypot(x / 0.8, y)
    film = np.where(radius < 38, 90, np.where(radius < 42, 255, 0))
    film = np.where((np.abs(x) < 5) & (np.abs(y) < 16), 40, film)
    return film.astype(np.uint8)


def test_in_a_browser(trained, served, tmp_path):
    film, head, text = (tmp_path / n for n in ("film.tif", "head.png", "note.png"))
    image = open_dataset(trained[1], "train")[3].images[0]
    film.write_bytes(pillow(decode(image.data, image.format, gray=True), "TIFF"))
    head.write_bytes(pillow(head_ct(), "PNG"))
    text.write_text("this is no image")
    ask = """(() => {{ const t = document.querySelector('#phrases textarea'); t.value = {0};
        t.dispatchEvent(new Event('input', {{bubbles: true}})); return true; }})()"""
    press = "(document.querySelector('#read').click(), true)"
    with Chromium() as browser:
        browser.open(served, width=1300)
        browser.wait("document.querySelector('#read') && document.querySelector('#file input')")
        about = browser.run("document.querySelector('#about').innerText")
        assert "40 records of validation" in about
        assert "on one scale" in about
        browser.run(ask.format("'cardiomegaly\\npurple elephant'"))

        def give(file):
            if browser.run("!!document.querySelector('#file button[aria-label=\"Clear\"]')"):
                browser.run(
                    "(document.querySelector('#file button[aria-label=\"Clear\"]').click(), true)"
                )
            browser.wait("!!document.querySelector('#file input[type=file]')")
            browser.give_file("#file input[type=file]", file)
            browser.wait(f"document.querySelector('#file').innerText.includes({file.stem!r})")
            browser.run(press)

        give(film)
        browser.wait("document.querySelectorAll('#maps img').length >= 2")
        browser.wait("document.querySelector('#film img')?.naturalWidth == 640")
        assert "TIFF, 48 x 48" in browser.run("document.querySelector('#film').innerText")
        scores = browser.run("document.querySelector('#scores').innerText")
        assert "cardiomegaly" in scores
        assert "purple elephant" in scores
        assert "not calibrated" in scores
        said = "document.querySelector('#said').innerText"
        assert "no stranger than" in browser.run(said)
        assert "generator phantom" in browser.run("document.querySelector('#near').innerText")
        give(head)
        browser.wait(f"{said}.includes('unlike the training images')")
        give(text)
        browser.wait("document.body.innerText.includes('this is a text')")
        assert browser.asked()
        assert all(u.startswith((served, "data:", "blob:")) for u in browser.asked())
