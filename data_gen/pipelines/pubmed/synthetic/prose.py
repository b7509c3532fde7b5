"""Titles, abstracts and paragraphs of synthetic articles, and paragraphs that mention figures."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from data_gen.pipelines.pubmed.base import Mention

#: Kinds of articles and their weights; "brain" is what the default screening looks for.
KINDS: Mapping[str, float] = {
    "brain": 0.62,
    "healthy brain": 0.07,
    "organ": 0.2,
    "plain": 0.11,
}
_TITLES: Mapping[str, tuple[str, ...]] = {
    "brain": (
        "{Finding} of the brain in a {age}-year-old patient: a case report",
        "Magnetic resonance imaging of {finding}: a retrospective study",
        "Intracranial {finding} presenting with headache and seizures",
        "{Finding} mimicking stroke: imaging findings and outcome",
        "Surgical treatment of {finding} of the brain",
        "Clinical and neuroimaging features of cerebral {finding}",
    ),
    "healthy brain": (
        "Working memory and attention in young volunteers: a behavioural experiment",
        "Functional connectivity of the default mode network in healthy volunteers",
        "Reaction times in a language task: a study of healthy students",
    ),
    "organ": (
        "{Finding} in adults: a case series",
        "Imaging of {finding}: a pictorial study",
        "{Finding} treated conservatively: a case report",
    ),
    "plain": (
        "Growth of wheat under drought: a field trial",
        "Thermal stability of coated steel sheets",
        "A survey of teachers about digital learning",
        "Distribution of beetles along an altitudinal gradient",
    ),
}
_ABSTRACTS: Mapping[str, tuple[str, ...]] = {
    "brain": (
        "We report a {age}-year-old patient with {finding} of the brain. MRI and CT of the head "
        "showed the lesion. Histology confirmed the diagnosis after surgery.",
        "Background: {Finding} is a frequent abnormality in neuroimaging. Methods: brain MRI of "
        "{count} patients was reviewed. Results: lesions were found in the cerebral hemispheres.",
        "{Finding} may present with headache, seizures or hemiparesis. We describe brain imaging "
        "of the lesion, its treatment and the neurological outcome.",
    ),
    "healthy brain": (
        "We tested {count} healthy volunteers in a memory task. Response times and accuracy were "
        "recorded while task difficulty was varied.",
        "Attention was measured in {count} students without any disease. Performance improved "
        "with training.",
    ),
    "organ": (
        "We describe {count} patients with {finding}. Imaging and outcome were reviewed over five "
        "years.",
        "{Finding} was found in a {age}-year-old patient. The course was uneventful.",
    ),
    "plain": (
        "We measured {count} samples in three seasons. The effect of treatment was large.",
        "Questionnaires of {count} participants were analysed. Differences between groups were "
        "small.",
    ),
}
_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "brain": ("brain", "magnetic resonance imaging", "{finding}", "neurosurgery"),
    "healthy brain": ("attention", "memory", "healthy volunteers"),
    "organ": ("{finding}", "imaging", "case series"),
    "plain": ("field study", "statistics"),
}
_FILLERS: Mapping[str, tuple[str, ...]] = {
    "brain": (
        "Neurological examination revealed mild weakness of the left arm.",
        "The patient was admitted after two weeks of headache.",
        "Differential diagnoses include abscess, metastasis and demyelination.",
        "Follow-up imaging of the brain was obtained after three months.",
    ),
    "healthy brain": (
        "Participants gave written informed consent.",
        "Trials were presented in random order.",
    ),
    "organ": (
        "The patient was discharged after four days.",
        "Laboratory values were within normal limits.",
        "There was no sign of metastasis to liver or brain.",
    ),
    "plain": ("Samples were taken in May and September.", "Values are means of three runs."),
}
_MENTIONING = (
    "Imaging on admission is shown in {ref}.",
    "The findings are summarised in {ref}.",
    "As {ref} shows, the change was marked.",
    "Details were visible ({ref}).",
    "Further examination confirmed this ({ref}).",
)


def pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    """One of several."""
    return words[int(rng.integers(len(words)))]


def filled(rng: np.random.Generator, text: str, finding: str) -> str:
    """A sentence with its slots filled."""
    return text.format(
        finding=finding,
        Finding=finding[:1].upper() + finding[1:],
        age=int(rng.integers(19, 88)),
        count=int(rng.integers(12, 240)),
    )


def title(rng: np.random.Generator, kind: str, finding: str) -> str:
    """A title of an article of a kind of :data:`KINDS`."""
    return filled(rng, pick(rng, _TITLES[kind]), finding)


def abstract(rng: np.random.Generator, kind: str, finding: str) -> str:
    """An abstract of an article of a kind."""
    return filled(rng, pick(rng, _ABSTRACTS[kind]), finding)


def keywords(kind: str, finding: str) -> tuple[str, ...]:
    """Keywords of an article of a kind."""
    return tuple(word.format(finding=finding) for word in _KEYWORDS[kind])


def filler(rng: np.random.Generator, kind: str) -> str:
    """A sentence that mentions no figure."""
    return pick(rng, _FILLERS[kind])


class Paragraph:
    """Text and markup of a paragraph, and what it mentions."""

    def __init__(self, section: str) -> None:
        self.section, self.text, self.xml = section, "", ""
        self._mentions: list[tuple[str, int, int, tuple[str, ...]]] = []

    def put(self, text: str) -> None:
        """Adds plain words."""
        self.text += text
        self.xml += escape(text)

    def refer(self, ids: Sequence[str], said: str, letters: tuple[str, ...] = ()) -> None:
        """Adds a reference to figures; ``letters`` are the panels that ``said`` names."""
        start = len(self.text)
        self.text += said
        rid = quoteattr(" ".join(ids))
        self.xml += f'<xref ref-type="fig" rid={rid}>{escape(said)}</xref>'
        self._mentions += [(i, start, len(self.text), letters) for i in ids]

    def cite(self, number: int) -> None:
        """Adds a reference to the literature."""
        self.text += f"[{number}]"
        self.xml += f'[<xref ref-type="bibr" rid="B{number}">{number}</xref>]'

    def mentions(self) -> list[tuple[str, Mention]]:
        """(id of a figure, the mention), in order."""
        return [
            (i, Mention(self.text, start, end, letters, self.section))
            for i, start, end, letters in self._mentions
        ]


def mention(
    rng: np.random.Generator, paragraph: Paragraph, id: str, number: int, labels: Sequence[str]
) -> None:
    """A sentence that refers to a figure, and now and then to some of its panels by letter."""
    letters: tuple[str, ...] = ()
    named = ""
    single = all(len(label) == 1 for label in labels)
    if labels and single and rng.random() < 0.6:
        first = int(rng.integers(len(labels)))
        last = int(rng.integers(first, min(first + 3, len(labels))))
        letters = tuple(label.upper() for label in labels[first : last + 1])
        dash = pick(rng, ("-", "\u2013"))
        named = labels[first] if first == last else f"{labels[first]}{dash}{labels[last]}"
        if last == first + 1:
            named = f"{labels[first]}{pick(rng, (',', ', ', dash))}{labels[last]}"
    before, _, after = pick(rng, _MENTIONING).partition("{ref}")
    paragraph.put(before)
    word = pick(rng, ("Figure ", "Fig. ", "Fig "))
    if rng.random() < 0.5:
        paragraph.refer([id], f"{word}{number}{named}", letters)
    else:
        paragraph.put(word)
        paragraph.refer([id], f"{number}{named}", letters)
    paragraph.put(after)
