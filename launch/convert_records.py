"""Converts a data folder between ArrayRecord and TFRecord shards.

python launch/convert_records.py --from=data/phantom --to=data/phantom_tf --format=tfrecord
"""

from absl import app, flags

from medvlp_jax.core.lock import LockError, workdir_lock
from medvlp_jax.data import tfrecord
from medvlp_jax.data.manifest import ShardError

_FROM = flags.DEFINE_string("from", None, "the folder to read", required=True)
_TO = flags.DEFINE_string("to", None, "the folder to write", required=True)
_FORMAT = flags.DEFINE_enum(
    "format", None, ["tfrecord", "array_record"], "what to write", required=True
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    convert = {"tfrecord": tfrecord.export, "array_record": tfrecord.import_folder}[_FORMAT.value]
    try:
        with workdir_lock(_TO.value, "conversion"):
            written = convert(_FROM.value, _TO.value)
    except (ShardError, LockError) as e:
        raise SystemExit(f"error: {e}") from e
    for split, records in written.items():
        print(f"{split}: {records} records")


if __name__ == "__main__":
    app.run(main)
