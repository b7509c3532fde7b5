"""Small articles for tests."""

from data_gen.pipelines.pubmed.base import Article
from data_gen.pipelines.pubmed.jats import read_article

XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"'


def article(floats: str = "", body: str = "", meta: str = "", attributes: str = "") -> bytes:
    return (
        '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS v1.2//EN" "JATS-archivearticle1.dtd">'
        f"<article {XLINK} {attributes}><front><article-meta>{meta}</article-meta></front>"
        f"<body><sec><title>Results</title>{body}</sec></body>"
        f"<floats-group>{floats}</floats-group></article>"
    ).encode()


def read(*args: str, name: str = "PMC1.xml", **kwargs: str) -> Article:
    return read_article(article(*args, **kwargs), name)
