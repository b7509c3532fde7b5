"""A CLIP of ours as the judge: each question is a choice between two groups of sentences.

It knows only what it was trained on. A model that saw nothing but chest films cannot tell a hand
from a heart by words; look at what it refuses before relying on it.
"""

from collections.abc import Sequence

import numpy as np

from data_gen.curation.candidate import Candidate
from data_gen.curation.judge import QUESTIONS, JudgeConfig, Judgement, decide

#: Question -> what says yes, and what says no.
SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
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


class ClipJudge:
    """See :class:`data_gen.curation.judge.ImageJudge`; scores are the share of yes."""

    def __init__(self, config: JudgeConfig) -> None:
        from data_gen.curation.towers import open_clip_of_ours

        self.config = config
        self._clip = open_clip_of_ours(config.checkpoint, 32)
        self._keys = [q.key for q in QUESTIONS if q.key in config.questions]
        sides = [side for key in self._keys for side in SENTENCES[key]]
        self._sentences = self._clip.prompts(sides)

    def judge(self, candidates: Sequence[Candidate]) -> list[Judgement]:
        """One judgement per candidate, in order."""
        rows = self._clip.images([c.image for c in candidates]).astype(np.float64)
        yes, no = self._sentences[0::2], self._sentences[1::2]
        # Rounded: a matrix product rounds differently by position, and verdicts must not.
        odds = np.round(rows @ yes.T - rows @ no.T, 6) / self.config.temperature
        found = []
        for shares in 1 / (1 + np.exp(-odds)):
            answers = {
                k: bool(s >= self.config.minimum) for k, s in zip(self._keys, shares, strict=True)
            }
            scores = {f"judge/{k}": float(s) for k, s in zip(self._keys, shares, strict=True)}
            found.append(Judgement(decide(answers, self.config.most_no), scores))
        return found
