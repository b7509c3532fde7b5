"""From a config to a run: the one place where data, model, task, loop and evaluators meet.

``launch/`` scripts are flags and a call into this file.
"""

import dataclasses
import itertools
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax
from jax.sharding import Mesh

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints import pretrained, provenance
from medvlp_jax.core.checkpoints.checkpoint import Checkpointer
from medvlp_jax.core.config import ConfigError, dumps, parse
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.loop import FitResult, fit
from medvlp_jax.core.metrics import MetricWriter
from medvlp_jax.core.optim import make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.core.profiling import Profiler
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.core.step import (
    TrainStep,
    abstract_model,
    init_state,
    make_train_step,
    shardings_of,
)
from medvlp_jax.data.columns.registry import require_columns
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.device import prefetch_to_device
from medvlp_jax.data.pipeline import eval_batches, find_tokenizer, open_sources, train_iterator
from medvlp_jax.data.store.dataset import open_dataset, positive_labels
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import EVALUATORS
from medvlp_jax.eval.config import EvalSetConfig
from medvlp_jax.eval.downstream.config import TRAINS, make_downstream
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import CALIBRATION, Tower, settled
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.heatmap import MAPS
from medvlp_jax.eval.protocol import Evaluator, PredictFn
from medvlp_jax.eval.zeroshot.baselines import RULES
from medvlp_jax.eval.zeroshot.chosen import choose
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING, load_bank
from medvlp_jax.models.clip import CLIPConfig, build_clip, clip_config
from medvlp_jax.models.flops import flops
from medvlp_jax.models.text_encoder import TextConfig as TextTowerConfig
from medvlp_jax.run.config import MAY_DIFFER, TOKENIZER, ExperimentConfig, parse_config
from medvlp_jax.run.old_configs import forget_old_keys
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.registry import make_task
from medvlp_jax.weights import towers

_log = logging.getLogger(__name__)


class Experiment:
    """A validated config with its model, task and optimizer; nothing is allocated yet.

    Attributes:
      config: the validated config.
      resolved: the same as plain values: what checkpoints hold.
      mesh: over all devices, or the one that was given.
    """

    def __init__(self, config: Mapping[str, Any], devices: Sequence[Any] | None = None):
        c = parse_config(config)
        self.model_config: CLIPConfig = clip_config(c.model)
        self.config = c = _one_text_length(c, self.model_config.text)
        self.resolved = json.loads(dumps(c))
        self.mesh: Mesh = sharding.make_mesh(c.mesh, devices)
        pieces, rows = sharding.batch_shards(self.mesh), c.data.batch_size
        if rows % (shards := pieces * c.micro_batches):
            raise ConfigError(
                f"config.data.batch_size={rows} must be a multiple of {shards} ({pieces} data x "
                f"fsdp devices x config.micro_batches={c.micro_batches}): "
                f"{rows - rows % shards or shards} would do"
            )
        if self.model_config.text.max_length < c.data.text.max_len:
            raise ConfigError(
                f"config.model.text.max_length={self.model_config.text.max_length} is shorter than "
                f"the longest of config.data.text.buckets, {c.data.text.max_len}"
            )
        with one_net("config.model", "change its sizes", ConfigError, "cannot be built"):
            self.model_def = ModelDef.of(build_clip(self.model_config))
        self.task = make_task(self.model_def, c.task)
        require_columns(self.task.columns, c.data)
        self.optimizer = make_optimizer(
            c.optim, self.model_def.abstract_params, self.model_def.logical_axes, c.loop.steps
        )

    def require_labels(self) -> None:
        """Refuses a task whose labels or boxes the training data never holds.

        Raises:
          ConfigError: the loss, or a part of it, would be 0 from the first step.
        """
        c, columns = self.config.data, self.task.columns
        opened = [open_dataset(s.path, s.split) for s in c.sources]
        places = ", ".join(f"{s.path} ({s.split})" for s in c.sources)
        held = {name for source in opened for name in positive_labels(source)}
        if {"labels", "statements"} & {*columns}:
            missing = [name for name in c.labels if name not in held]
            if len(missing) == len(c.labels):
                raise ConfigError(
                    f"the training data {places} has none of config.data.labels; it has "
                    f"{', '.join(sorted(held)) or 'no labels'}"
                )
            if missing:
                _log.warning("the training data has no positive of %s", ", ".join(missing))
        shards = [shard for source in opened for shard in source.shards]
        if "boxes" in columns and not sum(shard.boxes for shard in shards):
            raise ConfigError(
                f"the task needs boxes, and the training data {places} has none; set "
                "config.task.region_weight to 0, or take other data"
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

    def evaluators(
        self,
        tokenizer: Tokenizer,
        *,
        during_training: bool,
        ensemble: Sequence[PredictFn] = (),
    ) -> dict[str, Evaluator]:
        """``<set>-<word>`` -> evaluator; those of a set share one pass over it.

        Args:
          during_training: only the sets that ask for it, and nothing of an untrained network.
          ensemble: further models whose zero-shot scores join the average.
        """
        e = self.config.eval
        embedded = {name: self._embedded(name, one, tokenizer) for name, one in e.sets.items()}
        built: dict[str, Evaluator] = {}
        for name, one in e.sets.items():
            if during_training and not one.during_training:
                continue
            untrained = None if during_training or not e.untrained else self.untrained
            built |= self._evaluators_of(name, one, embedded, tokenizer, untrained, ensemble)
        return built

    def _embedded(self, name: str, one: EvalSetConfig, tokenizer: Tokenizer) -> Embedded:
        source = open_dataset(one.path, one.split, verified=True)
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
        columns = ["image", "text", "text_key", "labels"]  # what evaluators read of any set
        columns += ["boxes", "box_phrases"] if "boxes" in grounded else []
        columns += ["masks"] if masks else []
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
                columns=columns,
                tokenizer=tokenizer,
            )

        return Embedded(name, batches, labels, split=one.split, mask_names=masks)

    def _evaluators_of(
        self,
        name: str,
        one: EvalSetConfig,
        embedded: Mapping[str, Embedded],
        tokenizer: Tokenizer,
        untrained: Callable[[PredictFn, Embedded], PredictFn] | None,
        ensemble: Sequence[PredictFn],
    ) -> dict[str, Evaluator]:
        e, test = self.config.eval, embedded[name]
        validation = embedded[one.validation] if one.validation else None
        counts, recipe = open_dataset(one.path, one.split).label_counts, e.recipe()
        bank, labels = e.map_bank(), self.config.data.labels
        prompts = load_bank(recipe.prompts, max_prompts=recipe.max_prompts, seed=recipe.prompt_seed)
        where = f"set {name!r} ({one.path}, split {one.split})"
        chosen = choose(
            where, one.classes, one.evaluators, counts, labels, bank=prompts, maps=bank, how=recipe
        )
        tokenize = PromptTokenizer(
            tokenizer, self.model_config.text.prompt_length, self.config.data.text.max_len
        )
        # A heat-map stands against all that was learnt, also where the set has a class or two.
        known = [c for c in labels if c in bank.classes and c != NO_FINDING]
        maps = MAPS[e.maps]
        compared = {
            "validation": validation,
            "bootstrap": e.bootstrap,
            "subgroups": e.subgroups,
        }
        built: dict[str, Evaluator] = {}
        for word in one.evaluators:
            make: Callable[..., Evaluator] = EVALUATORS[word]
            if word == "zeroshot":
                built[f"{name}-zeroshot"] = make(
                    test, chosen.scored, prompts, tokenize, recipe=recipe,
                    word_ids=tokenize.word_ids,
                    threshold_rule=e.threshold_rule, per_class=one.per_class,
                    ensemble=ensemble, not_scored=chosen.left, **compared,
                )  # fmt: skip
            elif word == "baseline":
                for rule in RULES:
                    built[f"{name}-{rule}"] = make(
                        test, chosen.scored, rule=rule, threshold_rule=e.threshold_rule, **compared
                    )
            elif word == "grounding":
                query = "positive" if (e.heatmap, one.truth) == ("phrases", "masks") else e.heatmap
                built[f"{name}-grounding"] = make(
                    test, chosen.shown, bank, tokenize, validation=validation, truth=one.truth,
                    query=query, among=known, maps=maps, untrained=untrained,
                    bootstrap=e.bootstrap, not_scored=chosen.unseen,
                )  # fmt: skip
            elif word == "pictures":
                query = "positive" if e.heatmap == "phrases" else e.heatmap
                built[f"{name}-pictures"] = make(
                    test, chosen.shown or known, bank, tokenize, query=query, among=known, maps=maps
                )
            elif word in TRAINS:
                other = e.sets[one.validation]
                sets = self.downstream_sets(
                    name,
                    SourceConfig(other.path, other.split),
                    SourceConfig(one.path, one.split),
                )
                built[f"{name}-{word}"] = make_downstream(
                    word, sets, e.downstream, chosen.labelled, tower=self.tower,
                    bootstrap=e.bootstrap, image_labels=labels,
                )  # fmt: skip
            else:
                built[f"{name}-{word}"] = make(test, bootstrap=e.bootstrap)
        return built

    @property
    def pixels(self) -> PixelConfig:
        """What becomes of an image in front of the vision tower."""
        task = self.config.task
        given = {f.name: task[f.name] for f in dataclasses.fields(PixelConfig) if f.name in task}
        return parse(PixelConfig, given)

    def tower(self, predict: PredictFn) -> Tower:
        """The vision tower of the model behind a predict function of this experiment."""
        return Tower.of(predict, self.model_config.vision, self.pixels)

    def untrained(self, predict: PredictFn, embedded: Embedded) -> Predictor:
        """The network of ``predict`` as this run would start it without published weights.

        The batch statistics of its vision tower are those of the first images of ``embedded``.
        """
        assert isinstance(predict, Predictor)
        places = shardings_of(abstract_model(self.model_def, self.mesh))
        with sharding.use_mesh(self.mesh):
            init = jax.jit(self.model_def.init, out_shardings=places)
            params, buffers = init(jax.random.key(self.config.seed))
        if "vision" not in buffers:
            return predict.with_arrays(params, buffers)
        # Whole on every process, whose host reads it.
        whole = jax.device_put((params, buffers), sharding.replicated(self.mesh))
        batches = list(itertools.islice(embedded.batches(), CALIBRATION))
        images = (b["image"] for b in batches[:-1] or batches)  # the last one may hold padding
        tower = settled(self.tower(predict.with_arrays(*whole)), images, self.mesh)
        seen = jax.device_put(tower.buffers, places[1]["vision"])
        return predict.with_arrays(params, buffers | {"vision": seen})

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
        c, workdir = self.config, output_folder(workdir, "workdir")
        self.require_labels()
        if distributed.is_main():
            workdir.mkdir(parents=True, exist_ok=True)
        distributed.barrier("workdir")
        with workdir_lock(workdir, "training") if distributed.is_main() else nullcontext():
            checkpointer = Checkpointer(workdir, c.checkpoint, self.resolved)
            step = self.train_step()
            restored = checkpointer.restore_latest(
                step.abstract, MAY_DIFFER, resume_anyway, forget_old_keys
            )
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
                provenance.note_start(workdir, restored.step if restored else 0)
                print(self.describe(), flush=True)

            kept = workdir / TOKENIZER
            if restored is not None and kept.is_dir():
                tokenizer = Tokenizer.load(kept)
            else:
                tokenizer = self.tokenizer()
                if distributed.is_main():
                    _keep(tokenizer, kept)
            index, count = distributed.data_slice(self.mesh)
            iterator = train_iterator(
                c.data,
                c.loop.steps,
                index,
                count,
                columns=self.task.columns,
                tokenizer=tokenizer,
                sources=open_sources(c.data),
            )
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


def _one_text_length(config: ExperimentConfig, text: TextTowerConfig) -> ExperimentConfig:
    """A tower that sees its padding (SigLIP) pools at a text's last place, padded or not: all texts
    then have its full length, whatever buckets the config has."""
    said = config.data.text
    if not text.see_padding or (said.buckets == (text.max_length,) and not said.window):
        return config
    _log.warning(
        "%s sees its padding, so all texts have its %d places instead of the buckets %s",
        text.name, text.max_length, said.buckets,
    )  # fmt: skip
    one = dataclasses.replace(said, buckets=(text.max_length,), window=0)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, text=one))


def _keep(tokenizer: Tokenizer, folder: pathlib.Path) -> None:
    """Copies a tokenizer of the data folder beside the checkpoints, so that they can travel."""
    if pathlib.Path(tokenizer.name).is_dir():
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.copytree(tokenizer.name, temporary)
        shutil.rmtree(folder, ignore_errors=True)  # of a start that never saved a step
        temporary.replace(folder)
