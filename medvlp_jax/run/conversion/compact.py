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


def about(
    source: str, experiment: Run, results: Sequence[str] = (), licence: str = ""
) -> dict[str, Any]:
    """What a card says of a run: how it was made, of what, and what it scores.

    Args:
      source: workdir or checkpoint of the run.
      experiment: of the run.
      results: ``results.json`` files of evaluations of this run.
      licence: of the weights.

    Raises:
      UserError: a results file cannot be read.
    """
    start = last_start(workdir_of(source))
    sources = experiment.config.data.sources
    return {
        "command": start.get("command", ""),
        "commit": start.get("commit", ""),
        "step": pretrained.step_of(pretrained.resolve(source)),
        "seed": experiment.config.seed,
        "data": [f"{pathlib.PurePath(s.path).name}:{s.split}" for s in sources],
        "version": medvlp_jax.__version__,
        "licence": licence,
        "results": {pathlib.PurePath(path).parent.name: _metrics(path) for path in results},
    }


def write(
    to: pathlib.Path,
    experiment: Run,
    params: Mapping[str, Any],
    buffers: Mapping[str, Any],
    said: Mapping[str, Any],
    dtype: str = "float16",
) -> None:
    """Writes the folder of a run.

    Args:
      to: the folder; is made if need be.
      experiment: of the run.
      params, buffers: of its model.
      said: JSON values for the card, see :func:`about`.
      dtype: of the stored weights.

    Raises:
      UserError: the folder cannot be written.
    """
    config = {key: experiment.resolved[key] for key in _GROUPS}
    config["data"] = {k: v for k, v in config["data"].items() if k not in _NOT_KEPT}
    flat = {("params", *path): leaf for path, leaf in flatten(params).items()}
    flat |= {("buffers", *path): leaf for path, leaf in flatten(buffers).items()}
    arrays = {path_str(path): np.asarray(leaf.astype(dtype)) for path, leaf in flat.items()}
    card = {"about": dict(said), "config": config}
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
        config, said = card["config"], dict(card["about"])
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
    return Opened(experiment, experiment.predictor().with_arrays(*arrays), said)


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
