"""The config of captions from labels."""

import dataclasses
from typing import Literal

from data_gen.chat.base import ChatConfig
from medvlp_jax.core.fields import Seed, Size, Workers

#: How training should draw the captions, in the words of its own ``text.policy``.
Policy = Literal["report", "caption"]
POLICIES: dict[str, str] = {
    "report": "one text per visit, drawn evenly: of a record's reports where it has any, of its "
    "captions otherwise (data.text.policy='report')",
    "caption": "one caption per visit, drawn evenly; reports are not read "
    "(data.text.policy='caption')",
}


@dataclasses.dataclass(frozen=True)
class CaptionsConfig:
    """What gets captions, who writes them, and what must be true of them.

    Attributes:
      generator: the word that picks this config.
      source: a data folder with labels.
      only: splits; empty for all.
      count: captions of each (modality, anatomy, label).
      maker: ``grammar``, our own, offline; or ``chat``, a language model.
      chat: the language model.
      rounds: how often it is asked for the captions that a label still lacks.
      fill: the grammar writes what is still lacking then.
      seed: of the grammar.
      modality: of images whose record names none.
      modalities: a record's word for a modality -> ours, where it is not known.
      anatomy: of records that have none in ``provenance["anatomy"]`` and whose modality is not in
        ``anatomies``.
      anatomies: modality, as the record names it -> anatomy, for records without one.
      labels: a JSON table of names for labels of one's own; see docs/data.md.
      ignore: labels that get no captions.
      policy: how training draws: ``report``, a report before captions where there is one; or
        ``caption``. Kept with every record.
      existing: whether captions that a record has already stay, before the new ones.
      lacking: what happens where the gate refused all captions of a label: an ``error``, or a
        ``warn``ing, and its records go on without.
      processes: of this machine that write the folder; 0 is one per core.
    """

    generator: Literal["captions"] = "captions"
    source: str = ""
    only: tuple[str, ...] = ()
    count: Size = 10
    maker: Literal["grammar", "chat"] = "grammar"
    chat: ChatConfig | None = None
    rounds: Size = 3
    fill: bool = False
    seed: Seed = 0
    modality: str = ""
    modalities: dict[str, str] = dataclasses.field(default_factory=dict)
    anatomy: str = ""
    anatomies: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: str = ""
    ignore: tuple[str, ...] = ()
    policy: Policy = "report"
    existing: Literal["keep", "replace"] = "keep"
    lacking: Literal["error", "warn"] = "error"
    processes: Workers = 0

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source is empty; set it to a data folder with labels")
        if (self.maker == "chat") != (self.chat is not None):
            raise ValueError("maker='chat' needs the group chat, and 'grammar' has none")
