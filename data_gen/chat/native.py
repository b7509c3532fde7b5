"""Replies of a language model in JAX: the ``jax`` back end of :mod:`data_gen.chat.base`."""

import functools
import logging
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from data_gen.chat.base import ChatConfig, Message, Prompt, Reply
from medvlp_jax.core.errors import UserError, reason
from medvlp_jax.core.sharding import make_mesh
from medvlp_jax.generation.text.decoding import GenerationConfig
from medvlp_jax.generation.text.engine import Generator, Request
from medvlp_jax.generation.text.sampling import Sampling
from medvlp_jax.weights import lm
from medvlp_jax.weights.files import gguf

_log = logging.getLogger(__name__)


class JaxChat:
    """Runs a folder of safetensors, or a GGUF file, on all devices of this process."""

    def __init__(self, config: ChatConfig) -> None:
        self.config = c = config
        cpu = jax.devices()[0].platform == "cpu"
        dtype = c.dtype or ("float32" if cpu else "bfloat16")
        mesh = make_mesh(c.mesh)
        with tempfile.TemporaryDirectory() as temporary:
            folder: str | pathlib.Path = c.model
            if c.model.endswith(".gguf"):
                folder = gguf.to_folder(c.model, temporary)
            self.model = lm.load(
                folder,
                dtype=dtype,
                storage=c.storage,
                mesh=mesh,
                overrides=lm.CPU_DECODING[c.storage] if cpu else {},
            )
            self.tokenizer = load_tokenizer(folder)
        ends = {*self.model.end_ids, self.tokenizer.eos_token_id} - {None}
        generation = GenerationConfig(
            rows=c.rows,
            capacity=c.capacity,
            max_new_tokens=c.max_new_tokens,
            end_ids=tuple(sorted(ends)),
            stop=c.stop,
            sampling=Sampling(
                repetition_penalty=c.repetition_penalty,
                temperature=c.temperature,
                top_k=c.top_k,
                top_p=c.top_p,
                seed=c.seed,
            ),
        )
        try:
            self.generator = Generator(
                self.model.config, self.model.params, generation, mesh, decode=self._decode
            )
        except ValueError as error:
            raise UserError(f"writer.chat: {error}") from error

    @property
    def name(self) -> str:
        return f"jax:{pathlib.Path(self.config.model).stem}"

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """See :class:`data_gen.chat.base.Chat`; equal prompts get equal replies in any batch."""
        too_long: list[Reply] = []

        def requests() -> Iterator[Request]:
            for prompt in prompts:
                ids = encode(self.tokenizer, prompt.messages)
                room = self.config.capacity - self.config.max_new_tokens
                if len(ids) > room:
                    error = f"the prompt has {len(ids)} tokens and capacity leaves room for {room}"
                    too_long.append(Reply(prompt.id, "", error))
                else:
                    yield Request(prompt.id, ids)

        for done in self.generator(requests()):
            yield from _drain(too_long)
            yield Reply(done.id, done.text.strip(), cut=done.reason == "length")
        yield from _drain(too_long)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def _drain(replies: list[Reply]) -> Iterator[Reply]:
    while replies:
        yield replies.pop(0)


def load_tokenizer(folder: str | pathlib.Path) -> Any:
    """The tokenizer of ``transformers`` that lies in a model's folder.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds, with messages of many lines
        raise UserError(
            f"{folder} has no tokenizer that can be read ({reason(error)}); put tokenizer.json and "
            "tokenizer_config.json there"
        ) from error


def encode(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Ids of a conversation by the model's own template, ready for the answer.

    A model without a template (no chat model) gets the contents under each other. Where a template
    refuses a system message (Mistral, Gemma), its text leads the first turn of the user, which is
    said once.

    Raises:
      UserError: a content that is no text, a template that refuses the conversation all the same,
        or no ``jinja2``, in which templates are written.
    """
    if not all(isinstance(m["content"], str) for m in messages):
        raise UserError("this back end reads text only; use backend='openai' for images")
    if tokenizer.chat_template is None:
        text = "\n\n".join(m["content"] for m in messages) + "\n\n"
        return list(tokenizer(text)["input_ids"])
    given = [dict(m) for m in messages]
    try:
        text = _template(tokenizer, given)
    except UserError:
        merged = _without_system(given)
        if merged is None:
            raise
        text = _template(tokenizer, merged)
        _say_merged(str(getattr(tokenizer, "name_or_path", "")))
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _template(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except ImportError as error:
        raise UserError("chat templates need the package jinja2: pip install jinja2") from error
    except Exception as error:  # a template may raise what it likes
        raise UserError(
            f"the chat template of {getattr(tokenizer, 'name_or_path', 'the model')} refuses the "
            f"conversation ({reason(error)})"
        ) from error


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The conversation with the system's text in the first turn; None where that cannot be."""
    if [m["role"] for m in messages[:2]] != ["system", "user"]:
        return None
    first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [first, *messages[2:]]


@functools.cache
def _say_merged(model: str) -> None:
    _log.warning(
        "the chat template of %s has no system message: its text leads the first user message",
        model,
    )
