"""Reports by grammar, which needs no weights and says nothing that is not so."""

from collections.abc import Iterable, Iterator

import medvlp_jax
from data_gen.entities.writer import write_entities
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from data_gen.reports.base import ReportRequest, WrittenReport, items_of
from medvlp_jax.data.store.manifest import fingerprint


class GrammarWriter:
    """Reports by grammar: of a phantom study, or of entities."""

    def __init__(self, seed: int = 0, repeat_all: bool = False, modality: str = DEFAULT) -> None:
        """``repeat_all``: the IMPRESSION of a report of entities names all of them."""
        self.seed, self.repeat_all = seed, repeat_all
        self._phantom = find_phantom(modality)

    @property
    def name(self) -> str:
        return "grammar"

    @property
    def fingerprint(self) -> str:
        settings = {"backend": "grammar", "seed": self.seed, "modality": self._phantom.name}
        if self.repeat_all:
            settings["repeat_all"] = True
        return fingerprint(medvlp_jax.__version__, without_default(settings))

    def write(self, requests: Iterable[ReportRequest]) -> Iterator[WrittenReport]:
        """See :class:`data_gen.reports.base.ReportWriter`."""
        for request in requests:
            if request.study is not None:
                report = self._phantom.report(request.study, self.seed)
            else:
                key = f"{self.seed} {request.id} {request.attempt}"
                report = write_entities(items_of(request), key, repeat_all=self.repeat_all)
            yield WrittenReport(request.id, report.findings, report.impression, self.name)
