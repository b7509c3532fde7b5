"""The synthetic PubMed: articles, their files and the truth about them, made when asked for."""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from data_gen.pipelines.pubmed.mock.library import LibraryArticle, LibraryVersion
from data_gen.pipelines.pubmed.synthetic.config import SyntheticConfig
from data_gen.pipelines.pubmed.synthetic.drawer import Drawer
from data_gen.pipelines.pubmed.synthetic.figures import FigurePlan
from data_gen.pipelines.pubmed.synthetic.markup import JOURNAL, doi, jats
from data_gen.pipelines.pubmed.synthetic.plan import FIRST, ArticlePlan, plan_article, pmcid_of
from data_gen.pipelines.pubmed.synthetic.pool import Pool
from data_gen.pipelines.pubmed.synthetic.render import encoded
from data_gen.pipelines.pubmed.synthetic.truth import ArticleTruth

_KEPT = 64  # articles whose plan and files are held for the next question about them


class _Files(Mapping[str, bytes]):
    """Files of an article's figures, drawn when they are read."""

    def __init__(self, library: "SyntheticLibrary", plans: Sequence[FigurePlan]) -> None:
        self._library = library
        self._plans = {plan.truth.graphic: plan for plan in plans}

    def __getitem__(self, name: str) -> bytes:
        return self._library.file(self._plans[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)


class SyntheticLibrary:
    """Implements :class:`data_gen.pipelines.pubmed.mock.library.Library`, and knows the truth.

    An article is a pure function of (seed, index), the pool and the edition. Safe for several
    threads.
    """

    def __init__(
        self,
        config: SyntheticConfig,
        pool: str | os.PathLike[str],
        split_of: Callable[[str], str],
    ) -> None:
        """Args:
        config: of the library.
        pool: folder of :func:`data_gen.pipelines.pubmed.synthetic.pool.make_pool`.
        split_of: "PMC123" -> the split that the pipeline gives the article, so that what a test
            article shows is in no training article.
        """
        self.config, self._pool = config, Pool(pool)
        self._drawer = Drawer(
            self._pool, config.seed, config.total, lambda index: split_of(pmcid_of(index))
        )
        self._lock = threading.Lock()
        self._plan = functools.lru_cache(_KEPT)(self._planned)
        self._files: dict[str, bytes] = {}

    def _planned(self, index: int) -> ArticlePlan:
        return plan_article(self.config, self._drawer, index)

    def ids(self) -> Sequence[str]:
        """See :class:`data_gen.pipelines.pubmed.mock.library.Library`."""
        return [pmcid_of(index) for index in range(self.config.total)]

    def plan(self, pmcid: str) -> ArticlePlan:
        """What an article is made of.

        Raises:
          KeyError: there is none of that id.
        """
        number = pmcid.removeprefix("PMC")
        index = int(number) - FIRST if number.isdecimal() else -1
        if not 0 <= index < self.config.total:
            raise KeyError(pmcid)
        return self._plan(index)

    def truth(self, pmcid: str) -> ArticleTruth:
        """What is known of an article; draws nothing."""
        return self.plan(pmcid).truth

    def file(self, plan: FigurePlan) -> bytes:
        """The file of a figure; the last ones are kept."""
        name = plan.truth.graphic
        with self._lock:
            found = self._files.get(name)
        if found is None:
            found = encoded(plan, self._pool, name)
            with self._lock:
                self._files[name] = found
                while len(self._files) > 4 * _KEPT:
                    del self._files[next(iter(self._files))]
        return found

    def article(self, pmcid: str) -> LibraryArticle:
        """See :class:`data_gen.pipelines.pubmed.mock.library.Library`."""
        plan = self.plan(pmcid)
        versions = []
        for number, manuscript in plan.versions:
            fields = {
                "title": plan.title,
                "citation": f"Synth J Imaging. {plan.year}; {plan.index}",
                "pmid": 50_000_000 + plan.index,
                "doi": doi(plan),
                "license_code": plan.licence_code,
                "is_retracted": plan.retracted,
                "is_manuscript": manuscript,
            }
            files = _Files(self, plan.figures)
            versions.append(LibraryVersion(number, jats(plan, number), files, fields))
        words = " ".join((plan.title, plan.abstract, *plan.keywords, JOURNAL))
        return LibraryArticle(plan.pmcid, plan.released, tuple(versions), words)
