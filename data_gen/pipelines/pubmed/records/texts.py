"""The texts of a record: own words, what all panels share, mentions, and all of it joined."""

from collections.abc import Collection, Iterator, Sequence

from data_gen.pipelines.pubmed.base import Figure, Mention, SplitCaption
from data_gen.pipelines.pubmed.match.slots import normal
from data_gen.pipelines.pubmed.match.words import body_text, text_of
from data_gen.pipelines.pubmed.records.config import RecordsConfig
from medvlp_jax.data.store.record import Text
from medvlp_jax.data.texts.choice import sentences

SOURCE = "publication"


def panel_texts(
    split: SplitCaption,
    parts: Sequence[int],
    labels: Collection[str],
    figure: Figure,
    config: RecordsConfig,
) -> tuple[Text, ...]:
    """Sections ``caption`` (own words), ``preface``, ``suffix``, ``mention``, ``report`` (joined).

    Args:
      parts: of the caption that are about the panel.
      labels: of the panel; mentions of others are left out, those of the whole figure stay.

    Returns:
      nothing where the parts have no words of their own.
    """
    body = " ".join(filter(None, (body_text(split, part) for part in parts)))
    if not body:
        return ()
    preface, suffix = text_of(split, split.preface), text_of(split, split.suffix)
    joined = [body]
    if config.text != "body" and preface:
        joined.insert(0, preface)
    if config.text == "whole" and suffix:
        joined.append(suffix)
    found = [("caption", body), ("preface", preface), ("suffix", suffix)]
    found += [("report", " ".join(joined))]
    found += [("mention", text) for text in mentions(figure.mentions, labels, config)]
    return tuple(Text(text, section, SOURCE) for section, text in found if text)


def whole_texts(split: SplitCaption, figure: Figure, config: RecordsConfig) -> tuple[Text, ...]:
    """The whole caption as ``caption`` and ``report``, and all mentions."""
    text = " ".join(split.text.split())
    if not text:
        return ()
    found = [("caption", text), ("report", text)]
    found += [("mention", said) for said in mentions(figure.mentions, (), config)]
    return tuple(Text(text, section, SOURCE) for section, text in found)


def mentions(
    every: Sequence[Mention], labels: Collection[str], config: RecordsConfig
) -> Iterator[str]:
    """What paragraphs say of the panel, each once, in their order.

    Args:
      labels: of the panel; none for the whole figure, which all mentions are about.
    """
    if config.mentions == "none":
        return
    wanted = {normal(label) for label in labels}
    seen = set()
    for mention in every:
        letters = {normal(letter) for letter in mention.letters}
        stems = {label.rstrip("0123456789") for label in wanted}
        if wanted and letters and not letters & (wanted | stems):
            continue
        text = sentence_of(mention) if config.mentions == "sentence" else mention.text
        text = " ".join(text.split())
        if text and text not in seen:
            seen.add(text)
            yield text


def sentence_of(mention: Mention) -> str:
    """The sentence of the paragraph that holds the reference; all of it where that is not found."""
    whole = " ".join(mention.text.split())
    before = " ".join(mention.text[: mention.start].split())
    at = len(before) + bool(before)
    cursor = 0
    for sentence in sentences(mention.text):
        start = whole.find(sentence, cursor)
        if start < 0:
            continue
        cursor = start + len(sentence)
        if start <= at < cursor:
            return sentence
    return whole
