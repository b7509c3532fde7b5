"""Models of ours in the gate: a checkpoint of a CLIP as encoder, judge and for agreement, and a
published vision tower. The weights are random: what is tested is that they are used rightly."""

import shutil

import cv2
import jax
import numpy as np
import pytest

from data_gen.curation import Candidate, Gate, GateConfig
from data_gen.curation.agreement import AgreementConfig
from data_gen.curation.encoders.base import EncoderConfig
from data_gen.curation.encoders.registry import make_encoder
from data_gen.curation.encoders.towers import fitted, open_clip_of_ours, other_texts
from data_gen.curation.judges.base import JudgeConfig
from data_gen.curation.judges.registry import make_judge
from data_gen.phantom.registry import PHANTOMS
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.step import init_state
from medvlp_jax.data.images.augment import ImageConfig, load_image
from medvlp_jax.data.store.dataset import finalise
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import TOKENIZER

from .films import files, films, png

FILMS = films()

CHEST = PHANTOMS["chest_xray"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A CLIP with random weights, its tokenizer beside it and its data gone."""
    folder = tmp_path_factory.mktemp("clip")
    texts = other_texts(CHEST, 40)
    records = [
        Record(f"r{i}", (Image(data, "jpeg"),), (Text(texts[i], "impression"),))
        for i, data in enumerate(files())
    ]
    write_shard(folder / "data", ShardName("films", "train", 0, 1), records, "x")
    finalise(folder / "data")
    tree = {
        "name": "tiny",
        "model": {
            "vision": {"name": "vit_s16", "patch": 8, "width": 16, "depth": 1, "heads": 2},
            "text": {"name": "bert_mini", "vocab": 1000, "width": 16, "depth": 1, "heads": 2},
            "embed_dim": 8,
            "dtype": "float32",
        },
        "task": {"name": "contrastive"},
        "data": {
            "sources": [{"path": str(folder / "data")}],
            "batch_size": 8,
            "image": {"size": 32, "channels": 1},
            "text": {"buckets": [16], "vocab": 1000},
        },
        "loop": {"steps": 1},
    }
    e = Run(tree)
    e.tokenizer()
    state = init_state(e.model_def, e.optimizer, jax.random.key(0), e.mesh)
    saver = Checkpointer(folder / "run", e.config.checkpoint, e.resolved)
    assert saver.save(state, 1, {})
    saver.close()
    shutil.copytree(folder / "data" / "tokenizer", folder / "run" / TOKENIZER)
    shutil.rmtree(folder / "data")
    return str(folder / "run")


def clip(checkpoint):
    return open_clip_of_ours(checkpoint, 4)


def test_pictures_are_fitted_as_an_evaluation_does():
    rgb = np.repeat(FILMS[0][:100, :, None], 3, axis=2)
    for channels in (1, 3):
        for resize in ("shortest", "pad", "stretch"):
            config = ImageConfig(size=32, channels=channels, resize=resize)
            for pixels in (FILMS[0][:100], rgb):
                expected, _ = load_image(png(pixels), "png", config, None)
                np.testing.assert_array_equal(fitted(pixels, config), expected)


def test_the_clip_encoder(checkpoint):
    encoder = make_encoder(EncoderConfig("clip", checkpoint, 4))
    rows = encoder.encode(FILMS[:6])
    assert rows.shape == (6, encoder.width) == (6, 8)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    # Equal in any company, and by way of the predictor itself.
    np.testing.assert_allclose(encoder.encode(FILMS[5:6])[0], rows[5], atol=1e-6)
    one = clip(checkpoint)
    direct = one._predict("image_embed", {"image": fitted(FILMS[5], one._image)[None]})[0]
    np.testing.assert_allclose(rows[5], direct / np.linalg.norm(direct), atol=1e-5)
    assert encoder.encode([]).shape == (0, 8)


def test_the_share_of_texts_that_the_own_one_beats(checkpoint):
    one = clip(checkpoint)
    own = ["Large left pleural effusion.", "  ", other_texts(CHEST, 128)[7]]
    found = one.beaten(FILMS[:3], own, CHEST)
    assert found[1] is None
    others = one.texts(other_texts(CHEST, 128))
    for i in (0, 2):
        picture, text = one.images(FILMS[i : i + 1])[0], one.texts([own[i]])[0]
        mine = round(float(picture @ text), 6)
        share = 0.0
        for other in others:
            theirs = round(float(picture @ other), 6)
            share += 1.0 if theirs < mine else 0.5 if theirs == mine else 0.0
        assert found[i] == pytest.approx(share / 128, abs=0.02)  # ties may fall either way
    assert one.beaten(FILMS[:1], [""], CHEST) == [None]
    assert len(set(other_texts(CHEST, 128))) == 128


@pytest.fixture(scope="module")
def judge(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for i in range(20):
        (folder / f"{i:02d}.png").write_bytes(png(FILMS[i]))
    config = JudgeConfig(kind="clip", checkpoint=checkpoint, minimum=0.2, reference=str(folder))
    return make_judge(config, CHEST)


def test_the_clip_judge_compares_with_good_films(checkpoint, judge):
    one = clip(checkpoint)
    assert CHEST.review.sentences.keys() == {q.key for q in CHEST.review.questions}
    found = judge.judge([Candidate(str(i), FILMS[i]) for i in range(26)])
    for question in CHEST.review.questions:
        yes, no = one.prompts(CHEST.review.sentences[question.key])
        lean = [float(one.images(FILMS[i : i + 1])[0] @ (yes - no)) for i in range(26)]
        for i in range(20, 26):
            score = found[i].scores[f"judge/{question.key}"]
            # Between the shares without and with the films that rounding makes equal to it.
            below, above = (np.mean([x < lean[i] + d for x in lean[:20]]) for d in (-2e-6, 2e-6))
            assert below <= score <= above
            assert (question.reason in found[i].reasons) == (score < 0.2)


def test_the_gate_asks_models_and_keeps_their_scores(checkpoint):
    gate = Gate(
        GateConfig(
            encoder=EncoderConfig("clip", checkpoint, 4),
            agreement=AgreementConfig(checkpoint, minimum=0.999, batch_size=4),
        )
    )
    said = Candidate("a", FILMS[0], text="Small nodule in the right upper lobe.")
    silent = Candidate("b", FILMS[1])
    black = Candidate("c", np.zeros((64, 64), np.uint8), text="Normal.")
    verdicts = gate.review([said, silent, black])
    assert verdicts[0].reasons == ("disagrees with its text",)
    assert 0 <= verdicts[0].scores["agreement/beaten"] < 0.999
    assert verdicts[1].accepted
    assert verdicts[1].embedding.shape == (8,)
    assert verdicts[2].reasons == ("black",)
    assert verdicts[2].embedding is None


@pytest.mark.torch
def test_a_dinov2_gives_what_pytorch_gives(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
    )
    model = transformers.Dinov2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(tmp_path)
    mean, std = [0.5307] * 3, [0.2583] * 3
    (tmp_path / "preprocessor_config.json").write_text(
        f'{{"image_mean": {mean}, "image_std": {std}}}'
    )
    encoder = make_encoder(EncoderConfig("dinov2", str(tmp_path), 4))
    assert encoder.bad_threshold == 0.5
    small = [cv2.resize(film, (28, 28), interpolation=cv2.INTER_AREA) for film in FILMS[:6]]
    found = encoder.encode(small)
    pixels = torch.tensor(np.stack(small), dtype=torch.float32)[:, None].repeat(1, 3, 1, 1) / 255
    with torch.no_grad():
        rows = model((pixels - mean[0]) / std[0]).last_hidden_state[:, 0].numpy()
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
