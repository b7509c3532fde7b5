"""How pictures of the chest are judged: what is asked, in which words, and what they look like."""

import pathlib

from data_gen.phantom.base import PictureReview, Question

_QUESTIONS = (
    Question("xray", "Is this picture a chest radiograph (an X-ray of the chest)?", "not an x-ray"),
    Question("human", "Does it show the chest of a human being, not of an animal?", "not human"),
    Question(
        "frontal",
        "Was it taken from the front or the back (PA or AP), not the side?",
        "not frontal",
    ),
    Question(
        "quality",
        "Are focus, contrast and exposure good enough to judge lungs and heart?",
        "poor quality",
    ),
    Question(
        "clean",
        "Is it upright, with its grey values the right way round, and free of anything that was "
        "drawn, printed or pasted over the anatomy or came from image processing?",
        "artefacts",
    ),
    Question(
        "faithful",
        "Taken as a whole, would a radiologist believe it to be a real film of a human "
        "chest, with anatomy that is complete and possible?",
        "not faithful",
    ),
)

_SYSTEM = (
    "You check pictures for a collection of chest radiographs. Look at the picture and answer each "
    "question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON object whose "
    "keys are those of the questions and whose values are the strings yes or no, and nothing else."
)

#: Question -> what says yes, and what says no.
_SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "xray": (
        ("A chest radiograph.", "X-ray of the chest with lungs and heart."),
        ("A colour photograph.", "A diagram.", "CT slice.", "X-ray of a hand.", "A blank picture."),
    ),
    "human": (
        ("Chest radiograph of an adult.", "Chest radiograph of a child."),
        ("Radiograph of a dog.", "Radiograph of a cat's chest.", "Radiograph of a phantom."),
    ),
    "frontal": (
        ("Frontal chest radiograph.", "PA view of the chest.", "AP view of the chest."),
        ("Lateral chest radiograph.", "Lateral view of the chest.", "Oblique view."),
    ),
    "quality": (
        ("A sharp film of good contrast.", "Well exposed chest radiograph."),
        ("Limited study, poor image quality.", "Blurred film.", "Severely underexposed film."),
    ),
    "clean": (
        ("Upright chest radiograph without artefacts.", "The film is free of artefacts."),
        ("Film with text across the lungs.", "Inverted image.", "The image is upside down."),
    ),
    "faithful": (
        ("Complete frontal chest radiograph with normal anatomy or disease.",),
        ("Distorted picture with impossible anatomy.", "Part of the chest is cut off."),
    ),
}

_REASONS = {
    "colour": "colours, which a radiograph has not",
    "layout": "not laid out like a frontal chest film: cropped, or something else",
    "not an x-ray": "judge: no chest radiograph",
    "not human": "judge: not of a human",
    "not frontal": "judge: no frontal view",
    "poor quality": "judge: quality too poor to read",
    "artefacts": "judge: turned, overprinted or processed",
    "not faithful": "judge: no believable film of a human chest as a whole",
}

#: ``layout.npz`` is :func:`data_gen.curation.layout.learn` of 1000 frontal films of the phantom,
#: which are free of anybody's rights; that it fits real films of adults and children was looked at,
#: not tuned.
REVIEW = PictureReview(
    system=_SYSTEM,
    questions=_QUESTIONS,
    sentences=_SENTENCES,
    layout=pathlib.Path(__file__).with_name("layout.npz"),
    other_views=frozenset({"LATERAL", "LL", "L"}),
    reasons=_REASONS,
)
