"""A trained run as two small files: half-precision weights, and its config with its scores.

For small models that a package or a pipeline carries with it (a detector of panels, a classifier of
figures). ``launch/convert.py --layout=compact`` writes the folder; :func:`open_model` reads it, or
the workdir of a run in its place.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from safetensors.numpy import load_file, save

import medvlp_jax
from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.provenance import last_start
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.state import flatten, path_str, unflatten
from medvlp_jax.core.step import abstract_model, shardings_of
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config, workdir_of

#: What ``--layout`` calls it.
LAYOUT = "compact"
WEIGHTS, CARD = "model.safetensors", "model.json"
#: Groups of the config that say what the model is and eats.
_GROUPS = ("name", "model", "task", "data", "seed")
#: Keys of ``data`` that are about training, or about one machine.
_NOT_KEPT = ("sources", "workers", "threads", "prefetch", "cache_dir", "held_out", "mixture")


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model that is ready to predict.

    Attributes:
      run: its model, its task and how images become its input (``run.config.data``).
      predict: its predict functions on its parameters.
      about: what the card says of it; empty for a workdir.
    """

    run: Run
    predict: Predictor
    about: dict[str, Any]


def write(
    to: pathlib.Path,
    source: str,
    experiment: Run,
    params: Mapping[str, Any],
    buffers: Mapping[str, Any],
    dtype: str = "float16",
    results: Sequence[str] = (),
    licence: str = "",
) -> None:
    """Writes the folder of a run.

    Args:
      to: the folder; is made if need be.
      source: workdir or checkpoint of the run.
      experiment: of the run.
      params, buffers: of its model.
      dtype: of the stored weights.
      results: ``results.json`` files of evaluations of this run; their metrics go into the card.
      licence: of the weights, for the card.

    Raises:
      UserError: the folder cannot be written, or a results file cannot be read.
    """
    config = {key: experiment.resolved[key] for key in _GROUPS}
    config["data"] = {k: v for k, v in config["data"].items() if k not in _NOT_KEPT}
    start = last_start(workdir_of(source))
    card = {
        "about": {
            "command": start.get("command", ""),
            "commit": start.get("commit", ""),
            "step": pretrained.step_of(pretrained.resolve(source)),
            "seed": experiment.config.seed,
            "data": [
                f"{pathlib.PurePath(s.path).name}:{s.split}" for s in experiment.config.data.sources
            ],
            "version": medvlp_jax.__version__,
            "licence": licence,
            "results": {pathlib.PurePath(path).parent.name: _metrics(path) for path in results},
        },
        "config": config,
    }
    flat = {("params", *path): leaf for path, leaf in flatten(params).items()}
    flat |= {("buffers", *path): leaf for path, leaf in flatten(buffers).items()}
    arrays = {path_str(path): np.asarray(leaf.astype(dtype)) for path, leaf in flat.items()}
    with one_net(to, "give another --to", verb="cannot be written"):
        to.mkdir(parents=True, exist_ok=True)
        replace(to / WEIGHTS, save(arrays))
        replace(to / CARD, json.dumps(card, indent=1, sort_keys=True) + "\n")


def _metrics(path: str) -> dict[str, Any]:
    with one_net(path, "give the results.json that launch/evaluate.py wrote"):
        found = json.loads(read_bytes(path))["evaluations"]
        return {
            name: {
                key: round(value, 4)
                for key, value in one["metrics"].items()
                if isinstance(value, float)
            }
            | {"records": one.get("records")}
            for name, one in found.items()
        }


def is_compact(path: str | os.PathLike[str]) -> bool:
    return (pathlib.Path(path) / CARD).is_file()


def open_model(
    path: str | os.PathLike[str],
    step: pretrained.Which = "latest",
    devices: Sequence[Any] | None = None,
) -> Opened:
    """Opens a folder that :func:`write` made, or a workdir or checkpoint of a run.

    Args:
      step: of a run: ``latest``, ``best`` or a number.
      devices: that it runs on; None: all.

    Raises:
      UserError: there is no such model, or its files do not belong together.
    """
    if not is_compact(path):
        stored = stored_config(path, step)
        experiment = Run(_undivided(stored, devices), devices)
        return Opened(experiment, experiment.load(os.fspath(path), step), {})
    folder = pathlib.Path(path)
    mend = "write the folder again with launch/convert.py --layout=compact"
    with one_net(folder / CARD, mend):
        card = json.loads(read_bytes(folder / CARD))
        config, about = card["config"], dict(card["about"])
        config["data"]["sources"] = [{"path": "none"}]  # nothing is trained with it
    config["loop"] = {"steps": 1}
    experiment = Run(_undivided(config, devices), devices)
    with one_net(folder / WEIGHTS, mend):
        found = load_file(folder / WEIGHTS)
    arrays = [
        _placed(folder, group, found, wanted)
        for group, wanted in zip(
            ("params", "buffers"),
            abstract_model(experiment.model_def, experiment.mesh),
            strict=True,
        )
    ]
    left = sorted(found)
    if left:
        raise UserError(f"{folder / WEIGHTS} has tensors of another model ({left[0]}); {mend}")
    return Opened(experiment, experiment.predictor().with_arrays(*arrays), about)


def _placed(folder: pathlib.Path, group: str, found: dict[str, np.ndarray], wanted: Any) -> Any:
    """The arrays of one tree in float32 on their devices, taken out of ``found``."""
    flat = {}
    for path, leaf in flatten(wanted).items():
        name = path_str((group, *path))
        if name not in found or found[name].shape != leaf.shape:
            there = f"has shape {found[name].shape}" if name in found else "is not there"
            raise UserError(
                f"{folder / WEIGHTS}: {name} {there}, and {CARD} says {leaf.shape}; "
                "the two files do not belong together"
            )
        flat[path] = found.pop(name).astype(leaf.dtype)
    tree = unflatten(flat)
    return jax.device_put(tree, shardings_of(wanted))


def _undivided(config: dict[str, Any], devices: Sequence[Any] | None) -> dict[str, Any]:
    """The config with a batch that these devices share evenly."""
    rows = len(jax.devices() if devices is None else devices)
    data = config["data"] | {"batch_size": rows}
    return config | {"data": data, "micro_batches": 1, "mesh": {}}
