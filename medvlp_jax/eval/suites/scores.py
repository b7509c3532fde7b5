"""Zero-shot scores kept per image, in one ``.npz`` file a set, for whoever wants to count again.

The arrays of a file (``docs/evaluation.md`` has the same table for users):

``version`` int 1 · ``ids`` str [n] · ``scores`` float64 [n, k] · ``cosines`` float64 [n, k], absent
for an ensemble and for pair scores · ``labels`` int8 [n, k]: 1, 0, -1 uncertain, -2 never judged ·
``truth`` int64 [n]: the only positive class, -1 where there is none or several · ``classes``
str [k] · ``patients`` int64 [n], absent where the set names none · ``exclusive`` bool ·
``set``, ``split``, ``protocol`` str · ``prompt_digest``, ``model_digest`` str, SHA-256 ·
``about`` str: JSON of the protocol and its prompts.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files import npz
from medvlp_jax.eval.base import EvalError, EvalResult
from medvlp_jax.eval.metrics.scores import require_finite

#: Raised when an array changes its meaning.
VERSION = 1
#: Folder of an evaluation that holds them.
FOLDER = "scores"
_ABOUT = (
    *("set", "split", "protocol", "rule", "ensemble", "zscore", "temperature", "score", "models"),
    *("prompt_bank", "prompts", "derived", "subset"),
)
_NEEDED = ("version", "ids", "scores", "labels", "truth", "classes", "exclusive", "set", "split",
           "prompt_digest", "model_digest", "about")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of one set by one model.

    Attributes:
      ids: of the records.
      scores: of every record and class, as the protocol ranks them.
      labels: 1, 0, -1 uncertain, -2 never judged.
      classes: names of the columns.
      about: the protocol, its prompts, set and split.
      exclusive: whether one class of several is asked for, so that accuracy is defined.
      prompt_digest, model_digest: SHA-256 of the prompts, and of the files of the weights.
      cosines: of every record with the affirming prompts of every class; None: not kept.
      patients: a number for each patient; None where the set names none.
    """

    ids: np.ndarray
    scores: Float[np.ndarray, "n k"]
    labels: Int[np.ndarray, "n k"]
    classes: tuple[str, ...]
    about: Mapping[str, Any]
    exclusive: bool
    prompt_digest: str
    model_digest: str
    cosines: Float[np.ndarray, "n k"] | None = None
    patients: Int[np.ndarray, "n"] | None = None

    @property
    def truth(self) -> Int[np.ndarray, "n"]:
        """The only positive class of each record; -1 where there is none or several."""
        single = (self.labels == 1).sum(1) == 1
        return np.where(single, (self.labels == 1).argmax(1), -1)

    @property
    def name(self) -> str:
        """Of the set."""
        return str(self.about["set"])


def of_result(result: EvalResult, model_digest: str) -> Scores:
    """The scores of a zero-shot result."""
    details, arrays = result.details, result.arrays
    about = {key: details[key] for key in _ABOUT if key in details}
    return Scores(
        ids=arrays["ids"],
        scores=arrays["scores"],
        labels=arrays["labels"],
        classes=tuple(row["name"] for row in details["classes"]),
        about=about,
        exclusive=details.get("rule") == "multiclass",
        prompt_digest=prompt_digest(details.get("prompts", {})),
        model_digest=model_digest,
        cosines=arrays.get("cosines"),
        patients=arrays.get("clusters"),
    )


def prompt_digest(prompts: Mapping[str, Any]) -> str:
    """SHA-256 of the sentences of every class, in the order of the classes."""
    return hashlib.sha256(json.dumps(prompts, ensure_ascii=False).encode()).hexdigest()


def write_scores(path: str | os.PathLike[str], found: Scores) -> pathlib.Path:
    """Writes a file that appears whole or not at all."""
    arrays: dict[str, Any] = {
        "version": np.array(VERSION),
        "ids": np.asarray(found.ids, np.str_),
        "scores": np.asarray(found.scores, np.float64),
        "labels": np.asarray(found.labels, np.int8),
        "truth": np.asarray(found.truth, np.int64),
        "classes": np.array(found.classes, np.str_),
        "exclusive": np.array(found.exclusive),
        "set": np.array(str(found.about["set"])),
        "split": np.array(str(found.about["split"])),
        "protocol": np.array(str(found.about.get("protocol", ""))),
        "prompt_digest": np.array(found.prompt_digest),
        "model_digest": np.array(found.model_digest),
        "about": np.array(json.dumps(found.about, ensure_ascii=False)),
    }
    for key in ("cosines", "patients"):
        if (value := getattr(found, key)) is not None:
            arrays[key] = value
    npz.write(path, arrays, compressed=True)
    return pathlib.Path(path)


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Reads a file of :func:`write_scores`, also one that another program wrote.

    Raises:
      EvalError: no such file, damaged, an array is missing or of another size, a score is not
        finite, a label is no label; one line with the mend.
    """
    with one_net(path, "give a file of scores/ of an evaluation", EvalError, "cannot be read"):
        arrays = npz.read(path)
    with one_net(path, "see docs/evaluation.md for the layout", EvalError, "is no file of scores"):
        return _scores(arrays)


def _scores(arrays: Mapping[str, np.ndarray]) -> Scores:
    if missing := [key for key in _NEEDED if key not in arrays]:
        raise KeyError(f"it lacks {missing[0]!r}")
    if int(arrays["version"]) != VERSION:
        raise ValueError(f"it is of version {int(arrays['version'])}, and {VERSION} is read")
    ids, classes = arrays["ids"], tuple(map(str, arrays["classes"]))
    shape = (len(ids), len(classes))
    for key in ("scores", "labels", "cosines"):
        if key in arrays and arrays[key].shape != shape:
            raise ValueError(f"{key!r} is {arrays[key].shape}, not {shape}")
    if len(set(map(str, ids))) != len(ids):
        raise ValueError("a record is in it twice")
    if not np.isin(arrays["labels"], (1, 0, -1, -2)).all():
        raise ValueError("'labels' holds a value that is none of 1, 0, -1, -2")
    require_finite(arrays["scores"], ids, classes)
    found = Scores(
        ids=ids,
        scores=arrays["scores"].astype(np.float64),
        labels=arrays["labels"].astype(np.int64),
        classes=classes,
        about={**json.loads(str(arrays["about"])), "set": str(arrays["set"]),
               "split": str(arrays["split"])},
        exclusive=bool(arrays["exclusive"]),
        prompt_digest=str(arrays["prompt_digest"]),
        model_digest=str(arrays["model_digest"]),
        cosines=arrays.get("cosines"),
        patients=arrays.get("patients"),
    )  # fmt: skip
    if not np.array_equal(arrays["truth"], found.truth):
        raise ValueError("'truth' is not what 'labels' say")
    if found.patients is not None and found.patients.shape != ids.shape:
        raise ValueError(f"'patients' is {found.patients.shape}, not {ids.shape}")
    return found
