"""How fundus photographs are judged: what is asked, and in which words."""

from data_gen.phantom.base import PictureReview, Question

_QUESTIONS = (
    Question(
        "fundus", "Is this picture a color photograph of the fundus of an eye?", "not a fundus"
    ),
    Question(
        "disc", "Is the optic disc or the macula inside the picture?", "no disc and no macula"
    ),
    Question(
        "quality",
        "Are focus and light good enough to judge the vessels, unless the lens is cloudy?",
        "poor quality",
    ),
    Question(
        "clean",
        "Is it free of anything drawn, printed or pasted over the retina?",
        "artefacts",
    ),
    Question(
        "faithful",
        "Taken as a whole, would an ophthalmologist believe it to be a real photograph of a human "
        "retina, with vessels that leave one disc and branch as vessels do?",
        "not faithful",
    ),
)

_SYSTEM = (
    "You check pictures for a collection of fundus photographs. Look at the picture and answer "
    "each question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON object "
    "whose keys are those of the questions and whose values are the strings yes or no, and nothing "
    "else."
)

#: Question -> what says yes, and what says no.
_SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fundus": (
        ("A color fundus photograph.", "Photograph of the retina with disc and vessels."),
        ("A chest radiograph.", "A histology slide.", "A face.", "A fluorescein angiogram."),
    ),
    "disc": (
        ("Fundus photograph with the optic disc and the macula.",),
        ("Photograph of the far periphery of the retina.", "Photograph of the iris."),
    ),
    "quality": (
        ("A sharp, well lit fundus photograph.",),
        ("A fundus photograph out of focus.", "A fundus photograph that is too dark."),
    ),
    "clean": (
        ("Fundus photograph without artefacts.",),
        ("Fundus photograph with text over the retina.", "A collage of pictures."),
    ),
    "faithful": (
        ("A human retina, healthy or diseased.",),
        ("Distorted retina with impossible vessels.", "Drawing of an eye."),
    ),
}

_REASONS = {
    "not a fundus": "judge: no fundus photograph",
    "no disc and no macula": "judge: neither disc nor macula",
    "poor quality": "judge: quality too poor to read",
    "artefacts": "judge: overprinted or processed",
    "not faithful": "judge: no believable photograph of a human retina as a whole",
}

#: Eyes come in two sides and many framings, so no common layout is asked for.
REVIEW = PictureReview(
    system=_SYSTEM,
    questions=_QUESTIONS,
    sentences=_SENTENCES,
    layout=None,
    other_views=frozenset(),
    reasons=_REASONS,
)
