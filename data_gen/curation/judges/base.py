"""Yes/no questions about an image, and who answers them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from data_gen.chat.base import ChatConfig
from data_gen.curation.candidate import Candidate
from data_gen.phantom.base import Question
from medvlp_jax.core.fields import Count, Extent, Finite, Size


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """Who judges.

    Attributes:
      kind: ``none``; ``clip``, a checkpoint of ours with a pair of sentences per question;
        ``server``, a vision language model behind OpenAI's chat interface.
      questions: keys of the questions that the modality's review asks; empty for all of them.
      most_no: so many questions may be answered with no.
      checkpoint: of ``clip``: a workdir or a checkpoint.
      minimum: of ``clip``: the share of good films that must get less of a yes than the image.
      reference: of ``clip``: folder of pictures of good films; empty takes procedural ones.
      size: of ``server``: longer side, in pixels, of the picture that is sent.
      attempts: of ``server``: how often a picture is asked about until the answer can be read.
      on_failure: of ``server``: what becomes of a picture without a usable answer.
      chat: of ``server``: url, model, pace and cache.
    """

    kind: Literal["none", "clip", "server"] = "none"
    questions: tuple[str, ...] = ()
    most_no: Count = 0
    checkpoint: str = ""
    minimum: Finite = 0.01
    reference: str = ""
    size: Extent = 512
    attempts: Size = 2
    on_failure: Literal["reject", "accept"] = "reject"
    chat: ChatConfig | None = None

    def __post_init__(self) -> None:
        if (self.kind == "clip") != bool(self.checkpoint):
            raise ValueError("judge.checkpoint belongs to judge.kind='clip': give both or neither")
        if (self.kind == "server") != (self.chat is not None):
            raise ValueError("judge.chat belongs to judge.kind='server': give both or neither")
        if self.chat is not None and self.chat.backend != "openai":
            raise ValueError("judge.chat.backend must be 'openai'; judges with eyes are servers")
        if self.most_no < 0 or self.attempts < 1 or self.size < 1:
            raise ValueError("judge: attempts and size must be positive, most_no not negative")
        if not 0 <= self.minimum <= 1:
            raise ValueError(f"judge.minimum={self.minimum} must be 0 to 1")

    def completed(self, questions: Sequence[Question]) -> "JudgeConfig":
        """With the keys of the questions that are asked spelt out.

        Raises:
          ValueError: a key that none of ``questions`` has.
        """
        known = [q.key for q in questions]
        unknown = sorted(set(self.questions) - set(known))
        if unknown:
            raise ValueError(f"judge.questions: {', '.join(unknown)} is none of {', '.join(known)}")
        return self if self.questions else dataclasses.replace(self, questions=tuple(known))

    def asked(self, questions: Sequence[Question]) -> list[Question]:
        """Those of ``questions`` that are asked."""
        keys = self.completed(questions).questions
        return [q for q in questions if q.key in keys]

    def identity(self, questions: Sequence[Question]) -> dict[str, Any]:
        """What decides about the answers, for a fingerprint."""
        settings = json.loads(json.dumps(dataclasses.asdict(self)))
        settings["chat"] = self.chat.fingerprint if self.chat else ""
        settings["asked"] = [dataclasses.astuple(q) for q in questions]
        return settings


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Reasons to refuse an image (none: it passed), and scores by ``judge/question``."""

    reasons: tuple[str, ...]
    scores: Mapping[str, float]


class ImageJudge(Protocol):
    """Answers the questions about images."""

    def judge(self, candidates: Sequence[Candidate]) -> list[Judgement]:
        """One judgement per candidate, in order.

        Raises:
          UserError: nothing can be judged at all (a dead server).
        """
        ...


def decide(
    questions: Sequence[Question], answers: Mapping[str, bool], most_no: int
) -> tuple[str, ...]:
    """The reasons of the questions answered with no, if these are more than may be."""
    refused = tuple(q.reason for q in questions if answers.get(q.key) is False)
    return refused if len(refused) > most_no else ()
