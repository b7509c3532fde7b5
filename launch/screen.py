"""Judges pictures as the PubMed pipeline does: medical or not, and what they show.

.venv/bin/python launch/screen.py --pictures=FOLDER --out=OUT [--drawn=20]
    [--backend=rule | --backend=clip --model=RUN_OR_WEIGHTS] [--keep=radiology --keep=pathology]

OUT/verdicts.jsonl has a line for every image file of the folder and of the folders in it; what
cannot be read is named there too. Where the folder has a manifest.csv with the columns path and
modality, and with --drawn also of so many charts, diagrams, tables, ... of each kind that no
training saw, the verdicts are compared with the truth: OUT/scores.json and the lines that are
printed have precision, recall and accuracy with 95 % intervals, the confusion matrix and the names
of the pictures that were taken for something else.
"""

import json
import pathlib

from absl import flags

from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.files.replacing import replace

_PICTURES = flags.DEFINE_string("pictures", None, "a folder of image files", required=True)
_OUT = flags.DEFINE_string("out", None, "the folder to write", required=True)
_DRAWN = flags.DEFINE_integer("drawn", 0, "drawings of each kind to judge too", lower_bound=0)
_BACKEND = flags.DEFINE_enum("backend", "classifier", ["classifier", "clip", "rule"], "what judges")
_MODEL = flags.DEFINE_string("model", "", "of the back end; empty: the one of the package")
_PROMPTS = flags.DEFINE_string("prompts", "", "of clip: a JSON file, class -> sentences")
_KEEP = flags.DEFINE_multi_string("keep", [], "classes or groups to keep; default: all medical")


def main(_: list[str]) -> None:
    out = pathlib.Path(_OUT.value)
    output_folder(_OUT.value)
    from data_gen.pipelines.pubmed.screen.images import ImageScreenConfig
    from data_gen.pipelines.pubmed.screen.judged import judge_folder, score_judged, summary
    from data_gen.pipelines.pubmed.screen.open import open_images
    from medvlp_jax.core.config import parse
    from medvlp_jax.core.presets import apply_cpu_preset

    apply_cpu_preset()
    given = {"backend": _BACKEND.value, "model": _MODEL.value, "prompts": _PROMPTS.value}
    keep = {"keep": list(_KEEP.value)} if _KEEP.value else {}
    screen = open_images(parse(ImageScreenConfig, given | keep, "--"))
    judged = judge_folder(screen, _PICTURES.value, _DRAWN.value)
    if not judged:
        raise UserError(f"{_PICTURES.value} has no image file; give a folder that has some")
    lines = [json.dumps(one.as_json(), ensure_ascii=False) for one in judged]
    replace(out / "verdicts.jsonl", "\n".join(lines) + "\n")
    print(summary(judged))
    scores = score_judged(judged)
    if scores is not None:
        replace(out / "scores.json", json.dumps(scores.as_json(), indent=1) + "\n")
        print(scores)
    print(f"verdicts: {out / 'verdicts.jsonl'}")


if __name__ == "__main__":
    run(main)
