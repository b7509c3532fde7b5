"""Back ends of ``ImageMaker``, and sampling a folder."""

import dataclasses
import json
import pathlib

import cv2
import numpy as np
import pytest

from data_gen.images import base as images
from data_gen.images import sampling as sample_images
from data_gen.images.base import ImageMakerConfig, ImageRequest, draw
from data_gen.images.phantom import PhantomMaker
from data_gen.images.registry import make_maker, maker_fingerprint
from data_gen.images.sampling import SampleImagesConfig
from data_gen.phantom.chest_xray.draw import make_finding
from data_gen.phantom.chest_xray.findings import Finding
from data_gen.phantom.chest_xray.requested import patient
from data_gen.phantom.job import PhantomConfig, SplitCounts, generate
from medvlp_jax.core.config import parse
from medvlp_jax.core.errors import UserError

SD = pathlib.Path(__file__).parents[2] / "parity" / "fixtures" / "sd1"
TINY = ImageMakerConfig(backend="jax", model=str(SD), steps=3, batch_size=4)


class CountingMaker:
    """Gray pictures of the seed; notes what it was asked for, and may stop after so many."""

    name, fingerprint, batch_size = "counting", "abc", 2

    def __init__(self, stop_after=None):
        self.asked, self.stop_after = [], stop_after

    def make(self, requests):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += [r.id for r in requests]
        return [np.full((8, 8), r.seed % 256, np.uint8) for r in requests]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a nodule\n\nno acute disease\na large effusion\nedema\na fracture\n")
    return SampleImagesConfig(prompts=str(path))


class TestPhantom:
    def test_draws_the_labels(self):
        request = ImageRequest("a", "", 7, {"pleural effusion": 1, "nodule": 1, "edema": 0})
        study = PhantomMaker().study(request)
        assert {f.name for f in study.findings} == {"pleural effusion", "nodule"}
        turned = dataclasses.replace(request, labels=dict(reversed(request.labels.items())))
        assert PhantomMaker().study(turned) == study
        assert PhantomMaker().study(dataclasses.replace(request, seed=8)) != study
        assert PhantomMaker().study(ImageRequest("b", "", 7, {"no finding": 1})).findings == ()

    def test_pictures_depend_on_their_request_alone(self):
        maker = PhantomMaker(size=48)
        some = [ImageRequest(str(i), "", i, {"no finding": 1}) for i in range(3)]
        together = maker.make(some)
        assert together[0].shape == (48, 48)
        assert together[0].dtype == np.uint8
        np.testing.assert_array_equal(maker.make(some[1:2])[0], together[1])
        assert not np.array_equal(together[0], together[1])

    def test_draws_the_list_with_its_truth(self):
        rng = np.random.default_rng(0)
        found = tuple(make_finding(rng, name, "erect") for name in ("mass", "cardiomegaly"))
        request = ImageRequest("a", "", 7, {"mass": 1}, found)
        maker = PhantomMaker(size=48)
        (drawn,) = draw(maker, [request])
        np.testing.assert_array_equal(drawn.picture, maker.make([request])[0])
        assert drawn.truth.study.findings == found
        assert drawn.truth.study.acquisition == patient(7).acquisition
        assert {b.label for b in drawn.truth.boxes} == {"mass", "cardiomegaly"}
        assert drawn.truth.masks["finding 1"].shape == (48, 48)
        (empty,) = draw(maker, [dataclasses.replace(request, findings=())])
        assert empty.truth.boxes == ()
        both = (found[1], Finding("emphysema", "bilateral", "diffuse", "mild", {}))
        with pytest.raises(UserError, match=r"cardiomegaly.*emphysema.*cannot be seen"):
            draw(maker, [dataclasses.replace(request, findings=both)])

    @pytest.mark.parametrize(
        ("labels", "message"), [({}, "reads no prose"), ({"gallstone": 1}, "cannot draw gallstone")]
    )
    def test_refuses(self, labels, message):
        with pytest.raises(UserError, match=f"request x.*{message}"):
            PhantomMaker(size=32).make([ImageRequest("x", "gallstone", 0, labels)])


@pytest.mark.usefixtures("quick_compiles")
class TestJax:
    def test_same_picture_whatever_the_batch(self):
        maker = make_maker(TINY)
        some = [ImageRequest(str(i), f"prompt {i}", 10 + i) for i in range(5)]
        together = maker.make(some)
        assert maker.batch_size == 8  # the eight devices of the tests share a batch
        assert together[0].shape == (16, 16, 3)
        alone = maker.make(some[3:4])[0]
        np.testing.assert_array_equal(alone, together[3])
        other_seed = maker.make([dataclasses.replace(some[3], seed=1)])[0]
        assert np.abs(other_seed.astype(int) - alone).max() > 20

    def test_fingerprint_is_of_the_pictures(self):
        def of(**changes):
            return images.model_fingerprint(dataclasses.replace(TINY, **changes), 16, "float32")

        assert of() == of(batch_size=16)
        assert maker_fingerprint(TINY) == maker_fingerprint(dataclasses.replace(TINY, batch_size=1))
        assert maker_fingerprint(TINY) != maker_fingerprint(dataclasses.replace(TINY, steps=4))
        assert of() != of(guidance=2.0)
        assert of() != of(model=str(SD.with_name("sd2")))

    def test_refused_settings(self):
        with pytest.raises(UserError, match="multiples of 4 pixels"):
            make_maker(dataclasses.replace(TINY, size=18))
        with pytest.raises(UserError, match="no folder of Stable Diffusion"):
            make_maker(dataclasses.replace(TINY, model=str(SD / "unet")))
        with pytest.raises(UserError, match="trained with 1000"):
            make_maker(dataclasses.replace(TINY, steps=2000))


@pytest.mark.torch
def test_diffusers_agrees_with_jax_but_for_the_noise():
    pytest.importorskip("torch")
    config = dataclasses.replace(TINY, backend="diffusers")
    maker = make_maker(config)
    some = [ImageRequest(str(i), f"prompt {i}", 10 + i) for i in range(2)]
    together = maker.make(some)
    assert together[0].shape == (16, 16, 3)
    alone = maker.make(some[1:])[0]
    assert np.abs(alone.astype(int) - together[1]).max() <= 1


class TestFolder:
    def test_stopped_and_resumed(self, prompts, tmp_path):
        out = tmp_path / "out"
        with pytest.raises(KeyboardInterrupt, match="2 of 5 images are finished"):
            sample_images.sample_images(prompts, CountingMaker(stop_after=2), out)
        # A kill between two writes leaves half a line.
        with (out / "images.jsonl").open("a") as stream:
            stream.write('{"id": "0000')
        maker = CountingMaker()
        done = sample_images.sample_images(prompts, maker, out)
        assert (done.made, done.found) == (3, 2)
        assert maker.asked == ["000004", "000005", "000006"]
        lines = [json.loads(x) for x in (out / "images.jsonl").read_text().splitlines()]
        assert [x["prompt"] for x in lines][:2] == ["a nodule", "no acute disease"]
        assert cv2.imread(str(out / lines[2]["file"]), -1).shape == (8, 8)
        assert cv2.imread(str(out / "grid.png")).shape[2] == 3
        again = CountingMaker()
        assert sample_images.sample_images(prompts, again, out).made == 0
        assert again.asked == []

    def test_a_changed_prompt_is_made_again(self, prompts, tmp_path):
        out = tmp_path / "out"
        sample_images.sample_images(prompts, CountingMaker(), out)
        path = pathlib.Path(prompts.prompts)
        path.write_text(path.read_text().replace("edema", "severe edema"))
        maker = CountingMaker()
        sample_images.sample_images(prompts, maker, out)
        assert maker.asked == ["000005"]

    def test_other_settings_are_refused(self, prompts, tmp_path):
        sample_images.sample_images(prompts, CountingMaker(), tmp_path / "out")
        other = CountingMaker()
        other.fingerprint = "def"
        with pytest.raises(UserError, match="other settings"):
            sample_images.sample_images(prompts, other, tmp_path / "out")

    def test_records_to_phantom_pictures(self, tmp_path):
        made = PhantomConfig(size=32, splits=SplitCounts(3, 0, 0), processes=1, masks=False)
        generate(made, tmp_path / "data", progress=False)
        config = SampleImagesConfig(records=str(tmp_path / "data"), copies=2, grid=4)
        found = sample_images.requests(config)
        assert len(found) == 6
        assert len({r.seed for r in found}) == 6
        assert found[0].labels == found[1].labels
        assert found[0].prompt == found[1].prompt
        sample_images.sample_images(config, PhantomMaker(32), tmp_path / "out")
        table = (tmp_path / "out" / "images.csv").read_text().splitlines()
        assert len(table) == 7

    def test_jsonl(self, tmp_path):
        path = tmp_path / "prompts.jsonl"
        path.write_text('{"prompt": "x", "id": "one", "seed": 5, "labels": {"edema": 1}}\n')
        (found,) = sample_images.requests(SampleImagesConfig(prompts=str(path)))
        assert found == ImageRequest("one", "x", 5, {"edema": 1})
        path.write_text('{"prompt": "x", "id": "a/b"}\n{"prompt": "y", "id": "a?b"}\n')
        with pytest.raises(UserError, match="give one file"):
            sample_images.requests(SampleImagesConfig(prompts=str(path)))
        path.write_text('{"text": "x"}\n')
        with pytest.raises(UserError, match="line 1"):
            sample_images.requests(SampleImagesConfig(prompts=str(path)))

    def test_seeds_follow_ids_not_places(self, tmp_path):
        path = tmp_path / "prompts.jsonl"
        path.write_text('{"prompt": "x", "id": "a"}\n{"prompt": "x", "id": "b"}\n')
        first = {
            r.id: r.seed for r in sample_images.requests(SampleImagesConfig(prompts=str(path)))
        }
        path.write_text('{"prompt": "x", "id": "b"}\n')
        (second,) = sample_images.requests(SampleImagesConfig(prompts=str(path)))
        assert second.seed == first["b"] != first["a"]


def test_config_file_fits_the_schema():
    from configs.data_gen.images import get_config

    config = get_config()
    config.prompts = "x.txt"
    del config["sampler"]
    assert parse(SampleImagesConfig, config).maker == ImageMakerConfig()
    assert make_maker(ImageMakerConfig()).name == "phantom"
