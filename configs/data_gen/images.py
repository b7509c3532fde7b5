"""Pictures of prompts or of a data folder's texts, by the phantom or by a diffusion model.

.venv/bin/python launch/sample.py --config=configs/data_gen/images.py --out=samples/mine
    --config.prompts=prompts.txt --config.maker.backend=jax --config.maker.model=weights/sd
    [--config.records=data/phantom --config.copies=4 --config.maker.steps=20 ...]

A line of the prompt file is a prompt; lines of a .jsonl file are objects with prompt and, if
wanted, id, seed and labels (which the phantom needs). The same command goes on where it stopped.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "sampler": "images",
            "prompts": "",  # a file of prompts, or
            "records": "",  # a data folder, whose texts are the prompts
            "split": "train",
            "sections": ("impression", "caption", "findings", "report"),  # the first there is
            "limit": 0,  # prompts; 0 takes all
            "copies": 1,  # pictures per prompt
            "seed": 0,
            "gray": False,  # store one channel
            "grid": 24,  # pictures on grid.png
            "maker": {
                "backend": "phantom",  # jax, or diffusers (PyTorch)
                "model": "",  # Stable Diffusion 1.x or 2.x in the layout of diffusers
                "text_encoder": "",  # folders elsewhere
                "tokenizer": "",
                "size": 0,  # pixels; 0 is what the model was trained on
                "method": "dpmpp_2m",  # ddpm, ddim, euler
                "steps": 20,
                "guidance": 4.0,
                "rescale": 0.0,
                "eta": 0.0,
                "negative": "",
                "batch_size": 8,
                "dtype": "",  # bfloat16 on TPU and GPU, float32 elsewhere
            },
            "processes": 1,  # this one, on JAX's own device; 0 is one per CPU core
            "ray": {"workers": 0, "cpus": 1.0, "gpus": 0.0, "resources": {}},  # of a worker
        }
    )
