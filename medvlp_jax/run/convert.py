"""Published weights from one folder to another, our runs to published layouts, and the proof.

``launch/convert.py`` is flags and a call into this file.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.checkpoints import pretrained
from medvlp_jax.core.errors import UserError, one_net
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.core.state import ModelDef, param_count
from medvlp_jax.core.step import abstract_model
from medvlp_jax.data.texts.tokenizer import SAMPLE
from medvlp_jax.generation.images import stable_diffusion
from medvlp_jax.generation.images.text_to_image import TextToImage
from medvlp_jax.models.blip.blip import BlipConfig
from medvlp_jax.models.clip import CLIPConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.run import compact, programs
from medvlp_jax.run.build import Run
from medvlp_jax.run.comparison import Part, compare, forward, in_float32, source_parts
from medvlp_jax.run.config import stored_config
from medvlp_jax.run.model_card import NOTHING_SAID, Said, write_card
from medvlp_jax.tasks.images import PixelConfig
from medvlp_jax.weights import bare, inputs, lm
from medvlp_jax.weights.export import check_fits, export
from medvlp_jax.weights.families import FAMILIES, build
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.files import gguf, hub
from medvlp_jax.weights.fold import LOCAL
from medvlp_jax.weights.origin import library as origin
from medvlp_jax.weights.settings import read_json
from medvlp_jax.weights.source import Source, open_source, split_family

#: What lies beside weights and settings and is copied with them, next to a tokenizer.
COMPANIONS = ("preprocessor_config.json", "processor_config.json", "generation_config.json")
#: Layouts that are tried, in this order, for a run whose layout is not given.
WHOLE = ("clip", "siglip", "open_clip", "vision_text_dual_encoder")
BLIP = ("blip", "blip_authors")


@dataclasses.dataclass(frozen=True)
class Converted:
    """What :func:`convert` wrote.

    Attributes:
      kind: in words, for the line that is printed.
      parameters: how many.
      notes: what a reader of the folder should know; lines that are printed.
      source: what was read, for a comparison with its own library; None for a run of ours.
    """

    kind: str
    folder: pathlib.Path
    parameters: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    source: Callable[[], tuple[Part, ...]] | None = None


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
        return _language_model(folder, None, dtype)
    if _is_run(source):
        return _run(source, target, layout, tower, dtype, said)
    if said != NOTHING_SAID:
        raise UserError("--results and --licence are for the card of a run of ours; leave them out")
    family, source = split_family(source, family)
    path = hub.find(source)
    if (path / "model_index.json").is_file():
        return _stable_diffusion(path, target, dtype)
    settings = path / "config.json"
    kind = read_json(settings).get("model_type") if settings.is_file() and not family else None
    if isinstance(kind, str) and kind in lm.FAMILIES:
        return _language_model(path, target, dtype)
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
    _copy_companions(found.folder, to)
    written = _converted(layout, to, found.config, params, buffers)
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
    written = _converted(layout, to, config, params, buffers)
    lacks = write_card(to, experiment, source, layout, known, said)
    return dataclasses.replace(written, notes=(*_notes(config, params, known), *lacks))


def run_inputs(experiment: Run, texts: bool = True) -> inputs.Inputs:
    """How a run prepares images and, with ``texts``, texts, as its export says it."""
    data, text = experiment.config.data, experiment.model_config.text
    task: Any = experiment.task
    pixels: PixelConfig = task.config
    obstacle = ""
    if pixels.pixels == "image":
        obstacle = "it standardises the pixels of every image by themselves (task.pixels=image)"
    if pixels.upsample:
        obstacle = f"it enlarges images to {pixels.upsample} pixels (task.upsample)"
    images = inputs.Inputs(
        pixels=None if obstacle else inputs.Pixels(pixels.mean, pixels.std),
        obstacle=obstacle,
        resize=data.image.resize,
        interpolation="bicubic" if data.image.filter == "bicubic" else "bilinear",
    )
    if not texts:
        return images
    tokenizer = experiment.tokenizer()
    special, _ = tokenizer.encode("")
    ids, tail = tokenizer.encode(SAMPLE)
    folder = pathlib.Path(tokenizer.name)
    return dataclasses.replace(
        images,
        length=text.max_length if text.see_padding else data.text.max_len,
        start=special[0] if len(special) > 1 else None,
        end=ids[-1] if tail else None,
        pad=tokenizer.pad_id,
        tokenizer=folder if folder.is_dir() else None,
        text_id=_published_text(experiment),
        tokenizer_id="" if folder.is_dir() else tokenizer.name,
    )


def _published_text(experiment: Run) -> str:
    """Hub id whose settings describe the text tower; empty where there is none."""
    inits = experiment.config.init_towers
    name = inits.get("text") or inits.get("model", "")
    if not name:
        return ""
    try:
        source = open_source(name)
        text = source.tower("text").config
    except UserError:  # it is gone; the run does not need it any more
        return ""
    if text.max_length != experiment.model_config.text.max_length:
        return ""
    if "text" in inits:
        return inputs.hub_id(name, source.folder)
    return inputs.of_folder(source.folder, source.pixels).text_id


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


def _converted(layout: str, to: pathlib.Path, config: Any, params: Any, buffers: Any) -> Converted:
    vision, text = getattr(config, "vision", config), getattr(config, "text", config)

    single = ModelDef.of(build(in_float32(config)))

    def run(x: Mapping[str, np.ndarray]) -> dict[str, Any]:
        run = jax.jit(lambda p, b, x: forward(single.merge(p, b), x))
        if grey:
            x = {**x, "image": x["image"][..., :1]}
        return run(_single(params), _single(buffers), x)

    rng = np.random.default_rng(0)
    drawn: dict[str, np.ndarray] = {}
    # A whole model of grey images is written as one of colour images.
    grey = vision is not config and vision.channels == 1
    if hasattr(vision, "image_size"):
        size, channels = vision.image_size, vision.channels
        image = rng.normal(size=(2, size, size, channels)).astype(np.float32)
        drawn["image"] = np.repeat(image, 3, -1) if grey else image
    if hasattr(text, "vocab"):
        ids = rng.integers(3, text.vocab - 2, (2, min(16, text.max_length)))
        end = origin.end_of_text(to)
        ids[:, -1] = text.vocab - 1 if end is None or end >= text.vocab else end
        drawn["ids"] = ids
    part = Part(layout, to, drawn, run)
    return Converted(f"{layout} model", to, param_count(params), (part,))


def _single(tree: Any) -> Any:
    """What was written, as the origin library reads it for the comparison: in float32."""
    return jax.tree.map(lambda x: x.astype("float32"), tree)


def _language_model(path: pathlib.Path, to: pathlib.Path | None, dtype: str) -> Converted:
    """Reads a language model and, if ``to`` is given, writes it."""
    model = lm.load(path, dtype=dtype)
    if to is not None:
        kind = model.folder_config["model_type"]
        keys = ("eos_token_id", "bos_token_id", "pad_token_id")
        extra = {k: model.folder_config[k] for k in keys if k in model.folder_config}
        lm.save(to, model.config, model.params, model_type=kind, extra=extra)
        inputs.write_tokenizer(inputs.Inputs(tokenizer=path), to)
        _copy_companions(path, to)

    def run(x: Mapping[str, np.ndarray]) -> dict[str, Any]:
        single = ModelDef.of(build_lm(dataclasses.replace(model.config, dtype="float32")))
        logits = jax.jit(lambda p, ids: single.merge(p, {})(ids))
        return {"logits": logits(_single(model.params), x["ids"])}

    rng = np.random.default_rng(0)
    ids = rng.integers(0, model.config.vocab, (2, min(16, model.config.max_length)))
    part = Part("lm", to or path, {"ids": ids}, run)
    name = model.folder_config["model_type"]

    def source() -> tuple[Part, ...]:
        own = part if dtype == "float32" else _language_model(path, None, "float32").parts[0]
        return (dataclasses.replace(own, folder=path),)

    written = (part,) if to is not None else ()
    count = param_count(model.params)
    return Converted(f"{name} model", to or path, count, written, source=source)


def _stable_diffusion(path: pathlib.Path, to: pathlib.Path, dtype: str) -> Converted:
    folder = stable_diffusion.Folder.of(path)
    model = TextToImage(stable_diffusion.read_config(folder))
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    params = stable_diffusion.load_params(folder, model, mesh, dtype)
    tokenizer = stable_diffusion.load_tokenizer(folder.tokenizer)
    scheduler = stable_diffusion.read_scheduler(folder)
    stable_diffusion.save(to, model.config, params, tokenizer, scheduler)
    c, rng = model.config, np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    text = _converted("clip_text_model", to / "text_encoder", c.text, params["text"], {}).parts[0]
    unet = Part(
        "unet",
        to / "unet",
        {
            "latents": normal(2, 16, 16, c.unet.channels),
            "t": np.array([3, 700]),
            "context": normal(2, 8, c.text.width),
        },
        lambda x: {
            "noise": jax.jit(
                lambda p, z, t, e: model.unet.merge(p, {})(z, t.astype(np.float32), e)
            )(_single(params["unet"]), x["latents"], x["t"], x["context"])
        },
    )
    vae = Part(
        "vae",
        to / "vae",
        {"image": normal(1, 64, 64, 3), "latents": normal(1, 8, 8, c.vae.latent_channels)},
        lambda x: {
            # Ours scales latents for the UNet; diffusers leaves that to its pipeline.
            "mean": jax.jit(lambda p, y: model.vae.merge(p, {}).encode(y).mean / c.vae.scaling)(
                _single(params["vae"]), x["image"]
            ),
            "decoded": jax.jit(lambda p, z: model.vae.merge(p, {}).decode(z * c.vae.scaling))(
                _single(params["vae"]), x["latents"]
            ),
        },
    )
    parts = (text, unet, vae)
    if dtype != "float32":
        return Converted("Stable Diffusion", to, param_count(params), parts)
    read = tuple(dataclasses.replace(p, folder=path / p.folder.name) for p in parts)
    return Converted("Stable Diffusion", to, param_count(params), parts, source=lambda: read)


def _copy_companions(source: pathlib.Path, to: pathlib.Path) -> None:
    for name in COMPANIONS:
        if (source / name).is_file() and source.resolve() != to.resolve():
            shutil.copy(source / name, to / name)


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
