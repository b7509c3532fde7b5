"""Findings of the head: side, place and the geometry that shows them, by severity."""

from collections.abc import Callable

from data_gen.phantom.ct.choices import Made, Rng, pick, side_of, size_of, uniform
from data_gen.phantom.ct.findings import Study


def _hematoma(rng: Rng, grade: int, study: Study) -> Made:
    spots = ("frontal lobe", "parietal lobe")
    if study.level == "basal ganglia":
        spots = ("basal ganglia", "thalamus", "frontal lobe", "temporal lobe", "occipital lobe")
    return (
        side_of(rng),
        pick(rng, spots),
        {
            "size_mm": size_of(rng, grade, (13, 20), (24, 36), (42, 62)),
            "hu": uniform(rng, 60, 76),
            "turn": uniform(rng, -0.5, 0.5),
        },
    )


def _subdural(rng: Rng, grade: int, study: Study) -> Made:
    age = pick(rng, ("acute", "subacute", "chronic"), (0.6, 0.15, 0.25))
    hu = {"acute": 66.0, "subacute": 49.0, "chronic": 17.0}[age] + uniform(rng, -4, 5)
    return (
        side_of(rng),
        "convexity",
        {
            "age": age,
            "thickness_mm": size_of(rng, grade, (6.5, 9), (10, 15), (16, 24)),
            "hu": hu,
            "mixed": float(rng.random() < 0.3),
            "facing": uniform(rng, -22, 22),
            "spread": uniform(rng, 62, 82),
        },
    )


def _epidural(rng: Rng, grade: int, study: Study) -> Made:
    place = pick(rng, ("frontal", "parietal", "temporoparietal"))
    return (
        side_of(rng),
        place,
        {
            "thickness_mm": size_of(rng, grade, (9, 13), (16, 24), (28, 38)),
            "hu": uniform(rng, 60, 74),
            "spread": uniform(rng, 24, 30) + 4.0 * grade,
        },
    )


def _subarachnoid(rng: Rng, grade: int, study: Study) -> Made:
    places = ("convexity",)
    if study.level == "basal ganglia":
        places = ("sylvian fissure", "convexity", "interhemispheric fissure")
    side = side_of(rng, (0.1, 0.4, 0.8)[grade])
    place = pick(rng, places)
    if place == "interhemispheric fissure":
        side = ""
    return side, place, {"extent": uniform(rng, *((0.8, 1.0), (1.0, 1.3), (1.4, 1.8))[grade])}


def _infarct(rng: Rng, grade: int, study: Study) -> Made:
    place = pick(rng, ("MCA territory", "PCA territory", "ACA territory"), (0.6, 0.22, 0.18))
    age = pick(rng, ("acute", "chronic"), (0.7, 0.3))
    return (
        side_of(rng),
        place,
        {
            "age": age,
            "extent": uniform(rng, *((0.55, 0.7), (0.75, 0.95), (1.05, 1.3))[grade]),
            "hu": uniform(rng, 10, 14) if age == "chronic" else uniform(rng, 17, 21),
            "turn": uniform(rng, -14, 14),
        },
    )


def _hydrocephalus(rng: Rng, grade: int, study: Study) -> Made:
    return "", "", {"swell": uniform(rng, *((0.9, 1.2), (1.5, 2.0), (2.3, 3.0))[grade])}


def _shift(rng: Rng, grade: int, study: Study) -> Made:
    return side_of(rng), "", {"size_mm": size_of(rng, grade, (4.5, 6), (7, 10), (11, 15))}


HEAD: dict[str, Callable[[Rng, int, Study], Made]] = {
    "intraparenchymal hemorrhage": _hematoma,
    "subdural hematoma": _subdural,
    "epidural hematoma": _epidural,
    "subarachnoid hemorrhage": _subarachnoid,
    "infarct": _infarct,
    "hydrocephalus": _hydrocephalus,
    "midline shift": _shift,
}
