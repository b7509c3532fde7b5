"""Sentences for studies that have labels and no text, so that label-only sets can train pairs."""

import hashlib
from collections.abc import Mapping

from medvlp_jax.data.store.record import Text

SOURCE = "labels"
_PRESENT = ("There is {}.", "The radiograph shows {}.", "Findings of {}.", "{} is present.")
_UNCERTAIN = ("{} is possible.", "{} cannot be excluded.", "Questionable {}.")
_ABSENT = ("No {}.", "There is no evidence of {}.", "No sign of {}.")
_NORMAL = (
    "No abnormality is seen.",
    "The heart and lungs appear normal.",
    "Normal radiograph of the chest.",
)
_NEGATIVES = 3  # sentences about what is absent; a study has a dozen such labels


def label_texts(id: str, labels: Mapping[str, int]) -> tuple[Text, ...]:
    """One text, section "findings", source "labels"; () where nothing was judged.

    All that is present or uncertain is said, and up to three of the absent findings. The wording is
    a function of ``id``.
    """
    digest = hashlib.sha256(id.encode()).digest()

    def pick(options: tuple[str, ...], name: str, place: int) -> str:
        sentence = options[digest[place % len(digest)] % len(options)].format(name)
        return sentence[0].upper() + sentence[1:]

    groups = {
        value: sorted(n for n, v in labels.items() if v == value and n != "no finding")
        for value in (1, -1, 0)
    }
    said = [pick(_PRESENT, name, i) for i, name in enumerate(groups[1])]
    said += [pick(_UNCERTAIN, name, i + 8) for i, name in enumerate(groups[-1])]
    if not said and labels.get("no finding") == 1:
        said.append(pick(_NORMAL, "", 16))
    absent = groups[0]
    start = digest[24] % len(absent) if absent else 0
    rotated = (absent[start:] + absent[:start])[:_NEGATIVES]
    said += [pick(_ABSENT, name, i + 17) for i, name in enumerate(rotated)]
    if not said:
        return ()
    positive = tuple(name for name in labels if labels[name] == 1)
    return (Text(" ".join(said), "findings", SOURCE, positive),)
