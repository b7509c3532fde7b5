"""Embeddings of texts, and the arithmetic of unit vectors."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from medvlp_jax.core.predict import Predictor
from medvlp_jax.eval.base import EvalError, PredictFn, TokenizeFn
from medvlp_jax.eval.embedded import apply


def embed_texts(
    predict: PredictFn, tokenize: TokenizeFn, texts: Sequence[str], batch_size: int = 64
) -> Float[np.ndarray, "n e"]:
    """L2-normalised text embeddings of ``texts``, in batches of one static shape."""
    return normalise(text_rows(predict, tokenize, texts, batch_size=batch_size))


def text_rows(
    predict: PredictFn,
    tokenize: TokenizeFn,
    texts: Sequence[str],
    name: str = "text_embed",
    word_ids: Callable[[Sequence[str]], np.ndarray] | None = None,
    batch_size: int = 64,
) -> Float[np.ndarray, "n *s"]:
    """The rows that a predict function of texts gives, float64, in batches of one static shape.

    Every process passes all texts, so that the first rows are theirs on any number of processes.

    Raises:
      EvalError: the task has no such predict function.
    """
    if isinstance(predict, Predictor) and name not in predict.names:
        raise EvalError(
            f"this task has no predict function {name!r}, only {', '.join(predict.names)}"
        )
    ids, mask = tokenize(list(texts))
    arrays = {"text": np.asarray(ids), "text_mask": np.asarray(mask)}
    if word_ids is not None:
        arrays["word_ids"] = np.asarray(word_ids(list(texts)))
    rows = []
    for start in range(0, len(texts), batch_size):
        take = np.minimum(np.arange(start, start + batch_size), len(texts) - 1)
        batch = {key: value[take] for key, value in arrays.items()}
        rows.append(apply(predict, name, batch)[:batch_size].astype(np.float64))
    return np.concatenate(rows)[: len(texts)]


def ensemble(
    predict: PredictFn, tokenize: TokenizeFn, sides: Sequence[Sequence[str]]
) -> Float[np.ndarray, "s e"]:
    """One unit vector per list of prompts: the mean of its unit embeddings, scaled to one.

    All prompts go through the text tower together; a list must not be empty.
    """
    flat = [p for side in sides for p in side]
    embedded = embed_texts(predict, tokenize, flat)
    ends = np.cumsum([len(side) for side in sides])[:-1]
    return normalise(np.stack([part.mean(0) for part in np.split(embedded, ends)]))


def normalise(x: Float[np.ndarray, "*n e"]) -> Float[np.ndarray, "*n e"]:
    """Unit length along the last axis; a zero vector stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def cosine(a: Float[np.ndarray, "n e"], b: Float[np.ndarray, "m e"]) -> Float[np.ndarray, "n m"]:
    """Cosine of every row of ``a`` with every row of ``b``.

    Rounded to 9 decimals, far below what fp32 embeddings resolve: a matrix product rounds
    differently by position, and equal embeddings have to tie.
    """
    a, b = (normalise(np.asarray(x, np.float64)) for x in (a, b))
    return np.round(a @ b.T, 9)
