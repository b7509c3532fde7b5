"""Writes a data folder as TFRecord, WebDataset or Parquet files, and reads TFRecord back.

.venv/bin/python launch/convert_records.py --from=data/phantom --to=data/phantom_tf \
    --format=tfrecord

Formats: ``tfrecord``, ``webdataset`` (tar files), ``parquet`` (for Hugging Face ``datasets``);
``array_record`` is the way back from TFRecord. Folders of the other two are read back by
``launch/generate.py`` with the configs configs/data_gen/webdataset.py and parquet.py. The same
command goes on where it was stopped.
"""

import shlex

from absl import flags

from medvlp_jax.core.errors import run
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.store import parquet, tfrecord, webdataset

FORMATS = {
    "tfrecord": tfrecord.export,
    "array_record": tfrecord.import_folder,
    "webdataset": webdataset.export_webdataset,
    "parquet": parquet.export_parquet,
}
_USES = {
    "tfrecord": "tfds.builder_from_directory({0!r}).as_dataset()",
    "webdataset": "webdataset.WebDataset(sorted(map(str, pathlib.Path({0!r}).glob('*.tar'))))",
    "parquet": "datasets.load_dataset({0!r})",
}

_FROM = flags.DEFINE_string("from", None, "the folder to read", required=True)
_TO = flags.DEFINE_string("to", None, "the folder to write", required=True)
_FORMAT = flags.DEFINE_enum("format", None, list(FORMATS), "what to write", required=True)


def main(_: list[str]) -> None:
    with workdir_lock(_TO.value, "conversion"):
        written = FORMATS[_FORMAT.value](_FROM.value, _TO.value)
    for split, records in written.items():
        print(f"{split}: {records} records")
    folder = shlex.quote(_TO.value)
    if _FORMAT.value in _USES:
        print(f"next, in Python: {_USES[_FORMAT.value].format(_TO.value)}")
    else:
        print(
            f"next: .venv/bin/python launch/train.py --config=configs/cxr/clip.py:small:{folder} "
            "--workdir=runs/clip"
        )


if __name__ == "__main__":
    run(main)
