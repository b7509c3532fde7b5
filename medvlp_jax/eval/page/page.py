"""report.html: one file without outside parts, made from plain data."""

import json
import os
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.eval.page.curves import curves_section
from medvlp_jax.eval.page.dense import detection_section, segmentation_section
from medvlp_jax.eval.page.downstream import efficiency_section
from medvlp_jax.eval.page.examples import Answered, Detected, WrongCall
from medvlp_jax.eval.page.headline import headline
from medvlp_jax.eval.page.inputs import Heatmap, Reject, Sample, Segmented
from medvlp_jax.eval.page.pictures import (
    heatmaps_section,
    rejects_section,
    samples_section,
    strip,
)
from medvlp_jax.eval.page.sections import grounding_section, retrieval_section, zeroshot_section
from medvlp_jax.eval.page.tables import Entry, counts_table, name_cell, td, th
from medvlp_jax.pages.html import count, esc, facts, table, tag

_FOLDER = pathlib.Path(__file__).parent


def write_report(
    path: str | os.PathLike[str],
    *,
    results: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Sample] = (),
    heatmaps: Sequence[Heatmap] = (),
    rejects: Sequence[Reject] = (),
    segmented: Sequence[Segmented] = (),
    examples: Sequence[Any] = (),
    links: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes the page; it needs no model, no network and no other file.

    Args:
      results: as ``results.collect`` gives them, or read back from results.json.
      history: the lines of metrics.jsonl (``core.metrics.read_metrics``).
      samples: studies to show with their reports.
      heatmaps: phrases on images (``inputs.heatmaps_of``).
      rejects: studies that the checks refused.
      segmented: films with regions (``inputs.segmented_of``).
      examples: of ``examples.READERS``: answers, errors, detections.
      links: words -> address of other pages, relative to this one.

    Returns:
      ``path``; written atomically.
    """
    sections = _sections(results, history, samples, heatmaps, rejects, segmented, examples)
    header = _header(results, links or {}) + strip(heatmaps)
    return write_page(path, str(results["name"]), header, sections)


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
    path = pathlib.Path(path)
    page = string.Template((_FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        title=esc(title),
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
        nav="".join(tag("a", esc(title), href=f"#{key}") for key, title, _ in sections),
        header=header,
        body="".join(
            tag("section", tag("h2", esc(title)), body, id=key) for key, title, body in sections
        ),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def _sections(
    results: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    samples: Sequence[Sample],
    heatmaps: Sequence[Heatmap],
    rejects: Sequence[Reject],
    segmented: Sequence[Segmented],
    examples: Sequence[Any],
) -> list[tuple[str, str, str]]:
    """(anchor, title, markup) in page order; parts without content are left out."""
    of_kind: dict[str, dict[str, Entry]] = {}
    for name, entry in results["evaluations"].items():
        of_kind.setdefault(entry["kind"], {})[name] = entry
    data = results.get("data", {})

    def of(kind: type, entry: Entry) -> list[Any]:
        return [e for e in examples if isinstance(e, kind) and e.set == entry["set"]]

    sections = [("results", "Results", headline(results, of_kind))]
    if data:
        sections.append(("data", "Data", _data(data)))
    sections.append(("studies", "Sample studies", samples_section(samples)))
    if rejects or data.get("rejects"):
        sections.append(("rejects", "Rejected, and why", _rejects(data, rejects)))
    sections.append(("training", "Training", curves_section(history, results["config"])))
    if "zeroshot" in of_kind:
        parts = [
            zeroshot_section(name, e, results, of_kind, of(WrongCall, e))
            for name, e in of_kind["zeroshot"].items()
        ]
        sections.append(("zeroshot", "Zero-shot classification", "".join(parts)))
    if "retrieval" in of_kind:
        parts = [retrieval_section(e, of(Answered, e)) for e in of_kind["retrieval"].values()]
        sections.append(("retrieval", "Image-report retrieval", "".join(parts)))
    if "grounding" in of_kind or heatmaps:
        body = _phrases(list(of_kind.get("grounding", {}).values()), heatmaps)
        sections.append(("phrases", "Phrases on images", body))
    for kind, title in (("probe", "Linear probe"), ("finetune", "Fine-tuning")):
        if kind in of_kind:
            body = "".join(map(efficiency_section, of_kind[kind].values()))
            sections.append((kind, title, body))
    if "segmentation" in of_kind:
        parts = [
            segmentation_section(e, [s for s in segmented if s.set == e["set"]])
            for e in of_kind["segmentation"].values()
        ]
        sections.append(("segmentation", "Segmentation", "".join(parts)))
    if "detection" in of_kind:
        parts = [detection_section(e, of(Detected, e)) for e in of_kind["detection"].values()]
        sections.append(("detection", "Detection", "".join(parts)))
    sections.append(("again", "To do it again", _reproduce(results)))
    return sections


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


def _header(results: Mapping[str, Any], links: Mapping[str, str]) -> str:
    created = str(results["created"]).replace("T", " ").replace("+00:00", " UTC")
    shown = {str(k): v for k, v in results.get("facts", {}).items()}
    return (
        tag("p", "medvlp_jax · evaluation report", class_="eyebrow")
        + tag("h1", esc(results["name"]))
        + facts(
            {
                **shown,
                "evaluated": created,
                "seed": str(results["seed"]),
                "config": results["config_sha256"][:12],
            }
        )
        + link_list(links)
    )


def _data(data: Mapping[str, Any]) -> str:
    parts = []
    if data.get("generation"):
        parts.append(facts(data["generation"]))
    if data.get("sets"):
        parts.append(counts_table(data["sets"]))
    return "".join(parts)


def _rejects(data: Mapping[str, Any], rejects: Sequence[Reject]) -> str:
    counts = data.get("rejects", {})
    rows = [[name_cell(k), td(count(v), class_="n")] for k, v in counts.items()]
    return (table([th("reason"), th("studies")], rows) if rows else "") + (
        rejects_section(rejects) if rejects else ""
    )


def _phrases(entries: Sequence[Entry], heatmaps: Sequence[Heatmap]) -> str:
    """Per set: the scores, where there are boxes, and the pictures."""
    shown: dict[str, dict[int, Heatmap]] = {}
    for number, heatmap in enumerate(heatmaps):
        shown.setdefault(heatmap.set, {})[number] = heatmap
    parts = []
    for entry in entries:
        parts.append(grounding_section(entry))
        mine = shown.pop(entry["set"], {})
        parts.append(heatmaps_section(mine) if mine else "")
    for name, rest in shown.items():
        parts.append(tag("h3", esc(name or "Heat-maps")) + heatmaps_section(rest))
    return "".join(parts)


def _reproduce(results: Mapping[str, Any]) -> str:
    environment = dict(results["environment"])
    versions = environment.pop("versions", {})
    config = json.dumps(results["config"], indent=1, sort_keys=True, ensure_ascii=False)
    training = results.get("training", {})
    return "".join(
        [
            *_command("Training", training.get("command"), training.get("commit")),
            *_command("Evaluation", results["command"], environment.get("commit")),
            tag("h4", "Where it ran"),
            facts(environment),
            tag("h4", "Versions"),
            facts(versions),
            tag(
                "details",
                tag("summary", f"Resolved config, SHA-256 {esc(results['config_sha256'])}"),
                tag("pre", tag("code", esc(config))),
            ),
        ]
    )


def _command(title: str, command: str | None, commit: str | None) -> list[str]:
    if not command:
        return []
    code = tag("small", f" at commit {esc(commit)}") if commit else ""
    return [tag("h4", title, code), tag("pre", tag("code", esc(command)), class_="command")]
