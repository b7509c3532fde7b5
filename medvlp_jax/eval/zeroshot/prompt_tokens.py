"""Prompts as tokens: how many the text tower reads, and what becomes of longer ones.

A prompt that is longer than the tower reads is cut behind its last token that fits. That is said
(in the log, in results.json and on the page), and refused where it makes two sentences of unlike
meaning one: the two sides of a class, or two classes, would then score alike.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.eval.base import EvalError, TokenizeFn
from medvlp_jax.eval.zeroshot.promptbank import ClassPrompts

_log = logging.getLogger(__name__)
_NAMED = 3  # prompts that a message quotes
_KEPT = 20  # in results.json


class PromptTokenizer:
    """A :data:`TokenizeFn` that knows what it cuts.

    Args:
      tokenizer: of the text tower.
      short: tokens of a call whose texts all fit (``TextConfig.prompt_length``).
      longest: tokens of any other; what is longer is cut. At least ``short``.
    """

    def __init__(self, tokenizer: Tokenizer, short: int, longest: int):
        self.tokenizer, self.short, self.longest = tokenizer, short, max(short, longest)

    def __call__(
        self, texts: Sequence[str]
    ) -> tuple[Int32[np.ndarray, "n t"], Bool[np.ndarray, "n t"]]:
        return self.tokenizer(texts, self._length(texts))

    def word_ids(self, texts: Sequence[str]) -> Int32[np.ndarray, "n t"]:
        """The word that each token of :meth:`__call__` belongs to."""
        return self.tokenizer.word_ids(texts, self._length(texts))

    def _length(self, texts: Sequence[str]) -> int:
        fits = max(self.tokenizer.lengths(texts), default=0) <= self.short
        return self.short if fits else self.longest

    def cut(self, texts: Sequence[str]) -> dict[str, int]:
        """The texts that are cut -> how many tokens they have."""
        distinct = list(dict.fromkeys(texts))
        lengths = self.tokenizer.lengths(distinct)
        return {t: n for t, n in zip(distinct, lengths, strict=True) if n > self.longest}

    def read(self, text: str) -> tuple[int, ...]:
        """The tokens that the tower gets of a text."""
        ids, mask = self.tokenizer.pad(text, self.longest)
        return tuple(ids[mask].tolist())


def cut_texts(tokenize: TokenizeFn, texts: Sequence[str]) -> dict[str, Any]:
    """``{"prompts_cut": {"read": tokens, "count": n, "of": n, "longest": [...]}}``; empty if none.

    ``longest`` holds ``{"prompt", "tokens"}`` of the longest ones. Also of a function that does not
    know what it cuts.
    """
    found = tokenize.cut(texts) if isinstance(tokenize, PromptTokenizer) else {}
    if not isinstance(tokenize, PromptTokenizer) or not found:
        return {}
    longest = sorted(found.items(), key=lambda item: -item[1])[:_KEPT]
    return {
        "prompts_cut": {
            "read": tokenize.longest,
            "count": len(found),
            "of": len(set(texts)),
            "longest": [{"prompt": text, "tokens": n} for text, n in longest],
        }
    }


def check_cut(
    tokenize: TokenizeFn, prompts: Mapping[str, ClassPrompts], bank: str
) -> dict[str, Any]:
    """:func:`cut_texts` of the prompts of some classes, logged.

    Raises:
      EvalError: what is read of a cut prompt is also read of one that means something else.
    """
    meanings = [
        ((name, side), text)
        for name, sentences in prompts.items()
        for side in ("positive", "negative")
        for text in getattr(sentences, side)
    ]
    if not isinstance(tokenize, PromptTokenizer):
        return {}
    cut = tokenize.cut([text for _, text in meanings])
    if not cut:
        return {}
    quoted = "; ".join(f"{text[:60]!r}... ({n} tokens)" for text, n in list(cut.items())[:_NAMED])
    found = f"prompt bank {bank!r}: the text tower reads {tokenize.longest} tokens, and "
    found += f"{len(cut)} of its prompts are longer: {quoted}"
    read: dict[tuple[int, ...], tuple[str, str]] = {}
    for meaning, text in meanings:
        if text not in cut:
            continue
        first = read.setdefault(tokenize.read(text), meaning)
        if first != meaning:
            raise EvalError(
                f"{found}. Cut there, a {meaning[1]} prompt of {meaning[0]!r} is the same as a "
                f"{first[1]} one of {first[0]!r}; shorten them"
            )
    _log.warning("%s; they are cut there", found)
    return cut_texts(tokenize, [text for _, text in meanings])
