"""A local folder, or the files of a model on the Hugging Face hub."""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from medvlp_jax.weights.faults import WeightsError

_ID = re.compile(r"[\w.-]+/[\w.-]+")
#: What is fetched: weights in a safe format, settings and tokenizers.
PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")
#: What is fetched as well where there are no weights in a safe format.
PICKLED = ("*.bin", "*.pt", "*.pth")


def find(name: str | os.PathLike[str], revision: str | None = None) -> pathlib.Path:
    """The local path that a name stands for; files of a hub id are fetched or taken from the cache.

    Args:
      name: a folder, a weights file, or an id such as ``microsoft/rad-dino``.
      revision: branch, tag or commit on the hub.

    Raises:
      WeightsError: neither; or the hub cannot be reached and the files are not in its cache.
    """
    path = pathlib.Path(name)
    if path.exists():
        return path
    name = os.fspath(name)
    if not _ID.fullmatch(name):
        raise WeightsError(f"{name} does not exist: give a folder with weights, or a hub id (a/b)")
    import huggingface_hub

    try:
        folder = _fetch(huggingface_hub, name, revision, PATTERNS)
        if not any(folder.rglob("*.safetensors")):
            folder = _fetch(huggingface_hub, name, revision, (*PATTERNS, *PICKLED))
    except Exception as error:  # of many kinds, from network to access rights
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise WeightsError(
            f"{name} is no folder here, and the Hugging Face hub did not give it ({reason}); where "
            f"the hub can be reached, run `hf download {name} --local-dir FOLDER`, copy FOLDER "
            "here and give its path"
        ) from error
    return folder


def _fetch(library: Any, name: str, revision: str | None, patterns: Sequence[str]) -> pathlib.Path:
    folder = library.snapshot_download(name, revision=revision, allow_patterns=list(patterns))
    return pathlib.Path(folder)
