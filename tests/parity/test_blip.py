"""BLIP against transformers' modules: logits, losses, queue and averages, files both ways."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import ModelDef, flatten, unflatten
from medvlp_jax.core.step import init_state
from medvlp_jax.generation.text.captions import captions
from medvlp_jax.models.blip import momentum
from medvlp_jax.run.build import Run
from medvlp_jax.tasks.registry import make_task
from medvlp_jax.weights import saving, towers
from medvlp_jax.weights.export import export
from medvlp_jax.weights.families import OPENAI, build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.loading import load
from medvlp_jax.weights.source import open_source
from medvlp_jax.weights.tables import blip

torch = pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("transformers")
cases = pytest.importorskip("blip_cases")
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("quick_compiles")]

TASK = {"name": "blip", "channels": 3, "cam_block": 1}
STEPS, RATE = 5, 0.01


@pytest.fixture(scope="module")
def theirs():
    return cases.theirs()


@pytest.fixture(scope="module")
def authors_file(theirs, tmp_path_factory):
    file = tmp_path_factory.mktemp("authors") / "model_base.pth"
    torch.save({"model": cases.authors_names(theirs), "epoch": 19}, file)
    return file


@functools.cache
def model_def(config=cases.CONFIG):
    return ModelDef.of(build(config))


@pytest.fixture(scope="module")
def arrays(authors_file):
    """Our parameters, read from the authors' file, and fresh buffers that start from them."""
    # By the table: nothing in the file says how many heads there are where they are not 64 wide.
    plain = dataclasses.replace(cases.CONFIG, queue=0)
    params, _ = load(authors_file, blip.authors_table(plain), model_def(plain).abstract_params)
    _, buffers = jax.jit(model_def().init)(jax.random.key(0))
    return params, buffers


def begun(params, buffers, theirs):
    """Buffers whose averages are the parameters, and whose queue is theirs."""
    flat, own = flatten(buffers), flatten(params)
    for path in flat:
        if path[0] == "momentum":
            flat[path] = own.get(path[1:], jnp.zeros_like(flat[path]))
    flat["queue", "image"] = jnp.asarray(theirs.image_queue.numpy())
    flat["queue", "text"] = jnp.asarray(theirs.text_queue.numpy())
    return unflatten(flat)


def test_logits_and_vectors(theirs, arrays):
    batch = cases.batch_of(0)
    image, ids, mask, _, _ = cases.as_torch(batch)
    task = make_task(model_def(), TASK)
    model = model_def().merge(*arrays)
    ours = jax.jit(
        lambda b: {
            "tokens": model.image_tokens(task.config.prepare(b["image"])),
            "text": model.text_embed(b["text"], b["text_mask"]),
        }
    )(batch)
    with torch.no_grad():
        tokens = theirs.vision_model(image).last_hidden_state
        hidden = theirs.text_encoder(ids, attention_mask=mask).last_hidden_state[:, 0]
        text = torch.nn.functional.normalize(theirs.text_proj(hidden), dim=-1)
        asked = ids.clone()
        asked[:, 0] = 41
        beside = theirs.text_encoder(
            asked, attention_mask=mask, encoder_hidden_states=tokens
        ).last_hidden_state
        match = theirs.itm_head(beside[:, 0])
        asked[:, 0] = 40
        words = theirs.text_decoder(
            asked, attention_mask=mask, encoder_hidden_states=tokens, use_cache=False
        ).logits
    np.testing.assert_allclose(ours["tokens"], tokens, atol=1e-4)
    np.testing.assert_allclose(ours["text"], text, atol=1e-4)
    got = jax.jit(model.match)(batch["text"], batch["text_mask"], ours["tokens"])
    np.testing.assert_allclose(got, match, atol=1e-4)
    got = jax.jit(model.caption_logits)(batch["text"], batch["text_mask"], ours["tokens"])
    real = batch["text_mask"]
    np.testing.assert_allclose(np.asarray(got)[real], words.numpy()[real], atol=1e-4)


def test_losses_gradients_queue_and_averages_over_steps(arrays):
    """Both sides descend by their own gradients; everything stays together, the ring comes round,
    records come again while their old vectors are in the queue, and the targets soften."""
    theirs = cases.theirs(momentum=0.9, alpha=0.4, alpha_steps=3)
    options = {"momentum": 0.9, "alpha": 0.4, "alpha_steps": 3}
    task = make_task(model_def(), TASK | options)
    params, buffers = arrays[0], begun(*arrays, theirs)

    @jax.jit
    def step(params, buffers, batch):
        def loss(params):
            model = model_def().merge(params, buffers)
            total, metrics = task.loss(model, None, batch)
            return total, (metrics, model_def().buffers_of(model))

        (_, (metrics, new)), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - RATE * g, params, slopes), new, metrics

    seen = set()
    for number in range(STEPS):
        batch = cases.batch_of(number)
        params, buffers, ours = step(params, buffers, batch)
        losses = theirs(*cases.as_torch(batch))
        theirs.zero_grad()
        sum(losses.values()).backward()
        with torch.no_grad():
            for p in theirs.learned():
                p -= RATE * p.grad
        for name in ("itc", "itm", "lm"):
            assert float(ours[f"{name}_loss"]) == pytest.approx(losses[name].item(), abs=1e-4)
        np.testing.assert_allclose(buffers["queue"]["image"], theirs.image_queue, atol=1e-4)
        np.testing.assert_allclose(buffers["queue"]["text"], theirs.text_queue, atol=1e-4)
        for i, name in enumerate(("record", "text_key", "group")):
            np.testing.assert_array_equal(buffers["queue"][name], theirs.key_queue[i])
        np.testing.assert_array_equal(buffers["queue"]["valid"], theirs.valid_queue)
        seen.add(round(float(ours["alpha"]), 3))
    assert seen == {0.0, 0.133, 0.267, 0.4}
    assert int(buffers["queue"]["place"]) == theirs.place == STEPS * cases.ROWS % cases.QUEUE
    average = theirs.average["text_encoder"].encoder.layer[1].attention.self.query.weight
    own = theirs.text_encoder.encoder.layer[1].attention.self.query.weight
    got = buffers["momentum"]["text"]["encoder"]["attn"]["q"]["kernel"][1]
    np.testing.assert_allclose(np.asarray(got).T, average, atol=1e-5)
    assert np.abs((average - own).detach().numpy()).max() > 1e-4
    got = buffers["momentum"]["vision"]["blocks"]["mlp"]["up"]["kernel"][0]
    average = theirs.average["vision_model"].encoder.layers[0].mlp.fc1.weight
    np.testing.assert_allclose(np.asarray(got).T, average, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_those_of_generate(beams, theirs, arrays, tmp_path):
    model = model_def().merge(*arrays)
    single = _captioner(theirs)
    single.save_pretrained(tmp_path / "captioner")
    rng = np.random.default_rng(3)
    image = rng.normal(size=(4, cases.SIDE, cases.SIDE, 3)).astype(np.float32)
    end = 7  # stands for [SEP]
    with torch.no_grad():
        found = single.generate(
            torch.tensor(image).permute(0, 3, 1, 2),
            num_beams=beams,
            max_new_tokens=8,
            do_sample=False,
        )[:, 1:].numpy()
    ours = jax.jit(
        lambda x: captions(model, model.image_tokens(x), jnp.full(4, end), 8, beams, 1.0)
    )(image)
    for got, expected in zip(np.asarray(ours), found, strict=True):
        ends = np.flatnonzero(expected == end)
        expected = expected[: ends[0]] if len(ends) else expected
        ends = np.flatnonzero(got == end)
        got = got[: ends[0]] if len(ends) else got
        assert got.tolist() == expected.tolist()


def _captioner(theirs):
    from transformers import BlipForConditionalGeneration

    from benchmarks.torch_blip import config_of

    settings = cases.settings()
    settings["text_config"] |= {"sep_token_id": 7, "bos_token_id": 40, "pad_token_id": 0}
    model = BlipForConditionalGeneration(config_of(settings)).eval()
    own = theirs.state_dict()
    model.load_state_dict({name: own[name] for name in model.state_dict()})
    return model


def _retriever(theirs):
    from transformers import BlipForImageTextRetrieval

    from benchmarks.torch_blip import config_of

    model = BlipForImageTextRetrieval(config_of(cases.settings())).eval()
    own = theirs.state_dict()
    model.load_state_dict({name: own[name] for name in model.state_dict()})
    return model


@pytest.mark.parametrize("branch", ["encoder", "decoder"])
def test_folders_of_transformers_both_ways(branch, theirs, arrays, tmp_path):
    make = _retriever if branch == "encoder" else _captioner
    make(theirs).save_pretrained(tmp_path / "origin")
    source = open_source(tmp_path / "origin")
    assert source.config.branches == (branch,)
    one = ModelDef.of(build(source.config))
    loaded, _ = source.load(one.abstract_params, one.abstract_buffers)
    whole = flatten(arrays[0])
    for path, value in flatten(loaded).items():
        np.testing.assert_array_equal(value, whole[path], err_msg="/".join(path))
    # Back, from the model with both branches.
    layout = {"encoder": "blip_retrieval", "decoder": "blip_captions"}[branch]
    config = dataclasses.replace(cases.CONFIG, queue=0)
    export(tmp_path / "again", layout, config, arrays[0])
    cls = type(make(theirs))
    back, report = cls.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for name, tensor in make(theirs).state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name], tensor, err_msg=name)


def test_the_authors_layout_both_ways(theirs, arrays, tmp_path):
    import safetensors.torch

    config = dataclasses.replace(cases.CONFIG, queue=0)
    saving.save(tmp_path, blip.authors_table(config), arrays[0])
    written = safetensors.torch.load_file(tmp_path / "model.safetensors")
    expected = cases.authors_names(theirs)
    left = {n for n in expected if n not in written}
    assert left == {
        "image_queue", "text_queue", "queue_ptr", "visual_encoder_m.cls_token",
        "text_encoder.embeddings.position_ids",
    }  # fmt: skip
    for name, tensor in written.items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_heads_of_another_width_are_asked_for(authors_file):
    with pytest.raises(WeightsError, match=r"num_heads|number of its heads"):
        open_source(authors_file)


def test_encoder_and_decoder_that_are_not_one_model_are_refused(theirs, tmp_path):
    tensors = cases.authors_names(theirs)
    name = "text_decoder.bert.encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name] + 1
    torch.save(tensors, tmp_path / "two.pth")
    plain = dataclasses.replace(cases.CONFIG, queue=0)
    with pytest.raises(WeightsError, match="differ in what BLIP shares"):
        load(tmp_path / "two.pth", blip.authors_table(plain), model_def(plain).abstract_params)


def test_branches_that_are_not_there_are_said():
    config = dataclasses.replace(cases.CONFIG, branches=("encoder",))
    with pytest.raises(ConfigError, match=r"lm_weight needs 'decoder' in config.model.branches"):
        make_task(ModelDef.of(build(config)), TASK)


def test_a_run_starts_from_the_authors_file(tmp_path):
    """Recognised by its names; images of another size; averages begin where the weights are."""
    origin = cases.theirs(cases.WIDE)
    torch.save({"model": cases.authors_names(origin)}, tmp_path / "base.pth")
    source = open_source(tmp_path / "base.pth")
    assert source.family.name == "blip_authors"
    assert source.config.branches == ("encoder", "decoder")
    config = {
        "name": "blip",
        "model": {"name": "blip", "init": str(tmp_path / "base.pth"), "queue": 8},
        "task": {"name": "blip", "cam_block": 0},
        "data": {
            "sources": [{"path": "nowhere"}],
            "batch_size": 4,
            "image": {"size": 32, "channels": 3},
            "text": {"buckets": (12,), "tokenizer": "somewhere"},
        },
        "loop": {"steps": 2},
    }
    run = Run(config, jax.devices()[:1])
    ours = run.model_config
    assert (ours.text.vocab, ours.text.max_length, ours.vision.image_size) == (40, 16, 32)
    assert run.config.task["mean"] == pytest.approx(OPENAI.mean)
    state = init_state(run.model_def, run.optimizer, jax.random.key(0), run.mesh)
    state = momentum.begin(towers.start(state, run.optimizer, ours, run.config.init_towers))
    words = origin.text_encoder.embeddings.word_embeddings.weight.detach()
    np.testing.assert_array_equal(state.params["text"]["embed"]["words"]["table"], words)
    assert state.params["vision"]["positions"].shape == (17, 64)
    average = state.buffers["momentum"]
    for name in ("vision", "vision_proj", "text_proj"):
        jax.tree.map(np.testing.assert_array_equal, average[name], state.params[name])
    np.testing.assert_array_equal(average["text"]["embed"]["words"]["table"], words)
    config["model"]["embed_dim"] = 16
    with pytest.raises(ConfigError, match="embed_dim=16 contradicts"):
        Run(config)
