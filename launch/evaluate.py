"""Measures a checkpoint and writes results.json and report.html.

.venv/bin/python launch/evaluate.py --checkpoint=runs/quickstart/train --out=runs/quickstart/eval

measures on the sets of the run's own config. Other labelled data, for instance after
launch/generate.py has imported it:

.venv/bin/python launch/evaluate.py --checkpoint=runs/quickstart/train --out=runs/nih \\
    --data=data/nih --split=test --classes=pneumonia --validation=data/nih:validation \\
    --evaluators=zeroshot,baseline,pictures

or by a config file, whose keys are those of ``config.eval``; flags go before it:

.venv/bin/python launch/evaluate.py --checkpoint=runs/quickstart/train --out=runs/nih \\
    --config=configs/cxr/evaluate.py:data/nih --config.sets.test.classes="('pneumonia',)"

A suite of imported sets, of a run or of published weights (docs/evaluation.md):

.venv/bin/python launch/evaluate.py --checkpoint=FOLDER_OR_HUB_ID --out=runs/published \\
    --config=configs/unimed/suite.py:data/suite

Real films beside the sets of the run, with heat-maps, in the same report:

.venv/bin/python launch/evaluate.py --checkpoint=runs/quickstart/train --out=runs/quickstart/eval \\
    --films=data/hospital:test
"""

import sys
from typing import Any

from absl import flags

from medvlp_jax.core.checkpoints import pretrained, provenance
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.presets import apply_cpu_preset
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.processes.preemption import EXIT_CODE


def schema(_: Any) -> type:
    from medvlp_jax.eval.config import EvalConfig

    return EvalConfig


CONFIG = define_config(
    "what to measure, instead of the run's own config.eval", schema, required=False
)
CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "workdir of a run, or one checkpoint; or published weights: a folder, a file or a hub id",
    required=True,
)
FAMILY = flags.DEFINE_string("family", "", "of published weights whose files do not say it")
TOKENIZER = flags.DEFINE_string(
    "tokenizer", "", "folder or hub id, for published weights without a tokenizer"
)
ENSEMBLE = flags.DEFINE_multi_string(
    "ensemble", [], "further checkpoints whose zero-shot scores are averaged with the first one's"
)
OUT = flags.DEFINE_string("out", None, "folder for results.json and report.html", required=True)
STEP = flags.DEFINE_string("step", "latest", "latest, best, or a step number")
DATA = flags.DEFINE_multi_string(
    "data", [], "a data folder, or FOLDER:SPLIT, instead of the run's own sets"
)
SPLIT = flags.DEFINE_string("split", "test", "split of --data that names none")
VALIDATION = flags.DEFINE_string("validation", "", "FOLDER:SPLIT that thresholds are taken from")
CLASSES = flags.DEFINE_list("classes", [], "labels to score; default: all that the set has")
EVALUATORS = flags.DEFINE_list(
    "evaluators", ["zeroshot", "baseline", "pictures"], "what to measure on --data"
)
PROMPTS = flags.DEFINE_string("prompts", "", "prompt bank: a name, or a JSON file")
PROTOCOL = flags.DEFINE_string(
    "protocol", "", "zero-shot protocol, a word of eval/recipes.py; default: that of the run"
)
MAPS = flags.DEFINE_string("maps", "", "heat-map protocol, a word of eval/heatmap.py")
TRUTH = flags.DEFINE_enum("truth", "boxes", ["boxes", "masks"], "what heat-maps are held against")
PER_CLASS = flags.DEFINE_integer(
    "per_class",
    0,
    "zero-shot on so many records of each class alone (200: 5x200); 0 = all",
    lower_bound=0,
)
FILMS = flags.DEFINE_multi_string(
    "films", [], "FOLDER:SPLIT of real films that the report shows with heat-maps"
)
SUBGROUPS = flags.DEFINE_list(
    "subgroups", ["view"], "columns whose values are scored apart: view, patient_id"
)


def main(_: list[str]) -> None:
    apply_cpu_preset()
    distributed.initialize()
    out = output_folder(OUT.value)
    from medvlp_jax.eval.downstream.tuning import Interrupted
    from medvlp_jax.run.evaluate import evaluate_checkpoint
    from medvlp_jax.run.sets import set_configs

    overrides: dict[str, Any] = dict(CONFIG.value or {})
    if SUBGROUPS.present or "subgroups" not in overrides:
        overrides["subgroups"] = tuple(SUBGROUPS.value)
    if PROTOCOL.value:  # with its own prompts, unless others are asked for
        changes = ("prompts", "ensemble", "score", "max_prompts", "prompt_seed", "temperature")
        overrides |= dict.fromkeys(changes) | {"protocol": PROTOCOL.value, "prompts": ""}
    if PROMPTS.value:
        overrides["prompts"] = PROMPTS.value
    if MAPS.value:
        overrides["maps"] = MAPS.value
    sets = None
    if DATA.value:
        sets = set_configs(
            DATA.value,
            split=SPLIT.value,
            validation=VALIDATION.value,
            evaluators=EVALUATORS.value,
            classes=CLASSES.value,
            truth=TRUTH.value,  # type: ignore[arg-type]
            per_class=PER_CLASS.value,
        )
    try:
        done = evaluate_checkpoint(
            CHECKPOINT.value,
            out,
            command=provenance.command(),
            sets=sets,
            overrides=overrides,
            films=FILMS.value,
            ensemble=ENSEMBLE.value,
            step=pretrained.which(STEP.value),
            family=FAMILY.value,
            tokenizer=TOKENIZER.value,
        )
    except Interrupted:  # in a training on the tower
        sys.exit(EXIT_CODE)
    if distributed.is_main():
        print(done.summary())
        print(f"wrote {done.results_path}; next: open {done.report_path} in a browser")


if __name__ == "__main__":
    run(main)
