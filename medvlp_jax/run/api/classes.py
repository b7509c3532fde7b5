"""Classes and prompts as somebody writes them, scored by the protocols of evaluation."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.class_scores import ClassScores
from medvlp_jax.eval.zeroshot.promptbank import ClassPrompts, PromptBank, load_bank
from medvlp_jax.eval.zeroshot.recipes import Recipe, recipe
from medvlp_jax.run.api.opened import Opened

#: The affirming prompts of a class; or ``positive`` and ``negative`` ones.
PromptsLike = str | Sequence[str] | Mapping[str, Sequence[str]]
#: Names of classes of a prompt bank, or classes with their own prompts.
ClassesLike = Sequence[str] | Mapping[str, PromptsLike]


@dataclasses.dataclass(frozen=True)
class ZeroShotScores:
    """Scores of images for classes.

    Attributes:
      classes: their names, the columns.
      scores: float64; what ranks images, with the meaning that the protocol gives it: see
        ``eval.zeroshot.recipes``.
      probabilities: float64 in 0..1, by the protocol and its temperature; not calibrated on data.
        None where the protocol has none (``positive``, z-scores).
      protocol: rule, temperature, prompts and the like, as results.json says them.
    """

    classes: tuple[str, ...]
    scores: Float[np.ndarray, "n k"]
    probabilities: Float[np.ndarray, "n k"] | None
    protocol: dict[str, Any]


def class_scores(
    opened: Opened,
    classes: ClassesLike,
    prompts: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
    temperature: float | None = None,
) -> ClassScores:
    """The prompts of some classes, ready to score images.

    Args:
      classes, prompts, protocol, temperature: see ``Model.zero_shot``.

    Raises:
      UserError: no class, a class that is unknown or named twice, or settings that do not go
        together.
    """
    own = dict(classes) if isinstance(classes, Mapping) else None
    names = _names(classes)
    bank = None
    if own is not None:
        if prompts is not None:
            raise UserError(
                "classes given as a dict bring their prompts: leave out prompts=, or give names"
            )
        bank = PromptBank("given", {name: _prompts(name, own[name]) for name in names})
    how = _recipe(opened, bank, protocol, temperature)
    if bank is None:
        name = how.prompts if prompts is None else os.fspath(prompts)
        how = dataclasses.replace(how, prompts=name)
        bank = load_bank(name, max_prompts=how.max_prompts, seed=how.prompt_seed)
    return ClassScores(names, bank, how, opened.tokenize, opened.tokenize.word_ids)


def probabilities(how: Recipe, scores: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"] | None:
    """What scores of a protocol are as probabilities; None where they are none."""
    if how.rule == "pos_vs_neg":
        return 0.5 * (1 + np.tanh(0.5 * scores))
    return np.exp(scores) if how.rule == "multiclass" and not how.zscore else None


def _recipe(
    opened: Opened, bank: PromptBank | None, protocol: str | None, temperature: float | None
) -> Recipe:
    if protocol is not None:
        return recipe(protocol, temperature=temperature)
    how = opened.eval.recipe()
    given = bank.classes.values() if bank is not None else ()
    affirm = not any(prompts.negative for prompts in given)
    if given and affirm and how.rule in ("pos_vs_neg", "multiclass"):
        # Prompts that only affirm have nothing to be held against but each other.
        own = opened.temperature if temperature is None else temperature
        return recipe("multiclass" if len(given) > 1 else "positive", temperature=own)
    if temperature is None:
        return how
    if not temperature > 0:
        raise UserError(f"temperature={temperature} must be positive")
    return dataclasses.replace(how, temperature=temperature)


def _names(classes: ClassesLike) -> tuple[str, ...]:
    if isinstance(classes, str) or not isinstance(classes, Sequence | Mapping):
        raise UserError(
            f"classes={classes!r:.60} must be a list of names, or a dict from name to prompts: "
            "classes=['pneumonia', 'no finding']"
        )
    names = tuple(classes)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{name!r:.60} is no name of a class; give strings")
        if names.count(name) > 1:
            raise UserError(f"class {name!r} is named twice; name it once")
    if not names:
        raise UserError("classes is empty: name one or more")
    return names


def _prompts(name: str, given: PromptsLike) -> ClassPrompts:
    sides = dict(given) if isinstance(given, Mapping) else {"positive": given}
    if not set(sides) <= {"positive", "negative"}:
        raise UserError(
            f"class {name!r}: prompts are a string, a list of strings, or a dict with 'positive' "
            f"and 'negative', not with {', '.join(map(repr, sides))}"
        )
    found = {side: _texts(name, sides.get(side, ())) for side in ("positive", "negative")}
    if not found["positive"]:
        raise UserError(f"class {name!r} has no affirming prompt; give one or more")
    both = [text for text in found["positive"] if text in found["negative"]]
    if both:
        raise UserError(f"class {name!r}: {both[0]!r} affirms and denies it; leave one out")
    return ClassPrompts(found["positive"], found["negative"])


def _texts(name: str, given: Any) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise UserError(f"class {name!r}: {given!r:.60} is no list of prompts; give strings")
    return tuple(dict.fromkeys(texts))
