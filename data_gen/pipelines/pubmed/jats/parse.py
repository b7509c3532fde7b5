"""XML from strangers to a tree: no external entity, no DTD, no bomb, and one line for what is not.

lxml and not the standard library: libxml2 keeps references to entities that only a DTD on another
machine knows (old articles have them), where expat stops at them; it bounds depth, text and growth
by entities itself; and elements that know their parents make mentions cheap.
"""

import functools
import importlib
from typing import Any

from medvlp_jax.core.errors import UserError, one_net

#: The largest articles of PMC have about half of it.
MAX_BYTES = 64 << 20
#: Elements within one another; real articles stay below forty. Below Python's recursion limit.
MAX_DEPTH = 200

_MEND = "download the article again, or leave it out"


def parse(data: bytes, name: str, max_bytes: int = MAX_BYTES) -> Any:
    """The ``article`` element of a JATS file, alone or in the envelope of a download.

    Comments and processing instructions are gone, and so is a default namespace of JATS. References
    to entities that a DTD would declare stay in the tree as nodes of their own.

    Args:
      data: the file, in any encoding that its XML declaration names.
      name: the file, for messages.
      max_bytes: larger files are refused unread.

    Raises:
      UserError: it is no XML, no article or several, too large or too deep, or declares entities.
    """
    if len(data) > max_bytes:
        raise UserError(
            f"{name} is refused: {len(data):,} bytes of XML are more than {max_bytes:,}; {_MEND}"
        )
    with one_net(name, _MEND):
        root = etree().fromstring(data, _parser())
        subset = root.getroottree().docinfo.internalDTD
        if subset is not None and next(iter(subset.iterentities()), None) is not None:
            raise UserError(f"{name} is refused: it declares entities of its own; {_MEND}")
        _check_depth(root, name)
        article = _article(root, name)
        _drop_namespace(article)
    return article


@functools.cache
def etree() -> Any:
    """``lxml.etree``.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module("lxml.etree")
    except ImportError as error:
        raise UserError(
            "reading articles needs lxml: EXTRAS=pubmed bash launch/setup.sh"
        ) from error


@functools.cache
def _parser() -> Any:
    return etree().XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _check_depth(root: Any, name: str) -> None:
    # An XPath of one step a level, evaluated in C; it stops at the first element that deep.
    if _too_deep()(root):
        raise UserError(
            f"{name} is refused: more than {MAX_DEPTH} elements stand within one another; {_MEND}"
        )


@functools.cache
def _too_deep() -> Any:
    return etree().XPath("boolean(" + "/".join(["*"] * MAX_DEPTH) + ")")


def _article(root: Any, name: str) -> Any:
    found = [root] if _local(root) == "article" else []
    if not found:
        found = [e for e in root.iter("{*}article") if _local(e.getparent()) != "article"]
    if not found:
        raise UserError(f"{name} is no JATS article: its root is <{_local(root)}>; {_MEND}")
    if len(found) > 1:
        raise UserError(f"{name} holds {len(found)} articles; give every article its own file")
    return found[0]


def _local(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _drop_namespace(article: Any) -> None:
    """Some servers put all of JATS into a namespace; the names below are without."""
    space, _, _ = article.tag.rpartition("}")
    if not space:
        return
    for element in article.iter(f"{space}}}*"):
        element.tag = element.tag[len(space) + 1 :]
