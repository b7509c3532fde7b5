"""The evaluators of a run's sets: each set is opened, read and chosen for once."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.core.config import ConfigError, unknown_key
from medvlp_jax.core.processes import distributed
from medvlp_jax.data.config import SourceConfig
from medvlp_jax.data.pipeline import eval_batches
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import Evaluator, PredictFn
from medvlp_jax.eval.config import EvalConfig, EvalSetConfig
from medvlp_jax.eval.context import Context
from medvlp_jax.eval.downstream.sets import Sets
from medvlp_jax.eval.downstream.tuning import MakeTuner
from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.registry import EVALUATORS
from medvlp_jax.eval.suites.config import SuiteConfig
from medvlp_jax.eval.suites.mean import Kept, SuiteMean
from medvlp_jax.eval.zeroshot.prompt_tokens import PromptTokenizer
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING
from medvlp_jax.run.build import Run


def evaluators_of(
    run: Run,
    tokenizer: Tokenizer | None,
    *,
    tuner: MakeTuner,
    during_training: bool,
    ensemble: Sequence[PredictFn] = (),
) -> dict[str, Evaluator]:
    """``<set>-<word>`` -> evaluator; those of a set share one pass over it.

    Args:
      tuner: makes the runs of evaluators that train (``run.train.tuner``).
      during_training: only the sets that ask for it, and nothing of an untrained network.
      ensemble: further models whose zero-shot scores join the average.

    Raises:
      ConfigError, EvalError: a set, or what is asked of it, does not fit the run.
    """
    c = run.config
    for name, one in c.eval.sets.items():
        _check(run, name, one)
    embedded = {name: _embedded(run, name, tokenizer) for name in c.eval.sets}
    prompts = None
    if tokenizer is not None:
        longest = run.model_config.text.prompt_length
        prompts = PromptTokenizer(tokenizer, longest, c.data.text.max_len)
    built: dict[str, Evaluator] = {}
    for name, one in c.eval.sets.items():
        if during_training and not one.during_training:
            continue
        context = Context(
            name=name,
            set=one,
            config=c.eval,
            labels=c.data.labels,
            masks=c.data.masks,
            counts=open_dataset(one.path, one.split).label_counts,
            test=embedded[name],
            validation=embedded[one.validation] if one.validation else None,
            prompt_tokens=prompts,
            sets=lambda name=name, one=one: _sets(run, name, one),
            tower=run.tower,
            tuner=tuner,
            untrained=None if during_training or not c.eval.untrained else run.untrained,
            ensemble=ensemble,
        )
        built |= build(context)
    for name, suite in c.eval.suites.items():
        built |= _mean(name, suite, built, c.eval, during_training)
    return built


def _mean(
    name: str,
    suite: SuiteConfig,
    built: dict[str, Evaluator],
    config: EvalConfig,
    during_training: bool,
) -> dict[str, Evaluator]:
    """The mean of a suite, behind its sets, whose results it shares.

    Raises:
      ConfigError: none of its sets is here.
    """
    kept: dict[str, dict[str, Evaluator]] = {"zeroshot": {}, "few_shot": {}}
    for one in suite.sets:
        for word, members in kept.items():
            key = f"{one}-{word}"
            if key in built:
                members[one] = built[key] = Kept(built[key])
    if kept["zeroshot"]:
        mean = SuiteMean(
            name, suite, kept["zeroshot"], kept["few_shot"], config.sets, config.bootstrap
        )
        return {f"{name}-suite": mean}
    if during_training:  # its sets are for the end alone
        return {}
    raise ConfigError(
        f"config.eval.suites.{name}: none of its {len(suite.sets)} sets is in config.eval.sets "
        f"with zeroshot, e.g. {next(iter(suite.sets))}; import one (configs/data_gen/suite.py)"
    )


def build(context: Context) -> dict[str, Evaluator]:
    """All evaluators of one set, as ``<set>-<word>``."""
    return {
        f"{context.name}-{key}": evaluator
        for word in context.set.evaluators
        for key, evaluator in EVALUATORS[word].build(context).items()
    }


def _check(run: Run, name: str, one: EvalSetConfig) -> None:
    """Refuses words that are none, or that this run cannot be measured by."""
    for word in one.evaluators:
        if word not in EVALUATORS:
            raise ConfigError(unknown_key(f"config.eval.sets.{name}.evaluators", word, EVALUATORS))
        kind = EVALUATORS[word]
        if kind.trains and not one.validation:
            raise ConfigError(
                f"config.eval.sets.{name}: {word} needs config.eval.sets.{name}.validation"
            )
        if missing := [f for f in kind.reads if f not in run.task.predict]:
            raise ConfigError(
                f"config.eval.sets.{name}.evaluators: {word} reads {missing[0]}, and the task "
                f"{run.config.task['name']!r} gives {', '.join(run.task.predict)} alone"
            )


def _sets(run: Run, name: str, one: EvalSetConfig) -> Sets:
    other = run.config.eval.sets[one.validation]
    validation = SourceConfig(other.path, other.split)
    found = run.sets(name, validation, SourceConfig(one.path, one.split))
    if not one.train_split:
        return found
    own = (SourceConfig(one.path, one.train_split),)
    return dataclasses.replace(found, data=dataclasses.replace(found.data, sources=own))


def _embedded(run: Run, name: str, tokenizer: Tokenizer | None) -> Embedded:
    c, sets = run.config, run.config.eval.sets
    one = sets[name]
    source = open_dataset(one.path, one.split, verified=True)
    # Classes that the run never heard of can be asked for by name: that is zero-shot.
    named = (c for other in sets.values() for c in other.classes)
    labels = tuple(dict.fromkeys([*c.data.labels, *named]))
    truths = _truths(sets, name)
    if "dice" in one.evaluators:
        masks = c.data.masks
    else:
        masks = tuple(c for c in labels if c != NO_FINDING) if "masks" in truths else ()
    columns = ["image", "labels"]  # what evaluators read of any set
    columns += ["text", "text_key"] if tokenizer is not None else []
    columns += ["texts"] if {"reranked", "captioning"} & set(one.evaluators) else []
    columns += ["boxes", "box_phrases"] if "boxes" in truths else []
    columns += ["masks"] if masks else []
    data = dataclasses.replace(
        c.data,
        sources=(SourceConfig(one.path, one.split),),
        workers=0,
        labels=labels,
        masks=masks,
    )
    share = distributed.data_slice(run.mesh)

    def batches() -> Any:
        return eval_batches(
            data,
            source,
            c.eval.batch_size,
            *share,
            columns=columns,
            tokenizer=tokenizer,
        )

    return Embedded(name, batches, labels, split=one.split, mask_names=masks)


def _truths(sets: Mapping[str, EvalSetConfig], name: str) -> set[str]:
    """What is held against predictions on a set: boxes, and what its heat-maps, or those of the
    sets that it is the validation set of, stand against."""
    boxes = {"boxes"} if "average_precision" in sets[name].evaluators else set()
    return boxes | {
        other.truth
        for key, other in sets.items()
        if {"grounding", "gradcam"} & set(other.evaluators) and name in (key, other.validation)
    }
