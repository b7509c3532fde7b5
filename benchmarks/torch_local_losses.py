"""GLoRIA's and MGCA's losses in plain PyTorch, written from the formulas: what a step is timed
against, and a second implementation that the tests hold ours against.

Captions are looped over, as published code does, so that no padding takes part.
"""

# pyright: reportMissingImports=false
from typing import Any

import torch
from torch.nn import functional

Tensor = Any


def both_directions(logits: Tensor) -> Tensor:
    """Cross-entropy of the rows plus that of the columns, targets on the diagonal."""
    own = torch.arange(len(logits))
    return functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)


def gloria_loss(
    image: Tensor, text: Tensor, patches: Tensor, words: list[Tensor], scales: Any = (4, 5, 10)
) -> Tensor:
    """Local plus global.

    Args:
      image, text: unit vectors [b, e].
      patches: [b, r, e].
      words: of each caption, [its words, e], the one in front included.
      scales: tau1, tau2, tau3.
    """
    attention_scale, word_scale, pair_scale = scales
    columns = []
    for word in words:
        raw = patches @ word.T  # b r t
        attention = (raw.softmax(dim=2) * attention_scale).softmax(dim=1)
        context = attention.transpose(1, 2) @ patches  # b t e
        cosine = functional.cosine_similarity(context, word[None], dim=2)
        columns.append(torch.logsumexp(word_scale * cosine, dim=1))
    local = torch.stack(columns, dim=1)
    return both_directions(pair_scale * local) + both_directions(pair_scale * image @ text.T)


def alignment_loss(query: Tensor, key: Tensor, weights: Tensor, temperature: float = 0.1) -> Tensor:
    """Of one pair: queries [t, e], keys [r, e], weights [t]."""
    attention = (query @ key.T / temperature).softmax(dim=1)
    output = functional.normalize(attention @ key, dim=1)
    logits = query @ output.T / temperature
    own = torch.arange(len(query))
    rows = functional.cross_entropy(logits, own, reduction="none")
    columns = functional.cross_entropy(logits.T, own, reduction="none")
    return ((rows + columns) / 2 * weights).sum()


def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Assignments [n, k] whose rows sum to 1."""
    with torch.no_grad():
        q = torch.exp(scores / epsilon).T
        q = q / q.sum()
        for _ in range(iterations):
            q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
            q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
        return (q / q.sum(dim=0, keepdim=True)).T


def clipped_weights(attention: Tensor) -> Tensor:
    """Of one caption's words: clipped to the quantiles 0.1 and 0.9, then divided by the sum."""
    low, high = torch.quantile(attention, torch.tensor([0.1, 0.9], dtype=attention.dtype))
    clipped = attention.clamp(low, high)
    return clipped / clipped.sum()


def mgca_loss(
    image: Tensor,
    text: Tensor,
    patches: Tensor,
    words: list[Tensor],
    word_weights: list[Tensor],
    prototypes: Tensor,
) -> Tensor:
    """ITA + CTA + CPA, patches weighted alike.

    Args:
      image, text: unit vectors [b, e].
      patches: unit vectors [b, r, e].
      words: of each caption, unit vectors [its words, e], without the one in front.
      word_weights: of each caption, summing to 1.
      prototypes: unit vectors [k, e].
    """
    loss = both_directions(image @ text.T / 0.07)
    flat = torch.full(patches.shape[1:2], 1 / patches.shape[1], dtype=patches.dtype)
    for patch, word, weights in zip(patches, words, word_weights, strict=True):
        pair = alignment_loss(word, patch, weights) + alignment_loss(patch, word, flat)
        loss = loss + pair / len(patches)
    scores = [x @ prototypes.T for x in (image, text)]
    codes = [sinkhorn(s.detach()) for s in scores]
    logs = [functional.log_softmax(s / 0.2, dim=1) for s in scores]
    swapped = (codes[0] * logs[1] + codes[1] * logs[0]).sum(dim=1).mean()
    return loss - 0.5 * swapped
