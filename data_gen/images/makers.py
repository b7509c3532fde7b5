"""Pictures from prompts: one protocol, three back ends.

- ``phantom``: the procedural renderer (:mod:`data_gen.images.phantom`). It reads no prose: it draws
  the findings that a request lists, or that its labels name. Needs no weights.
- ``jax``: Stable Diffusion in JAX, on TPU, GPU or CPU, from a folder in the layout of diffusers.
- ``diffusers``: the same folder with PyTorch, which the extra ``torch`` installs.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from jaxtyping import UInt8

import medvlp_jax
from data_gen.phantom.chest_xray.findings import Finding, Study
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.fields import AtLeastOne, ExtentOrNone, Fraction, NonNegative, Size
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.diffusion.sampler import Method

if TYPE_CHECKING:
    from data_gen.phantom.chest_xray.picture.render import PhantomBox  # brings JAX along

Picture = UInt8[np.ndarray, "y x"] | UInt8[np.ndarray, "y x 3"]

_SCHEDULERS: dict[Method, str] = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}


@dataclasses.dataclass(frozen=True)
class ImageRequest:
    """One picture to be made.

    Attributes:
      id: for messages and file names.
      prompt: what the picture shows, in words.
      seed: 0 to 2³²-1; with prompt and labels it decides the picture.
      labels: lower-case finding -> 1 there, 0 not there, -1 uncertain; as in a record.
      findings: what is to be seen in detail, for a back end that draws; None: see the labels.
    """

    id: str
    prompt: str
    seed: int
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a back end that draws knows about its picture.

    Attributes:
      study: the patient, the film and the findings.
      boxes: of the findings, in fractions of the picture.
      masks: ``"left lung"``, ``"heart"``, ``"finding 0"``, ... -> uint8 [y, x] of 0 and 1.
    """

    study: Study
    boxes: tuple["PhantomBox", ...]
    masks: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture, and the truth about it where there is any."""

    picture: Picture
    truth: Truth | None = None


class ImageMaker(Protocol):
    """What makes pictures of requests.

    Attributes:
      name: back end and model, for the record's provenance.
      fingerprint: equal for equal pictures of equal requests.
      batch_size: how many requests are best handed over at a time.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def batch_size(self) -> int: ...

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """One picture per request, in order; each depends on its request alone.

        Raises:
          UserError: a request that this back end cannot serve; the message names it.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ImageMakerConfig:
    """Which back end, and its settings.

    Attributes:
      backend: see the module.
      model: folder of the diffusion model, or a hub id (``jax`` only).
      text_encoder, tokenizer: folders elsewhere, if the model's own are not to be used.
      size: side in pixels; 0 is what the model was trained on, and 512 for ``phantom``.
      method, steps, guidance, rescale, eta: of the sampler
        (:class:`medvlp_jax.diffusion.sampler.SamplerConfig`).
      negative: the prompt to steer away from.
      batch_size: pictures at a time.
      dtype: of the diffusion model; empty is bfloat16 on TPU and GPU, float32 elsewhere.
    """

    backend: Literal["phantom", "jax", "diffusers"] = "phantom"
    model: str = ""
    text_encoder: str = ""
    tokenizer: str = ""
    size: ExtentOrNone = 0
    method: Method = "dpmpp_2m"
    steps: Size = 20
    guidance: AtLeastOne = 4.0
    rescale: Fraction = 0.0
    eta: NonNegative = 0.0
    negative: str = ""
    batch_size: Size = 8
    dtype: Literal["", "float32", "bfloat16", "float16"] = ""

    def __post_init__(self) -> None:
        if self.backend == "phantom" and self.model:
            raise ValueError(f"model={self.model!r}: backend='phantom' has none; use 'jax'")
        if self.backend != "phantom" and not self.model:
            raise ValueError(f"backend={self.backend!r} needs model: a Stable Diffusion folder")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")
        if self.size < 0:
            raise ValueError(f"size={self.size} must be a side in pixels, or 0")


def make_maker(config: ImageMakerConfig) -> ImageMaker:
    """The back end of a config, loaded.

    Raises:
      UserError: the model cannot be loaded, or PyTorch is not installed.
    """
    if config.backend == "phantom":
        from data_gen.images.phantom import PhantomMaker

        return PhantomMaker(config.size or 512, config.batch_size)
    return JaxMaker(config) if config.backend == "jax" else DiffusersMaker(config)


def draw(maker: ImageMaker, requests: Sequence[ImageRequest]) -> list[Drawing]:
    """One drawing per request, in order: :meth:`ImageMaker.make` with the truth, if there is any.

    Raises:
      UserError: a request that the back end cannot serve.
    """
    from data_gen.images.phantom import PhantomMaker

    if isinstance(maker, PhantomMaker):
        return maker.draw(requests)
    return [Drawing(picture) for picture in maker.make(requests)]


def maker_fingerprint(config: ImageMakerConfig) -> str:
    """Equal for equal pictures, without loading the model.

    Where ``size`` or ``dtype`` are left to the model and the machine, they enter as such.
    """
    if config.backend == "phantom":
        return make_maker(config).fingerprint
    return model_fingerprint(config, config.size, config.dtype)


class JaxMaker:
    """Stable Diffusion in JAX on all devices of this process."""

    def __init__(self, config: ImageMakerConfig):
        from medvlp_jax.generation.images import stable_diffusion

        self.config = config
        self._generator = stable_diffusion.load(
            config.model,
            config.method,
            text=config.text_encoder or None,
            tokenizer=config.tokenizer or None,
            dtype=config.dtype or None,
            size=(config.size, config.size) if config.size else None,
            batch_size=config.batch_size,
            negative=config.negative,
            **_sampler_fields(config),
        )
        self.batch_size = self._generator.batch_size

    @property
    def name(self) -> str:
        return f"jax:{pathlib.Path(self.config.model).name}"

    @property
    def fingerprint(self) -> str:
        dtype = self._generator.model.config.unet.dtype
        return model_fingerprint(self.config, self._generator.size[0], dtype)

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """See :class:`ImageMaker`."""
        return list(self._generator([r.prompt for r in requests], [r.seed for r in requests]))


class DiffusersMaker:
    """Stable Diffusion of diffusers on PyTorch, on a GPU if there is one."""

    def __init__(self, config: ImageMakerConfig):
        try:
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise UserError(
                "backend='diffusers' needs PyTorch: EXTRAS=torch bash launch/setup.sh (or "
                "backend='jax', which needs none)"
            ) from error
        diffusers: Any = importlib.import_module("diffusers")
        torch = self._torch
        self.config = config
        self.batch_size = config.batch_size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._dtype = config.dtype or ("bfloat16" if self._device == "cuda" else "float32")
        try:
            pipe = diffusers.StableDiffusionPipeline.from_pretrained(
                config.model,
                dtype=getattr(torch, self._dtype),
                safety_checker=None,
                requires_safety_checker=False,
                **self._replaced(),
            )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"diffusers cannot load {config.model}: {reason}") from error
        scheduler = getattr(diffusers, _SCHEDULERS[config.method])
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config, clip_sample=False)
        pipe.set_progress_bar_config(disable=True)
        self._pipe: Any = pipe.to(self._device)

    def _replaced(self) -> dict[str, Any]:
        import transformers

        parts: dict[str, Any] = {}
        if self.config.text_encoder:
            parts["text_encoder"] = transformers.CLIPTextModel.from_pretrained(
                self.config.text_encoder, dtype=getattr(self._torch, self._dtype)
            )
        if self.config.tokenizer:
            parts["tokenizer"] = transformers.CLIPTokenizer.from_pretrained(self.config.tokenizer)
        return parts

    @property
    def name(self) -> str:
        return f"diffusers:{pathlib.Path(self.config.model).name}"

    @property
    def fingerprint(self) -> str:
        return model_fingerprint(self.config, self.config.size, self._dtype)

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """See :class:`ImageMaker`. Seeds mean other noise than in the ``jax`` back end."""
        c = self.config
        more = {"height": c.size, "width": c.size} if c.size else {}
        made = self._pipe(
            [r.prompt for r in requests],
            negative_prompt=[c.negative] * len(requests),
            num_inference_steps=c.steps,
            guidance_scale=c.guidance,
            guidance_rescale=c.rescale,
            eta=c.eta,
            generator=[self._torch.Generator().manual_seed(r.seed) for r in requests],
            output_type="np",
            **more,
        ).images
        return list((made * 255).round().astype(np.uint8))


def _sampler_fields(config: ImageMakerConfig) -> dict[str, Any]:
    names = ("steps", "guidance", "rescale", "eta")
    return {name: getattr(config, name) for name in names}


def model_fingerprint(config: ImageMakerConfig, size: int, dtype: str) -> str:
    """Equal for equal pictures: of the settings, and of the model's files by name and size."""
    settings = dataclasses.asdict(config) | {"size": size, "dtype": dtype}
    # A picture depends neither on where the model lies nor on what is made beside it.
    for name in ("model", "text_encoder", "tokenizer", "batch_size"):
        del settings[name]
    settings["files"] = [
        _files_digest(place)
        for place in (config.model, config.text_encoder, config.tokenizer)
        if place
    ]
    return fingerprint(medvlp_jax.__version__, settings)


def _files_digest(place: str | os.PathLike[str]) -> str:
    """Of the names and sizes of a model's files and the contents of its JSON files."""
    root = pathlib.Path(place)
    if not root.is_dir():
        return str(place)  # a hub id
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".safetensors", ".json")):
        digest.update(json.dumps([str(path.relative_to(root)), path.stat().st_size]).encode())
        if path.suffix == ".json":
            digest.update(path.read_bytes())
    return digest.hexdigest()
