"""The stage ``jats``: articles are read."""

import dataclasses
from collections.abc import Iterator, Sequence

import medvlp_jax
from data_gen.pipelines.pubmed.base import as_json
from data_gen.pipelines.pubmed.collect.store import read_provenance
from data_gen.pipelines.pubmed.jats.article import read_article
from data_gen.pipelines.pubmed.stages.lines import Line, Row, dropped
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.data.store.manifest import fingerprint

NAME = "jats"


@dataclasses.dataclass(frozen=True)
class Reading:
    """Implements :class:`data_gen.pipelines.pubmed.stages.lines.Stage`: ``article``, ``source``."""

    name: str = NAME
    label: str = "reading"
    needs: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, NAME)

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """The article as the stages hand it on, with the licence that the collection knows."""
        for row in rows:
            try:
                yield self._line(row)
            except UserError as error:
                yield dropped(row, f"unreadable: {error}")

    def _line(self, row: Row) -> Line:
        name = f"{row.item.name}.xml"
        with one_net(f"{row.item.name}/{name}", "collect the article again"):
            data = (row.folder / name).read_bytes()
        article = read_article(data, name)
        provenance = read_provenance(row.folder)
        # What the services say of an article goes before what its text says, if they say anything.
        licence = article.licence
        if row.item.licence:
            same = licence.code == row.item.licence
            licence = dataclasses.replace(
                licence,
                code=row.item.licence,
                group=row.item.group,
                url=licence.url if same else "",
            )
        article = dataclasses.replace(
            article, pmcid=row.item.id, version=row.item.version, licence=licence
        )
        if article.retracted:
            return dropped(row, "retracted: the text says so")
        if not article.figures:
            return dropped(row, "no figures")
        return {
            "id": row.item.name,
            "article": as_json(article),
            "source": provenance.source if provenance else "",
            "retrieved": row.item.retrieved,
        }
