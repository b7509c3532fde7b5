"""The stage ``split``: captions of the figures that go on are taken apart."""

import dataclasses
from collections.abc import Iterator, Sequence

import medvlp_jax
from data_gen.pipelines.pubmed.base import Article, as_json, from_json
from data_gen.pipelines.pubmed.captions.split import split
from data_gen.pipelines.pubmed.stages import reading, screening
from data_gen.pipelines.pubmed.stages.lines import Line, Row, dropped, gone
from medvlp_jax.data.store.manifest import fingerprint

NAME = "split"


@dataclasses.dataclass(frozen=True)
class Splitting:
    """Implements :class:`data_gen.pipelines.pubmed.stages.lines.Stage`: ``splits``, by the number
    of the figure."""

    name: str = NAME
    label: str = "splitting captions"
    needs: tuple[str, ...] = (reading.NAME, screening.NAME)

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, NAME)

    def lines(self, rows: Sequence[Row]) -> Iterator[Line]:
        """The caption of each figure with an image that goes on, taken apart."""
        for row in rows:
            if why := gone(row):
                yield dropped(row, why)
                continue
            article = from_json(Article, row.before[reading.NAME]["article"])
            wanted = {image["figure"] for image in screening.kept(row.before[screening.NAME])}
            splits = {
                str(i): as_json(split(figure.caption, figure.marks))
                for i, figure in enumerate(article.figures)
                if i in wanted
            }
            yield {"id": row.item.name, "splits": splits}
