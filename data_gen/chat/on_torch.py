"""Replies of a model on PyTorch: the ``transformers`` back end of :mod:`data_gen.chat.base`."""

import importlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_gen.chat.base import ChatConfig, Prompt, Reply
from data_gen.chat.native import encode, load_tokenizer
from medvlp_jax.core.errors import UserError
from medvlp_jax.generation.text.sampling import row_key


class TransformersChat:
    """Runs a folder with PyTorch, on a GPU if there is one, in plain batches.

    A random reply depends on the batch that its prompt is in; greedy ones do not.
    """

    def __init__(self, config: ChatConfig) -> None:
        try:
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise UserError(
                "backend='transformers' needs PyTorch: EXTRAS=torch bash launch/setup.sh (or "
                "backend='jax', which needs none)"
            ) from error
        import transformers

        self.config = config
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        dtype = config.dtype or ("bfloat16" if self._device == "cuda" else "float32")
        try:
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                config.model,
                dtype=getattr(self._torch, dtype),
                local_files_only=True,
                trust_remote_code=False,
            )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"transformers cannot load {config.model}: {reason}") from error
        self._model: Any = model.to(self._device).eval()
        self.tokenizer = load_tokenizer(config.model)

    @property
    def name(self) -> str:
        return f"transformers:{pathlib.Path(self.config.model).name}"

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """See :class:`data_gen.chat.base.Chat`."""
        queue = iter(prompts)
        while some := list(itertools.islice(queue, self.config.rows)):
            yield from self._batch(some)

    def _batch(self, prompts: Sequence[Prompt]) -> Iterator[Reply]:
        c, torch = self.config, self._torch
        encoded = [encode(self.tokenizer, p.messages) for p in prompts]
        room = c.capacity - c.max_new_tokens
        length = max(len(ids) for ids in encoded)
        if length > room:
            raise UserError(f"a prompt has {length} tokens and capacity leaves room for {room}")
        ids = torch.zeros((len(encoded), length), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, some in enumerate(encoded):
            ids[row, length - len(some) :] = torch.tensor(some)
            mask[row, length - len(some) :] = 1
        drawn = {"temperature": c.temperature, "top_p": c.top_p, "top_k": c.top_k}
        torch.manual_seed(int(row_key(c.seed, prompts[0].id)[0]))
        pad = self.tokenizer.pad_token_id
        made = self._model.generate(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            max_new_tokens=c.max_new_tokens,
            repetition_penalty=c.repetition_penalty,
            do_sample=c.temperature > 0,
            pad_token_id=self.tokenizer.eos_token_id if pad is None else pad,
            **(drawn if c.temperature > 0 else {}),
        )
        for prompt, new in zip(prompts, made[:, length:].tolist(), strict=True):
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            ends = [text.find(stop) for stop in c.stop if stop in text]
            ended = bool(ends) or self.tokenizer.eos_token_id in new
            yield Reply(prompt.id, text[: min(ends, default=None)].strip(), cut=not ended)
