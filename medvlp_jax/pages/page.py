"""The frame of every page: one file without outside parts."""

import os
import pathlib
import string
from collections.abc import Mapping, Sequence

from medvlp_jax.core.files.writing import write
from medvlp_jax.pages.html import esc, tag

_FOLDER = pathlib.Path(__file__).parent


def write_page(
    path: str | os.PathLike[str], title: str, header: str, sections: Sequence[tuple[str, str, str]]
) -> pathlib.Path:
    """Writes a page in the style of the reports, atomically.

    Args:
      title: of the browser's window.
      header: markup above the sections.
      sections: (anchor, title, markup) in page order.

    Returns:
      ``path``.
    """
    page = string.Template((_FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        title=esc(title),
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
        nav="".join(tag("a", esc(title), href=f"#{key}") for key, title, _ in sections),
        header=header,
        body="".join(
            tag("section", tag("h2", esc(title)), body, id=key) for key, title, body in sections
        ),
    )
    return write(path, page)


#: The page of a data folder, as ``data_gen/data_page/page.py`` writes it.
DATA_PAGE = "data_report.html"


def data_pages(folders: Mapping[str, str], out: str | os.PathLike[str]) -> dict[str, str]:
    """Words -> address, seen from ``out``, of the pages of data folders that have one."""
    pages = {name: pathlib.Path(folder) / DATA_PAGE for name, folder in folders.items()}
    return {
        f"Data: {name}": os.path.relpath(page, out) for name, page in pages.items() if page.exists()
    }


def link_list(links: Mapping[str, str]) -> str:
    """Other pages, one after the other."""
    if not links:
        return ""
    shown = (tag("a", esc(words), href=address) for words, address in links.items())
    return tag("p", *shown, class_="links")
