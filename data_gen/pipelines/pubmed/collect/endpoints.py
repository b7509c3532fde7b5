"""The one table of addresses, patterns and names of the services that articles come from.

The bucket took the place of the FTP service, ``oa_package`` and ``oa.fcgi`` in 2026. What the
services say may change again; then a key here changes, and nothing else.
"""

import dataclasses
from typing import Annotated

from medvlp_jax.core.fields import Range


@dataclasses.dataclass(frozen=True)
class MetadataKeys:
    """Names in the bucket's metadata of one version of an article.

    Attributes:
      pmcid, version: compared with what was asked for.
      pmid, doi, title, citation: kept as they are.
      licence: the code ("CC BY"), or null.
      retracted, manuscript, ocr: flags; "yes", "true" and 1 count as true.
      xml, media: addresses, whose query may hold the digest of the file.
      digest: name of that digest in the query; hexadecimal MD5.
    """

    pmcid: str = "pmcid"
    version: str = "version"
    pmid: str = "pmid"
    doi: str = "doi"
    title: str = "title"
    citation: str = "citation"
    licence: str = "license_code"
    retracted: str = "is_retracted"
    manuscript: str = "is_manuscript"
    ocr: str = "is_historical_ocr"
    xml: str = "xml_url"
    media: str = "media_urls"
    digest: str = "md5"


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """Where the services are and how they name things; the defaults are the live ones.

    Attributes:
      search: address of E-utilities' ``esearch``.
      database: that is searched.
      date_field: field of the day on which PubMed Central released an article.
      search_limit: ids that one query gives at most; longer results are cut into ranges of days.
      bucket: address of the bucket over HTTPS, with the slash at its end.
      bucket_uri: how addresses within the metadata begin.
      article_prefix: what all keys of an article begin with; ``{pmcid}`` is "PMC123".
      metadata: key of the metadata of one version; ``{name}`` is "PMC123.1".
      listing_keys: keys that one page of a listing is asked for.
      keys: names within the metadata.
    """

    search: str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi"
    database: str = "pmc"
    date_field: str = "pmcrdat"
    search_limit: Annotated[int, Range(1, 9999)] = 9999
    bucket: str = "https://pmc-oa-opendata.s3.amazonaws.com/"
    bucket_uri: str = "s3://pmc-oa-opendata/"
    article_prefix: str = "{pmcid}."
    metadata: str = "metadata/{name}.json"
    listing_keys: Annotated[int, Range(1, 1000)] = 1000
    keys: MetadataKeys = dataclasses.field(default_factory=MetadataKeys)

    def __post_init__(self) -> None:
        if not self.bucket.endswith("/") or not self.bucket_uri.endswith("/"):
            raise ValueError("endpoints.bucket and endpoints.bucket_uri must end in /")
        for key, place in (("article_prefix", "{pmcid}"), ("metadata", "{name}")):
            if place not in getattr(self, key):
                raise ValueError(f"endpoints.{key} must hold {place}")
