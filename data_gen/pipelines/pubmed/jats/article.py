"""One JATS file to one :class:`Article`."""

import dataclasses

from data_gen.pipelines.pubmed.base import Article
from data_gen.pipelines.pubmed.jats import front as about
from data_gen.pipelines.pubmed.jats.figures import figures_of
from data_gen.pipelines.pubmed.jats.licence import licence_of
from data_gen.pipelines.pubmed.jats.mentions import mentions_of
from data_gen.pipelines.pubmed.jats.parse import parse
from medvlp_jax.core.errors import one_net


def read_article(data: bytes, name: str) -> Article:
    """Everything that the pipeline wants of an article.

    Args:
      data: a JATS file (``.xml``, ``.nxml``), any version of it.
      name: the file, for messages; "PMC123.2.xml" tells the version, and the number where the
        article does not.

    Raises:
      UserError: the file cannot be used; the line names it (see :func:`parse`).
    """
    root = parse(data, name)
    with one_net(name, "report it with the file: its XML is sound, its content is not understood"):
        front = root.find("front")
        meta = front.find("article-meta") if front is not None else None
        ids = about.identifiers(meta)
        pmcid, version = about.pmcid_of(ids.get("pmcid", "") or ids.get("pmcaid", ""), name)
        title = about.title_of(meta)
        kind = root.get("article-type") or ""
        found = figures_of(root)
        mentions = mentions_of(root, found)
        return Article(
            pmcid=pmcid,
            version=version,
            pmid=ids.get("pmid", ""),
            doi=ids.get("doi", ""),
            title=title,
            abstract=about.abstract_of(meta),
            journal=about.journal_of(front),
            year=about.year_of(meta),
            article_type=kind,
            keywords=about.keywords_of(meta),
            licence=licence_of(meta),
            figures=tuple(
                dataclasses.replace(one.figure, mentions=tuple(mentions[one.figure.id]))
                for one in found
            ),
            retracted=about.retracted(meta, title, kind),
        )
