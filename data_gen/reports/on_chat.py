"""Reports by a language model: how it is asked, and how its answer is read."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator

from data_gen.chat.base import Chat, Message, Prompt
from data_gen.phantom.base import ReportPrompt
from data_gen.phantom.registry import DEFAULT, find_phantom
from data_gen.reports.base import ReportRequest, WrittenReport
from medvlp_jax.data.store.manifest import fingerprint


def report_messages(
    request: ReportRequest, prompt: ReportPrompt, example: bool = True
) -> tuple[Message, ...]:
    """The conversation that asks for a report."""
    what = prompt.examination
    shown = [
        {"role": "user", "content": _question(what, prompt.entities, prompt.view)},
        {"role": "assistant", "content": prompt.report},
    ]
    return (
        {"role": "system", "content": prompt.system},
        *(shown if example else []),
        {
            "role": "user",
            "content": _question(
                what,
                request.entities,
                request.view,
                request.absent,
                request.anatomy,
                request.feedback,
            ),
        },
    )


def _question(
    examination: str,
    entities: tuple[str, ...],
    view: str,
    absent: tuple[str, ...] = (),
    anatomy: tuple[str, ...] = (),
    feedback: tuple[str, ...] = (),
) -> str:
    what = f"{view} {examination}" if view else examination[:1].upper() + examination[1:]
    lines = [f"{what}. Found:", *(f"- {entity}" for entity in entities or ("no abnormality",))]
    if absent:
        lines += ["Not there, and to be said so:", *(f"- {thing}" for thing in absent)]
    if anatomy:
        lines += [
            "Places to be named; tie what was found to them where that makes sense, and call them "
            "normal where it does not:",
            *(f"- {place}" for place in anatomy),
        ]
    if absent or anatomy:
        lines.append(
            "Use every item once in FINDINGS, with its own words, and name no other finding. Sum "
            "up in IMPRESSION what was found."
        )
    if feedback:
        lines += ["An earlier report of this was wrong. Mend this:", *(f"- {f}" for f in feedback)]
    return "\n".join([*lines, "Write the report."])


class ChatWriter:
    """A language model that is asked for reports."""

    def __init__(
        self, chat: Chat, system: str = "", example: bool = True, modality: str = DEFAULT
    ) -> None:
        """``system``: what it is told to be; empty for the modality's own words."""
        prompt = find_phantom(modality).prompt
        self.chat = chat
        self._prompt = dataclasses.replace(prompt, system=system or prompt.system)
        self._example = example

    @property
    def name(self) -> str:
        return f"llm:{self.chat.name}"

    @property
    def fingerprint(self) -> str:
        p = self._prompt
        return fingerprint(self.chat.fingerprint, p.system, self._example, p.report)

    def write(self, requests: Iterable[ReportRequest]) -> Iterator[WrittenReport]:
        """See :class:`data_gen.reports.base.ReportWriter`."""
        asked: dict[str, ReportRequest] = {}

        def prompts() -> Iterator[Prompt]:
            for request in requests:
                # Another id is another answer: the random numbers come from it.
                name = f"{request.id}#{request.attempt}" if request.attempt else request.id
                asked[name] = request
                yield Prompt(name, report_messages(request, self._prompt, self._example))

        for reply in self.chat.answer(prompts()):
            request = asked.pop(reply.id)
            if reply.error:
                yield WrittenReport(request.id, "", "", self.name, error=reply.error)
            else:
                yield read_report(request, reply.text, self.name, cut=reply.cut)


_HEADING = re.compile(r"\b(findings?|impressions?|conclusions?)\b[*_ \t]*:[*_ \t]*", re.I)
#: What may stand before a heading.
_MARKS = "*#_ \t"


def read_report(request: ReportRequest, text: str, source: str, cut: bool = False) -> WrittenReport:
    """Cuts an answer into its sections and notes what is doubtful about it.

    Markdown marks around headings are dropped. An entity counts as mentioned where all its words of
    five letters or more occur (severity words change in prose, organs and diseases do not).
    """
    parts = {"findings": "", "impression": ""}
    headings = list(_HEADING.finditer(text))
    for i, heading in enumerate(headings):
        last = i + 1 == len(headings)
        section = text[heading.end() : None if last else headings[i + 1].start()]
        section = section if last else section.rstrip(_MARKS)
        name = "findings" if heading[1].lower().startswith("f") else "impression"
        parts[name] = parts[name] or _tidy(section)
    warnings = []
    if not any(parts.values()):
        parts["findings"] = _tidy(text)
        warnings.append("no headings")
    if cut:
        warnings.append("cut short")
    sentences = collections.Counter(s.strip() for s in text.split(".") if s.strip())
    if max(sentences.values(), default=0) > _REPEATS:
        warnings.append("repeats itself")
    said = text.lower()
    missing = [e for e in request.entities if not _mentioned(e, said)]
    if missing:
        warnings.append("not mentioned: " + ", ".join(missing))
    if not parts["findings"] and not parts["impression"]:
        return WrittenReport(request.id, "", "", source, text, "an empty answer")
    return WrittenReport(
        request.id, parts["findings"], parts["impression"], source, text, "", tuple(warnings)
    )


def _tidy(text: str) -> str:
    return " ".join(text.replace("**", "").split())


#: How often a report may use the same sentence.
_REPEATS = 2
_SEVERITY = {"small", "large", "minimal", "moderate", "severe", "marked", "slight", "trace"}


def _mentioned(entity: str, said: str) -> bool:
    words = [w for w in re.findall(r"[a-z]{5,}", entity.lower()) if w not in _SEVERITY]
    return all(word[:6] in said for word in words)
