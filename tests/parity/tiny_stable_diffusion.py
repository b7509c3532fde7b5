"""Tiny random Stable Diffusion pipelines of diffusers, 1.x and 2.1, and what they make.

Weights are drawn so that every term matters: freshly initialised networks have zero biases, which
would hide a missing one. They are rounded to half precision, the type that they are stored in.
"""

# pyright: reportMissingImports=false
import json
import pathlib
import tempfile
from typing import Any

import diffusers
import numpy as np
import tokenizers
import torch
import transformers

diffusers.utils.logging.disable_progress_bar()
diffusers.utils.logging.set_verbosity_error()

VERSIONS = ("sd1", "sd2")
PROMPTS = ("a large right effusion", "no acute disease", "pneumothorax")
SIDE = 16  # pixels of the square images
GUIDANCE = 4.0
#: Scheduler of diffusers and steps, by our name of the method.
METHODS = {
    "ddim": (diffusers.DDIMScheduler, 50),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, 20),
    "euler": (diffusers.EulerDiscreteScheduler, 20),
}


def randomise(model: Any, seed: int) -> Any:
    """Matrices of order 1/sqrt(fan-in), norms about one, biases off zero, all exact in float16."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, x in model.named_parameters():
            noise = torch.randn(x.shape, generator=g)
            if x.ndim >= 2:
                fan_in = 4 if "embedding.weight" in name else x[0].numel()
                x.copy_(noise * fan_in**-0.5)
            elif "norm" in name and name.endswith("weight"):
                x.copy_(1 + 0.1 * noise)
            else:
                x.copy_(0.1 * noise)
            x.copy_(x.half().float())
    return model.eval()


def unet(version: str, widths=(8, 16), layers: int = 1, groups: int = 4, context: int = 16) -> Any:
    """``UNet2DConditionModel`` in the layout of a version; the lowest level does not attend."""
    lower = len(widths) - 1
    model = diffusers.UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=widths,
        layers_per_block=layers,
        cross_attention_dim=context,
        norm_num_groups=groups,
        attention_head_dim=2 if version == "sd1" else [2 ** (i + 1) for i in range(len(widths))],
        use_linear_projection=version == "sd2",
        upcast_attention=version == "sd2",
        down_block_types=["CrossAttnDownBlock2D"] * lower + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * lower,
    )
    return randomise(model, 1)


def vae(widths=(8, 16), layers: int = 1, groups: int = 4) -> Any:
    """``AutoencoderKL``."""
    model = diffusers.AutoencoderKL(
        sample_size=SIDE,
        block_out_channels=widths,
        layers_per_block=layers,
        norm_num_groups=groups,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
    )
    return randomise(model, 2)


def text(version: str, width: int = 16) -> Any:
    """``CLIPTextModel``."""
    config = transformers.CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513 if version == "sd1" else 0,
        hidden_act="quick_gelu" if version == "sd1" else "gelu",
    )
    return randomise(transformers.CLIPTextModel(config), 3)


def tokenizer(version: str) -> Any:
    """CLIP's tokenizer over single bytes; version 2 pads with "!" as the release does."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    pad = "<|endoftext|>" if version == "sd1" else "!"
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], pad_token=pad, model_max_length=77)


def pipeline(version: str) -> Any:
    """The whole; 2.1 predicts the velocity."""
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon" if version == "sd1" else "v_prediction",
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
        timestep_spacing="leading",
    )
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text(version),
        tokenizer=tokenizer(version),
        unet=unet(version),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def saved(version: str, folder: pathlib.Path) -> Any:
    """Saves a pipeline in half precision; returns what diffusers then reads, in float32."""
    pipeline(version).to(torch.float16).save_pretrained(folder)
    # As in the published files; a DDIM scheduler made from them would clip latents without it.
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "clip_sample": False}, indent=2))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def images(pipe: Any, method: str, noise: np.ndarray) -> np.ndarray:
    """uint8 images [b, y, x, 3] of :data:`PROMPTS` from the latents ``noise`` [b, h, w, 4]."""
    scheduler, steps = METHODS[method]
    before = pipe.scheduler
    pipe.scheduler = scheduler.from_config(before.config)
    out = pipe(
        list(PROMPTS),
        height=SIDE,
        width=SIDE,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        latents=torch.from_numpy(noise.transpose(0, 3, 1, 2).copy()),
        output_type="np",
    ).images
    pipe.scheduler = before
    return (out * 255).round().astype(np.uint8)


def fixture(version: str, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Saves the pipeline to ``folder``; inputs and outputs of its parts and of the whole."""
    pipe = saved(version, folder)
    rng = np.random.default_rng(4)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    first = lambda x: torch.from_numpy(x.transpose(0, 3, 1, 2).copy())  # noqa: E731
    last = lambda x: x.numpy().transpose(0, 2, 3, 1).copy()  # noqa: E731
    latents, context, image = draw(3, 6, 10, 4), draw(3, 5, 16), draw(2, 8, 12, 3)
    t = np.array([981, 1, 500], np.int64)
    ids = pipe.tokenizer(
        [*PROMPTS, ""], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        moments = pipe.vae.encode(first(image)).latent_dist
        case = {
            "in/latents": latents,
            "in/t": t,
            "in/context": context,
            "in/image": image,
            "in/noise": draw(len(PROMPTS), SIDE // 2, SIDE // 2, 4),
            "out/ids": ids.numpy(),
            "out/text": pipe.text_encoder(ids).last_hidden_state.numpy(),
            "out/unet": last(pipe.unet(first(latents), torch.from_numpy(t),
                                       torch.from_numpy(context)).sample),
            "out/mean": last(moments.mean),
            "out/std": last(moments.std),
            "out/decoded": last(pipe.vae.decode(first(latents)).sample),
        }  # fmt: skip
        for method in METHODS:
            case[f"out/{method}"] = images(pipe, method, case["in/noise"])
    return case


def main() -> None:
    """Writes ``fixtures/sd1``, ``fixtures/sd2`` and their ``.npz``."""
    fixtures = pathlib.Path(__file__).parent / "fixtures"
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as scratch:
            case = fixture(version, pathlib.Path(scratch) / "sd")
            target = fixtures / version
            for path in sorted(pathlib.Path(scratch).rglob("*")):
                if path.is_file():
                    new = target / path.relative_to(pathlib.Path(scratch) / "sd")
                    new.parent.mkdir(parents=True, exist_ok=True)
                    new.write_bytes(path.read_bytes())
        np.savez_compressed(fixtures / f"{version}.npz", **case)
        size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
        print(f"{version}: {size / 1024:.0f} KiB of files")
        for method in METHODS:
            pixels = case[f"out/{method}"]
            print(f"  {method}: mean {pixels.mean():.0f}, std {pixels.std():.0f}")


if __name__ == "__main__":
    main()
