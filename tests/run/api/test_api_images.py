"""What an image may be, one by one and in folders."""

import io

import numpy as np
import PIL.Image
import pytest

import medvlp_jax as mv
from medvlp_jax.core.files import npz
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.data.images.decoding import decode
from medvlp_jax.run.api.images import as_image

from .films import dicom, in_order


def test_all_kinds_of_images_at_once(model, films, tmp_path):
    pixels = decode(in_order(films)[0].read_bytes(), "jpeg", gray=True)
    path = tmp_path / "film.png"
    PIL.Image.fromarray(pixels).save(path)
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
