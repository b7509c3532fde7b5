"""Converts a data folder between ArrayRecord and TFRecord shards.

.venv/bin/python launch/convert_records.py --from=data/phantom --to=data/phantom_tf \
    --format=tfrecord
"""

import shlex

from absl import flags

from medvlp_jax.core.errors import run
from medvlp_jax.core.processes.lock import workdir_lock
from medvlp_jax.data.store import tfrecord

_FROM = flags.DEFINE_string("from", None, "the folder to read", required=True)
_TO = flags.DEFINE_string("to", None, "the folder to write", required=True)
_FORMAT = flags.DEFINE_enum(
    "format", None, ["tfrecord", "array_record"], "what to write", required=True
)


def main(_: list[str]) -> None:
    convert = {"tfrecord": tfrecord.export, "array_record": tfrecord.import_folder}[_FORMAT.value]
    with workdir_lock(_TO.value, "conversion"):
        written = convert(_FROM.value, _TO.value)
    for split, records in written.items():
        print(f"{split}: {records} records")
    folder = shlex.quote(_TO.value)
    if _FORMAT.value == "tfrecord":
        print(f"next, in Python: tfds.builder_from_directory({_TO.value!r}).as_dataset()")
    else:
        print(
            f"next: .venv/bin/python launch/train.py --config=configs/cxr/clip.py:small:{folder} "
            "--workdir=runs/clip"
        )


if __name__ == "__main__":
    run(main)
