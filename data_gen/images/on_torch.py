"""Pictures by Stable Diffusion of diffusers on PyTorch: the ``diffusers`` back end."""

import importlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_gen.images.base import ImageMakerConfig, ImageRequest, model_fingerprint
from data_gen.phantom.base import Picture
from medvlp_jax.core.errors import UserError
from medvlp_jax.diffusion.sampler import Method

_SCHEDULERS: dict[Method, str] = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}


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
        """See :class:`data_gen.images.base.ImageMaker`.

        Seeds mean other noise than in the ``jax`` back end.
        """
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
