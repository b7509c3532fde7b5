"""How alike two texts are, word by word: ROUGE-L of each, BLEU of many. NumPy only.

Lin 2004 (ROUGE-L, F1); Papineni et al. 2002 (BLEU, without smoothing, shortest distance to a
reference's length). Words are lower-case runs of letters and digits.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

#: Longest n-grams of BLEU.
ORDER = 4


def words(text: str) -> list[str]:
    """The words that are compared."""
    return re.findall(r"[^\W_]+", text.lower())


def rouge_l(said: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words, with the best of the references."""
    return max((_rouge(words(said), words(r)) for r in references), default=0.0)


def _rouge(said: Sequence[str], truth: Sequence[str]) -> float:
    if not said or not truth:
        return float(not said and not truth)
    row = [0] * (len(truth) + 1)
    for a in said:
        above = 0
        for j, b in enumerate(truth, 1):
            above, row[j] = row[j], above + 1 if a == b else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(said) + len(truth))


def bleu_counts(said: str, references: Sequence[str]) -> Int[np.ndarray, "c"]:
    """What BLEU adds up of one text: n-grams found and n-grams said of every length, words said,
    and words of the reference that is nearest in length."""
    mine, theirs = words(said), [words(r) for r in references]
    found, total = [], []
    for n in range(1, ORDER + 1):
        own = _ngrams(mine, n)
        most: Counter[tuple[str, ...]] = Counter()
        for reference in theirs:
            most |= _ngrams(reference, n)
        found.append(sum((own & most).values()))
        total.append(sum(own.values()))
    near = min((abs(len(r) - len(mine)), len(r)) for r in theirs)[1] if theirs else 0
    return np.array([*found, *total, len(mine), near], np.int64)


def _ngrams(text: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


def bleu(sums: Float[np.ndarray, "*r c"]) -> Float[np.ndarray, "*r"]:
    """BLEU from sums of :func:`bleu_counts`; 0 where n-grams of one length are never found."""
    sums = np.asarray(sums, np.float64)
    found, total = sums[..., :ORDER], sums[..., ORDER : 2 * ORDER]
    said, near = sums[..., -2], sums[..., -1]
    share = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    log = np.log(np.maximum(share, 1e-300)).mean(-1)
    brief = np.minimum(1 - np.divide(near, said, out=np.full_like(near, np.inf), where=said > 0), 0)
    return np.where((share > 0).all(-1), np.exp(log + brief), 0.0)
