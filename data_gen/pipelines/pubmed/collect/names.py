"""Names of files that come from outside: fit for a folder of ours, or why not."""

import re

#: The file of an article's directory that is ours.
PROVENANCE = "provenance.json"
#: Endings that an href may have for an image that is stored in another format.
_FIGURES = ("jpg", "jpeg", "png", "gif", "tif", "tiff", "bmp", "webp", "eps", "pdf", "svg", "ai")
_LONGEST = 200  # bytes; file systems take 255, temporary names add some


def flaw(name: str) -> str:
    """Why a file may not have this name in an article's directory; "" where it may."""
    if not name or name in (".", ".."):
        return "no name"
    if re.search(r"[/\\\0]", name):
        return "a path, no name"
    if name.startswith((".", "~", "-")):
        return "a name that starts with a dot, tilde or hyphen"
    if not name.isprintable():
        return "a name with characters that cannot be printed"
    try:
        if len(name.encode()) > _LONGEST:
            return f"a name of more than {_LONGEST} bytes"
    except UnicodeEncodeError:
        return "a name that is no UTF-8"
    if name.lower() == PROVENANCE:
        return "the name of our own file"
    return ""


def path_flaw(path: str) -> str:
    """Why a path within an archive or beside a JATS file is not followed; "" where it is."""
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        return "an absolute path"
    if ".." in re.split(r"[/\\]", path):
        return "a path that leaves its folder"
    return flaw(re.split(r"[/\\]", path.rstrip("/\\"))[-1])


def shown(text: str, limit: int = 120) -> str:
    """A foreign name as one printable line."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def ending(name: str) -> str:
    """The ending of a name in lower case, without the dot; "" without one."""
    stem, dot, end = name.rpartition(".")
    return end.lower() if dot and stem else ""


def stem(name: str) -> str:
    """A name without its ending."""
    end = ending(name)
    return name[: -len(end) - 1] if end else name


def names_graphic(href: str, name: str) -> bool:
    """Whether an ``xlink:href`` means a file of this name: with its ending, without, or with that
    of the format it was handed in as; upper and lower case do not differ."""
    last, name = re.split(r"[/\\]", href)[-1].lower(), name.lower()
    if last in (name, stem(name)):
        return True
    return ending(last) in _FIGURES and stem(last) == stem(name)
