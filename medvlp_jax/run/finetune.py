"""Fine-tuning a checkpoint's tower on labelled data, with results.json and report.html."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.config import ConfigError, dumps, parse, to_plain
from medvlp_jax.core.fields import Extent, Folder, Size, Workers
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import param_count
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.config import DownstreamConfig
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.page.inputs import segmented_of
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import EVALUATORS, evaluate
from medvlp_jax.eval.results import collect, write_results
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config
from medvlp_jax.run.evaluate import Evaluation
from medvlp_jax.run.evaluators import build
from medvlp_jax.run.train import tuner


@dataclasses.dataclass(frozen=True)
class FinetuningConfig:
    """The config of ``launch/finetune.py``.

    Attributes:
      name: of the run, in its page.
      evaluators: words of ``eval.registry.EVALUATORS`` that train on a tower.
      validation: chooses checkpoints and strengths; it shares no patient with the others.
      test: is read for the results alone.
      labels: all labels of the data; also say of which masks a record without one has none.
        Empty = those of the checkpoint's run.
      downstream: shares, seeds, recipes; its ``train`` is the labelled training data.
      image: keys of ``data.images.decoding`` that differ from the run's: size, augmentation, views.
      held_out, workers, threads, max_boxes: see ``data.config.DataConfig``.
      eval_batch: rows of an evaluation batch.
      bootstrap: how intervals are drawn.
      mesh: how devices are divided.
    """

    name: str
    evaluators: tuple[str, ...]
    validation: SourceConfig
    test: SourceConfig
    downstream: DownstreamConfig
    labels: tuple[str, ...] = ()
    image: dict[str, Any] = dataclasses.field(default_factory=dict)
    held_out: Folder = ""
    workers: Workers = 0
    threads: Workers = 0
    max_boxes: Extent = 16
    eval_batch: Size = 64
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)

    def __post_init__(self) -> None:
        words = [word for word, kind in EVALUATORS.items() if kind.trains]
        if not self.evaluators or not set(self.evaluators) <= set(words):
            raise ValueError(f"evaluators={self.evaluators} must be of {', '.join(words)}")
        if not self.downstream.train:
            raise ValueError("downstream.train must name the labelled training data")
        places = [(s.path, s.split) for s in self.downstream.train]
        for name in ("validation", "test"):
            one = getattr(self, name)
            if (one.path, one.split) in places:
                raise ValueError(f"{name} is also trained on: {one.path}, split {one.split}")


def finetune(
    checkpoint: str | pathlib.Path,
    config: Mapping[str, Any],
    out: str | pathlib.Path,
    *,
    command: str,
    step: pretrained.Which = "latest",
) -> Evaluation:
    """Trains and tests what ``config`` asks for; the same call goes on where it was stopped.

    Args:
      checkpoint: workdir of a pre-training run or folder of one checkpoint; its ``vision`` is used.
      config: see :class:`FinetuningConfig`.
      out: folder for ``results.json``, ``report.html`` and the best checkpoint of every run, under
        ``runs/<evaluator>-<tower>/<start>-<share>-<seed>``.
      command: what was typed, for the record.

    Raises:
      Interrupted: asked to stop; all is saved (``eval.downstream.tuning``).
      ConfigError, ShardError, EvalError: the message says what to mend.
    """
    c = parse(FinetuningConfig, config)
    out = output_folder(out)
    run = Run(_stored(checkpoint, step, c))
    labels = c.labels or run.config.data.labels
    sets = _sets(run, c, labels)
    place = EvalSetConfig(c.test.path, c.test.split, evaluators=c.evaluators)
    context = Context(
        name=sets.name,
        set=place,
        config=EvalConfig(bootstrap=c.bootstrap, downstream=c.downstream),
        labels=labels,
        counts=open_dataset(c.test.path, c.test.split).label_counts,
        test=sets.embedded("test", ("image", "labels")),
        sets=lambda: sets,
        tower=run.tower,
        tuner=tuner,
        folder=out / "runs",
    )
    if distributed.is_main():
        out.mkdir(parents=True, exist_ok=True)
    distributed.barrier("fine-tuning folder")
    with workdir_lock(out, "fine-tuning") if distributed.is_main() else nullcontext():
        found = evaluate(build(context), run.load(checkpoint, step))
        results = collect(
            found,
            name=c.name,
            command=command,
            seed=0,
            config=json.loads(dumps(c)),
            bootstrap=c.bootstrap,
            data={"sets": _counts(c)},
            facts={
                "checkpoint": str(checkpoint),
                "checkpoint step": pretrained.step_of(pretrained.resolve(checkpoint, step)),
                "parameters of the tower": param_count(run.model_def.abstract_params["vision"]),
            },
        )
        done = Evaluation(results, out / "results.json", out / "report.html")
        if distributed.is_main():
            write_results(done.results_path, results)
            write_report(
                done.report_path,
                results=results,
                segmented=[s for r in found.values() for s in segmented_of(r)],
            )
    return done


def _stored(
    checkpoint: str | pathlib.Path, step: pretrained.Which, c: FinetuningConfig
) -> dict[str, Any]:
    """The config of the run, on this machine's devices and without its own sets."""
    stored = stored_config(checkpoint, step)
    stored["mesh"] = to_plain(c.mesh)
    stored["eval"] = {"batch_size": c.eval_batch, "downstream": to_plain(c.downstream)}
    stored["init_towers"] = {}
    return stored


def _sets(run: Run, c: FinetuningConfig, labels: tuple[str, ...]) -> Sets:
    """The splits, with the run's image options unless the config has others."""
    own = run.config.data
    image = _merge(to_plain(own.image), c.image)
    if image["channels"] != own.image.channels:
        raise ConfigError(
            f"config.image.channels={image['channels']}: the tower reads {own.image.channels}"
        )
    data = dataclasses.replace(
        own,
        sources=c.downstream.train,
        image=parse(ImageConfig, image, "config.image"),
        labels=labels,
        max_boxes=c.max_boxes,
        held_out=c.held_out,
        workers=c.workers,
        threads=c.threads,
        cache_dir="",
    )
    name = pathlib.Path(c.test.path).name
    return run.sets(name, c.validation, c.test, data)


def _merge(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        inner = isinstance(value, Mapping) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if inner else value
    return out


def _counts(c: FinetuningConfig) -> list[dict[str, Any]]:
    places = [("training", s) for s in c.downstream.train]
    places += [("validation", c.validation), ("test", c.test)]
    out = []
    for name, source in places:
        opened = open_dataset(source.path, source.split)
        out.append({"name": name, "split": source.split, "records": len(opened),
                    "labels": opened.label_counts})  # fmt: skip
    return out
