"""Report writers by name."""

from collections.abc import Callable

from data_gen.chat.registry import make_chat
from data_gen.reports.base import ReportWriter, ReportWriterConfig
from data_gen.reports.grammar import GrammarWriter
from data_gen.reports.on_chat import ChatWriter


def _grammar(config: ReportWriterConfig) -> ReportWriter:
    return GrammarWriter(config.seed, config.impression == "all", config.modality)


def _chat(config: ReportWriterConfig) -> ReportWriter:
    assert config.chat is not None  # the config sees to it
    return ChatWriter(make_chat(config.chat), config.system, config.example, config.modality)


#: ``config.backend`` -> the writer, loaded.
WRITERS: dict[str, Callable[[ReportWriterConfig], ReportWriter]] = {
    "grammar": _grammar,
    "chat": _chat,
}


def make_writer(config: ReportWriterConfig) -> ReportWriter:
    """The writer of a config, loaded.

    Raises:
      UserError: its model cannot be loaded.
    """
    return WRITERS[config.backend](config)
