"""Articles with the truth about their topic: brain abnormalities, and what only sounds like them.

``screened_topics.json`` has diseases that are wanted, rare ones too, and for every unwanted article
something that sounds like it: sponsors, addresses, animals, healthy brains, other organs. The
lexicon was worked on while looking at all of it, so what it scores here says that it covers these
and nothing about articles that nobody looked at: each part was new once, and recall was then 0.90,
0.78, 0.90, 0.86 and, on "mesh" (headings of the tree of brain diseases of MeSH), 0.81.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from data_gen.pipelines.pubmed.base import Article, Figure, Mention

#: Part -> "diseases", and "others" as (title, abstract).
TOPICS = json.loads((pathlib.Path(__file__).parent / "screened_topics.json").read_text("utf-8"))
_TITLES = (
    "{D}: a case report",
    "Magnetic resonance imaging of {d}",
    "Diagnostic value of CT in {d}: a retrospective study",
    "{D} in a {age}-year-old woman presenting with headache",
    "Outcome after treatment of {d}",
    "Deep learning for segmentation of {d}",
    "Predictors of mortality in {d}",
)
_ABSTRACTS = (
    "We describe a {age}-year-old man with {d}. Cranial MRI showed a hyperintense lesion. "
    "The patient recovered after treatment.",
    "Purpose: to review imaging of {d}. Methods: scans of {n} patients were read by two "
    "neuroradiologists. Results: enhancement was seen in {m} cases and oedema in most of them.",
    "Background. {D} is a neurological disorder with high morbidity. We analysed {n} consecutive "
    "cases. Symptoms were headache, seizures and hemiparesis. Brain imaging was abnormal in all.",
    "{D} was confirmed by histology after craniotomy. There was no tumour elsewhere.",
    "Objective: prognosis of {d}. Conclusion: early imaging of the brain improves outcome.",
)
_CAPTIONS = (
    "Axial T2-weighted image shows a hyperintense lesion (arrow).",
    "Non-contrast head CT demonstrating the lesion with mass effect.",
    "(A) FLAIR, (B) DWI and (C) contrast-enhanced T1-weighted MRI of the brain.",
    "Photomicrograph of the specimen, haematoxylin and eosin, \u00d7200.",
    "Digital subtraction angiography before and after embolisation.",
    "Coronal MRI at follow-up; the enhancement has resolved.",
)
_DRAWN = (
    "Kaplan-Meier curves of overall survival in both groups.",
    "Receiver operating characteristic curves of the three models.",
    "Flow chart of patient selection.",
    "Schematic of the experimental design.",
    "Bar graph of the scores; error bars are standard errors.",
    "Western blot of the lysates.",
    "Box plots of volume by group.",
    "Study design and timeline.",
)
_OTHER_CAPTIONS = (
    "Contrast-enhanced CT of the abdomen shows the lesion.",
    "Chest radiograph on admission.",
    "Mean weight in the two groups.",
    "Photograph of the specimen.",
    "Number of participants by year.",
)
_SENTENCES = (
    "Details are shown in Figure {k}.",
    "The patient was discharged after four days (Figure {k}).",
    "There was no sign of brain metastasis (Figure {k}).",
)


@dataclasses.dataclass(frozen=True)
class Screened:
    """An article, whether it is wanted, and which of its figures are."""

    article: Article
    wanted: bool
    figures: tuple[bool, ...]


def _fill(rng: np.random.Generator, text: str, disease: str = "") -> str:
    return text.format(
        d=disease,
        D=disease[:1].upper() + disease[1:],
        age=int(rng.integers(3, 90)),
        n=int(rng.integers(20, 400)),
        m=int(rng.integers(5, 20)),
    )


def _one(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def articles(count: int, seed: int, part: str = "first") -> list[Screened]:
    """Articles, half of them wanted; each wanted disease and each decoy comes in turn."""
    rng = np.random.default_rng(seed)
    diseases, others = TOPICS[part]["diseases"], TOPICS[part]["others"]
    out = []
    for i in range(count):
        wanted = i % 2 == 0
        if wanted:
            disease = diseases[i // 2 % len(diseases)]
            title, abstract = (
                _fill(rng, str(_one(rng, t)), disease) for t in (_TITLES, _ABSTRACTS)
            )
        else:
            title, abstract = (_fill(rng, t) for t in others[i // 2 % len(others)])
        figures, truth = [], []
        for k in range(int(rng.integers(1, 6))):
            drawn = wanted and rng.random() < 0.35
            captions = _DRAWN if drawn else _CAPTIONS if wanted else _OTHER_CAPTIONS
            paragraph = _one(rng, _SENTENCES).format(k=k + 1)
            mention = Mention(paragraph, paragraph.index("Figure"), len(paragraph) - 1)
            figures.append(
                Figure(f"f{k}", f"Figure {k + 1}", _one(rng, captions), mentions=(mention,))
            )
            truth.append(wanted and not drawn)
        article = Article(f"PMC{i + 1}", title=title, abstract=abstract, figures=tuple(figures))
        out.append(Screened(article, wanted, tuple(truth)))
    return out
