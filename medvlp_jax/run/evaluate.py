"""Evaluates a checkpoint: results.json for machines, report.html for people."""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.provenance import last_start
from medvlp_jax.core.config import ConfigError, dumps
from medvlp_jax.core.files import jsonl
from medvlp_jax.core.metrics import FILE as METRICS
from medvlp_jax.core.metrics import read_metrics
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import param_count
from medvlp_jax.data.store.dataset import damaged_beside, open_dataset
from medvlp_jax.eval.base import EvalError, EvalResult
from medvlp_jax.eval.config import EvalSetConfig
from medvlp_jax.eval.metrics.calibration import Calibration
from medvlp_jax.eval.notes import notes
from medvlp_jax.eval.page.examples import READERS, SetRecords
from medvlp_jax.eval.page.inputs import heatmaps_of, sample_of, segmented_of
from medvlp_jax.eval.page.page import write_report
from medvlp_jax.eval.registry import EVALUATORS, evaluate
from medvlp_jax.eval.results import collect, write_results
from medvlp_jax.eval.suites.scores import FOLDER, of_result, write_scores
from medvlp_jax.pages.page import data_pages
from medvlp_jax.pages.studies import Reject, Sample
from medvlp_jax.run.api.trained import is_run
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config
from medvlp_jax.run.evaluators import evaluators_of
from medvlp_jax.run.sets import film_configs
from medvlp_jax.run.subject import folder_digest, of_checkpoint, of_weights
from medvlp_jax.run.train import tuner

#: Beside results.json, for programs that show probabilities.
CALIBRATION = "calibration.json"
#: Studies shown per set, and per class where a set has no boxes to choose them by.
SHOWN = 6
#: Of more sets than these, as in a suite, fewer studies of each are shown.
_FEW_SETS, _OF_MANY = 6, 2
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate_checkpoint` made."""

    results: dict[str, Any]
    results_path: pathlib.Path
    report_path: pathlib.Path

    def summary(self) -> str:
        """Per evaluation its headline with its interval, and what has to be said beside it."""
        lines = []
        for name, entry in self.results["evaluations"].items():
            metrics = entry["metrics"]
            for key in _HEADLINES:
                if metrics.get(key) is not None:
                    low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
                    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
                    lines.append(f"  {name:<32} {key:<10} {metrics[key]:.3f}{interval}")
            # The rules beside a model repeat what is said of it.
            said = [f"    {_printable(note)}" for note in notes(entry)]
            lines += [line for line in said if line not in lines]
        return "\n".join(lines)


#: The metric of each kind of evaluation that stands for the rest.
_HEADLINES = (
    *dict.fromkeys(e.headline for e in EVALUATORS.values() if e.headline),
    *("accuracy_mean", "balanced_accuracy_mean", "auc_mean", "accuracy_mean_of_modalities"),
)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def evaluate_checkpoint(
    checkpoint: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    command: str,
    sets: Mapping[str, EvalSetConfig] | None = None,
    overrides: Mapping[str, Any] | None = None,
    films: Sequence[str] = (),
    ensemble: Sequence[str | pathlib.Path] = (),
    step: pretrained.Which = "latest",
    family: str = "",
    tokenizer: str = "",
) -> Evaluation:
    """Runs the evaluators of a run's config, or of other sets, on one of its checkpoints.

    Args:
      checkpoint: workdir of a run or folder of one checkpoint; or published weights of a whole CLIP
        or SigLIP: a folder, a weights file or a hub id.
      out: folder for ``results.json`` and ``report.html``, ``scores/`` with the scores of every
        zero-shot set, and ``calibration.json`` where one with validation data was scored.
      command: what was typed, for the record.
      sets: instead of the sets of the config.
      overrides: keys of ``config.eval`` that replace the stored ones (``prompts``, ``batch_size``).
      films: ``FOLDER:SPLIT`` of data folders that are shown with heat-maps in the same report,
        and scored where they are labelled.
      ensemble: further checkpoints, whose zero-shot scores are averaged with those of the first;
        all else is measured on the first alone.
      step: which checkpoint of a workdir; ``best`` by the metric the run kept.
      family, tokenizer: of published weights whose files do not say.

    Raises:
      CheckpointError: there is none, or one of ``ensemble`` is of another kind of model.
      WeightsError: no weights are there, or they are no model of images and texts.
    """
    of_run = not family and is_run(checkpoint)
    stored: dict[str, Any] = stored_config(checkpoint, step) if of_run else {"eval": {}}
    wanted = {**stored.get("eval", {}), **(overrides or {})}
    if sets is not None:
        wanted |= {"sets": {k: dataclasses.asdict(v) for k, v in sets.items()}, "suites": {}}
    if films:
        own = wanted.get("sets", {})
        shown = film_configs(films, own, stored["data"]["labels"] if of_run else ())
        wanted["sets"] = own | {k: dataclasses.asdict(v) for k, v in shown.items()}
    if of_run:
        subject = of_checkpoint(checkpoint, stored | {"eval": wanted}, step)
    else:
        subject = of_weights(checkpoint, wanted, family, tokenizer)
        if ensemble or step != "latest":
            raise ConfigError(f"{checkpoint} is no run: leave out --ensemble and --step")
    run, predict, workdir = subject.run, subject.predict, subject.workdir
    words = run.tokenizer() if run.reads_text else None
    others = [_member(run, path, step) for path in ensemble]
    evaluators = evaluators_of(run, words, tuner=tuner, during_training=False, ensemble=others)
    if not evaluators:
        raise EvalError(
            f"{checkpoint} has no set in config.eval to measure on; name one with --data"
        )
    found = evaluate(evaluators, predict)

    results = collect(
        found,
        name=run.config.name,
        command=command,
        seed=run.config.seed,
        config=json.loads(dumps(run.config)),
        bootstrap=run.config.eval.bootstrap,
        data=_data(run, trained=workdir is not None),
        facts={
            **subject.facts,
            **({"ensemble": ", ".join(map(str, ensemble))} if ensemble else {}),
            "parameters": param_count(run.model_def.abstract_params),
            **(_timing(workdir) if workdir else {}),
        },
        training=_training(workdir),
    )
    out = pathlib.Path(out)
    heatmaps = [h for r in found.values() for h in heatmaps_of(r)]
    segmented = [s for r in found.values() for s in segmented_of(r)]
    samples, rejects = _pictures(run)
    examples = _examples(run, found)
    if not distributed.is_main():
        return Evaluation(results, out / "results.json", out / "report.html")
    out.mkdir(parents=True, exist_ok=True)
    history = read_metrics(workdir / METRICS) if workdir and (workdir / METRICS).exists() else []
    _keep_calibration(results, out)
    _keep_scores(found, _joint_digest(subject.digest, ensemble, step), out / FOLDER)
    return Evaluation(
        results,
        write_results(out / "results.json", results),
        write_report(
            out / "report.html",
            results=results,
            history=history,
            samples=samples,
            heatmaps=heatmaps,
            rejects=rejects,
            segmented=segmented,
            examples=examples,
            links=_links(run, out),
        ),
    )


def _member(run: Run, path: str | pathlib.Path, step: pretrained.Which) -> Predictor:
    """Another checkpoint, to be read through the pipeline of ``run``.

    Raises:
      CheckpointError: that is not the pipeline it was trained with.
    """
    which: pretrained.Which = "latest" if isinstance(step, int) else step
    other = Run(stored_config(path, which))
    own, theirs = (_reading(e) for e in (run, other))
    differ = [key for key in own if own[key] != theirs[key]]
    if differ:
        raise pretrained.CheckpointError(
            f"{path} cannot be scored together with the first checkpoint: {', '.join(differ)} "
            "differ"
        )
    return run.load(path, which)


def _reading(run: Run) -> dict[str, Any]:
    """What becomes of an image and a text on the way into the model, and the model."""
    return {
        "model": run.model_config,
        "pixels of config.task": run.pixels,
        "data.image": run.config.data.image,
        "tokenizer": run.tokenizer().hash if run.reads_text else "",
    }


#: How the scores of a calibration were made, of an entry of results.json.
_HOW = ("set", "validation", "protocol", "rule", "ensemble", "zscore", "temperature", "score",
        "prompt_bank", "prompts", "derived")  # fmt: skip


def _keep_calibration(results: Mapping[str, Any], out: pathlib.Path) -> None:
    """calibration.json of the first zero-shot evaluation that had validation data, or none."""
    (out / CALIBRATION).unlink(missing_ok=True)
    for entry in results["evaluations"].values():
        if entry["kind"] == "zeroshot" and entry.get("calibration"):
            about = {k: entry[k] for k in _HOW if k in entry}
            Calibration.from_json(entry["calibration"]).save(out / CALIBRATION, about)
            return


def _joint_digest(
    digest: str, ensemble: Sequence[str | pathlib.Path], step: pretrained.Which
) -> str:
    """Of the model, and of those whose scores were averaged with its own."""
    which: pretrained.Which = "latest" if isinstance(step, int) else step
    others = [folder_digest(pretrained.resolve(path, which)) for path in ensemble]
    return "+".join([digest, *others])


def _keep_scores(found: Mapping[str, EvalResult], digest: str, folder: pathlib.Path) -> None:
    """The scores of every zero-shot evaluation, one file each; those of an older one are gone."""
    for old in folder.glob("*.npz"):
        old.unlink()
    for result in found.values():
        if result.details["kind"] == "zeroshot":
            write_scores(folder / f"{result.details['set']}.npz", of_result(result, digest))


def _training(workdir: pathlib.Path | None) -> dict[str, Any]:
    """How a run was started."""
    known = last_start(workdir) if workdir else {}
    return {k: v for k, v in known.items() if k in ("command", "commit")}


def _data(run: Run, trained: bool) -> dict[str, Any]:
    """Counts of every set that was trained or measured on; weights know of no training."""
    c = run.config
    places = [("training", s.path, s.split) for s in c.data.sources] if trained else []
    places += [(name, s.path, s.split) for name, s in c.eval.sets.items()]
    sets = []
    for name, path, split in places:
        if not pathlib.Path(path).exists():  # a checkpoint that travelled without its data
            continue
        source = open_dataset(path, split)
        sets.append(
            {"name": name, "split": split, "records": len(source), "labels": source.label_counts}
        )
    rejected: dict[str, int] = {}
    for row in _rejected_rows(run):
        reason = str(row.get("kind", "unknown"))
        rejected[reason] = rejected.get(reason, 0) + 1
    return {"sets": sets, "rejects": rejected}


def _rejected_rows(run: Run) -> Iterator[dict[str, Any]]:
    c = run.config
    folders = {s.path for s in c.data.sources} | {s.path for s in c.eval.sets.values()}
    for folder in sorted(folders):
        file = pathlib.Path(folder) / "rejects.jsonl"
        if not file.exists():
            continue
        rows, broken = jsonl.tolerant(file)
        for why in damaged_beside(folder, [file.name]):  # no reason to lose an evaluation for it
            _log.warning("%s: what was rejected is told as it stands there", why)
        for number, why in broken.items():
            _log.warning("%s, line %d, is left out: %s", file, number, why)
        yield from rows


def _timing(workdir: pathlib.Path) -> dict[str, str]:
    """Seconds of training by activity, summed over restarts."""
    if not (workdir / METRICS).exists():
        return {}
    seconds: dict[str, float] = {}
    for row in read_metrics(workdir / METRICS):
        for key, value in row.items():
            if key.startswith("seconds_"):
                seconds[key[8:]] = seconds.get(key[8:], 0.0) + value
    return {"training": f"{sum(seconds.values()) / 60:.1f} min"} if seconds else {}


def _pictures(run: Run) -> tuple[list[Sample], list[Reject]]:
    """The first studies of every set, and rejects without pictures."""
    samples = []
    sets = {name: one for name, one in run.config.eval.sets.items() if one.evaluators}
    shown = SHOWN if len(sets) <= _FEW_SETS else _OF_MANY
    for name, one in sets.items():
        source = open_dataset(one.path, one.split)
        step = max(len(source) // shown, 1)
        for i in range(0, min(len(source), shown * step), step):
            note = name if name == one.split else f"{name} ({one.split})"
            samples.append(sample_of(source[i], note=note))
    rejects = [
        Reject(reason=str(r.get("detail", r.get("kind", ""))), id=str(r.get("where", "")))
        for _, r in zip(range(SHOWN), _rejected_rows(run), strict=False)
    ]
    return samples, rejects


def _examples(run: Run, found: Mapping[str, EvalResult]) -> list[Any]:
    """What the report shows of retrieval, of the worst errors, and of detection."""
    examples: list[Any] = []
    for name, one in run.config.eval.sets.items():
        mine = [r for r in found.values() if r.details.get("set") == name]
        if not any(r.details.get("kind") in READERS for r in mine):
            continue
        data = dataclasses.replace(run.config.data, workers=0)
        records = SetRecords(open_dataset(one.path, one.split), data)
        for result in mine:
            if read := READERS.get(result.details["kind"]):
                examples += read(result, records)
    return examples


def _links(run: Run, out: pathlib.Path) -> dict[str, str]:
    """The pages of the data folders, as far as they are there."""
    c = run.config
    folders = [s.path for s in c.data.sources] + [s.path for s in c.eval.sets.values()]
    return data_pages({pathlib.Path(f).name: f for f in folders}, out)
