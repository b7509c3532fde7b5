"""The two JSON files that make a folder of records readable by TFDS, without this package."""

import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from medvlp_jax.data.store.layout import schema

VERSION = "1.1.0"  # of the record's layout, which is what TFDS calls the version of a data set


def write_metadata(
    directory: str | os.PathLike,
    dataset: str,
    shard_lengths: Mapping[str, Sequence[int]],
    sizes: Mapping[str, int],
    description: str = "",
    file_format: str = "array_record",
    turns: bool = False,
) -> None:
    """Writes ``features.json`` and ``dataset_info.json`` into ``directory``.

    Args:
      dataset: the name that the shard files begin with.
      shard_lengths: split -> records per shard, in order.
      sizes: split -> bytes.
      description: shown by ``builder.info``.
      file_format: ``array_record`` or ``tfrecord``; the shard files carry it in their names.
      turns: whether some record holds a conversation.
    """
    # TFDS takes seconds to import, and only the end of a job needs it.
    from tensorflow_datasets.core import (
        DatasetInfo,
        ShardedFileTemplate,
        SplitInfo,
        Version,
        features,
    )
    from tensorflow_datasets.core.dataset_info import DatasetIdentity
    from tensorflow_datasets.core.splits import SplitDict

    kinds = {
        "str": features.Text,
        "bytes": lambda: features.Tensor(shape=(), dtype=np.object_),
        "int": lambda: features.Scalar(dtype=np.int64),
        "float": lambda: features.Scalar(dtype=np.float32),
    }

    def feature(kind: Any) -> Any:
        if isinstance(kind, dict):
            return features.Sequence({k: feature(v) for k, v in kind.items()})
        return kinds[kind]()

    info = DatasetInfo(
        builder=DatasetIdentity(
            name=dataset, version=Version(VERSION), data_dir=str(directory), module_name=__name__
        ),
        features=features.FeaturesDict({k: feature(v) for k, v in schema(turns).items()}),
        description=description,
    )
    info.set_file_format(file_format)
    template = ShardedFileTemplate(
        data_dir=epath.Path(directory), dataset_name=dataset, filetype_suffix=file_format
    )
    info.set_splits(
        SplitDict(
            [
                SplitInfo(
                    name=split,
                    shard_lengths=list(lengths),
                    num_bytes=sizes[split],
                    filename_template=template,
                )
                for split, lengths in shard_lengths.items()
            ]
        )
    )
    with tempfile.TemporaryDirectory(prefix=".metadata-", dir=directory) as temporary:
        info.write_to_directory(epath.Path(temporary))
        for path in sorted(pathlib.Path(temporary).iterdir()):
            os.replace(path, pathlib.Path(directory) / path.name)
