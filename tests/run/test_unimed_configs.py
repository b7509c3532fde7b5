"""The recipes of UniMed-CLIP: the published constants, other batches, and the ablation's grid."""

import pytest

from configs.unimed import multi_positive, recipe, vit_b16, vit_l14_336
from medvlp_jax.models.registry import model_config
from medvlp_jax.models.towers import TEXT
from medvlp_jax.run.config import parse_config
from medvlp_jax.run.grid.grid import find, parse_grid, training_config, trials

#: file -> learning rate, side, patch, width, joint space, hidden width of the texts' head
PUBLISHED = {
    vit_b16: (5e-4, 224, 16, 768, 512, 640),
    vit_l14_336: (4e-4, 336, 14, 1024, 768, 768),
}


@pytest.mark.parametrize("file", PUBLISHED)
def test_the_published_constants(file):
    lr, size, patch, width, joint, hidden = PUBLISHED[file]
    c = parse_config(file.get_config("folder"))
    o = c.optim
    assert (o.name, o.lr, o.b1, o.b2, o.eps) == ("adamw", lr, 0.9, 0.98, 1e-6)
    assert (o.weight_decay, o.no_decay, o.clip_norm, o.ema_decay) == (0.2, (), None, 0.0)
    assert (o.schedule, o.final_lr_fraction, o.warmup_steps) == ("cosine", 0.0, 2000)
    # ten epochs of 5.282 million pairs; the publication's loader rounds up to 25,840
    assert (c.data.batch_size, c.loop.steps) == (2048, 25_791)
    m = model_config(c.model)
    assert (m.vision.image_size, m.vision.patch, m.vision.width) == (size, patch, width)
    assert (m.vision.activation, m.vision.pool, m.vision.norm_pre) == ("quick_gelu", "class", True)
    assert (m.embed_dim, m.vision_proj.kind) == (joint, "linear")
    assert (m.text_proj.kind, m.text_proj.bias, m.text_proj.activation) == ("mlp", False, "gelu")
    assert m.text_proj.hidden_width(m.text.width, m.embed_dim) == hidden
    assert (m.text.pool, m.text.width, m.text.depth) == ("class", 768, 12)
    assert (c.data.text.max_len, len(c.data.text.buckets)) == (256, 4)
    assert c.data.image.geometry.crop_area == (0.9, 1.0)
    assert (c.task["mean"], c.task["std"]) == ([*recipe.MEAN], [*recipe.STD])
    assert (c.task["loss"], c.task.get("multi_positive", "none")) == ("infonce", "none")


@pytest.mark.parametrize("file", PUBLISHED)
def test_thirteen_sources_in_natural_proportions(file):
    c = parse_config(file.get_config("folder"))
    assert [s.path for s in c.data.sources] == [f"folder/{name}" for name in recipe.SOURCES]
    assert len(c.data.sources) == 13
    assert {s.weight for s in c.data.sources} == {None}
    assert (c.data.mixture.by, c.data.mixture.temperature) == ("source", 1.0)
    assert sum(recipe.SOURCES.values()) == 5_282_000
    assert parse_config(file.get_config("")).data.sources[0].path == "data/unimed/radimagenet"


@pytest.mark.parametrize("file", PUBLISHED)
def test_another_batch_sees_as_many_pairs(file):
    config = file.get_config("folder")
    config.data.batch_size = 32_768
    c = parse_config(config)
    assert (c.loop.steps, c.optim.warmup_steps) == (1611, 125)
    config.loop.steps = 100_000  # said by hand
    assert parse_config(config).loop.steps == 100_000


def test_the_ablation():
    grid = parse_grid(multi_positive.get_config("captions"))
    every = trials(grid)
    assert len(every) == len(multi_positive.METHODS) * 3
    assert grid.compared["infonce_either"] == "infonce"
    assert grid.compared["sigmoid_either"] == "sigmoid"
    seen = {}
    for name, (loss, positives) in multi_positive.METHODS.items():
        method = grid.methods[name]
        assert (method["task"]["loss"], method["task"]["multi_positive"]) == (loss, positives)
        seen[name] = method["data"]
    assert all(data == seen["infonce"] for data in seen.values()), "the same batches"
    assert find(grid, "infonce-captions-steps-2").seed == 2
    config = training_config(grid, every[0])
    assert config["loop"]["steps"] == 200
    parse_config(config)
    assert TEXT["bert_base"].vocab == 30522  # that of BiomedBERT
