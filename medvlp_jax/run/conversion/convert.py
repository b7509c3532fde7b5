"""Published weights from one folder to another, our runs to published layouts, and the proof.

``launch/convert.py`` is flags and a call into this file.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.core.step import abstract_model
from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.run.build import Run
from medvlp_jax.run.config import stored_config
from medvlp_jax.run.conversion import compact, programs
from medvlp_jax.run.conversion.comparison import compare, source_parts
from medvlp_jax.run.conversion.converted import Converted, copy_companions, of_encoder
from medvlp_jax.run.conversion.language_model import convert_language_model
from medvlp_jax.run.conversion.model_card import NOTHING_SAID, Said, write_card
from medvlp_jax.run.conversion.run_inputs import run_inputs
from medvlp_jax.run.conversion.text_to_image import convert_stable_diffusion
from medvlp_jax.weights import bare, inputs, lm
from medvlp_jax.weights.export import check_fits, export
from medvlp_jax.weights.families import FAMILIES, build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.files import gguf, hub
from medvlp_jax.weights.fold import LOCAL
from medvlp_jax.weights.settings import read_json
from medvlp_jax.weights.source import Source, open_source, split_family

#: Layouts that are tried, in this order, for a run whose layout is not given.
WHOLE = ("clip", "siglip", "open_clip", "vision_text_dual_encoder")
BLIP = ("blip", "blip_authors")


def convert(
    source: str,
    to: str,
    *,
    layout: str = "",
    tower: str = "",
    dtype: str = "float32",
    family: str = "",
    said: Said = NOTHING_SAID,
) -> Converted:
    """Reads a model and writes it again; beside a run's goes a model card.

    Args:
      source: a folder, a weights file or a hub id of published weights; a GGUF file; or the workdir
        or a checkpoint of one of our runs.
      to: the folder to write.
      layout: a key of ``weights.families.FAMILIES``, or for a run ``stablehlo`` or ``compact``; by
        default the source's own, and for a run the first of :data:`WHOLE` that can hold the model,
        else ``stablehlo``.
      tower: ``vision`` or ``text``: this part alone of a CLIP; its layout must be given.
      dtype: of the floating tensors that are written.
      family: what the source is, a key of ``weights.source.KNOWN``, where its files do not say.
      said: results and licence, for the card of a run.

    Raises:
      UserError: the source cannot be read, ``said`` is of another model, the layout cannot hold it,
        or ``to`` cannot be written.
    """
    target = pathlib.Path(to)
    if source.endswith(".gguf"):
        folder = gguf.to_folder(source, target, dtype)
        return convert_language_model(folder, None, dtype)
    if _is_run(source):
        return _run(source, target, layout, tower, dtype, said)
    if said != NOTHING_SAID:
        raise UserError("--results and --licence are for the card of a run of ours; leave them out")
    family, source = split_family(source, family)
    path = hub.find(source)
    if (path / "model_index.json").is_file():
        return convert_stable_diffusion(path, target, dtype)
    settings = path / "config.json"
    kind = read_json(settings).get("model_type") if settings.is_file() and not family else None
    if isinstance(kind, str) and kind in lm.FAMILIES:
        return convert_language_model(path, target, dtype)
    return _encoder(open_source(source, family), target, layout, tower, dtype)


def _is_run(source: str) -> bool:
    path = pathlib.Path(source)
    return (path / pretrained.FOLDER).is_dir() or (path / "state").is_dir()


def _encoder(found: Source, to: pathlib.Path, layout: str, tower: str, dtype: str) -> Converted:
    if tower in ("vision", "text"):
        found = found.tower(tower)
        layout = _needed(layout, tower)
    elif found.family.part == "towers":
        why = bare.PUBLICATIONS[found.family.name].whole
        raise UserError(
            f"{found.weights} is of the family {found.family.name}, which has no whole CLIP for us "
            f"({why}); give --tower=vision with "
            "--layout=torchvision_resnet or timm_vit, or --tower=text with --layout=bert"
        )
    with one_net(found.weights, "look at its settings", WeightsError, "describes no model"):
        model = ModelDef.of(build(found.config))
    params, buffers = found.load(model.abstract_params, model.abstract_buffers, dtype=dtype)
    # What is read from bare files of CLIPs is written as open_clip has it.
    layout = layout or ("open_clip" if found.family.name in bare.BARE else found.family.name)
    known = inputs.of_folder(found.folder, found.pixels)
    if named := bare.text_id(found.family.name, found.config):
        known = dataclasses.replace(known, text_id=named, tokenizer_id=named, end=None)
    export(to, layout, found.config, params, buffers, inputs=known)
    copy_companions(found.folder, to)
    written = of_encoder(layout, to, found.config, params, buffers)
    notes = (found.note,) if found.note else ()
    return dataclasses.replace(written, notes=notes, source=lambda: source_parts(found))


def _run(
    source: str, to: pathlib.Path, layout: str, tower: str, dtype: str, said: Said
) -> Converted:
    experiment = Run(stored_config(source))
    config: Any = experiment.model_config
    model = experiment.model_def
    arrays = pretrained.load_model(source, *abstract_model(model, experiment.mesh))
    if layout == compact.LAYOUT:
        if tower:
            raise UserError(f"--layout={layout} holds a run whole; leave out --tower={tower}")
        card = compact.about(source, experiment, said.results, said.licence)
        compact.write(to, experiment, *arrays, card, dtype)
        return Converted("compact", to, param_count(arrays[0]), ())
    known = run_inputs(experiment, texts=tower != "vision")
    if isinstance(config, BlipConfig):
        if tower == "text":
            raise UserError("the text side of a BLIP is no tower of its own; leave --tower out")
        # Averages and queue are of training.
        config, arrays = dataclasses.replace(config, queue=0), (arrays[0], {})
        model = ModelDef.of(build(config))
    if tower:
        layout = _needed(layout, tower)
        config = getattr(config, tower)
        arrays = tuple(tree.get(tower, {}) for tree in arrays)
        model = ModelDef.of(build(config))
    else:
        layout, why = (layout, "") if layout else _fitting(config, arrays[0], known)
        if layout == programs.LAYOUT:
            programs.write(to, experiment, *arrays, known)
            lacks = write_card(to, experiment, source, layout, known, said)
            notes = (*((why,) if why else ()), *lacks)
            return Converted("StableHLO", to, param_count(arrays[0]), (), notes)
    params, buffers = (jax.tree.map(lambda x: x.astype(dtype), tree) for tree in arrays)
    export(to, layout, config, params, buffers, inputs=known)
    written = of_encoder(layout, to, config, params, buffers)
    lacks = write_card(to, experiment, source, layout, known, said)
    return dataclasses.replace(written, notes=(*_notes(config, params, known), *lacks))


def _fitting(config: Any, params: Any, known: inputs.Inputs) -> tuple[str, str]:
    """The first layout that holds a model whole, and why no published one does."""
    reasons = []
    for name in BLIP if isinstance(config, BlipConfig) else WHOLE:
        try:
            check_fits(name, config, params, known)
        except WeightsError as error:
            reasons.append(str(error))
        else:
            return name, ""
    return programs.LAYOUT, (
        f"no published layout can hold this model whole: {'; '.join(dict.fromkeys(reasons))}. It "
        "is written as programs that jax runs without this package (README.md there says how); its "
        "towers can be written alone with --tower and --layout"
    )


def _notes(config: Any, params: Mapping[str, Any], known: inputs.Inputs) -> tuple[str, ...]:
    """What the folder lacks: heads of local losses; of a tower alone, how images are prepared."""
    if not isinstance(config, CLIPConfig):
        why = inputs.unsaid(known, config.channels) if hasattr(config, "channels") else ""
        return (f"how images are prepared is not written: {why}",) if why else ()
    local = [name for name in LOCAL if name in params]
    if not local:
        return ()
    return (
        f"without {', '.join(local)}: the layout holds whole images and texts, so scores of "
        "regions and words are not in it",
    )


def _needed(layout: str, tower: str) -> str:
    if not layout:
        raise UserError(f"--tower={tower} needs --layout, one of {', '.join(FAMILIES)}")
    return layout


def check(converted: Converted) -> str:
    """Two lines: what was read beside its own library, and what was written beside its layout's.

    Raises:
      WeightsError: one differs by more than rounding.
    """
    lines = []
    if converted.source is not None:
        lines.append(compare(converted.source(), "source"))
    if converted.parts:
        lines.append(compare(converted.parts, "written"))
    return "\n".join(lines) or "not compared: no library reads this layout"
