"""The config of a run: its groups, and what is said once and meant in many places."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig
from medvlp_jax.core.config import agree, group, parse, to_plain
from medvlp_jax.core.fields import Pattern, Seed, Size
from medvlp_jax.core.loop import LoopConfig
from medvlp_jax.core.metrics import LogConfig
from medvlp_jax.core.optim import OptimConfig
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.data.config import DataConfig
from medvlp_jax.eval.config import EvalConfig
from medvlp_jax.models.registry import MODELS, model_name
from medvlp_jax.run.old_configs import forget_old_keys, refuse_old_keys
from medvlp_jax.tasks.registry import task_entry
from medvlp_jax.weights import towers

#: Folder of a workdir that holds the tokenizer the run was trained with.
TOKENIZER = "tokenizer"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A whole config file. ``model`` and ``task`` are read by the registries of these names.

    Said once, used everywhere: ``seed`` (data order and initialisation), ``data.image.size`` and
    ``.channels`` (pipeline, vision tower, task), and what the task says of other groups
    (``complete`` of its class: the optimizer's frozen parameters, the model's classes ...).

    Attributes:
      name: of the run, in pages and reports of compilation.
      model: ``name`` and the keys of a model of ``models.registry.MODELS``.
      task: ``name`` and the keys of a task of ``tasks.registry.TASKS``.
      data: what training reads.
      loop: how long it trains, and what happens how often.
      seed: of the initialisation and the data order.
      micro_batches: pieces of a batch, to save memory; see ``core.step``.
      init_from: workdir or checkpoint of another run whose parameters this one starts from.
      init_only: patterns of the parameters that ``init_from`` gives.
      init_towers: ``vision``, ``text`` or ``model`` -> published weights that it starts from;
        filled from ``config.model.vision.init`` and its like (``weights.towers``).
      mesh: how devices are divided.
      optim: optimizer and schedule.
      checkpoint: which checkpoints stay.
      log: writers besides ``metrics.jsonl``.
      eval: what is measured, during training and at the end.
    """

    name: str
    model: dict[str, Any]
    task: dict[str, Any]
    data: DataConfig
    loop: LoopConfig
    seed: Seed = 0
    micro_batches: Size = 1
    init_from: str = ""
    init_only: tuple[Pattern, ...] = (".*",)
    init_towers: dict[str, str] = dataclasses.field(default_factory=dict)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)


#: May change between two starts of one run without changing what is learnt, beside what its task
#: names. ``loop.steps`` may not: the learning rate follows it.
MAY_DIFFER = (
    *("name", "mesh", "log", "checkpoint", "eval", "init_from", "init_only", "init_towers"),
    *(f"loop.{key}" for key in ("log_every", "eval_every", "save_every", "max_skips", "profile")),
    *(f"data.{key}" for key in ("workers", "threads", "prefetch", "cache_dir")),
    # A list that leaves out other records is found by the order of the data.
    *("data.max_bad_fraction", "data.sources", "data.held_out"),
    *("model.remat", "model.vision.remat", "model.text.remat"),
)


def parse_config(config: Mapping[str, Any]) -> RunConfig:
    """Validates a ConfigDict (or the JSON of a checkpoint) and spreads what is said once.

    Raises:
      ConfigError: names the key, and the nearest valid one.
      WeightsError: published weights that a tower shall start from cannot be found or understood.
    """
    tree = to_plain(config)
    refuse_old_keys(tree)
    parse(RunConfig, tree)  # from here on, groups are groups
    task = task_entry(tree["task"]).task
    model = tree["model"]
    for side in MODELS[model_name(model, task.models[0])].config.TOWERS:
        group(model, side, "config.model")
    data, image = tree["data"], tree["data"].get("image", {})
    size, channels = image.get("size", 224), image.get("channels", 1)
    tree.setdefault("optim", {})
    model = tree["model"] = _published(tree, channels)
    agree(data, "seed", tree.get("seed", 0), "config.data")
    vision = model.setdefault("vision", {})
    agree(vision, "image_size", size, "config.model.vision")
    agree(vision, "channels", channels, "config.model.vision")
    agree(tree["task"], "channels", channels, "config.task")
    task.complete(tree)
    return parse(RunConfig, tree)


def _published(tree: dict[str, Any], channels: int) -> dict[str, Any]:
    """``config.model`` with the sizes of the weights it shall start from; these also decide about
    tokenizer and normalisation, unless the config does."""
    found = towers.expand(tree.get("model", {}), channels)
    if found.inits:
        tree["init_towers"] = found.inits
    if found.tokenizer:
        text = tree["data"].setdefault("text", {})
        text["tokenizer"] = text.get("tokenizer") or found.tokenizer
    if found.pixels is not None and tree["task"].get("pixels", "fixed") == "fixed":
        tree["task"].setdefault("mean", list(found.pixels.mean))
        tree["task"].setdefault("std", list(found.pixels.std))
    return found.model


def stored_config(
    checkpoint: str | os.PathLike[str], step: pretrained.Which = "latest"
) -> dict[str, Any]:
    """The config that a checkpoint was written with, for use elsewhere: as plain values, on the
    devices of this machine, with the tokenizer that lies beside the checkpoints.

    Raises:
      CheckpointError: there is no such checkpoint.
    """
    stored = forget_old_keys(pretrained.load_config(checkpoint, step))
    stored["mesh"] = {}
    tokenizer = workdir_of(checkpoint, step) / TOKENIZER
    if tokenizer.is_dir():
        stored["data"]["text"]["tokenizer"] = str(tokenizer)
    return stored


def workdir_of(
    checkpoint: str | os.PathLike[str], step: pretrained.Which = "latest"
) -> pathlib.Path:
    """The workdir that a checkpoint lies in."""
    return pathlib.Path(pretrained.resolve(checkpoint, step)).parent.parent
