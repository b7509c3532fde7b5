"""A topic in words: which terms make a text one about it, and which say that it is not."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen.entities.tokens import normal
from data_gen.pipelines.pubmed.screen.terms import Found, Terms, all_terms
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import read_bytes

_FOLDER = pathlib.Path(__file__).parent / "lexicon"
_KEYS = {
    *("name", "version", "about", "groups", "ignore", "organisations", "credits"),
    *("article", "figure"),
}


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """A file of terms.

    Attributes:
      name, version: say in every verdict by what it was decided.
      groups: name -> terms (:class:`data_gen.pipelines.pubmed.screen.terms.Terms` says how they
        are written); a term may stand in several groups.
      require: of each of these tuples at least one group must be met.
      outweighs: (group, other): an article is dropped that speaks of the first more than of the
        other.
      drop: (group, other): a figure is dropped whose caption has terms of the first and none of the
        other.
      organisations: words of names of institutions.
    """

    name: str
    version: int
    groups: Mapping[str, tuple[str, ...]]
    require: tuple[tuple[str, ...], ...]
    outweighs: tuple[tuple[str, str], ...]
    drop: tuple[tuple[str, str], ...]
    organisations: frozenset[str]
    terms: Terms = dataclasses.field(repr=False, compare=False)
    groups_of: Mapping[str, tuple[str, ...]] = dataclasses.field(repr=False, compare=False)

    @property
    def title(self) -> str:
        """What verdicts call it."""
        return f"{self.name} {self.version}"

    def find(self, text: str) -> list[Found]:
        """The terms of a text in order, disjoint."""
        return self.terms.find(text, self.organisations)


@functools.lru_cache(maxsize=8)
def open_lexicon(name: str | os.PathLike[str]) -> Lexicon:
    """A lexicon that ships with the package, by its name; or a file of one's own, by its path.

    Raises:
      UserError: there is none, or the file is not as it must be; the message names the key.
    """
    own = pathlib.Path(name)
    path = own if own.suffix == ".json" else _FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _FOLDER.glob("*.json")))
        raise UserError(f"lexicon={name}: there is no such file; give a .json, or one of {known}")
    with one_net(path, "look at the lexicon brain_abnormality for the form"):
        tree = json.loads(read_bytes(path))
        return _lexicon(tree, path)


def _lexicon(tree: Any, path: pathlib.Path) -> Lexicon:
    if not isinstance(tree, dict) or not isinstance(tree.get("groups"), dict):
        raise UserError(f"{path}: a lexicon is an object with groups of terms")
    unknown = sorted(set(tree) - _KEYS)
    if unknown:
        raise UserError(f"{path}: {unknown[0]!r} is no key of a lexicon; there are {sorted(_KEYS)}")
    groups = {name: tuple(terms) for name, terms in tree["groups"].items()}
    article, figure = tree.get("article", {}), tree.get("figure", {})
    require = tuple(tuple(some) for some in article.get("require", [[n] for n in groups]))
    outweighs = tuple((a, b) for a, b in article.get("outweighs", ()))
    drop = tuple((a, b) for a, b in figure.get("drop", ()))
    for named in (*require, *outweighs, *drop):
        missing = [name for name in named if name not in groups]
        if missing:
            raise UserError(f"{path}: {missing[0]!r} is no group; there are {', '.join(groups)}")
    empty = [name for name, terms in groups.items() if not all(isinstance(t, str) for t in terms)]
    if empty:
        raise UserError(f"{path}: the terms of group {empty[0]!r} must be strings")
    every = all_terms(groups)
    return Lexicon(
        str(tree.get("name", path.stem)),
        int(tree.get("version", 0)),
        groups,
        require,
        outweighs,
        drop,
        frozenset(normal(word) for word in tree.get("organisations", ())),
        Terms(every, tree.get("ignore", ()), tree.get("credits", ())),
        {term: tuple(n for n, terms in groups.items() if term in terms) for term in every},
    )
