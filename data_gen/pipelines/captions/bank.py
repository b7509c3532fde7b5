"""The captions of every subject: made, judged by the gate, and kept with what was refused."""

import dataclasses
import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from data_gen.chat.base import Chat, Prompt
from data_gen.chat.registry import make_chat
from data_gen.jobs.job import JobError
from data_gen.pipelines.captions import grammar
from data_gen.pipelines.captions.by_chat import question, read_answer
from data_gen.pipelines.captions.config import CaptionsConfig
from data_gen.pipelines.captions.duplicates import Kept
from data_gen.pipelines.captions.gate import Fault, faults
from data_gen.pipelines.captions.lexicon import lexicon
from data_gen.pipelines.captions.reasons import DUPLICATE, FAILED, MALFORMED
from data_gen.pipelines.captions.subject import Subject, as_json
from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.files.replacing import replace

FILE = "captions.json"
#: Captions that the grammar may write for one that is kept.
_SPARE = 6


@dataclasses.dataclass
class Made:
    """What became of one subject.

    Attributes:
      kept: text and source of each caption, in the order in which they were made.
      refused: text, source, reasons with details of the others.
      answers: ``read``, ``malformed``, ``failed`` -> answers of the language model.
      unread: reason and detail of each answer without captions.
      spare: captions of answers that nobody looked at, as there were enough.
      asked: rounds that are over.
    """

    kept: list[dict[str, str]] = dataclasses.field(default_factory=list)
    refused: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    answers: dict[str, int] = dataclasses.field(default_factory=dict)
    unread: list[dict[str, str]] = dataclasses.field(default_factory=list)
    spare: int = 0
    asked: int = 0

    @property
    def texts(self) -> list[str]:
        return [one["text"] for one in self.kept]

    def count(self, outcome: str) -> None:
        """One answer more with this outcome."""
        self.answers[outcome] = self.answers.get(outcome, 0) + 1

    def reasons(self) -> Counter[str]:
        """First reason -> captions refused for it."""
        return Counter(one["reasons"][0] for one in self.refused)

    def judge(self, subject: Subject, texts: Iterable[str], source: str, count: int) -> None:
        """Keeps what passes the gate, up to ``count`` in all, and notes the rest."""
        known = Kept()
        for text in self.texts:
            known.add(text)
        for text in texts:
            if len(self.kept) == count:
                self.spare += 1
                continue
            found = faults(subject, text, lexicon())
            like = "" if found else known.like(text)
            if like:
                found = [Fault(DUPLICATE, f"like {like!r}")]
            if found:
                reasons = list(dict.fromkeys(f.reason for f in found))
                detail = "; ".join(f.detail for f in found if f.detail)
                self.refused.append(
                    {"text": text, "source": source, "reasons": reasons, "detail": detail}
                )
            else:
                known.add(text)
                self.kept.append({"text": text, "source": source})


class Bank:
    """All subjects with their captions; on disk as ``captions.json``, written after each answer."""

    def __init__(self, path: pathlib.Path, config: CaptionsConfig, key: str) -> None:
        """``key``: of the settings and inputs; a file of another key is refused.

        Raises:
          JobError: the file is of another key, or damaged.
        """
        self.path, self.config, self.key = path, config, key
        self.made: dict[str, Made] = {}
        self.scan: dict[str, Any] = {}
        self._about: dict[str, Mapping[str, Any]] = {}
        if not path.exists():
            return
        mend = "delete the folder and repeat the command"
        with one_net(path, mend, JobError):
            stored = jsonl.parse(path.read_bytes())
            if stored["key"] != key:
                raise JobError(
                    f"{path.parent} holds captions of another source or config; choose another "
                    "folder, or delete this one"
                )
            self.scan = dict(stored["scan"])
            for one in stored["subjects"]:
                made = Made(**{k: v for k, v in one.items() if k not in ("key", "about")})
                self._about[one["key"]] = one["about"]
                self.made[one["key"]] = made

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        subjects = [
            {"key": key, "about": self._about[key], **dataclasses.asdict(made)}
            for key, made in sorted(self.made.items())
        ]
        whole = {"key": self.key, "scan": self.scan, "subjects": subjects}
        replace(self.path, json.dumps(whole, indent=1, ensure_ascii=False))

    def fill(self, subjects: Sequence[Subject], progress: bool = True) -> None:
        """Makes what the subjects lack.

        Raises:
          UserError: the language model cannot be used, or a server refuses for good.
        """
        c = self.config
        for subject in subjects:
            self.made.setdefault(subject.key, Made())
            self._about[subject.key] = as_json(subject)
        if c.chat is not None and any(self._wants(s) for s in subjects):
            chat = make_chat(c.chat)
            for number in range(c.rounds):
                self._ask(chat, [s for s in subjects if self._wants(s)], number, progress)
        if c.chat is None or c.fill:
            for subject in subjects:
                made = self.made[subject.key]
                texts = self._new(made, grammar.write(subject, _SPARE * c.count, c.seed))
                while len(made.kept) < c.count and (text := next(texts, "")):
                    made.judge(subject, [text], grammar.SOURCE, c.count)
        self.save()

    def _wants(self, subject: Subject) -> bool:
        made = self.made[subject.key]
        return len(made.kept) < self.config.count and made.asked < self.config.rounds

    @staticmethod
    def _new(made: Made, texts: Iterator[str]) -> Iterator[str]:
        """Without what was judged in an earlier run."""
        seen = {one["text"] for one in (*made.kept, *made.refused)}
        return (text for text in texts if text not in seen)

    def _ask(self, chat: Chat, subjects: Sequence[Subject], number: int, progress: bool) -> None:
        """One round: a question for each subject that has had fewer."""
        todo = {}
        for subject in subjects:
            if self.made[subject.key].asked == number:
                todo[f"{subject.key}#{number}"] = subject
        bar = tqdm.tqdm(
            total=len(todo),
            desc=f"asking, round {number + 1}",
            unit=" labels",
            disable=None if progress else True,
        )
        with bar:
            for reply in chat.answer(self._question(s, number) for s in todo.values()):
                subject = todo[reply.id]
                made = self.made[subject.key]
                made.asked = number + 1
                try:
                    texts = [] if reply.error else read_answer(reply.text)
                except ValueError as error:
                    made.count("malformed")
                    cut = ", cut at max_new_tokens" if reply.cut else ""
                    made.unread.append({"reason": MALFORMED, "detail": f"{error}{cut}"})
                else:
                    made.count("failed" if reply.error else "read")
                    if reply.error:
                        made.unread.append({"reason": FAILED, "detail": reply.error})
                    made.judge(subject, texts, f"llm:{chat.name}", self.config.count)
                self.save()
                bar.update()

    def _question(self, subject: Subject, number: int) -> Prompt:
        made = self.made[subject.key]
        # Spare ones, as the gate will refuse some.
        wanted = self.config.count - len(made.kept)
        return question(subject, wanted + max(2, wanted // 4), number, made.texts, made.reasons())
