"""Random batches, the same for both sides."""

import numpy as np

from benchmarks.models import IMAGE_SIZE, VOCAB

#: Report lengths in tokens: log-normal with a mean of 60 and a 95th percentile of 147.
LENGTH_LOG_MEAN, LENGTH_LOG_STD = 3.857, 0.689
LONGEST = 256


def report_lengths(count: int, seed: int = 0) -> np.ndarray:
    """Tokens of so many reports, special tokens included, 4 to :data:`LONGEST`."""
    draw = np.random.default_rng(seed).lognormal(LENGTH_LOG_MEAN, LENGTH_LOG_STD, count)
    return np.clip(np.rint(draw), 4, LONGEST).astype(np.int64)


#: Tokens of a caption made from a label: 6 to 20 words.
CAPTION_LENGTHS = (9, 29)
#: Part of UniMed-CLIP's pairs whose captions are made from labels (1,529,000 of 5,282,000).
LABEL_CAPTIONS = 0.29


def unimed_lengths(count: int, seed: int = 0) -> np.ndarray:
    """Tokens of so many texts of UniMed-CLIP's mixture.

    The publication says how many pairs are captions made from labels, not how long texts are: the
    others (figures of articles, slides, reports) are taken to be as long as reports.
    """
    rng = np.random.default_rng(seed + 1)
    low, high = CAPTION_LENGTHS
    captions = rng.integers(low, high + 1, count)
    return np.where(rng.random(count) < LABEL_CAPTIONS, captions, report_lengths(count, seed))


def random_batch(batch: int, text_len: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [b, S, S, 3], token ids int32 [b, t] (0 = padding) and their mask.

    One text fills its row, the others end anywhere after the first third.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    lengths = rng.integers(max(text_len // 3, 2), text_len + 1, batch)
    lengths[0] = text_len
    mask = np.arange(text_len)[None, :] < lengths[:, None]
    ids = rng.integers(5, VOCAB, (batch, text_len)) * mask
    return images, ids.astype(np.int32), mask
