"""Articles out of JATS: figures with whole captions, graphics, licence, and who mentions them."""

from data_gen.pipelines.pubmed.jats.article import read_article
from data_gen.pipelines.pubmed.jats.graphics import find_graphic

__all__ = ["find_graphic", "read_article"]
