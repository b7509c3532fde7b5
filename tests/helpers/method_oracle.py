"""GLoRIA, MGCA and MedCLIP as loops in numpy float64, one pair, one word, one region at a time."""

import numpy as np


def softmax(values):
    e = np.exp(np.asarray(values, np.float64) - max(values))
    return e / e.sum()


def cosine(a, b):
    return float(a @ b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)


def merged(pieces, word_ids):
    """Words by summing pieces, in a list; the first is the token in front."""
    out = np.zeros_like(pieces)
    for b in range(len(pieces)):
        for t in range(pieces.shape[1]):
            if word_ids[b, t] >= 0:
                out[b, word_ids[b, t]] += pieces[b, t]
    return out


def word_region(patches, words, present, tau1, tau2, reduce):
    """``R[j, i]`` of image j and text i."""
    scores = np.zeros((len(patches), len(words)))
    for j, regions in enumerate(patches):
        for i, text in enumerate(words):
            kept = [text[t] for t in range(len(text)) if present[i, t]]
            over_words = [softmax([float(v @ w) for w in kept]) for v in regions]
            cosines = []
            for t, w in enumerate(kept):
                over_regions = softmax([tau1 * over_words[r][t] for r in range(len(regions))])
                context = sum(a * v for a, v in zip(over_regions, regions, strict=True))
                cosines.append(tau2 * cosine(context, w))
            total = float(np.logaddexp.reduce(cosines))
            scores[j, i] = {
                "sum": total,
                "mean": total - np.log(len(kept)),
                "max": max(cosines),
            }[reduce]
    return scores


def both_directions(logits, valid):
    """CE of the rows + CE of the columns, targets on the diagonal, means over the valid."""
    rows = [i for i in range(len(logits)) if valid[i]]
    total = 0.0
    for i in rows:
        total += np.logaddexp.reduce([logits[i, j] for j in rows]) - logits[i, i]
        total += np.logaddexp.reduce([logits[j, i] for j in rows]) - logits[i, i]
    return total / max(len(rows), 1)


def gloria(image, text, patches, words, present, valid):
    local = both_directions(10 * word_region(patches, words, present, 4.0, 5.0, "sum"), valid)
    whole = both_directions(10 * image @ text.T, valid)
    return local + whole


def alignment(queries, keys, weights, tau, queries_present, keys_present):
    """One value a record."""
    losses = []
    for q, k, w, has_q, has_k in zip(
        queries, keys, weights, queries_present, keys_present, strict=True
    ):
        asked = [t for t in range(len(q)) if has_q[t]]
        given = [r for r in range(len(k)) if has_k[r]]
        made = {}
        for t in asked:
            a = softmax([float(q[t] @ k[r]) / tau for r in given])
            o = sum(x * k[r] for x, r in zip(a, given, strict=True))
            made[t] = o / np.linalg.norm(o)
        total = 0.0
        for t in asked:
            own = float(q[t] @ made[t]) / tau
            row = np.logaddexp.reduce([float(q[t] @ made[s]) / tau for s in asked]) - own
            column = np.logaddexp.reduce([float(q[s] @ made[t]) / tau for s in asked]) - own
            total += w[t] * (row + column) / 2
        losses.append(total)
    return np.array(losses)


def clipped(attention):
    out = np.zeros_like(attention)
    for i, row in enumerate(attention):
        some = row > 0
        if some.any():
            low, high = np.quantile(row[some], [0.1, 0.9])
            out[i, some] = np.clip(row[some], low, high)
            out[i] /= out[i].sum()
    return out


def sinkhorn(scores, epsilon, iterations):
    """As SwAV writes it: prototypes in rows, masses that sum to one."""
    q = np.exp(scores.T / epsilon)
    q /= q.sum()
    k, n = q.shape
    for _ in range(iterations):
        for prototype in range(k):
            q[prototype] /= q[prototype].sum() * k
        for record in range(n):
            q[:, record] /= q[:, record].sum() * n
    return (q * n).T


def swapped(image, text, prototypes, valid, codes=None):
    rows = [i for i in range(len(image)) if valid[i]]
    a, b = image[rows] @ prototypes.T, text[rows] @ prototypes.T
    q = codes or (sinkhorn(a, 0.05, 3), sinkhorn(b, 0.05, 3))
    total = 0.0
    for i in range(len(rows)):
        total -= 0.5 * q[0][i] @ np.log(softmax(b[i] / 0.2))
        total -= 0.5 * q[1][i] @ np.log(softmax(a[i] / 0.2))
    return total / len(rows)


def matching(logits, affinity, valid):
    """MedCLIP's: soft targets for rows and columns, the mean of both."""
    rows = [i for i in range(len(logits)) if valid[i]]
    total = 0.0
    for z, s in ((logits, affinity), (logits.T, affinity.T)):
        for i in rows:
            targets = softmax([s[i, j] for j in rows])
            lse = np.logaddexp.reduce([z[i, j] for j in rows])
            total += 0.5 * sum(p * (lse - z[i, j]) for p, j in zip(targets, rows, strict=True))
    return total / max(len(rows), 1)
