"""Converts published weights between folders and layouts, and our runs to published layouts.

.venv/bin/python launch/convert.py --from=FOLDER_OR_HUB_ID --to=FOLDER --check
.venv/bin/python launch/convert.py --from=runs/clip --to=FOLDER --layout=open_clip --check
    [--results=runs/clip/eval/results.json --licence=cc-by-nc-4.0]

A run's folder gets tokenizer, preprocessing and a model card (README.md): data, recipe, the results
that are given with their intervals, intended use, limits.

With --check the largest differences are printed between our outputs and those of the libraries that
the files belong to, for what was read and for what was written; that needs the extra torch.
"""

from absl import flags

from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_folder
from medvlp_jax.core.processes.lock import workdir_lock

_FROM = flags.DEFINE_string("from", None, "folder, hub id, GGUF file or run", required=True)
_TO = flags.DEFINE_string("to", None, "the folder to write", required=True)
_LAYOUT = flags.DEFINE_string("layout", "", "names of the tensors; default: those of --from")
_TOWER = flags.DEFINE_enum("tower", "", ["", "vision", "text"], "this tower of a CLIP alone")
_FAMILY = flags.DEFINE_string(
    "family", "", "what --from is, where its files do not say: openai_clip, chexzero, gloria, ..."
)
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16", "float16"], "of the tensors that are written"
)
_RESULTS = flags.DEFINE_multi_string(
    "results", [], "results.json of an evaluation of the run, for the model card; may be repeated"
)
_LICENCE = flags.DEFINE_string("licence", "", "of the exported run, for the card: cc-by-nc-4.0")
_CHECK = flags.DEFINE_bool("check", False, "compare source and result with their libraries")


def main(_: list[str]) -> None:
    output_folder(_TO.value, "--to")
    from medvlp_jax.run.conversion import convert as conversion
    from medvlp_jax.run.conversion.model_card import Said

    with workdir_lock(_TO.value, "conversion"):
        converted = conversion.convert(
            _FROM.value,
            _TO.value,
            layout=_LAYOUT.value,
            tower=_TOWER.value,
            dtype=_DTYPE.value,
            family=_FAMILY.value,
            said=Said(tuple(_RESULTS.value), _LICENCE.value),
        )
        print(
            f"{converted.kind}, {converted.parameters / 1e6:.1f} M parameters -> {converted.folder}"
        )
        for note in converted.notes:
            print(note)
        if _CHECK.value:
            print(conversion.check(converted))


if __name__ == "__main__":
    run(main)
