"""How pictures of slides are judged: what is asked, and in which words."""

from data_gen.phantom.base import PictureReview, Question

_QUESTIONS = (
    Question(
        "slide",
        "Is this picture taken through a microscope, of a stained section of tissue or a stained "
        "blood smear?",
        "not a slide",
    ),
    Question("cells", "Can single cells or their nuclei be told apart?", "no cells"),
    Question(
        "quality", "Are focus, stain and light good enough to judge the cells?", "poor quality"
    ),
    Question(
        "clean",
        "Is it free of anything drawn, printed or pasted over the tissue?",
        "artefacts",
    ),
    Question(
        "faithful",
        "Taken as a whole, would a pathologist believe it to be a real slide of human tissue or "
        "blood?",
        "not faithful",
    ),
)

_SYSTEM = (
    "You check pictures for a collection of microscopic slides. Look at the picture and answer "
    "each question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON object "
    "whose keys are those of the questions and whose values are the strings yes or no, and nothing "
    "else."
)

#: Question -> what says yes, and what says no.
_SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slide": (
        ("A histology slide stained with H&E.", "A stained blood smear under the microscope."),
        ("A chest radiograph.", "A fundus photograph.", "A landscape.", "A CT slice."),
    ),
    "cells": (
        ("Tissue with nuclei that can be told apart.", "Blood cells under the microscope."),
        ("An empty slide.", "A slide seen as a whole, without any magnification."),
    ),
    "quality": (
        ("A sharp, well stained slide.",),
        ("A slide out of focus.", "A faded slide without contrast."),
    ),
    "clean": (
        ("A slide without artefacts.",),
        ("A slide with arrows and text.", "A collage of pictures."),
    ),
    "faithful": (
        ("Human tissue or blood, healthy or diseased.",),
        ("A drawing of cells.", "Distorted tissue that cannot exist."),
    ),
}

_REASONS = {
    "not a slide": "judge: no microscopic slide",
    "no cells": "judge: cells cannot be told apart",
    "poor quality": "judge: quality too poor to read",
    "artefacts": "judge: overprinted or processed",
    "not faithful": "judge: no believable slide as a whole",
}

#: Tissue has no up and no down, so no common layout is asked for.
REVIEW = PictureReview(
    system=_SYSTEM,
    questions=_QUESTIONS,
    sentences=_SENTENCES,
    layout=None,
    other_views=frozenset(),
    reasons=_REASONS,
)
