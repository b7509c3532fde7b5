"""A CLIP of ours as the judge: each question is a choice between two groups of sentences.

What a CLIP says to two sentences has no natural zero, and one that saw nothing but chest films
leans to either side of a question at random. So an image is not compared with a number but with
films known to be good: it is refused where it is worse than nearly all of them. Such a model has
learnt what films show and not whether they are fit: one trained on 6000 procedural studies refused
a tenth of sound films and no more of most kinds of spoilt ones (a third of the negatives). Use a
server where fitness is to be judged; this is for a CLIP that has seen more than films.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from data_gen.curation.candidate import Candidate, Pixels
from data_gen.curation.judges.base import JudgeConfig, Judgement, decide
from data_gen.curation.similarity import read_pictures
from data_gen.phantom.base import Phantom

#: Procedural films to compare with, their side in pixels, and the index of the first study.
_FILMS, _SIDE, _FIRST = 256, 224, 3_100_000_000


class ClipJudge:
    """Scores are shares of the good films that get less of a yes than the image.

    See :class:`data_gen.curation.judges.base.ImageJudge`.
    """

    def __init__(self, config: JudgeConfig, phantom: Phantom) -> None:
        from data_gen.curation.encoders.towers import open_clip_of_ours

        self.config = config
        self._clip = open_clip_of_ours(config.checkpoint, 32)
        self._questions = phantom.review.questions
        self._keys = [q.key for q in config.asked(self._questions)]
        sides = [side for key in self._keys for side in phantom.review.sentences[key]]
        self._sentences = self._clip.prompts(sides)
        self._good = np.sort(self._lean(good_films(config.reference, phantom)), axis=0)

    def _lean(self, images: Sequence[Pixels]) -> Float[np.ndarray, "n q"]:
        rows = self._clip.images(images).astype(np.float64)
        # Rounded: a matrix product rounds differently by position, and verdicts must not.
        return np.round(rows @ (self._sentences[0::2] - self._sentences[1::2]).T, 6)

    def judge(self, candidates: Sequence[Candidate]) -> list[Judgement]:
        """One judgement per candidate, in order."""
        found = []
        for row in self._lean([c.image for c in candidates]):
            shares = (self._good < row).mean(0)
            answers = {
                k: bool(s >= self.config.minimum) for k, s in zip(self._keys, shares, strict=True)
            }
            scores = {f"judge/{k}": float(s) for k, s in zip(self._keys, shares, strict=True)}
            found.append(Judgement(decide(self._questions, answers, self.config.most_no), scores))
        return found


def good_films(folder: str, phantom: Phantom) -> list[Pixels]:
    """The pictures of a folder, or procedural films that no data job makes."""
    if folder:
        return read_pictures(folder)
    studies = [phantom.sample(0, _FIRST + i) for i in range(_FILMS)]
    return list(phantom.render(studies, _SIDE, masks=False).images)
