"""From prompts to a score for every image and class; the part of zero-shot that needs no labels."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import Batch, EvalError, PredictFn, TokenizeFn
from medvlp_jax.eval.embedded import Column, GatherFn, Predicted
from medvlp_jax.eval.vectors import cosine, embed_texts, normalise, text_rows
from medvlp_jax.eval.zeroshot.prompt_tokens import check_cut
from medvlp_jax.eval.zeroshot.promptbank import NO_FINDING, ClassPrompts, PromptBank
from medvlp_jax.eval.zeroshot.recipes import Recipe

#: ``word_ids(texts)`` -> int32 [n, t]: the word that each token belongs to.
WordIdsFn = Callable[[Sequence[str]], Int[np.ndarray, "n t"]]
#: Prompts that are scored against a batch of images at once: images x prompts x regions x words
#: are in memory together.
_PAIR_BLOCK = 16


class ClassScores:
    """The prompts of some classes, ready to score images by a recipe.

    ``no finding`` never passes through a denial of a denial: it has its own pair of prompts in
    the bank, or else it is one minus the largest probability of the other classes, in scores minus
    the largest of them (``derived``).

    Args:
      classes: names, entries of ``bank``.
      bank: the prompts.
      recipe: how to score.
      tokenize: of the text tower.
      word_ids: of the tokenizer; for ``score="pairs"`` only.

    Raises:
      EvalError: the bank lacks a class, or its denying prompts where the rule needs them.
    """

    def __init__(
        self,
        classes: Sequence[str],
        bank: PromptBank,
        recipe: Recipe,
        tokenize: TokenizeFn,
        word_ids: WordIdsFn | None = None,
    ):
        self.classes, self.bank, self.recipe = tuple(classes), bank, recipe
        self._tokenize, self._word_ids = tokenize, word_ids
        self.derived = NO_FINDING if self._without_pair() else ""
        self.scored = tuple(c for c in self.classes if c != self.derived)
        self.prompts: list[ClassPrompts] = bank.select(self.scored)
        self._check()
        sides = [p.positive for p in self.prompts]
        if recipe.rule == "pos_vs_neg":
            sides += [p.negative for p in self.prompts]
        #: Prompts of every side: the affirming ones of all classes, then the denying ones.
        self.sides: tuple[tuple[str, ...], ...] = tuple(sides)
        used = self.prompts if recipe.rule == "pos_vs_neg" else map(_affirming, self.prompts)
        self._cut = check_cut(tokenize, dict(zip(self.scored, used, strict=True)), bank.name)

    def _without_pair(self) -> bool:
        prompts = self.bank.classes.get(NO_FINDING)
        denies = self.recipe.rule == "pos_vs_neg"
        return NO_FINDING in self.classes and (prompts is None or (denies and not prompts.negative))

    def _check(self) -> None:
        bank, rule = self.bank, self.recipe.rule
        if not self.prompts:
            raise EvalError(f"the prompt bank {bank.name!r} covers none of {self.classes}")
        if rule == "multiclass" and len(self.prompts) < 2:
            raise EvalError(
                "protocol='multiclass' weighs classes against each other and needs two or more, "
                f"not only {self.classes}; add 'no finding', or use protocol='positive'"
            )
        if rule == "multiclass" and self.derived:
            raise EvalError(
                f"prompt bank {bank.name!r} has no prompts for {NO_FINDING!r}, which "
                "protocol='multiclass' cannot derive from the other classes"
            )
        if rule == "pos_vs_neg":
            for name, p in zip(self.scored, self.prompts, strict=True):
                if not p.negative:
                    raise EvalError(
                        f"prompt bank {bank.name!r}: class {name!r} has no denying prompts; "
                        "use protocol='positive' or 'multiclass', or add some"
                    )
        if self.recipe.score == "pairs" and self._word_ids is None:
            raise EvalError("score='pairs' needs the word ids of the tokenizer")

    def column(self) -> Column:
        """What has to be known of every image: its embedding, or its score with every prompt."""
        if self.recipe.score == "cosine":
            return Predicted("image_embed")
        assert self._word_ids is not None
        return PairScores(self.flat, self._tokenize, self._word_ids)

    @property
    def flat(self) -> tuple[str, ...]:
        """The prompts of all sides in order."""
        return tuple(p for side in self.sides for p in side)

    def text(self, predict: PredictFn) -> Float[np.ndarray, "t e"] | None:
        """The text side: a unit vector per side, or per prompt, as the ensemble asks."""
        r = self.recipe
        if r.score == "pairs":
            return None
        if r.ensemble in ("mean", "max"):
            return embed_texts(predict, self._tokenize, self.flat)
        if r.ensemble == "embeddings":
            rows = embed_texts(predict, self._tokenize, self.flat)
        else:
            rows = text_rows(predict, self._tokenize, self.flat, "text_embed_unnormalised")
        return normalise(np.stack([part.mean(0) for part in self._split(rows)]))

    def __call__(
        self, images: Float[np.ndarray, "n d"], text: Float[np.ndarray, "t e"] | None
    ) -> Float[np.ndarray, "n k"]:
        """Scores of images.

        Args:
          images: rows of :meth:`column`.
          text: from :meth:`text`.
        """
        r, k = self.recipe, len(self.prompts)
        similarity = self._similarity(images, text)
        if r.rule == "pos_vs_neg":
            found = (similarity[:, :k] - similarity[:, k:]) / r.temperature
        elif r.rule == "positive":
            found = similarity
        elif r.zscore:
            found = zscores(similarity)
        else:
            logits = (similarity - similarity.max(1, keepdims=True)) / r.temperature
            found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return self._with_derived(found)

    def affirmed(
        self, images: Float[np.ndarray, "n d"], text: Float[np.ndarray, "t e"] | None
    ) -> Float[np.ndarray, "n k"]:
        """The similarity with the affirming prompts of each class; NaN where they were not asked
        (``derived``). The arguments are those of a call."""
        found = np.full((len(images), len(self.classes)), np.nan)
        columns = [self.classes.index(name) for name in self.scored]
        found[:, columns] = self._similarity(images, text)[:, : len(self.prompts)]
        return found

    def _similarity(
        self, images: Float[np.ndarray, "n d"], text: Float[np.ndarray, "t e"] | None
    ) -> Float[np.ndarray, "n s"]:
        """Of every image with every side."""
        similarity = images.astype(np.float64) if text is None else cosine(images, text)
        if self.recipe.ensemble not in ("mean", "max"):
            return similarity
        join = np.mean if self.recipe.ensemble == "mean" else np.max
        return np.stack([join(part, axis=0) for part in self._split(similarity.T)], 1)

    def average(self, members: Sequence[Float[np.ndarray, "n k"]]) -> Float[np.ndarray, "n k"]:
        """The scores of several models of the same images as one.

        Probabilities are averaged where the recipe gives them (Tiu et al. 2022), else scores.
        """
        columns = [self.classes.index(name) for name in self.scored]
        found = np.stack([m[:, columns] for m in members])
        if self.recipe.rule == "pos_vs_neg":
            p = (0.5 * (1 + np.tanh(0.5 * found))).mean(0)
            p = np.clip(p, np.finfo(p.dtype).tiny, np.nextafter(1.0, 0.0))
            return self._with_derived(np.log(p) - np.log1p(-p))
        if self.recipe.rule == "multiclass" and not self.recipe.zscore:
            return self._with_derived(np.logaddexp.reduce(found, axis=0) - np.log(len(found)))
        return self._with_derived(found.mean(0))

    def _with_derived(self, found: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n k"]:
        """Columns in the order of the classes; ``no finding`` from the others where it is so."""
        scores = np.empty((len(found), len(self.classes)))
        for column, name in enumerate(self.scored):
            scores[:, self.classes.index(name)] = found[:, column]
        if self.derived:
            scores[:, self.classes.index(self.derived)] = -found.max(1)
        return scores

    def _split(self, rows: np.ndarray) -> list[np.ndarray]:
        return np.split(rows, np.cumsum([len(side) for side in self.sides])[:-1])

    def describe(self) -> dict[str, Any]:
        """Plain values for results.json."""
        out = {
            "protocol": self.recipe.name or self.recipe.rule,
            "rule": self.recipe.rule,
            **{
                k: getattr(self.recipe, k)
                for k in ("ensemble", "zscore", "temperature", "score", "max_prompts")
            },
            "prompt_bank": self.bank.name,
            "prompts": {
                c: dataclasses.asdict(p) for c, p in zip(self.scored, self.prompts, strict=True)
            },
        }
        if self.derived:
            out["derived"] = f"{NO_FINDING} = 1 - max of the other classes"
        if depends := self._depends():
            out["depends_on_classes"] = depends
        return out | self._cut

    def _depends(self) -> str:
        """How the scores depend on which classes were named; empty where they do not."""
        among = f"the {len(self.scored)} classes named ({', '.join(self.scored)})"
        if self.recipe.rule == "multiclass":
            how = "the arg-max of z-scores" if self.recipe.zscore else "a softmax"
            return f"Every score is weighed by {how} against {among}; other classes, other scores."
        if self.derived:
            return (
                f"The score of {self.derived!r} is one minus the largest of {among}; other "
                "classes, another score."
            )
        return ""


def _affirming(prompts: ClassPrompts) -> ClassPrompts:
    return ClassPrompts(prompts.positive, ())


def zscores(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Every column minus its mean, over its (population) deviation; a constant column is 0."""
    centred = x - x.mean(0)
    spread = x.std(0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)


@dataclasses.dataclass(frozen=True)
class PairScores:
    """The task's own score of every image with every prompt [b, m].

    Needs the predict functions ``text_embed``, ``word_embed`` (rows of texts) and ``pair_scores``
    (rows of images; the texts are shared by all of them).
    """

    prompts: tuple[str, ...]
    tokenize: TokenizeFn = dataclasses.field(compare=False)
    word_ids: WordIdsFn = dataclasses.field(compare=False)

    def start(self, predict: PredictFn, gather: GatherFn) -> Callable[[Batch], np.ndarray]:
        if isinstance(predict, Predictor) and "pair_scores" not in predict.names:
            raise EvalError(
                "score='pairs' needs a task with a score of its own for an image and a text "
                f"(gloria); this one predicts {', '.join(predict.names)}: use score='cosine'"
            )
        text = embed_texts(predict, self.tokenize, self.prompts).astype(np.float32)
        words = text_rows(predict, self.tokenize, self.prompts, "word_embed", self.word_ids)
        blocks = []
        for start in range(0, len(text), _PAIR_BLOCK):
            take = np.minimum(np.arange(start, start + _PAIR_BLOCK), len(text) - 1)
            blocks.append({"text_embed": text[take], "word_embed": words[take].astype(np.float32)})
        score: Any = predict

        def read(batch: Batch) -> np.ndarray:
            image = {"image": batch["image"]}
            found = [np.asarray(score("pair_scores", image, shared=b)) for b in blocks]
            return np.concatenate(found, 1)[:, : len(text)]

        return read
