"""The gate that every image passes, real or made: cheap checks first, models after."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from absl import logging

import medvlp_jax
from data_gen.curation.agreement import Agreement, AgreementConfig
from data_gen.curation.candidate import Candidate, Verdict
from data_gen.curation.encoders.base import Encoder, EncoderConfig
from data_gen.curation.encoders.registry import make_encoder
from data_gen.curation.judges.base import ImageJudge, JudgeConfig
from data_gen.curation.judges.registry import make_judge
from data_gen.curation.reasons import DISAGREES, LIKE_BAD
from data_gen.curation.similarity import BadSet, BadSetConfig
from data_gen.curation.statistics import Limits, measure, objections
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from medvlp_jax.core.config import to_plain
from medvlp_jax.data.store.manifest import fingerprint


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """Which checks there are, and how strict.

    Attributes:
      statistics: limits of what is measured on the pixels.
      encoder: what embeds images, for the bad set and for near-duplicates.
      judge: what answers the modality's questions.
      bad: images that no accepted one may resemble.
      agreement: of image and text.
      modality: what the pictures are of, a key of :data:`data_gen.phantom.registry.PHANTOMS`.
    """

    statistics: Limits = dataclasses.field(default_factory=Limits)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    judge: JudgeConfig = dataclasses.field(default_factory=JudgeConfig)
    bad: BadSetConfig = dataclasses.field(default_factory=BadSetConfig)
    agreement: AgreementConfig = dataclasses.field(default_factory=AgreementConfig)
    modality: str = DEFAULT

    def __post_init__(self) -> None:
        if self.bad.folder and self.encoder.kind == "none":
            raise ValueError("bad.folder needs an encoder: set encoder.kind")
        questions = find_phantom(self.modality).review.questions
        # Spelt out, so that a stored config says what was asked.
        object.__setattr__(self, "judge", self.judge.completed(questions))

    @property
    def fingerprint(self) -> str:
        """Equal for equal verdicts: not of batch sizes, or of where and how fast a server is."""
        settings = without_default(to_plain(self))
        del settings["encoder"]["batch_size"], settings["agreement"]["batch_size"]
        settings["judge"] = self.judge.identity(find_phantom(self.modality).review.questions)
        settings["files"] = [
            _digest(place)
            for place in (self.encoder.model, self.bad.folder, self.judge.reference)
            if place
        ]
        return fingerprint(medvlp_jax.__version__, settings)


class Gate:
    """Reviews candidates, each for itself: equal candidates get equal verdicts in any company.

    What refuses an image on its pixels spares the models; those that pass are embedded, judged,
    compared with the bad set and with their text, and get every reason that applies.
    """

    def __init__(self, config: GateConfig | None = None) -> None:
        """Loads nothing: each part is made when the first candidate gets to it."""
        self.config = config or GateConfig()
        self._phantom = find_phantom(self.config.modality)
        if self._phantom.review.layout is None:
            logging.warning(
                "%s have no one layout: turned, inverted and cropped pictures are not looked for",
                self._phantom.title,
            )

    @functools.cached_property
    def _encoder(self) -> Encoder | None:
        return make_encoder(self.config.encoder)

    @functools.cached_property
    def _judge(self) -> ImageJudge | None:
        return make_judge(self.config.judge, self._phantom)

    @functools.cached_property
    def _bad(self) -> BadSet | None:
        if not self.config.bad.folder or self._encoder is None:
            return None
        return BadSet.load(self.config.bad, self._encoder)

    @functools.cached_property
    def _agreement(self) -> Agreement | None:
        c = self.config.agreement
        return Agreement(c, self._phantom) if c.checkpoint else None

    def review(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """One verdict per candidate, in order.

        Raises:
          UserError: a model, server or bad set that the config names cannot be used.
        """
        modality, limits = self.config.modality, self.config.statistics
        scores = [measure(c.image, modality) for c in candidates]
        found = [
            list(objections(s, limits, c.view, modality))
            for s, c in zip(scores, candidates, strict=True)
        ]
        good = [i for i, f in enumerate(found) if not f]
        chosen = [candidates[i] for i in good]
        rows = self._encoder.encode([c.image for c in chosen]) if self._encoder and good else None
        embeddings = dict(zip(good, rows, strict=True)) if rows is not None else {}
        if self._judge is not None and good:
            for i, one in zip(good, self._judge.judge(chosen), strict=True):
                found[i] += one.reasons
                scores[i] |= one.scores
        if self._bad is not None and rows is not None:
            for i, likeness in zip(good, self._bad.likeness(rows), strict=True):
                scores[i]["bad/cosine"] = likeness
                if likeness > self._bad.threshold:
                    found[i].append(LIKE_BAD)
        if self._agreement is not None and good:
            for i, share in zip(good, self._agreement.shares(chosen), strict=True):
                if share is None:  # nothing is said
                    continue
                scores[i]["agreement/beaten"] = share
                if share < self.config.agreement.minimum:
                    found[i].append(DISAGREES)
        return [
            Verdict(not f, tuple(f), s, embeddings.get(i))
            for i, (f, s) in enumerate(zip(found, scores, strict=True))
        ]


def _digest(place: str) -> str:
    """Of the names and sizes of the files of a folder, or of one file."""
    root = pathlib.Path(place)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    return fingerprint([(str(p.relative_to(root)), p.stat().st_size) for p in files if p.exists()])
