"""Pictures from prompts: the protocol of what makes them, and its settings."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import medvlp_jax
from data_gen.phantom.base import Finding, Picture, Truth
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from medvlp_jax.core.fields import AtLeastOne, ExtentOrNone, Fraction, NonNegative, Size
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.diffusion.sampler import Method


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


@runtime_checkable
class Draws(Protocol):
    """An image maker that knows the truth about what it makes."""

    def draw(self, requests: Sequence[ImageRequest]) -> list[Drawing]:
        """The pictures of :meth:`ImageMaker.make` with their truth."""
        ...


@dataclasses.dataclass(frozen=True)
class ImageMakerConfig:
    """Which back end, and its settings.

    Attributes:
      backend: ``phantom``, the procedural renderer, which needs no weights and reads no prose: it
        draws the findings that a request lists, or that its labels name; ``jax``, Stable Diffusion
        in JAX, on TPU, GPU or CPU, from a folder in the layout of diffusers; ``diffusers``, the
        same folder with PyTorch, which the extra ``torch`` installs.
      model: folder of the diffusion model, or a hub id (``jax`` only).
      text_encoder, tokenizer: folders elsewhere, if the model's own are not to be used.
      size: side in pixels; 0 is what the model was trained on, and 512 for ``phantom``.
      method, steps, guidance, rescale, eta: of the sampler
        (:class:`medvlp_jax.diffusion.sampler.SamplerConfig`).
      negative: the prompt to steer away from.
      batch_size: pictures at a time.
      dtype: of the diffusion model; empty is bfloat16 on TPU and GPU, float32 elsewhere.
      modality: what ``phantom`` draws, a key of :data:`data_gen.phantom.registry.PHANTOMS`.
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
    modality: str = DEFAULT

    def __post_init__(self) -> None:
        if self.backend == "phantom" and self.model:
            raise ValueError(f"model={self.model!r}: backend='phantom' has none; use 'jax'")
        if self.backend != "phantom" and not self.model:
            raise ValueError(f"backend={self.backend!r} needs model: a Stable Diffusion folder")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")
        if self.size < 0:
            raise ValueError(f"size={self.size} must be a side in pixels, or 0")
        find_phantom(self.modality)

    @property
    def sampler(self) -> dict[str, Any]:
        """How the model is sampled, beside its method."""
        return {name: getattr(self, name) for name in ("steps", "guidance", "rescale", "eta")}


def draw(maker: ImageMaker, requests: Sequence[ImageRequest]) -> list[Drawing]:
    """One drawing per request, in order: :meth:`ImageMaker.make` with the truth, if there is any.

    Raises:
      UserError: a request that the back end cannot serve.
    """
    if isinstance(maker, Draws):
        return maker.draw(requests)
    return [Drawing(picture) for picture in maker.make(requests)]


def model_fingerprint(config: ImageMakerConfig, size: int, dtype: str) -> str:
    """Equal for equal pictures: of the settings, and of the model's files by name and size."""
    settings = without_default(dataclasses.asdict(config)) | {"size": size, "dtype": dtype}
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
