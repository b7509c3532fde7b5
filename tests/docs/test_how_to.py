"""Each page of docs/how_to does what it says: in a copy of the repository, on a tiny folder."""

import json
import sys

import cv2
import numpy as np
import pytest

from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts.tokenizer import train_wordpiece

from .pages import Block, Copy, Page, patched

#: Files that one addition may take, tests and README apart.
TARGETS = {"loss": 3, "data_set": 2, "tower": 4, "evaluator": 3}
#: A run of seconds: two steps of a CLIP that has hardly any width.
TINY = (
    "--config.model.text.width=16",
    "--config.model.text.depth=1",
    "--config.model.text.heads=2",
    "--config.model.text.mlp_width=16",
    "--config.model.text.vocab=300",
    "--config.model.text.max_length=16",
    "--config.model.embed_dim=16",
    "--config.model.dtype=float32",
    "--config.model.remat=none",
    "--config.data.batch_size=8",
    "--config.data.image.size=32",
    "--config.data.text.buckets=(16,)",
    "--config.data.text.window=0",
    "--config.optim.warmup_steps=1",
    "--config.loop.steps=2",
    "--config.loop.log_every=1",
    "--config.loop.save_every=2",
    "--config.loop.eval_every=2",
    "--config.log.tensorboard=False",
    "--config.eval.sets={}",
    "--config.mesh.fsdp=1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen records with texts, labels, and a tokenizer beside them."""
    path = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    words = ("pneumothorax", "edema", "nodule", "effusion")

    def record(n: int, split: str) -> Record:
        pixels = rng.integers(0, 255, (32, 32), dtype=np.uint8)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        name = words[n % 4]
        text = Text(f"there is a {name} on the left", "findings", labels=(name,))
        return Record(
            f"{split}{n}",
            (Image(data, "png", "PA"),),
            (text,),
            {word: int(word == name) for word in words},
            split=split,
        )

    for split in ("train", "validation", "test"):
        write_shard(path, ShardName("tiny", split, 0, 1), [record(n, split) for n in range(16)])
    texts = [f"there is a {w} on the {s}" for w in words for s in ("left", "right")] * 20
    train_wordpiece(texts, path / "tokenizer", vocab_size=300)
    return path


@pytest.fixture
def copy(repo_root, tmp_path):
    return Copy(repo_root, tmp_path)


def page(repo_root, name: str) -> Page:
    return Page(repo_root / "docs/how_to" / f"{name}.md")


@pytest.mark.parametrize("name", TARGETS)
def test_a_page_touches_as_many_files_as_it_says(repo_root, name):
    found = page(repo_root, name)
    assert len(found.files) == found.promised <= TARGETS[name], found.files


def test_a_change_whose_place_is_not_there_or_twice_is_an_error():
    block = Block("diff", "x.py", " a\n+b\n")
    assert patched("\na\nc\n", block) == "\na\nb\nc\n"
    for text in ("\nc\n", "\na\na\n"):
        with pytest.raises(AssertionError, match="stands there"):
            patched(text, block)


def metrics(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "train/loss" in line or "loss" in line]


def test_a_loss(repo_root, copy, folder):
    found = page(repo_root, "loss")
    found.apply(copy.root)
    copy.python(
        "import numpy as np, jax.numpy as jnp\n"
        "from medvlp_jax.losses.uniformity import align, uniform\n"
        "rng = np.random.default_rng(0)\n"
        "x, y = rng.normal(size=(2, 5, 3)); valid = np.array([1, 1, 1, 1, 0], bool)\n"
        "x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))\n"
        "near = np.mean([((x[i] - y[i]) ** 2).sum() for i in range(4)])\n"
        "pairs = [(i, j) for i in range(4) for j in range(4) if i != j]\n"
        "far = np.log(np.mean([np.exp(-2 * ((x[i] - x[j]) ** 2).sum()) for i, j in pairs]))\n"
        "arrays = [jnp.float32(x), jnp.float32(y), jnp.array(valid)]\n"
        "np.testing.assert_allclose(align(*arrays), near, rtol=1e-5)\n"
        "np.testing.assert_allclose(uniform(arrays[0], arrays[2]), far, rtol=1e-5)\n"
    )
    copy.shown(
        found.commands[0],
        {"data/mimic": str(folder), "runs/uniformity": "runs/tiny"},
        *TINY,
        "--config.model.vision.name=resnet_tiny",
        f"--config.data.text.tokenizer={folder}/tokenizer",
    )
    assert len(metrics(copy.root / "runs/tiny")) == 2


def test_a_data_set(repo_root, copy, tmp_path):
    root = tmp_path / "county"
    for n in range(8):
        name = f"MCUCXR_{n:04d}_{n % 2}"
        for path in (root / "CXR_png" / f"{name}.png", root / "ClinicalReadings" / f"{name}.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(
            str(root / "CXR_png" / f"{name}.png"), np.full((32, 32), 9 * n, np.uint8)
        )
        (root / "ClinicalReadings" / f"{name}.txt").write_text(
            f"Patient's Sex: F\nPatient's Age: 026Y\n{'scar' if n % 2 else 'normal'}\n"
        )
    (root / "CXR_png" / "thumbs.png").write_bytes(b"")
    found = page(repo_root, "data_set")
    found.apply(copy.root)
    said = copy.shown(
        found.commands[0],
        {"/data/montgomery": str(root)},
        "--config.processes=1",
        "--config.split_fractions={'train': 1.0}",
    )
    assert "strange name" in said
    source = open_dataset(copy.root / "data/montgomery", "train")
    records = [source[i] for i in range(len(source))]
    assert {r.patient_id for r in records} == {f"MCUCXR_{n:04d}" for n in range(8)}
    assert all(
        (r.labels["tuberculosis"], r.texts[0].text) in ((0, "normal"), (1, "scar")) for r in records
    )


def test_a_tower_with_weights(repo_root, copy, folder, tmp_path):
    found = page(repo_root, "tower")
    found.apply(copy.root)
    weights = tmp_path / "mixer"
    weights.mkdir()
    _random_mixer(weights)
    copy.shown(
        found.commands[0],
        {"data/mimic": str(folder), "runs/mixer": "runs/tiny", "FOLDER": str(weights)},
        *TINY,
        f"--config.data.text.tokenizer={folder}/tokenizer",
    )
    assert len(metrics(copy.root / "runs/tiny")) == 2
    copy.python(
        "import numpy as np\n"
        "from safetensors.numpy import load_file\n"
        "from medvlp_jax.run.conversion.convert import convert\n"
        f"convert({f'timm_mixer:{weights}'!r}, {str(tmp_path / 'back')!r}, layout='timm_mixer')\n"
        f"one, two = (load_file(f) for f in ({str(weights / 'model.safetensors')!r}, "
        f"{str(tmp_path / 'back' / 'model.safetensors')!r}))\n"
        "assert one.keys() == two.keys()\n"
        "assert all(np.array_equal(one[k], two[k]) for k in one)\n"
    )


def test_the_tower_computes_what_timm_does(repo_root, copy, tmp_path):
    pytest.importorskip("timm")
    weights = tmp_path / "mixer"
    weights.mkdir()
    _random_mixer(weights)
    page(repo_root, "tower").apply(copy.root)
    copy.python(
        "import numpy as np, timm, torch\n"
        "from safetensors.torch import load_file\n"
        "from timm.models.mlp_mixer import MlpMixer\n"
        "from medvlp_jax.core.state import ModelDef\n"
        "from medvlp_jax.weights.source import open_source\n"
        f"source = open_source({f'timm_mixer:{weights}'!r})\n"
        "model = ModelDef.of(lambda rngs: source.config.build(rngs=rngs))\n"
        "ours = model.merge(*source.load(model.abstract_params, model.abstract_buffers))\n"
        "theirs = MlpMixer(num_classes=0, img_size=32, patch_size=8, num_blocks=2, embed_dim=16)\n"
        f"theirs.load_state_dict(load_file({str(weights / 'model.safetensors')!r}))\n"
        "x = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)\n"
        "wanted = theirs.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()\n"
        "assert np.abs(wanted).max() > 0.01\n"
        "np.testing.assert_allclose(ours(x).pooled, wanted, rtol=1e-4, atol=1e-6)\n"
    )


def _random_mixer(folder) -> None:
    """Two blocks for 32 pixels, under timm's names; the settings as timm writes them."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    shapes = {"stem.proj.weight": (16, 3, 8, 8), "stem.proj.bias": (16,)}
    for n in range(2):
        for name, (out, inside) in {
            "mlp_tokens.fc1": (8, 16),
            "mlp_tokens.fc2": (16, 8),
            "mlp_channels.fc1": (64, 16),
            "mlp_channels.fc2": (16, 64),
        }.items():
            shapes |= {
                f"blocks.{n}.{name}.weight": (out, inside),
                f"blocks.{n}.{name}.bias": (out,),
            }
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{n}.{norm}.{part}": (16,) for part in ("weight", "bias")}
    shapes |= {"norm.weight": (16,), "norm.bias": (16,)}
    tensors = {k: rng.normal(0, 0.1, shape).astype(np.float32) for k, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "mixer_b16_224"}))


def test_an_evaluator(repo_root, copy, folder):
    found = page(repo_root, "evaluator")
    found.apply(copy.root)
    train = ("launch/train.py", "--config=configs/cxr/clip_b16.py", "--workdir=runs/tiny", *TINY)
    more = ("--config.model.vision.name=resnet_tiny", f"--config.data.sources[0].path={folder}")
    tokenizer = f"--config.data.text.tokenizer={folder}/tokenizer"
    copy.run([sys.executable, *train, *more, tokenizer])
    copy.shown(
        found.commands[0],
        {"runs/b16/margin": "runs/out", "runs/b16": "runs/tiny", "data/mimic": str(folder)},
    )
    results = json.loads((copy.root / "runs/out/results.json").read_text())
    (entry,) = [e for e in results["evaluations"].values() if e["kind"] == "margin"]
    assert entry["records"] == 16
    assert entry["margin"]["low"] <= entry["margin"]["value"] <= entry["margin"]["high"]
    assert "cosine, own text less the others" in (copy.root / "runs/out/report.html").read_text()
