"""Whole files: tasks for Label Studio out of matched figures, and its export back into them."""

import base64
import dataclasses
import json
import os
import pathlib
import random
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from data_gen.pipelines.pubmed.label_studio.interface import INTERFACE
from data_gen.pipelines.pubmed.label_studio.reading import corrected
from data_gen.pipelines.pubmed.label_studio.tasks import task
from data_gen.pipelines.pubmed.match.matched import MatchedFigure, read_matched, write_matched
from data_gen.pipelines.pubmed.records.pixels import as_png, pixels_of
from medvlp_jax.core.errors import UserError, one_net, reason
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.data.images.decoding import sniff

TASKS, XML, CORRECTED = "tasks.json", "interface.xml", "corrected.jsonl"
Images = Literal["local", "inline"]
_MEND = "export the project as JSON (not JSON-MIN or CSV)"


@dataclasses.dataclass(frozen=True)
class Corrections:
    """What a person did.

    Attributes:
      before, after: figures with an annotation, as they were and as they are.
      counts: tasks by what became of them: ``annotated`` = ``changed`` + ``confirmed``,
        ``skipped``, ``not annotated``.
    """

    before: tuple[MatchedFigure, ...]
    after: tuple[MatchedFigure, ...]
    counts: Mapping[str, int]


def export_tasks(
    matched: str | os.PathLike[str],
    articles: str | os.PathLike[str],
    out: str | os.PathLike[str],
    images: Images = "local",
    root: str = "",
    count: int = 0,
    seed: int = 0,
) -> int:
    """Writes ``tasks.json`` and ``interface.xml``.

    Args:
      matched: file of matched figures.
      articles: folder with a folder per article, where the images are.
      out: folder.
      images: ``local`` names the file for the local storage of Label Studio, ``inline`` puts it
        into the task.
      root: what LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is set to there; default: ``articles``.
      count: figures, drawn at random; 0 for all.
      seed: of the draw.

    Returns:
      The number of tasks.

    Raises:
      UserError: a file is missing or cannot be read, or the images do not lie below ``root``.
    """
    figures = read_matched(matched)
    if count and count < len(figures):
        drawn = random.Random(seed).sample(range(len(figures)), count)
        figures = [figures[i] for i in sorted(drawn)]
    folder = pathlib.Path(articles)
    base = pathlib.Path(root) if root else folder
    tasks = [task(one, _address(one, folder, base, images)) for one in figures]
    replace(pathlib.Path(out) / XML, INTERFACE)
    text = json.dumps(tasks, indent=1, ensure_ascii=False)
    replace(pathlib.Path(out) / TASKS, text)
    return len(tasks)


def _address(
    figure: MatchedFigure, folder: pathlib.Path, root: pathlib.Path, images: Images
) -> str:
    path = folder / figure.folder / figure.graphic
    data = read_bytes(path)  # says which file is missing
    if images == "local":
        try:
            below = path.resolve().relative_to(root.resolve())
        except ValueError:
            raise UserError(
                f"{path} does not lie below --root={root}; give the folder that Label Studio serves"
            ) from None
        return "/data/local-files/?d=" + urllib.parse.quote(below.as_posix())
    kind = sniff(data)
    if kind not in ("png", "jpeg"):
        with one_net(path, "repair the file, or leave the figure out"):
            data, kind = as_png(pixels_of(data)), "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def read_corrections(
    matched: str | os.PathLike[str], export: str | os.PathLike[str]
) -> Corrections:
    """Reads an export of Label Studio. Of several annotations of a task the last one counts.

    Raises:
      UserError: no export, or a task of another file, or one that cannot be used; the line names
        the file and the task.
    """
    known = {one.key: one for one in read_matched(matched)}
    counts = {"annotated": 0, "changed": 0, "confirmed": 0, "skipped": 0, "not annotated": 0}
    before: list[MatchedFigure] = []
    seen: set[str] = set()
    after: list[MatchedFigure] = []
    for number, item in enumerate(_tasks(export), 1):
        key, annotations = _parts(item, f"{export}, task {number}")
        where = f"{export}, task {number} ({key})"
        if key not in known:
            raise UserError(f"{where} is no figure of {matched}; give the file it was made of")
        if key in seen:
            raise UserError(f"{where} stands there twice; export each figure once")
        seen.add(key)
        kept = [one for one in annotations if not one.get("was_cancelled")]
        if not kept:
            counts["skipped" if annotations else "not annotated"] += 1
            continue
        new = _corrected(known[key], kept, where)
        before.append(known[key])
        after.append(new)
        counts["annotated"] += 1
        counts["confirmed" if new == known[key] else "changed"] += 1
    return Corrections(tuple(before), tuple(after), counts)


def _corrected(
    figure: MatchedFigure, annotations: Sequence[Mapping[str, Any]], where: str
) -> MatchedFigure:
    last = max(annotations, key=lambda one: str(one.get("updated_at") or one.get("created_at")))
    try:
        return corrected(figure, last["result"])
    except UserError as error:
        raise UserError(f"{where} has {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(
            f"{where} has a result that cannot be read ({reason(error)}); {_MEND}"
        ) from error


def _tasks(path: str | os.PathLike[str]) -> list[Any]:
    with one_net(path, _MEND):
        found = json.loads(read_bytes(path))
    if not isinstance(found, list):
        raise UserError(f"{path} holds no list of tasks; {_MEND}")
    return found


def _parts(item: Any, where: str) -> tuple[str, list[dict[str, Any]]]:
    """Key of the figure, and the annotations of a task."""
    if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
        raise UserError(f"{where} is no task with its data; {_MEND}")
    key, annotations = item["data"].get("key"), item.get("annotations", [])
    if not isinstance(key, str):
        raise UserError(f"{where} names no figure (data.key); it was not made by this command")
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise UserError(f"{where} has no list of annotations; {_MEND}")
    return key, annotations


def write_corrections(corrections: Corrections, out: str | os.PathLike[str]) -> pathlib.Path:
    """Writes ``corrected.jsonl``: the annotated figures, as the stage of records reads them."""
    return write_matched(pathlib.Path(out) / CORRECTED, corrections.after)
