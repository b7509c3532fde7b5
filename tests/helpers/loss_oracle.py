"""The losses as loops over pairs, in numpy float64, and their derivatives by finite differences."""

import numpy as np


def unit(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    x = rng.normal(size=(rows, width))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def positive(key, i: int, j: int) -> bool:
    """Whether text ``j`` is a positive of image ``i``.

    ``key``: None; rows that are equal for positives; a pair of rows of bits, those of the images
    and those of the texts; or a list of such keys, one of which has to hold.
    """
    if isinstance(key, list):
        return any(positive(one, i, j) for one in key)
    if key is None:
        return i == j
    if isinstance(key, tuple):
        return not any(int(t) & ~int(x) for x, t in zip(key[0][i], key[1][j], strict=True))
    return bool((key[i] == key[j]).all())


def infonce(image, text, scale, image_weight, key, valid) -> float:
    rows = [i for i in range(len(image)) if valid[i]]
    total = 0.0
    for weight, a, b, order in (
        (image_weight, image, text, 1),
        (1 - image_weight, text, image, -1),
    ):
        for i in rows:
            logits = {j: scale * float(a[i] @ b[j]) for j in rows}
            lse = np.logaddexp.reduce(list(logits.values()))
            found = [z for j, z in logits.items() if positive(key, *(i, j)[::order])]
            total += weight * (lse - sum(found) / len(found))
    return total / max(len(rows), 1)


def sigmoid(image, text, scale, bias, key, valid) -> float:
    rows = [i for i in range(len(image)) if valid[i]]
    total = 0.0
    for i in rows:
        for j in rows:
            sign = 1 if positive(key, i, j) else -1
            total += np.logaddexp(0.0, -sign * (scale * float(image[i] @ text[j]) + bias))
    return total / max(len(rows), 1)


def metrics(image, text, key, valid) -> dict[str, float]:
    rows = [i for i in range(len(image)) if valid[i]]
    similarity = {(i, j): float(image[i] @ text[j]) for i in rows for j in rows}
    good = [s for (i, j), s in similarity.items() if positive(key, i, j)]
    bad = [s for (i, j), s in similarity.items() if not positive(key, i, j)]
    right = [
        [
            positive(key, *(i, max(rows, key=lambda j, i=i: similarity[(i, j)[::order]]))[::order])
            for i in rows
        ]
        for order in (1, -1)
    ]
    return {
        "image_to_text_accuracy": float(np.mean(right[0])),
        "text_to_image_accuracy": float(np.mean(right[1])),
        "positive_similarity": float(np.mean(good)),
        "negative_similarity": float(np.mean(bad)) if bad else 0.0,
    }


def gradients(function, arguments, step: float = 1e-5) -> list[np.ndarray]:
    """Central differences of a scalar function by each of its arguments."""
    out = []
    for k, argument in enumerate(arguments):
        argument = np.asarray(argument, np.float64)
        slope = np.zeros_like(argument)
        for index in np.ndindex(argument.shape):
            values = []
            for sign in (1, -1):
                moved = argument.copy()
                moved[index] += sign * step
                values.append(function(*arguments[:k], moved, *arguments[k + 1 :]))
            slope[index] = (values[0] - values[1]) / (2 * step)
        out.append(slope)
    return out
