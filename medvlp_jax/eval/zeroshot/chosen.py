"""Which classes of a set are scored, and why the other findings of the set are not."""

import dataclasses
import difflib
import logging
from collections.abc import Mapping, Sequence

from medvlp_jax.core.config import ConfigError
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING, PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe

_log = logging.getLogger(__name__)
#: ``{label: {"positive": n, "negative": n, "uncertain": n}}``
Counts = Mapping[str, Mapping[str, int]]
#: Evaluators that compare records with a class and records without it.
RANKED = ("zeroshot", "baseline", "classification", "probe", "few_shot", "finetune")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The classes of a set.

    Attributes:
      scored: by zero-shot and by the rules beside it.
      labelled: by the evaluators that train, which need no prompt.
      shown: what a heat-map is asked for: findings that are present.
      left: label of the set -> why zero-shot does not score it.
      unseen: finding of the set -> why no heat-map is asked for it.
    """

    scored: tuple[str, ...]
    labelled: tuple[str, ...]
    shown: tuple[str, ...]
    left: dict[str, str]
    unseen: dict[str, str]


def scorable(counts: Counts, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that have a positive and a negative in a set, in the order of ``labels``."""
    return tuple(name for name in labels if not why_not(counts, name))


def why_not(counts: Counts, name: str) -> str:
    """Why a class has no ranking in a set, in words; empty where it has one."""
    found = counts.get(name, {})
    lacks = [word for word in ("positive", "negative") if not found.get(word, 0)]
    return f"no {' and no '.join(lacks)} record" if lacks else ""


def located(counts: Counts, labels: Sequence[str]) -> tuple[str, ...]:
    """The findings that are present in a set: what a heat-map can be asked for."""
    return tuple(
        name for name in labels if name != NO_FINDING and counts.get(name, {}).get("positive", 0)
    )


def class_names(words: Sequence[str]) -> tuple[str, ...]:
    """Classes as typed: without blanks and quotes around them, each once."""
    names = (" ".join(word.strip(" \t'\"`\u2018\u2019\u201c\u201d").split()) for word in words)
    return tuple(dict.fromkeys(name for name in names if name))


def choose(
    where: str,
    named: Sequence[str],
    evaluators: Sequence[str],
    counts: Counts,
    labels: Sequence[str],
    bank: PromptBank,
    maps: PromptBank,
    how: Recipe,
) -> Chosen:
    """The classes of one set.

    Args:
      where: the set and its split, for messages.
      named: classes that were asked for; empty takes what can be scored of ``labels``.
      evaluators: words of the set; what they need has to be there.
      counts: labels of the set.
      labels: of the run.
      bank, maps: prompts of zero-shot, and of heat-maps.
      how: the protocol of zero-shot.

    Raises:
      ConfigError: a class that was asked for is a label of the set in another spelling, or none of
        them is one; or an evaluator of the set has no class to score.
    """
    _check_known(where, named, counts)
    labelled = tuple(dict.fromkeys(named)) or scorable(counts, labels)
    scored = labelled
    if not named and "zeroshot" in evaluators:
        scored = covered(where, labelled, bank, how)
    ranked = [word for word in evaluators if word in RANKED]
    if ranked and not scorable(counts, labelled):
        found = [f"{c} has {why_not(counts, c)}" for c in labelled or labels if c in counts]
        raise ConfigError(
            f"{where}: {', '.join(ranked)} has nothing to score: "
            f"{'; '.join(found[:5]) or 'no label of the run is one of this set'}; name classes "
            "with both, or give a set that is labelled"
        )
    for name in named if ranked else ():
        if reason := why_not(counts, name):
            _log.warning("%s: %r has %s and is not measured", where, name, reason)
    known = [c for c in labels if c in maps.classes and c != NO_FINDING]
    shown = located(counts, labelled if named else known)
    maps_of = [word for word in ("grounding", "gradcam") if word in evaluators]
    if maps_of and not shown:
        asked = ", ".join(named or known) or "no label with a prompt"
        raise ConfigError(
            f"{where}: {maps_of[0]} has nothing to look for: {asked} is no finding of a record "
            "there"
        )
    left, unseen = {}, {}
    for name in counts:
        unasked = ""
        if named and name not in named:
            unasked = "not among the classes that were asked for"
        elif not named and name not in labels:
            unasked = "not among the labels of the run"
        if name not in scored or why_not(counts, name):
            left[name] = unasked or why_not(counts, name) or f"not in prompt bank {bank.name!r}"
        if name not in shown and name != NO_FINDING:
            there = counts[name].get("positive", 0)
            why = f"not in prompt bank {maps.name!r}" if there else "no positive record"
            unseen[name] = unasked or why
    return Chosen(scored, labelled, shown, left, unseen)


def _check_known(where: str, named: Sequence[str], counts: Counts) -> None:
    """Refuses a label in another spelling, and names that are no labels if there are no others."""
    spelled = {_plain(label): label for label in counts}
    foreign = [name for name in named if name not in counts]
    for name in foreign:
        near = spelled.get(_plain(name))
        if near is None and len(foreign) == len(named):
            near = next(iter(difflib.get_close_matches(name, counts, 1)), "")
        if near is not None:
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(counts) or 'none'}"
            raise ConfigError(f"{where}: class {name!r} is no label of this set; {hint}")


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def covered(where: str, classes: Sequence[str], bank: PromptBank, how: Recipe) -> tuple[str, ...]:
    """The classes of a set, named by nobody, that a bank can score; the others are logged.

    Raises:
      ConfigError: there is none.
    """
    kept = tuple(
        c for c in classes if c in bank.classes or (c == NO_FINDING and how.rule != "multiclass")
    )
    if not set(kept) - {NO_FINDING}:
        raise ConfigError(
            f"{where} has no class to score: of {', '.join(classes) or 'no label'} with positives "
            f"and negatives, prompt bank {bank.name!r} knows none; name classes in "
            "config.eval.sets (or --classes), or choose another bank"
        )
    left = [c for c in classes if c not in kept]
    if left:
        _log.warning("%s: not in prompt bank %r and not scored: %s", where, bank.name, left)
    return kept
