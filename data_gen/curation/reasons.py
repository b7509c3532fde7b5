"""Why an image is dropped: the words that verdicts, reject files and pages use."""

#: Reason -> what it means, in the words of a page.
REASONS: dict[str, str] = {
    "size": "too few pixels",
    "aspect": "far from the shape of a film",
    "black": "black, or nearly so",
    "white": "white, or nearly so",
    "constant": "without contrast",
    "clipped": "a large part is fully black or fully white",
    "colour": "colours, which a radiograph has not",
    "text overlay": "text burnt into the picture",
    "blur": "out of focus or blown up",
    "noise": "more noise than picture",
    "blocks": "destroyed by compression",
    "border": "a wide empty border",
    "inverted": "black and white exchanged",
    "rotated": "turned by a quarter or a half",
    "layout": "not laid out like a frontal chest film: cropped, or something else",
    "not an x-ray": "judge: no chest radiograph",
    "not human": "judge: not of a human",
    "not frontal": "judge: no frontal view",
    "poor quality": "judge: quality too poor to read",
    "artefacts": "judge: turned, overprinted or processed",
    "not faithful": "judge: no believable film of a human chest as a whole",
    "judge failed": "the judge gave no usable answer",
    "like a bad one": "too similar to an image of the bad set",
    "near-duplicate": "nearly the same as an image that was kept",
    "disagrees with its text": "image and text do not belong together",
    "unreadable": "the file cannot be decoded",
}

LIKE_BAD = "like a bad one"
DUPLICATE = "near-duplicate"
DISAGREES = "disagrees with its text"
UNREADABLE = "unreadable"
JUDGE_FAILED = "judge failed"
