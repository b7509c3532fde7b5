"""A vision language model behind OpenAI's chat interface as the judge.

The picture goes along as a PNG in the request. One request asks all questions and wants a JSON
object of yes and no; an answer that cannot be read is asked for again under another seed.
"""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from data_gen.chat.base import Prompt
from data_gen.chat.openai import GIVE_UP, OpenAIChat
from data_gen.curation.candidate import Candidate, Pixels
from data_gen.curation.judges.base import JudgeConfig, Judgement, decide
from data_gen.curation.reasons import JUDGE_FAILED
from data_gen.phantom.base import PictureReview, Question
from medvlp_jax.core.errors import UserError

#: Opening braces that are tried: an answer may hold a hundred thousand of them.
_STARTS = 100
_YES = {"yes": True, "true": True, "y": True, "1": True}
_NO = {"no": False, "false": False, "n": False, "0": False}


class ServerJudge:
    """Asks the server of ``config.chat``; see :class:`data_gen.curation.judges.base.ImageJudge`."""

    def __init__(
        self, config: JudgeConfig, review: PictureReview, chat: OpenAIChat | None = None
    ) -> None:
        """``chat``: a client to ask instead of one made from ``config.chat``."""
        assert config.chat is not None  # JudgeConfig sees to it
        self.config = config
        self._chat = chat or OpenAIChat(config.chat)
        self._failed = 0
        self._review = review
        self._questions = config.asked(review.questions)

    def judge(self, candidates: Sequence[Candidate]) -> list[Judgement]:
        """One judgement per candidate, in order.

        Raises:
          UserError: the server refuses for good, or answers nothing at all.
        """
        places = {c.id: i for i, c in enumerate(candidates)}
        if len(places) < len(candidates):
            raise UserError("the judge needs candidates with distinct ids")
        answers: dict[int, dict[str, bool]] = {}
        for attempt in range(self.config.attempts):
            asked = [c for i, c in enumerate(candidates) if i not in answers]
            if not asked:
                break
            for reply in self._chat.answer(self._prompts(asked, attempt)):
                found = None if reply.error else read_answers(reply.text, self._questions)
                self._count(reply.error)
                if found is not None:
                    answers[places[reply.id.rpartition("/")[0]]] = found
        return [self._judgement(answers.get(i)) for i in range(len(candidates))]

    def _prompts(self, asked: Sequence[Candidate], attempt: int) -> Iterator[Prompt]:
        for c in asked:
            # The id decides about the seed of the answer: by picture and attempt, not by company.
            yield Prompt(f"{c.id}/{attempt}", self._messages(c.image))

    def _messages(self, image: Pixels) -> tuple[dict[str, object], ...]:
        return messages(image, self._review.system, self._questions, self.config.size)

    def _count(self, error: str) -> None:
        # The client counts within one call, and a call may be for a few pictures only.
        self._failed = self._failed + 1 if error else 0
        if self._failed >= GIVE_UP:
            raise UserError(
                f"the judge's server failed {self._failed} times in a row, the last: {error}. Look "
                "after it; the same command goes on where this one stopped"
            )

    def _judgement(self, answers: dict[str, bool] | None) -> Judgement:
        if answers is None:
            failed = self.config.on_failure == "reject"
            return Judgement((JUDGE_FAILED,) if failed else (), {"judge/answered": 0.0})
        scores = {f"judge/{key}": float(yes) for key, yes in answers.items()}
        return Judgement(
            decide(self._review.questions, answers, self.config.most_no),
            {"judge/answered": 1.0, **scores},
        )


def messages(
    image: Pixels, system: str, questions: Sequence[Question], size: int
) -> tuple[dict[str, object], ...]:
    """The conversation that asks ``questions`` about ``image``, longer side at most ``size``."""
    listed = "\n".join(f"{q.key}: {q.text}" for q in questions)
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(image, size)}},
        {"type": "text", "text": listed},
    ]
    return ({"role": "system", "content": system}, {"role": "user", "content": parts})


def data_url(image: Pixels, size: int) -> str:
    """A PNG as a ``data:`` address; the same bytes for the same picture."""
    scale = size / max(image.shape[:2])
    if scale < 1:
        shape = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded")
    return "data:image/png;base64," + base64.b64encode(np.asarray(data).tobytes()).decode()


def read_answers(text: str, questions: Sequence[Question]) -> dict[str, bool] | None:
    """Key -> yes, from the first JSON object in ``text`` that answers every question.

    Models put fences and words around their JSON, and write booleans or sentences for yes and no.
    None where a question is left open.
    """
    decoder = json.JSONDecoder()
    for start in itertools.islice(re.finditer(r"\{", text), _STARTS):
        try:
            found, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        answers = {q.key: _yes_or_no(found.get(q.key)) for q in questions}
        if None not in answers.values():
            return {k: bool(v) for k, v in answers.items()}
    return None


def _yes_or_no(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str | int):
        return None
    word = re.match(r"\W*(\w+)", str(value)[:100].lower())
    return (_YES | _NO).get(word[1]) if word else None
