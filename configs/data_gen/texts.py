"""Reports by a language model, from lists of findings or from the records of a data folder.

.venv/bin/python launch/sample.py --config=configs/data_gen/texts.py --out=samples/reports
    --config.records=data/phantom --config.writer.chat.model=path/to/model

``writer.chat.model`` is a folder as transformers saves it or a GGUF file. For a server:
``--config=configs/data_gen/texts.py:openai --config.writer.chat.url=http://localhost:8000/v1``;
``:transformers`` runs a folder on PyTorch, and ``:grammar`` needs no model at all.
"""

import ml_collections

from configs import common


def get_config(backend: str = "jax") -> ml_collections.ConfigDict:
    """``backend``: jax, openai, transformers or grammar."""
    common.choose("data_gen/texts.py", backend, ("jax", "openai", "transformers", "grammar"))
    chat = {
        "backend": backend,
        "model": "",
        "temperature": 0.7,
        "top_p": 0.95,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "max_new_tokens": 256,
        "seed": 0,
        "rows": 8,  # texts at a time; a multiple of the devices that split the batch
        "capacity": 1024,  # tokens of prompt and text together
    }
    if backend == "openai":
        chat |= {"url": "", "concurrency": 16, "timeout": 120.0, "attempts": 6, "cache": ""}
    grammar = backend == "grammar"
    writer = {"backend": "grammar", "seed": 0} if grammar else {"backend": "chat", "chat": chat}
    return ml_collections.ConfigDict(
        {
            "sampler": "texts",
            "prompts": "",  # a file with one prompt a line, or JSONL with prompt and id
            "entities": "",  # JSONL with entities (phrases), id, view
            "records": "",  # a data folder
            "split": "train",
            "limit": 0,  # at most so many; 0 takes all
            "writer": writer,
            "processes": 1,  # this one, on JAX's own device; 0 is one per CPU core
            "ray": {"workers": 0, "cpus": 1.0, "gpus": 0.0, "resources": {}},  # of a worker
        }
    )
