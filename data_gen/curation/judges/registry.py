"""Judges by name."""

from collections.abc import Callable

from data_gen.curation.judges.base import ImageJudge, JudgeConfig
from data_gen.phantom.base import Phantom


def _clip(config: JudgeConfig, phantom: Phantom) -> ImageJudge:
    from data_gen.curation.judges.clip import ClipJudge  # brings JAX along

    return ClipJudge(config, phantom)


def _server(config: JudgeConfig, phantom: Phantom) -> ImageJudge:
    from data_gen.curation.judges.server import ServerJudge

    return ServerJudge(config, phantom.review)


#: ``config.kind`` -> the judge, loaded.
JUDGES: dict[str, Callable[[JudgeConfig, Phantom], ImageJudge]] = {
    "clip": _clip,
    "server": _server,
}


def make_judge(config: JudgeConfig, phantom: Phantom) -> ImageJudge | None:
    """The judge of a config for pictures of the phantom's modality; None for ``none``."""
    return None if config.kind == "none" else JUDGES[config.kind](config, phantom)
