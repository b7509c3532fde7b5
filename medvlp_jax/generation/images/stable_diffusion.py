"""A Stable Diffusion 1.x or 2.x folder of diffusers, in and out, without PyTorch."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from medvlp_jax.core.errors import UserError
from medvlp_jax.core.sharding import MeshConfig, make_mesh
from medvlp_jax.diffusion.sampler import Method, SamplerConfig
from medvlp_jax.diffusion.scheduler_config import sampler_from, schedule_from, scheduler_config_to
from medvlp_jax.generation.images.text_to_image import (
    Generator,
    Params,
    TextToImage,
    TextToImageConfig,
)
from medvlp_jax.weights import loading, rows, saving
from medvlp_jax.weights.faults import Faults
from medvlp_jax.weights.files import hub
from medvlp_jax.weights.files.tensors import open_checkpoint
from medvlp_jax.weights.inputs import Inputs
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables import clip, stable_diffusion_unet, stable_diffusion_vae

_WEIGHTS = {
    "text": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
}


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where the parts lie.

    Attributes:
      root: with ``unet``, ``vae`` and ``scheduler``.
      text: with the text tower's files; ``<root>/text_encoder`` by default. Some releases keep a
        fine-tuned tower elsewhere.
      tokenizer: ``<root>/tokenizer`` by default.
    """

    root: pathlib.Path
    text: pathlib.Path
    tokenizer: pathlib.Path

    @classmethod
    def of(
        cls,
        root: str | os.PathLike[str],
        text: str | os.PathLike[str] | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
    ) -> "Folder":
        """Fills in the usual places.

        Args:
          root: a folder, or a hub id.
          text, tokenizer: see the class.

        Raises:
          UserError: there is no such model, or one of the sub-folders is missing.
        """
        root = hub.find(root)
        folder = cls(
            root,
            root / "text_encoder" if text is None else pathlib.Path(text),
            root / "tokenizer" if tokenizer is None else pathlib.Path(tokenizer),
        )
        places = [root / "unet", root / "vae", root / "scheduler", folder.text, folder.tokenizer]
        missing = [str(p) for p in places if not p.is_dir()]
        if missing:
            raise UserError(
                f"{root} is no folder of Stable Diffusion in the layout of diffusers: there is no "
                + ", ".join(missing)
            )
        return folder

    def place(self, part: str) -> pathlib.Path:
        """Of ``text``, ``unet`` or ``vae``."""
        return self.text if part == "text" else self.root / part


def read_config(folder: Folder) -> TextToImageConfig:
    """The parts' configs, from the JSON files of a folder.

    Raises:
      UserError: a file is missing, broken, or asks for what is not implemented.
    """
    try:
        return TextToImageConfig(
            name=folder.root.name,
            text=clip.text_config_from(_json(folder.text / "config.json")),
            unet=stable_diffusion_unet.config_from(_json(folder.root / "unet" / "config.json")),
            vae=stable_diffusion_vae.config_from(_json(folder.root / "vae" / "config.json")),
            schedule=schedule_from(read_scheduler(folder)),
        )
    except ValueError as error:
        raise UserError(f"{folder.root}: {error}") from error


def read_scheduler(folder: Folder) -> dict[str, Any]:
    """``scheduler_config.json`` of a folder."""
    return _json(folder.root / "scheduler" / "scheduler_config.json")


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error


def read_sampler(folder: Folder, method: Method, **changes: Any) -> SamplerConfig:
    """``method`` with the spacing and offset that the folder's scheduler asks for.

    Args:
      folder: the folder.
      method: the sampler; the one that the folder names is not binding.
      changes: other fields of :class:`SamplerConfig`.
    """
    return sampler_from(read_scheduler(folder), method, **changes)


def load_params(folder: Folder, model: TextToImage, mesh: Mesh, dtype: str = "float32") -> Params:
    """Reads the parameters of every part straight to the devices of ``mesh``.

    Raises:
      WeightsError: tensors are missing, left over or misshapen; all of them are listed.
    """
    abstract = model.abstract(mesh, dtype)
    loaded = {}
    for part in model.parts:
        place = folder.place(part)
        rows, rename = _rows(part, model.config, place)
        loaded[part], _ = loading.load(place, rows, abstract[part], dtype=dtype, rename=rename)
    return loaded


def _rows(
    part: str, config: TextToImageConfig, place: pathlib.Path | None = None
) -> tuple[tuple[Row, ...], rows.Rename]:
    if part == "text":
        return clip.text_table(config.text), clip.RENAME_TOWER
    if part == "unet":
        return stable_diffusion_unet.table(config.unet), ()
    pointwise = place is not None and _stores_convolutions(place)
    return stable_diffusion_vae.table(config.vae, pointwise), stable_diffusion_vae.RENAME


def _stores_convolutions(place: pathlib.Path) -> bool:
    # What is wrong with the files is for the load to say.
    tensors = open_checkpoint(place, Faults()).tensors
    names = stable_diffusion_vae.TELLTALES
    return any(len(tensors[name].shape) == 4 for name in names if name in tensors)


def load(
    path: str | os.PathLike[str],
    method: Method = "dpmpp_2m",
    *,
    text: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    dtype: str | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 8,
    negative: str = "",
    **sampler: Any,
) -> Generator:
    """A folder, ready to make images.

    Args:
      path: the folder, in the layout of diffusers, or a hub id.
      method: the sampler.
      text, tokenizer: other places of the text tower and its tokenizer.
      mesh: this process's devices by default, all of them splitting the batch.
      dtype: of parameters and arithmetic; bfloat16 on a TPU or GPU, float32 elsewhere by default.
      size: height and width in pixels; what the UNet was trained on by default.
      batch_size: images at a time.
      negative: the prompt to steer away from.
      sampler: other fields of :class:`SamplerConfig`: ``steps``, ``guidance``, ``rescale``, ...

    Raises:
      UserError: the folder cannot be used, or a setting does not fit it.
    """
    folder = Folder.of(path, text, tokenizer)
    mesh = make_mesh(MeshConfig(), jax.local_devices()) if mesh is None else mesh
    if dtype is None:
        accelerated = mesh.devices.flat[0].platform in ("tpu", "gpu")
        dtype = "bfloat16" if accelerated else "float32"
    model = TextToImage(read_config(folder).with_dtype(dtype))
    try:
        config = read_sampler(folder, method, **sampler)
        return Generator(
            model,
            load_params(folder, model, mesh, dtype),
            load_tokenizer(folder.tokenizer),
            mesh,
            config,
            size=size,
            batch_size=batch_size,
            negative=negative,
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def load_tokenizer(path: pathlib.Path) -> Any:
    """CLIP's tokenizer of a folder, old (vocab.json, merges.txt) or new (tokenizer.json) files.

    Raises:
      UserError: neither is there.
    """
    names = ("tokenizer.json", "vocab.json")
    if not any((path / name).is_file() for name in names):
        raise UserError(f"{path} has no tokenizer: neither {' nor '.join(names)} is there")
    import transformers

    return transformers.CLIPTokenizer.from_pretrained(str(path))


def save(
    path: str | os.PathLike[str],
    config: TextToImageConfig,
    params: Mapping[str, Any],
    tokenizer: Any,
    scheduler: Mapping[str, Any] | None = None,
) -> None:
    """Writes a folder that ``StableDiffusionPipeline.from_pretrained`` reads.

    Args:
      path: is made if need be.
      config: of the parts.
      params: of ``text``, ``unet`` and ``vae``.
      tokenizer: of ``transformers``; its end token is where texts are pooled.
      scheduler: ``scheduler_config.json`` of the folder that the weights come from; by default
        that of a DDIM scheduler on the model's schedule.
    """
    folder = pathlib.Path(path)
    ids = Inputs(
        start=tokenizer.bos_token_id, end=tokenizer.eos_token_id, pad=tokenizer.pad_token_id
    )
    configs = {
        "text": clip.text_config_to(config.text, ids),
        "unet": stable_diffusion_unet.config_to(config.unet),
        "vae": stable_diffusion_vae.config_to(config.vae),
    }
    for part, content in configs.items():
        place = folder / ("text_encoder" if part == "text" else part)
        rows, _ = _rows(part, config)
        saving.save(
            place, rows, params[part], configs={"config.json": content}, name=_WEIGHTS[part]
        )
    (folder / "scheduler").mkdir(exist_ok=True)
    scheduler = dict(scheduler or scheduler_config_to(config.schedule))
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", scheduler.get("_class_name", "DDIMScheduler")],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    _write_json(folder / "model_index.json", index)


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
