"""Entities by a token classifier of ``transformers``, as SynCXR builds its bank (RaTE-NER).

The model is given as a folder (a copy of ``Angelakeke/RaTE-NER-Deberta``, or any classifier with
tags ``B-`` and ``I-`` before the five types). It needs the extra ``torch``.
"""

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_gen.entities.bank import entity
from data_gen.entities.entity import TYPES, EntityType, Mention
from data_gen.entities.extract import default_extractor
from medvlp_jax.core.errors import UserError

#: Longest input in tokens; shorter sentences than this many characters name nothing.
_MAX_TOKENS = 512
_MIN_CHARACTERS = 3
_SENTENCE = re.compile(r"[^.;!?\n]+(?:[.](?=\d)[^.;!?\n]+)*")


class RateNer:
    """Runs a token classifier on the sentences of a text, on a GPU if there is one.

    Concepts, sides and labels of what it finds are looked up in the lexicon of the package; what
    that does not know is its own concept.
    """

    def __init__(self, folder: str, batch_size: int = 32) -> None:
        """Loads the folder.

        Raises:
          UserError: PyTorch is missing, the folder cannot be loaded, or its tags are not IOB tags
            of the five types.
        """
        try:
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise UserError(
                "the extractor 'rate-ner' needs PyTorch: EXTRAS=torch bash launch/setup.sh (or "
                "take the lexicon, which needs none)"
            ) from error
        import transformers

        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model: Any = transformers.AutoModelForTokenClassification.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"transformers cannot load {folder}: {reason}") from error
        if not self._tokenizer.is_fast:
            raise UserError(f"{folder} has no fast tokenizer (tokenizer.json), which gives places")
        self._tags = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
        wrong = [t for t in self._tags if t != "O" and t.partition("-")[2] not in TYPES]
        if wrong:
            raise UserError(
                f"{folder} has the tag {wrong[0]!r}, not O, or B- or I- before one of "
                + ", ".join(TYPES)
            )
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        self._batch_size = batch_size

    @property
    def name(self) -> str:
        return "rate-ner"

    def extract(self, text: str) -> tuple[Mention, ...]:
        """See :class:`data_gen.entities.extract.EntityExtractor`."""
        return self.extract_all([text])[0]

    def extract_all(self, texts: Sequence[str]) -> list[tuple[Mention, ...]]:
        """The mentions of each text; sentences of all of them share batches."""
        parts = [(n, start, s) for n, text in enumerate(texts) for start, s in sentences(text)]
        found: list[list[Mention]] = [[] for _ in texts]
        for first in range(0, len(parts), self._batch_size):
            some = parts[first : first + self._batch_size]
            for (n, start, _), spans in zip(some, self._spans([s for *_, s in some]), strict=True):
                for begin, end, kind in spans:
                    found[n].append(_mention(texts[n], start + begin, start + end, kind))
        return [tuple(mentions) for mentions in found]

    def _spans(self, batch: list[str]) -> list[list[tuple[int, int, EntityType]]]:
        encoded = self._tokenizer(
            batch,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=_MAX_TOKENS,
            return_offsets_mapping=True,
        )
        offsets = encoded.pop("offset_mapping").tolist()
        inputs = {k: v.to(self._device) for k, v in encoded.items()}
        with self._torch.no_grad():
            best = self._model(**inputs).logits.argmax(-1).tolist()
        return [
            spans_of([self._tags[tag] for tag in tags], places)
            for tags, places in zip(best, offsets, strict=True)
        ]


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence begins, and its words; very short ones are left out."""
    for match in _SENTENCE.finditer(text):
        words = match[0].strip()
        if len(words) >= _MIN_CHARACTERS:
            yield match.start() + len(match[0]) - len(match[0].lstrip()), words


_KINDS: dict[str, EntityType] = {kind: kind for kind in TYPES}


def spans_of(
    tags: Sequence[str], offsets: Iterable[Sequence[int]]
) -> list[tuple[int, int, EntityType]]:
    """(start, end, type) of the entities that IOB tags mark.

    ``I-`` continues an entity of its type; without one before it, it begins one. Tokens without
    extent (the special ones) are passed over.
    """
    spans: list[tuple[int, int, EntityType]] = []
    open_ = False
    for tag, (start, end) in zip(tags, offsets, strict=True):
        if start == end:
            continue
        mark, _, kind = tag.partition("-")
        if mark == "I" and open_ and spans[-1][2] == kind:
            spans[-1] = (spans[-1][0], end, spans[-1][2])
        elif mark in ("B", "I"):
            spans.append((start, end, _KINDS[kind]))
        open_ = mark in ("B", "I")
    return spans


def _mention(text: str, start: int, end: int, kind: EntityType) -> Mention:
    words = " ".join(text[start:end].lower().split())
    one = entity(words, kind)
    concept = default_extractor().ontology.concepts.get(one.canonical)
    label = concept.label if concept else ""
    return Mention(words, kind, one.canonical, start, end, False, one.side, label)
