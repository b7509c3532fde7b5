"""The batch of a step with words and regions, the same for both sides."""

import numpy as np

from benchmarks.data import random_batch


def word_batch(batch: int, text_len: int) -> dict[str, np.ndarray]:
    """Images uint8 [b, 224, 224, 3], token ids, their mask, and ``word_ids`` as the pipeline's.

    Three tokens of four open a word.
    """
    image, text, mask = random_batch(batch, text_len)
    rng = np.random.default_rng(1)
    opens = rng.random(mask.shape) < 0.75
    opens[:, 1] = True
    at = np.arange(text_len)
    inside = mask & (at > 0) & (at < mask.sum(1, keepdims=True) - 1)  # between [CLS] and [SEP]
    word = np.cumsum(opens & inside, axis=1)
    ids = np.where(inside, word, np.where(at == 0, 0, -1)).astype(np.int32)
    return {"image": image, "text": text, "text_mask": mask, "word_ids": ids}
