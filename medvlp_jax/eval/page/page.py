"""report.html: one file without outside parts, made from plain data."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from medvlp_jax.eval.matching.sections import (
    captioning_section,
    gradcam_section,
    reranked_section,
)
from medvlp_jax.eval.modalities.sections import (
    by_modality_section,
    counterfactual_section,
    modality_section,
)
from medvlp_jax.eval.page.curves import curves_section
from medvlp_jax.eval.page.dense import detection_section, segmentation_section
from medvlp_jax.eval.page.downstream import efficiency_section
from medvlp_jax.eval.page.headline import headline
from medvlp_jax.eval.page.heatmaps import other_heatmaps, strip
from medvlp_jax.eval.page.inputs import Heatmap, Segmented
from medvlp_jax.eval.page.labelled import average_precision_section, dice_section
from medvlp_jax.eval.page.sections import (
    grounding_section,
    metrics_section,
    retrieval_section,
    zeroshot_section,
)
from medvlp_jax.eval.page.shown import Draw, Shown
from medvlp_jax.eval.page.suite import few_shot_section, suite_section
from medvlp_jax.pages.html import esc, facts, tag
from medvlp_jax.pages.page import link_list, write_page
from medvlp_jax.pages.seen import seen_section
from medvlp_jax.pages.studies import Reject, Sample, rejects_section, samples_section
from medvlp_jax.pages.tables import count_cell, counts_table, name_cell, sets_table, table, th


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
    shown = Shown(results, history, samples, heatmaps, rejects, segmented, examples)
    header = _header(results, links or {}) + strip(heatmaps)
    return write_page(path, str(results["name"]), header, _sections(shown))


#: Kind of an evaluation -> title and markup of its section, in page order.
SECTIONS: dict[str, tuple[str, Draw]] = {
    "suite": ("Suites", suite_section),
    "zeroshot": ("Zero-shot classification", zeroshot_section),
    "modality": ("Which modality is it?", modality_section),
    "by_modality": ("Zero-shot within each modality", by_modality_section),
    "counterfactual": ("Counterfactual pairs", counterfactual_section),
    "retrieval": ("Image-report retrieval", retrieval_section),
    "reranked": ("Two-stage retrieval", reranked_section),
    "captioning": ("Captions", captioning_section),
    "grounding": ("Phrases on images", grounding_section),
    "gradcam": ("Phrases on images, by cross-attention", gradcam_section),
    "classification": ("Classification", zeroshot_section),
    "dice": ("Segmentation, as trained", dice_section),
    "average_precision": ("Detection, as trained", average_precision_section),
    "few_shot": ("Few labels", few_shot_section),
    "probe": ("Linear probe", efficiency_section),
    "finetune": ("Fine-tuning", efficiency_section),
    "segmentation": ("Segmentation", segmentation_section),
    "detection": ("Detection", detection_section),
}
#: Kinds that are shown in the sections of others; what has no section of its own gets a table.
_ELSEWHERE = ("baseline", "pictures")
#: Where the address of a section is not its kind: pictures of phrases need no evaluation.
_ANCHORS = {"grounding": "phrases"}


#: More sets, as of a suite, have a row each instead of a column.
_COLUMNS = 8


def _sections(shown: Shown) -> list[tuple[str, str, str]]:
    """(anchor, title, markup) in page order; parts without content are left out."""
    data = shown.results.get("data", {})
    sections = [("results", "Results", headline(shown))]
    if data:
        sections.append(("data", "Data", _data(data)))
    sections.append(("studies", "Sample studies", samples_section(shown.samples)))
    if shown.rejects or data.get("rejects"):
        sections.append(("rejects", "Rejected, and why", _rejects(data, shown.rejects)))
    curves = curves_section(shown.history, shown.results["config"])
    sections.append(("training", "Training", curves + seen_section(shown.history)))
    for kind, (title, draw) in SECTIONS.items():
        body = "".join(draw(shown, *one) for one in shown.of_kind.get(kind, {}).items())
        if kind == "grounding":
            body += other_heatmaps(shown)
        if body:
            sections.append((_ANCHORS.get(kind, kind), title, body))
    for kind, entries in shown.of_kind.items():
        if kind not in SECTIONS and kind not in _ELSEWHERE:
            body = "".join(metrics_section(shown, *one) for one in entries.items())
            sections.append((kind, kind.replace("_", " ").capitalize(), body))
    sections.append(("again", "To do it again", _reproduce(shown.results)))
    return sections


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
        many = len(data["sets"]) > _COLUMNS
        parts.append((sets_table if many else counts_table)(data["sets"]))
    return "".join(parts)


def _rejects(data: Mapping[str, Any], rejects: Sequence[Reject]) -> str:
    counts = data.get("rejects", {})
    rows = [[name_cell(k), count_cell(v)] for k, v in counts.items()]
    return (table([th("reason"), th("studies")], rows) if rows else "") + (
        rejects_section(rejects) if rejects else ""
    )


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
