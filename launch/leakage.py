"""Finds images and patients that training folders share with evaluation folders.

.venv/bin/python launch/leakage.py --train=data/chexpert:train --train=data/nih:train \\
    --evaluation=data/rsna:test --out=runs/leakage
    [--checkpoint=runs/clip --similarity=0.99] [--threshold=0.83] [--leave_out="same file,..."]

Looks for equal files, equal pixels, copies that were encoded again, resized, cropped by up to 5 %
or made brighter, for shared patients, and with a checkpoint for images of nearly the same vector.
Writes report.html with the pairs side by side, pairs.jsonl, leakage.json, and held_out.json, the
records that training leaves out:

.venv/bin/python launch/train.py ... --config.data.held_out=runs/leakage/held_out.json

Exit status: 0 when done, 2 after an error that the message says how to mend.
"""

from absl import flags

from medvlp_jax.core.checkpoints import provenance
from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.presets import apply_cpu_preset

TRAIN = flags.DEFINE_multi_string("train", [], "FOLDER:SPLIT that is trained on; may be repeated")
EVALUATION = flags.DEFINE_multi_string(
    "evaluation", [], "FOLDER:SPLIT that results come from; may be repeated"
)
OUT = flags.DEFINE_string("out", None, "folder for the page and the lists", required=True)
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "", "run, or folder of weights, whose image tower finds images that are alike"
)
SIMILARITY = flags.DEFINE_float("similarity", 0.99, "cosine from which they are alike")
THRESHOLD = flags.DEFINE_float(
    "threshold", 0.83, "agreement in detail from which two images are the same picture"
)
LEAVE_OUT = flags.DEFINE_list(
    "leave_out", None, "kinds of pairs whose records training leaves out; all but alike"
)


def main(_: list[str]) -> None:
    apply_cpu_preset()
    from medvlp_jax.run.leakage.leakage import LEFT_OUT, LeakageConfig, find_leakage, source_of
    from medvlp_jax.run.leakage.pairs import NearConfig

    try:
        config = LeakageConfig(
            tuple(source_of("train", place) for place in TRAIN.value),
            tuple(source_of("evaluation", place) for place in EVALUATION.value),
            NearConfig(THRESHOLD.value),
            LEFT_OUT if LEAVE_OUT.value is None else tuple(LEAVE_OUT.value),
            CHECKPOINT.value,
            SIMILARITY.value,
        )
    except ValueError as error:
        raise UserError(f"the flags do not go together: {error}") from error
    found = find_leakage(config, output_folder(OUT.value), provenance.command())
    print(found)
    print(f"wrote {found.list_path}; next: open {found.page_path} in a browser")


if __name__ == "__main__":
    run(main)
