"""Why an image is dropped: the words that verdicts, reject files and pages use."""

from data_gen.phantom.registry import PHANTOMS

#: Reason -> what it means, in the words of a page; what a modality adds comes from its review.
REASONS: dict[str, str] = {
    "size": "too few pixels",
    "aspect": "far from the shape of a film",
    "black": "black, or nearly so",
    "white": "white, or nearly so",
    "constant": "without contrast",
    "clipped": "a large part is fully black or fully white",
    "text overlay": "text burnt into the picture",
    "blur": "out of focus or blown up",
    "noise": "more noise than picture",
    "blocks": "destroyed by compression",
    "border": "a wide empty border",
    "inverted": "black and white exchanged",
    "rotated": "turned by a quarter or a half",
    "judge failed": "the judge gave no usable answer",
    "like a bad one": "too similar to an image of the bad set",
    "near-duplicate": "nearly the same as an image that was kept",
    "disagrees with its text": "image and text do not belong together",
    "unreadable": "the file cannot be decoded",
    **{
        reason: meaning
        for phantom in PHANTOMS.values()
        for reason, meaning in phantom.review.reasons.items()
    },
}

LIKE_BAD = "like a bad one"
DUPLICATE = "near-duplicate"
DISAGREES = "disagrees with its text"
UNREADABLE = "unreadable"
JUDGE_FAILED = "judge failed"
