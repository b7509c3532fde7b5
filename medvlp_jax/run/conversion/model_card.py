"""The card of an exported model: what it was made of, what it scores, what it is for.

It is the README.md of the exported folder, with the front matter that model hubs read (Mitchell et
al. 2019, doi:10.1145/3287560.3287596, says what belongs into one).
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import medvlp_jax
from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.checkpoints.provenance import last_start
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.core.files.replacing import replace
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import workdir_of
from medvlp_jax.run.conversion import programs
from medvlp_jax.weights.inputs import Inputs

FILE = "README.md"

#: layout -> (library of the front matter, how it is loaded).
_LOADING = {
    "open_clip": (
        "open_clip",
        """import open_clip
model, _, transform = open_clip.create_model_and_transforms("local-dir:FOLDER")
tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")""",
    ),
    programs.LAYOUT: ("jax", programs.USE),
}
_BLIP = (
    "transformers",
    """import transformers
name = transformers.AutoConfig.from_pretrained("FOLDER").architectures[0]
model = getattr(transformers, name).from_pretrained("FOLDER")""",
)
_LOADING |= dict.fromkeys(("blip", "blip_retrieval", "blip_captions"), _BLIP)
_LOADING["blip_authors"] = (
    "pytorch",
    """import safetensors.torch
weights = safetensors.torch.load_file("FOLDER/model.safetensors")  # names of salesforce/BLIP""",
)
_TRANSFORMERS = (
    "transformers",
    """from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained("FOLDER")
processor = AutoProcessor.from_pretrained("FOLDER")""",
)


@dataclasses.dataclass(frozen=True)
class Said:
    """What the person who exports says.

    Attributes:
      results: ``results.json`` files of evaluations of this run.
      licence: an identifier that hubs know (``cc-by-nc-4.0``); "" where nothing is said.
    """

    results: tuple[str, ...] = ()
    licence: str = ""


NOTHING_SAID = Said()


def write_card(
    folder: pathlib.Path, run: Run, source: str, layout: str, inputs: Inputs, said: Said
) -> tuple[str, ...]:
    """Writes ``README.md`` into an exported folder.

    Args:
      folder: of the export.
      run: that was exported.
      source: its workdir or checkpoint.
      layout: of the export.
      inputs: how it prepares images and texts.
      said: what the caller says.

    Returns:
      What the card lacks, as lines to print.

    Raises:
      UserError: a results file cannot be read, or is of another model.
    """
    evaluations = [_results(path, run, source) for path in said.results]
    library, loading = _LOADING.get(layout, _TRANSFORMERS)
    front = {
        "library_name": library,
        "license": said.licence or "unknown",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["medical", "vision-language", run.config.model.get("name", "clip"), "medvlp_jax"],
    }
    parts = [
        "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in front.items()) + "---",
        f"# {run.config.name}",
        f"{run.model_config.summary(run.model_def.abstract_params)}. Trained and exported with "
        f"medvlp_jax {medvlp_jax.__version__}.",
        "## Loading\n\n```python\n" + loading + "\n```",
        "## Training\n\n" + _table(("", ""), _training(run, source)),
        "## Data\n\n" + _table(("folder", "split", "records", "what it is"), _data(run)),
        "## Inputs\n\n" + _table(("", ""), _inputs(run, inputs)),
        "## Results\n\n" + (_measured(evaluations) or "None were given when it was exported."),
        "## Intended use\n\nResearch on medical vision-language models: retrieval, zero-shot "
        "classification, a start for training on labelled data. It is no medical device and must "
        "not be used for decisions about patients.",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(run, evaluations)),
    ]
    replace(folder / FILE, "\n\n".join(parts) + "\n")
    lacks = []
    if not said.results:
        lacks.append(f"{FILE} has no results: give --results=.../results.json of an evaluation")
    if not said.licence:
        lacks.append(f"{FILE} names no licence: give --licence")
    return tuple(lacks)


def _training(run: Run, source: str) -> Iterator[tuple[str, str]]:
    config = run.config
    start = last_start(workdir_of(source))
    yield "task", str(config.task["name"])
    yield "steps", f"{_step(source)} of {config.loop.steps}"
    yield "batch", str(config.data.batch_size)
    yield "optimizer", f"{config.optim.name}, learning rate {config.optim.lr:g}"
    yield "seed", str(config.seed)
    for tower, where in config.init_towers.items():
        yield f"started from ({tower})", pathlib.PurePath(where).name
    if start:
        yield "command", f"`{start['command']}`"
        yield "commit", start.get("commit") or "not known"


def _data(run: Run) -> Iterator[tuple[str, ...]]:
    for one in run.config.data.sources:
        folder = pathlib.Path(one.path)
        info = folder / "dataset_info.json"
        records, words = "not at hand", ""
        if info.is_file():
            with one_net(info, "run launch/generate.py --verify on its folder"):
                found = json.loads(read_bytes(info))
                split = next(s for s in found["splits"] if s["name"] == one.split)
                records = str(sum(map(int, split["shardLengths"])))
                words = str(found["description"])
        yield folder.name, one.split, records, words
    if run.config.data.held_out:
        yield "", "", "", "records that evaluations share with it were left out (`data.held_out`)"


def _inputs(run: Run, inputs: Inputs) -> Iterator[tuple[str, str]]:
    image = run.config.data.image
    colour = "one grey channel" if image.channels == 1 else "RGB"
    yield "images", f"{image.size} x {image.size}, {colour}; {inputs.resize}, then normalised"
    if inputs.pixels is not None:
        numbers = (", ".join(f"{x:g}" for x in part) for part in inputs.pixels)
        yield "mean; deviation", "; ".join(numbers)
    else:
        yield "normalisation", inputs.obstacle or "not known"
    yield "texts", f"at most {inputs.length} tokens"


def _measured(evaluations: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for found in evaluations:
        rows = [row for name, one in found["evaluations"].items() for row in _scores(name, one)]
        table = _table(("evaluation", "split", "records", "metric", "value", "95 % interval"), rows)
        parts.append(f"{table}\n\nMeasured {found['created']} by `{found['command']}`.")
    return "\n\n".join(parts)


def _scores(name: str, one: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    metrics = one["metrics"]
    shown = f"{name} (a rule without training)" if one["kind"] == "baseline" else name
    for key, value in metrics.items():
        low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
        if value is not None and low is not None and high is not None:
            records = str(one.get("records", ""))
            interval = f"{low:.3f} to {high:.3f}"
            yield shown, str(one.get("split", "")), records, key, f"{value:.3f}", interval


def _limits(run: Run, evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "It knows what its training data show. Films of other machines, ages, countries and "
        "diseases may be scored arbitrarily, and it answers about any picture whatever."
    )
    yield "A zero-shot score depends on the prompts and on the classes it is weighed against."
    splits = {(s.path, s.split) for s in run.config.data.sources}
    names = sorted({one["set"] for e in evaluations for one in e["evaluations"].values()})
    yield (
        f"The results above hold for {', '.join(names)} and say nothing about other patients."
        if names
        else "Nothing is said here about how good it is."
    )
    if not run.config.data.held_out:
        held = "splits were" if len(splits) > 1 else "split was"
        yield (
            f"Its training {held} not compared with evaluation data (launch/leakage.py), unless "
            "someone says so elsewhere."
        )


def _results(path: str, run: Run, source: str) -> dict[str, Any]:
    with one_net(path, "give the results.json that launch/evaluate.py wrote"):
        found = json.loads(read_bytes(path))
        model, step = found["config"]["model"], found["facts"]["checkpoint step"]
        entries = found["evaluations"].values()
        if not all(isinstance(one["metrics"], dict) and "set" in one for one in entries):
            raise ValueError("an evaluation without metrics")
    own = pretrained.load_config(source)
    if found["name"] != run.config.name or _plain(model) != _plain(own["model"]):
        raise UserError(
            f"{path} holds results of another model ({found['name']}); evaluate {source} with "
            "launch/evaluate.py and give its results.json"
        )
    if int(step) != _step(source):
        raise UserError(
            f"{path} holds results of step {step}, and {source} is at step {_step(source)}; "
            "evaluate it again, or export that checkpoint"
        )
    return found


def _step(source: str) -> int:
    return int(pathlib.Path(pretrained.resolve(source)).name)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "/").replace("\n", " ") for c in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])
