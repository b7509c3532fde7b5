"""Captions by a language model: how it is asked, and how its answer is read."""

import json
import re
from collections.abc import Mapping, Sequence

from data_gen.chat.base import Prompt
from data_gen.pipelines.captions.form import LONGEST, SHORTEST
from data_gen.pipelines.captions.lexicon import lexicon, table
from data_gen.pipelines.captions.subject import Subject

_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)
#: Characters of captions and of reasons that a repeated question quotes.
_QUOTED = 1200


def question(
    subject: Subject,
    count: int,
    attempt: int = 0,
    kept: Sequence[str] = (),
    refused: Mapping[str, int] | None = None,
) -> Prompt:
    """The prompt for ``count`` captions of a subject.

    Args:
      subject: what they are about.
      count: how many are asked for.
      attempt: from 0; another attempt is another prompt, with its own random numbers.
      kept: captions that need not come again.
      refused: reason -> captions that earlier answers lost for it.
    """
    words = table("prompt")
    codes = [f"{c} = {lexicon().codes[c].means}" for c in subject.codes]
    text = words["ask"].format(
        modality=subject.modality.nouns[0],
        place=subject.place.phrase,
        label=subject.label,
        says={"normal": "nothing abnormal", "organ": subject.place.phrase}.get(
            subject.kind, subject.says
        ),
        glossary=words["glossary"].format(codes="; ".join(codes)) if codes else "",
        count=count,
        what=words[subject.kind],
    )
    if attempt:
        why = ", ".join(f"{n} for {reason}" for reason, n in (refused or {}).items())
        said = " ".join(kept)[:_QUOTED]
        text += "\n" + words["feedback"].format(refused=why or "none", kept=said or "nothing")
        text += f"This is question {attempt + 1}."
    system = words["system"].format(shortest=SHORTEST + 2, longest=LONGEST // 2)
    return Prompt(
        f"{subject.key}#{attempt}",
        ({"role": "system", "content": system}, {"role": "user", "content": text}),
    )


def read_answer(text: str) -> list[str]:
    """The captions of an answer: a JSON list of texts, alone or in a code fence.

    Raises:
      ValueError: it is something else; the message says what.
    """
    fenced = _FENCE.match(text.strip())
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {text.strip()[:80]!r}") from error
    if not isinstance(found, list):
        raise ValueError(f"{type(found).__name__} where a list belongs")
    if not found:
        raise ValueError("an empty list")
    for one in found:
        if not isinstance(one, str) or not one.strip():
            raise ValueError(f"{one!r} where a text belongs"[:120])
    return [" ".join(one.split()) for one in found]
