"""Gives matched figures to Label Studio, and reads back what a person corrected there.

.venv/bin/python launch/label_studio.py --matched=pubmed/matched.jsonl --articles=pubmed/articles \
    --out=review [--count=200 --images=inline]

writes ``tasks.json`` and ``interface.xml``: make a project, paste the interface into its settings
(Labeling interface, Code), import the tasks. Images are served by Label Studio's local storage
(LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=--root), or
stand in the tasks.

.venv/bin/python launch/label_studio.py --matched=pubmed/matched.jsonl --corrected=export.json \
    --out=review

reads the project's export (JSON), writes ``corrected.jsonl`` in the form of --matched, and
``scores.json``: panels, labels and pairs as they were found, measured against the corrections.
"""

import json
import pathlib
import shlex

from absl import flags

from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.processes.lock import workdir_lock

_MATCHED = flags.DEFINE_string("matched", None, "file of matched figures", required=True)
_ARTICLES = flags.DEFINE_string("articles", "", "folder with the articles' folders, to export")
_CORRECTED = flags.DEFINE_string("corrected", "", "export of Label Studio, to read it back")
_OUT = flags.DEFINE_string("out", None, "the folder to write", required=True)
_IMAGES = flags.DEFINE_enum("images", "local", ["local", "inline"], "how tasks name their image")
_ROOT = flags.DEFINE_string("root", "", "document root of the local storage; default: --articles")
_COUNT = flags.DEFINE_integer("count", 0, "figures, drawn at random; 0 for all", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "of that draw")
_RESAMPLES = flags.DEFINE_integer("resamples", 2000, "of the bootstrap", lower_bound=0)


def main(_: list[str]) -> None:
    output_folder(_OUT.value)
    if bool(_ARTICLES.value) == bool(_CORRECTED.value):
        raise UserError("give --articles to make tasks, or --corrected to read them back")
    with workdir_lock(_OUT.value, "label studio"):
        if _ARTICLES.value:
            export()
        else:
            read_back()


def export() -> None:
    from data_gen.pipelines.pubmed.label_studio.files import TASKS, XML, export_tasks

    made = export_tasks(
        _MATCHED.value,
        _ARTICLES.value,
        _OUT.value,
        "inline" if _IMAGES.value == "inline" else "local",
        _ROOT.value,
        _COUNT.value,
        _SEED.value,
    )
    print(f"{made} tasks in {_OUT.value}/{TASKS}; the interface is {_OUT.value}/{XML}")
    print(
        "next: .venv/bin/python launch/label_studio.py "
        f"--matched={shlex.quote(_MATCHED.value)} --corrected=EXPORT.json "
        f"--out={shlex.quote(_OUT.value)}"
    )


def read_back() -> None:
    from data_gen.pipelines.pubmed.label_studio.files import read_corrections, write_corrections
    from data_gen.pipelines.pubmed.label_studio.scores import as_lines, score_corrections
    from medvlp_jax.core.files.replacing import replace
    from medvlp_jax.eval.metrics.bootstrap import Bootstrap

    corrections = read_corrections(_MATCHED.value, _CORRECTED.value)
    scores = score_corrections(corrections, Bootstrap(resamples=_RESAMPLES.value))
    path = write_corrections(corrections, _OUT.value)
    replace(pathlib.Path(_OUT.value) / "scores.json", json.dumps(scores, indent=1))
    print(as_lines(scores))
    print(f"{path}: {len(corrections.after)} figures")


if __name__ == "__main__":
    run(main)
