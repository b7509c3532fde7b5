"""From a config to the parts of a run: mesh, model, task, optimizer, data; nothing is trained here.

``run/train.py`` puts them together, ``run/evaluators.py`` measures.
"""

import dataclasses
import functools
import itertools
import json
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.config import ConfigError, dumps, parse
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.optim import make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import ModelDef, TrainState
from medvlp_jax.core.step import (
    TrainStep,
    abstract_model,
    make_init,
    make_train_step,
    shardings_of,
)
from medvlp_jax.data.columns.registry import batch_spec, require_columns
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.pipeline import find_tokenizer
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import PredictFn
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tower import CALIBRATION, Tower, settled
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.models.base import ModelConfig
from medvlp_jax.models.registry import model_config, model_name
from medvlp_jax.run.config import MAY_DIFFER, RunConfig, parse_config
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.tasks.registry import make_task, task_entry

_log = logging.getLogger(__name__)


class Run:
    """A validated config with its model, task and optimizer; nothing is allocated yet.

    Args:
      config: a config file's content or what a checkpoint stored; or one that is validated.
      devices: those of the mesh; all by default.
      model: the model, where ``config.model`` is not to be read.
      mesh: in place of one over ``devices``.

    Attributes:
      config: the validated config.
      resolved: the same as plain values: what checkpoints hold.
      mesh: over all devices, or the one that was given.
      model_config, model_def, task, optimizer: what the config describes.

    Raises:
      ConfigError: the parts do not fit each other; the message names the keys.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | RunConfig,
        devices: Sequence[Any] | None = None,
        *,
        model: ModelConfig | None = None,
        mesh: Mesh | None = None,
    ):
        c = config if isinstance(config, RunConfig) else parse_config(config)
        kind = task_entry(c.task).task
        if model is None:
            name = model_name(c.model, kind.models[0])
            if name not in kind.models:
                raise ConfigError(
                    f"config.task.name={c.task['name']!r} trains {' or '.join(kind.models)}, not "
                    f"config.model.name={name!r}"
                )
            model = model_config(c.model, name)
        self.model_config: Any = model
        self.config = c = _one_text_length(c, getattr(model, "text", None))
        self.resolved = json.loads(dumps(c))
        self.may_differ = (*MAY_DIFFER, *(f"task.{key}" for key in kind.may_differ))
        self.mesh: Mesh = sharding.make_mesh(c.mesh, devices) if mesh is None else mesh
        pieces, rows = sharding.batch_shards(self.mesh), c.data.batch_size
        if rows % (shards := pieces * c.micro_batches):
            raise ConfigError(
                f"config.data.batch_size={rows} must be a multiple of {shards} ({pieces} data x "
                f"fsdp devices x config.micro_batches={c.micro_batches}): "
                f"{rows - rows % shards or shards} would do"
            )
        text = getattr(model, "text", None)
        if text is not None and text.max_length < c.data.text.max_len:
            raise ConfigError(
                f"config.model.text.max_length={text.max_length} is shorter than "
                f"the longest of config.data.text.buckets, {c.data.text.max_len}"
            )
        with one_net("config.model", "change its sizes", ConfigError, "cannot be built"):
            self.model_def = _traced(model)
        self.task = make_task(self.model_def, c.task)
        require_columns(self.task.columns, c.data)
        self.optimizer = make_optimizer(
            c.optim, self.model_def.abstract_params, self.model_def.logical_axes, c.loop.steps
        )

    @functools.cached_property
    def fresh_state(self) -> Callable[[jax.Array], TrainState]:
        """See :func:`medvlp_jax.core.step.make_init`."""
        return make_init(self.model_def, self.optimizer, self.mesh)

    @functools.cached_property
    def train_step(self) -> TrainStep:
        """The step, compiled at its first call; one for all runs of this config."""
        return make_train_step(
            self.model_def,
            self.task,
            self.optimizer,
            self.mesh,
            micro_batches=self.config.micro_batches,
        )

    def batch_spec(self, text_len: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the arrays of a global batch with texts of ``text_len`` tokens."""
        data = self.config.data
        return batch_spec(self.task.columns, data, data.batch_size, text_len)

    def step_flops(self, rows: int, text_len: int) -> float:
        """Model FLOPs of one training step: three forward passes' worth, by formula."""
        return 3.0 * self.model_config.flops(rows, text_len)

    @property
    def reads_text(self) -> bool:
        """Whether the model has a text tower."""
        return hasattr(self.model_config, "text")

    def tokenizer(self) -> Tokenizer:
        """Opens (or, on process 0 alone, trains) the tokenizer and checks that it fits.

        Raises:
          ConfigError: the model has no text tower, or too small a vocabulary.
        """
        if not self.reads_text:
            raise ConfigError(f"{self.config.name} has no text tower, and so no tokenizer")
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
        """The predict functions of the task, without parameters."""
        return Predictor(self.model_def, self.task.predict, self.mesh)

    def load(self, path: str | pathlib.Path, step: pretrained.Which = "latest") -> Predictor:
        """A predictor with the parameters of a checkpoint (averaged ones where it has them)."""
        params, buffers = pretrained.load_model(
            path, *abstract_model(self.model_def, self.mesh), step=step
        )
        return self.predictor().with_arrays(params, buffers)

    @property
    def pixels(self) -> PixelConfig:
        """What becomes of an image in front of the vision tower."""
        task = self.config.task
        given = {f.name: task[f.name] for f in dataclasses.fields(PixelConfig) if f.name in task}
        return parse(PixelConfig, given)

    def tower(self, predict: PredictFn) -> Tower:
        """The vision tower of the model behind a predict function of this run."""
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

    def sets(
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

    def describe(self) -> str:
        """Two lines: the model's size, and where it runs."""
        shape = " x ".join(f"{k} {v}" for k, v in self.mesh.shape.items() if v > 1) or "one device"
        kind = self.mesh.devices.flat[0].device_kind
        return (
            f"{self.config.name}: {self.model_config.summary(self.model_def.abstract_params)}, "
            f"global batch {self.config.data.batch_size}\n"
            f"mesh: {shape} ({self.mesh.size} {kind}, {jax.process_count()} process"
            f"{'es' if jax.process_count() > 1 else ''})"
        )


@functools.lru_cache(maxsize=4)
def _traced(config: Any) -> ModelDef:
    """The model without its arrays; many runs of a grid have the same one."""
    return ModelDef.of(lambda rngs: config.build(rngs=rngs))


def _one_text_length(config: RunConfig, text: Any) -> RunConfig:
    """A tower that sees its padding (SigLIP) pools at a text's last place, padded or not: all texts
    then have its full length, whatever buckets the config has."""
    said = config.data.text
    if text is None or not text.see_padding:
        return config
    if said.buckets == (text.max_length,) and not said.window:
        return config
    _log.warning(
        "%s sees its padding, so all texts have its %d places instead of the buckets %s",
        text.name,
        text.max_length,
        said.buckets,
    )
    one = dataclasses.replace(said, buckets=(text.max_length,), window=0)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, text=one))
