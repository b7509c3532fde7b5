"""From a config to a run: the one place where data, model, task, loop and evaluators meet.

``launch/`` scripts are flags and a call into this file.
"""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from medvlp_jax.core import distributed, pretrained, sharding
from medvlp_jax.core.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.config import ConfigError, dumps, parse, to_plain
from medvlp_jax.core.lock import workdir_lock
from medvlp_jax.core.loop import FitResult, LoopConfig, fit
from medvlp_jax.core.metrics import LogConfig, MetricWriter
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.profiling import Profiler
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.core.step import TrainStep, abstract_model, init_state, make_train_step
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.dataset import open_dataset
from medvlp_jax.data.device import prefetch_to_device
from medvlp_jax.data.pipeline import eval_batches, find_tokenizer, open_sources, train_iterator
from medvlp_jax.data.tokenizer import Tokenizer
from medvlp_jax.eval.base import EVALUATORS
from medvlp_jax.eval.baselines import RULES
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig, covered, located, scorable
from medvlp_jax.eval.downstream import Sets
from medvlp_jax.eval.downstream_config import TRAINS, make_downstream
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.heatmap import MAPS
from medvlp_jax.eval.promptbank import NO_FINDING, load_bank
from medvlp_jax.eval.protocol import Evaluator, PredictFn
from medvlp_jax.eval.tower import Tower
from medvlp_jax.models.clip import CLIPConfig, build_clip, clip_config
from medvlp_jax.models.flops import flops
from medvlp_jax.tasks.base import make_task
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.weights import towers

_log = logging.getLogger(__name__)
#: Folder of a workdir that holds the tokenizer the run was trained with.
TOKENIZER = "tokenizer"


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A whole config file. ``model`` and ``task`` are read by ``models.clip`` and ``tasks.base``.

    Said once, used everywhere: ``seed`` (data order and initialisation), ``data.image.size`` and
    ``.channels`` (pipeline, vision tower, task), ``data.labels``, ``task.frozen_towers`` (the
    task, and ``optim.freeze``).

    Attributes:
      micro_batches: pieces of a batch, to save memory; see ``core.step``.
      init_from: workdir or checkpoint of another run whose parameters this one starts from.
      init_only: patterns of the parameters that ``init_from`` gives.
      init_towers: ``vision``, ``text`` or ``model`` -> published weights that it starts from;
        filled from ``config.model.vision.init`` and its like (``weights.towers``).
    """

    name: str
    model: dict[str, Any]
    task: dict[str, Any]
    data: DataConfig
    loop: LoopConfig
    seed: int = 0
    micro_batches: int = 1
    init_from: str = ""
    init_only: tuple[str, ...] = (".*",)
    init_towers: dict[str, str] = dataclasses.field(default_factory=dict)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)


#: May change between two starts of one run without changing what is learnt. ``loop.steps`` may not:
#: the learning rate follows it.
MAY_DIFFER = (
    "name", "mesh", "log", "checkpoint", "eval", "init_from", "init_only",
    "init_towers",
    "loop.log_every", "loop.eval_every", "loop.save_every", "loop.max_skips", "loop.profile",
    "data.workers", "data.threads", "data.prefetch", "data.cache_dir", "data.max_bad_fraction",
    "data.sources", "model.remat", "model.vision.remat", "model.text.remat", "task.impl",
    "task.block",
)  # fmt: skip


def parse_config(config: Mapping[str, Any]) -> ExperimentConfig:
    """Validates a ConfigDict (or the JSON of a checkpoint) and spreads what is said once.

    Raises:
      ConfigError: names the key, and the nearest valid one.
      WeightsError: published weights that a tower shall start from cannot be found or understood.
    """
    tree = to_plain(config)
    data = tree.setdefault("data", {})
    image = data.get("image", {})
    size, channels = image.get("size", 224), image.get("channels", 1)
    seed = tree.get("seed", 0)
    task, optim = (tree.setdefault(k, {}) for k in ("task", "optim"))
    model = tree["model"] = _published(tree, channels)
    _agree(data, "seed", seed, "config.data")
    for group, where in (
        (model.setdefault("vision", {}), "config.model.vision"),
        (task, "config.task"),
    ):
        _agree(group, "image_size", size, where)
        _agree(group, "channels", channels, where)
    name = task.get("name")
    if name in ("contrastive", "gloria", "mgca", "medclip"):
        _agree(task, "num_labels", len(data.get("labels", ())), "config.task")
    if name in ("gloria", "mgca"):
        _agree(data.setdefault("text", {}), "with_words", True, "config.data.text")
    if name == "mgca" and model.get("prototypes"):
        optim["unit_norm"] = list(dict.fromkeys([*optim.get("unit_norm", ()), "prototypes"]))
    if name == "medclip":
        _agree(task, "variant", data.get("text", {}).get("variant", 0.0) > 0, "config.task")
    if name == "contrastive" and task.get("region_weight"):
        _agree(data, "with_boxes", True, "config.data")
        task.setdefault("max_boxes", data.setdefault("max_boxes", DataConfig.max_boxes))
    frozen = [f"{tower}/" for tower in task.get("frozen_towers", ())]
    optim["freeze"] = list(dict.fromkeys([*optim.get("freeze", ()), *frozen]))
    return parse(ExperimentConfig, tree)


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


def _agree(group: dict[str, Any], key: str, value: Any, where: str) -> None:
    if group.setdefault(key, value) != value:
        raise ConfigError(
            f"{where}.{key}={group[key]!r} contradicts {value!r}, which the rest of the config "
            "says; leave it out"
        )


class Experiment:
    """A validated config with its model, task and optimizer; nothing is allocated yet.

    Attributes:
      config: the validated config.
      resolved: the same as plain values: what checkpoints hold.
      mesh: over all devices, or the one that was given.
    """

    def __init__(self, config: Mapping[str, Any], devices: Sequence[Any] | None = None):
        self.config = c = parse_config(config)
        self.resolved = json.loads(dumps(c))
        self.mesh: Mesh = sharding.make_mesh(c.mesh, devices)
        shards = sharding.batch_shards(self.mesh) * c.micro_batches
        if c.data.batch_size % shards:
            raise ConfigError(
                f"config.data.batch_size={c.data.batch_size} must be a multiple of {shards} "
                f"(data x fsdp devices x config.micro_batches)"
            )
        self.model_config: CLIPConfig = clip_config(c.model)
        if self.model_config.text.max_length < c.data.text.max_len:
            raise ConfigError(
                f"config.model.text.max_length={self.model_config.text.max_length} is shorter than "
                f"the longest of config.data.text.buckets, {c.data.text.max_len}"
            )
        self.model_def = ModelDef.of(build_clip(self.model_config))
        self.task = make_task(self.model_def, c.task)
        self.optimizer = make_optimizer(
            c.optim, self.model_def.abstract_params, self.model_def.logical_axes, c.loop.steps
        )

    def train_step(self) -> TrainStep:
        return make_train_step(
            self.model_def,
            self.task,
            self.optimizer,
            self.mesh,
            micro_batches=self.config.micro_batches,
        )

    def step_flops(self, batch: int, text_len: int) -> float:
        """Model FLOPs of one training step: three forward passes' worth, by formula."""
        return 3.0 * flops(self.model_config, batch, text_len)

    def tokenizer(self) -> Tokenizer:
        """Opens (or, on process 0 alone, trains) the tokenizer and checks that it fits."""
        if distributed.is_main():
            find_tokenizer(self.config.data)
        distributed.barrier("tokenizer")
        tokenizer = find_tokenizer(self.config.data)
        if tokenizer.vocab_size > self.model_config.text.vocab:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, config.model.text.vocab="
                f"{self.model_config.text.vocab} is too small"
            )
        return tokenizer

    def predictor(self) -> Predictor:
        return Predictor(self.model_def, self.task.predict, self.mesh)

    def evaluators(self, tokenizer: Tokenizer, *, during_training: bool) -> dict[str, Evaluator]:
        """``<set>-<word>`` -> evaluator; those of a set share one pass over it."""
        e = self.config.eval
        embedded = {name: self._embedded(name, one, tokenizer) for name, one in e.sets.items()}
        built: dict[str, Evaluator] = {}
        for name, one in e.sets.items():
            if during_training and not one.during_training:
                continue
            built |= self._evaluators_of(name, one, embedded, tokenizer)
        return built

    def _embedded(self, name: str, one: EvalSetConfig, tokenizer: Tokenizer) -> Embedded:
        source = open_dataset(one.path, one.split)
        sets = self.config.eval.sets
        # Classes that the run never heard of can be asked for by name: that is zero-shot.
        named = (c for other in sets.values() for c in other.classes)
        labels = tuple(dict.fromkeys([*self.config.data.labels, *named]))
        grounded = {
            other.truth
            for key, other in sets.items()
            if "grounding" in other.evaluators and name in (key, other.validation)
        }
        masks = tuple(c for c in labels if c != NO_FINDING) if "masks" in grounded else ()
        data = dataclasses.replace(
            self.config.data,
            sources=(SourceConfig(one.path, one.split),),
            workers=0,
            labels=labels,
            masks=masks,
        )
        index, count = distributed.data_slice(self.mesh)

        def batches() -> Any:
            return eval_batches(
                data,
                source,
                self.config.eval.batch_size,
                index,
                count,
                with_boxes="boxes" in grounded,
                with_masks=bool(masks),
                tokenizer=tokenizer,
            )

        return Embedded(name, batches, labels, split=one.split, mask_names=masks)

    def _evaluators_of(
        self,
        name: str,
        one: EvalSetConfig,
        embedded: Mapping[str, Embedded],
        tokenizer: Tokenizer,
    ) -> dict[str, Evaluator]:
        e, test = self.config.eval, embedded[name]
        validation = embedded[one.validation] if one.validation else None
        counts, recipe = open_dataset(one.path, one.split).label_counts, e.recipe()
        classes = one.classes or scorable(counts, self.config.data.labels)
        bank = e.map_bank()
        length = min(64, self.model_config.text.max_length)

        def tokenize(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
            return tokenizer(texts, length)

        # A heat-map stands against all that was learnt, also where the set has a class or two.
        known = [c for c in self.config.data.labels if c in bank.classes and c != NO_FINDING]
        shown = located(counts, one.classes or known)
        maps = MAPS[e.maps]
        compared = {
            "validation": validation,
            "bootstrap": e.bootstrap,
            "subgroups": e.subgroups,
        }
        prompts = load_bank(recipe.prompts, max_prompts=recipe.max_prompts, seed=recipe.prompt_seed)
        scored = classes
        if "zeroshot" in one.evaluators and not one.classes:
            scored = covered(name, classes, prompts, recipe)
        built: dict[str, Evaluator] = {}
        for word in one.evaluators:
            make: Callable[..., Evaluator] = EVALUATORS[word]
            if word == "zeroshot":
                built[f"{name}-zeroshot"] = make(
                    test, scored, prompts, tokenize, recipe=recipe,
                    word_ids=lambda texts: tokenizer.word_ids(texts, length),
                    threshold_rule=e.threshold_rule, per_class=one.per_class, **compared,
                )  # fmt: skip
            elif word == "baseline":
                for rule in RULES:
                    built[f"{name}-{rule}"] = make(
                        test, scored, rule=rule, threshold_rule=e.threshold_rule, **compared
                    )
            elif word == "grounding":
                query = "positive" if (e.heatmap, one.truth) == ("phrases", "masks") else e.heatmap
                built[f"{name}-grounding"] = make(
                    test, shown, bank, tokenize, validation=validation, truth=one.truth,
                    query=query, among=known, maps=maps, bootstrap=e.bootstrap,
                )  # fmt: skip
            elif word == "pictures":
                query = "positive" if e.heatmap == "phrases" else e.heatmap
                built[f"{name}-pictures"] = make(
                    test, shown or known, bank, tokenize, query=query, among=known, maps=maps
                )
            elif word in TRAINS:
                other = e.sets[one.validation]
                sets = self.downstream_sets(
                    name,
                    SourceConfig(other.path, other.split),
                    SourceConfig(one.path, one.split),
                )
                built[f"{name}-{word}"] = make_downstream(
                    word, sets, e.downstream, classes, tower=self.tower, bootstrap=e.bootstrap,
                    image_labels=self.config.data.labels,
                )  # fmt: skip
            else:
                built[f"{name}-{word}"] = make(test, bootstrap=e.bootstrap)
        return built

    def tower(self, predict: PredictFn) -> Tower:
        """The vision tower of the model behind a predict function of this experiment."""
        task = self.config.task
        pixels = {f.name: task[f.name] for f in dataclasses.fields(PixelConfig) if f.name in task}
        return Tower.of(predict, self.model_config.vision, parse(PixelConfig, pixels))

    def downstream_sets(
        self,
        name: str,
        validation: SourceConfig,
        test: SourceConfig,
        data: DataConfig | None = None,
    ) -> Sets:
        """Labelled splits for the evaluators that train; by default with the run's own data."""
        data = data or self.config.data
        own = self.config.eval.downstream.train
        if own:
            data = dataclasses.replace(data, sources=own)
        return Sets(name, data, validation, test, self.config.eval.batch_size, self.mesh)

    def train(self, workdir: str | pathlib.Path, *, resume_anyway: bool = False) -> FitResult:
        """Trains in ``workdir``, from its newest checkpoint if it has one.

        Raises:
          LockError: another process trains in this folder.
          UserError: see the parts; the message says what to mend.
        """
        c, workdir = self.config, pathlib.Path(workdir)
        if distributed.is_main():
            workdir.mkdir(parents=True, exist_ok=True)
        distributed.barrier("workdir")
        with workdir_lock(workdir, "training") if distributed.is_main() else nullcontext():
            checkpointer = Checkpointer(workdir, c.checkpoint, self.resolved)
            step = self.train_step()
            restored = checkpointer.restore_latest(step.abstract, MAY_DIFFER, resume_anyway)
            key = jax.random.key(c.seed)
            if restored is not None:
                state = restored.state
                _log.info("going on from step %d of %s", restored.step, workdir)
            else:
                state = init_state(self.model_def, self.optimizer, key, self.mesh)
                if c.init_towers:
                    state = towers.start(state, self.optimizer, self.model_config, c.init_towers)
                if c.init_from:
                    state = pretrained.init_from(
                        state, self.optimizer, c.init_from, only=c.init_only
                    )
            if distributed.is_main():
                (workdir / "config.json").write_text(dumps(c))
                print(self.describe(), flush=True)

            tokenizer = self.tokenizer()
            if distributed.is_main():
                _keep(tokenizer, workdir / TOKENIZER)
            index, count = distributed.data_slice(self.mesh)
            iterator = train_iterator(c.data, c.loop.steps, index, count, tokenizer=tokenizer,
                                      sources=open_sources(c.data))  # fmt: skip
            if restored is not None:
                iterator.set_state(restored.data)
            evaluators = self.evaluators(tokenizer, during_training=True)
            with (
                iterator,
                prefetch_to_device(iterator, self.mesh, c.data.prefetch) as batches,
                MetricWriter(
                    workdir,
                    c.log,
                    start_step=restored.step if restored else 0,
                    run_config=self.resolved,
                ) as writer,
            ):
                result = fit(
                    state,
                    train_step=step,
                    batches=batches,
                    key=key,
                    config=c.loop,
                    checkpointer=checkpointer,
                    writer=writer,
                    profiler=Profiler(workdir, c.loop.profile),
                    predictor=self.predictor(),
                    evaluators=evaluators,
                    restored=restored,
                    flops=lambda batch: self.step_flops(*batch["text"].shape),
                )
            checkpointer.close()
        return result

    def load(self, path: str | pathlib.Path, step: pretrained.Which = "latest") -> Predictor:
        """A predictor with the parameters of a checkpoint (averaged ones where it has them)."""
        params, buffers = pretrained.load_model(
            path, *abstract_model(self.model_def, self.mesh), step=step
        )
        return self.predictor().with_arrays(params, buffers)

    def describe(self) -> str:
        """Two lines: the model's size, and where it runs."""
        params = self.model_def.abstract_params
        towers = {k: param_count(params[k]) / 1e6 for k in ("vision", "text")}
        shape = " x ".join(f"{k} {v}" for k, v in self.mesh.shape.items() if v > 1) or "one device"
        kind = self.mesh.devices.flat[0].device_kind
        return (
            f"{self.config.name}: {param_count(params) / 1e6:.1f} M parameters "
            f"(vision {towers['vision']:.1f} M, text {towers['text']:.1f} M), "
            f"global batch {self.config.data.batch_size}\n"
            f"mesh: {shape} ({self.mesh.size} {kind}, {jax.process_count()} process"
            f"{'es' if jax.process_count() > 1 else ''})"
        )


def _keep(tokenizer: Tokenizer, folder: pathlib.Path) -> None:
    """Copies a tokenizer of the data folder beside the checkpoints, so that they can travel."""
    if not folder.exists() and pathlib.Path(tokenizer.name).is_dir():
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.copytree(tokenizer.name, temporary)
        temporary.replace(folder)
