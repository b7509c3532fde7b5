"""results.json: everything an evaluation found, and what is needed to do it again."""

import datetime
import hashlib
import json
import math
import os
import pathlib
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.checkpoints.provenance import commit
from medvlp_jax.core.config import dumps, to_plain
from medvlp_jax.core.files.writing import write
from medvlp_jax.eval.base import EvalResult
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.metrics.calibration import Calibration, reliability
from medvlp_jax.eval.notes import not_measured
from medvlp_jax.eval.zeroshot.compare import comparable, compare

#: Raised when a key changes its meaning.
SCHEMA = 1
_PACKAGES = ("medvlp_jax", "jax", "jaxlib", "flax", "optax", "grain", "numpy", "tokenizers")


def collect(
    evaluations: Mapping[str, EvalResult],
    *,
    name: str,
    command: str,
    seed: int,
    config: Any,
    bootstrap: Bootstrap,
    data: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gathers all that ``results.json`` and the report show, as plain JSON values.

    Every zero-shot result is compared, on the same resamples, with every baseline that scored the
    same set and classes. NaN becomes ``null``, with its reason in ``not_measured``; the flat
    ``metrics`` leave it out.

    Args:
      evaluations: name -> result.
      name: of the run or the model.
      command: what was typed.
      seed: of the run.
      config: the resolved config (dataclass, ConfigDict or plain).
      bootstrap: of the comparisons; that of the evaluators, so that they are paired.
      data: ``{"sets": [{"name", "split", "records", "labels": {label: {"positive": n, "negative":
        n, "uncertain": n}}}], "generation": {key: value}, "rejects": {reason: count}}``; each part
        may be absent.
      facts: more about the run, shown as it is: step, parameters, seconds.
      training: ``command`` and ``commit`` of the training, as far as they are known.
    """
    comparisons = []
    for model_name, model in evaluations.items():
        for other_name, other in evaluations.items():
            if (
                model.details.get("kind") == "zeroshot"
                and other.details.get("kind") == "baseline"
                and all(model.details[k] == other.details[k] for k in ("set", "split"))
                and comparable(model, other)
            ):
                difference = compare(model, other, bootstrap)
                comparisons.append({"model": model_name, "other": other_name, **difference})
    return to_json(
        {
            "schema": SCHEMA,
            "name": name,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": command,
            "seed": seed,
            "config": config,
            "config_sha256": config_hash(config),
            "facts": facts or {},
            "training": training or {},
            "environment": environment(),
            "data": data or {},
            "evaluations": {k: _entry(v) for k, v in evaluations.items()},
            "comparisons": comparisons,
        }
    )


def _entry(result: EvalResult) -> dict[str, Any]:
    measured = {k: v for k, v in result.metrics.items() if math.isfinite(v)}
    entry = {**result.details, "metrics": measured}
    if "roc_grid" in result.arrays:
        names = [row["name"] for row in result.details["classes"]]
        defined = [
            k for k, curve in enumerate(result.arrays["roc_value"]) if np.isfinite(curve).all()
        ]
        entry["roc"] = {"false_positive_rate": np.round(result.arrays["roc_grid"], 4)} | {
            part: {names[k]: np.round(result.arrays[f"roc_{part}"][k], 4) for k in defined}
            for part in ("value", "low", "high")
        }
    if result.details.get("kind") == "zeroshot" and result.details.get("calibration"):
        entry["reliability"] = _reliability(result)
    return entry | {"not_measured": not_measured(entry | {"metrics": result.metrics})}


def _reliability(result: EvalResult) -> dict[str, Any]:
    """Class -> bins of equal width: records in each, mean probability said, share of positives."""
    fit = Calibration.from_json(result.details["calibration"])
    said = fit.probabilities(result.arrays["scores"])
    out = {}
    for name, y, p in zip(fit.classes, result.arrays["labels"].T, said.T, strict=True):
        if np.isfinite(p).all():
            bins = reliability(y, p)
            out[name] = {"count": bins.count, "said": np.round(bins.said, 4),
                         "true": np.round(bins.true, 4)}  # fmt: skip
    return out


def to_json(value: Any) -> Any:
    """Plain values that strict JSON can hold; NaN and infinities become ``None``."""
    value = to_plain(value)
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, list):
        return [to_json(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def config_hash(config: Any) -> str:
    """SHA-256 of the resolved config; equal configs have equal hashes."""
    return hashlib.sha256(dumps(config).encode()).hexdigest()


def environment() -> dict[str, Any]:
    """Versions and hardware that numbers may depend on; nothing that identifies the machine."""
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "commit": commit() or "unknown",
        "devices": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "processes": jax.process_count(),
        "versions": {p: _version(p) for p in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return getattr(sys.modules.get(package), "__version__", "not installed")


def write_results(path: str | os.PathLike[str], results: Mapping[str, Any]) -> pathlib.Path:
    """Writes JSON atomically; a reader never sees half of it."""
    return write(path, json.dumps(results, indent=1, allow_nan=False) + "\n")
