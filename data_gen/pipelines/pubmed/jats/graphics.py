"""Which files a figure shows: hrefs as the article has them, and the files that they mean."""

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from medvlp_jax.core.errors import UserError

_HREF = "{http://www.w3.org/1999/xlink}href"
#: Not pictures of the figure: formulas and signs within its caption, and what it says.
_BESIDE = frozenset(
    [
        "caption",
        "inline-graphic",
        "disp-formula",
        "inline-formula",
        "permissions",
        "supplementary-material",
    ]
)
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".bmp", ".webp")
#: Best first: what is read without loss of size; previews (.gif) last.
_ORDER = {suffix: i for i, suffix in enumerate(_PICTURES)}
_NO_PICTURE = re.compile(
    r"\.(?:mp4|mov|avi|wmv|mpe?g|m4v|mp3|wav|pdf|docx?|xlsx?|pptx?|zip|txt|csv|html?)$", re.I
)


def graphics(figure: Any, nested: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The hrefs of a figure's pictures, in order, each once; of alternatives the best one.

    Args:
      figure: ``fig`` or ``fig-group``.
      nested: elements that are not entered ("fig", for a group's own pictures).
    """
    found: dict[str, None] = {}
    for element in _pictures(figure, nested):
        if element.tag == "alternatives":
            choices = [h for e in _pictures(element, nested) for h in _href(e)]
            choices.sort(key=_preference)  # stable: the first of equals stays first
            found.update(dict.fromkeys(choices[:1]))
        else:
            found.update(dict.fromkeys(_href(element)))
    return tuple(found)


def _pictures(element: Any, nested: frozenset[str]) -> Iterator[Any]:
    for child in element:
        tag = child.tag
        if not isinstance(tag, str) or tag in _BESIDE or tag in nested:
            continue
        if tag in ("graphic", "media", "alternatives"):
            yield child
        else:
            yield from _pictures(child, nested)


def _href(element: Any) -> tuple[str, ...]:
    href = (element.get(_HREF) or element.get("href") or "").strip()
    kind = (element.get("mimetype") or "").lower()
    if not href or _NO_PICTURE.search(href) or kind.partition("/")[0] in ("video", "audio"):
        return ()
    return (href,)


def _preference(href: str) -> tuple[int, int]:
    thumb = 1 if "thumb" in href.lower() else 0
    return thumb, _ORDER.get(os.path.splitext(href)[1].lower(), 0)


def find_graphic(href: str, folder: str | os.PathLike, names: Sequence[str] = ()) -> pathlib.Path:
    """The file of an article's folder that an href means, with or without its extension.

    The same name wins, then a file with the same stem: JPEG before PNG, TIFF, and GIF, which is a
    preview in the archives. Case counts only between files that differ in nothing else.

    Args:
      href: of a graphic.
      folder: of the article.
      names: its files, where they are known already.

    Raises:
      UserError: the href leads out of the folder, or no file is there for it.
    """
    folder = pathlib.Path(folder)
    if not href or href in (".", "..") or any(c in href for c in "/\\\0:%"):
        raise UserError(
            f"{folder}: the graphic {href!r} is refused: a plain name of a file in the article's "
            "folder is allowed, no path and no address; leave the figure out"
        )
    names = names or sorted(e.name for e in os.scandir(folder) if e.is_file(follow_symlinks=False))
    best: tuple[tuple[int, ...], str] | None = None
    for name in names:
        rank = _rank(href, name)
        if rank is not None and (best is None or (rank, name) < best):
            best = rank, name
    if best is None:
        raise UserError(
            f"{folder}: there is no picture for the graphic {href!r}; download the article again"
        )
    path = folder / best[1]
    if path.is_symlink() or path.parent != folder:
        raise UserError(f"{path} is refused: it is a link; put the picture itself there")
    return path


def _rank(href: str, name: str) -> tuple[int, ...] | None:
    """How well a file answers an href, small first; None where it does not."""
    stem, suffix = os.path.splitext(name)
    place = _ORDER.get(suffix.lower())
    if place is None:
        return None
    if name == href:
        return (0, 0, 0)
    if name.lower() == href.lower():
        return (1, 0, 0)
    other, ending = os.path.splitext(href)
    if ending.lower() not in _ORDER:
        other = href  # a dot within the name is none of an extension: GRP2016-9686815.001
    if stem.lower() != other.lower():
        return None
    return (2, place, int(stem != other))
