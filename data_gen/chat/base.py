"""Prompts to replies: the protocol of what runs or reaches a language model, and its settings."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import medvlp_jax
from medvlp_jax.core.fields import Count, Extent, NonNegative, Positive, Seed, Share, Size
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.data.store.manifest import fingerprint

#: ``{"role": "system" | "user" | "assistant", "content": text}``; a server with eyes also takes
#: OpenAI's list of parts as the content.
Message = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A conversation that wants an answer; its id decides about the random numbers."""

    id: str
    messages: tuple[Message, ...]


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
      text: what the model said; empty after an error.
      error: why there is none; one line.
      cut: the longest length ended the text, not the model.
    """

    id: str
    text: str
    error: str = ""
    cut: bool = False


class Chat(Protocol):
    """What answers prompts.

    Attributes:
      name: back end and model, for the record's provenance.
      fingerprint: equal for equal settings of what decides about the texts.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """One reply per prompt, in the order in which they are finished.

        Prompts are taken from the iterator as there is room for them. What goes wrong with one
        prompt is its reply's ``error``.

        Raises:
          UserError: nothing can be answered at all (a dead server, a prompt without room).
        """
        ...


@dataclasses.dataclass(frozen=True)
class ChatConfig:
    """Which back end, and its settings.

    Attributes:
      backend: ``jax``, a Llama or Qwen in JAX on all devices of this process, from a folder of
        safetensors or a GGUF file, no PyTorch; ``openai``, any server with OpenAI's chat interface
        (vLLM, SGLang, llama.cpp, a company's); ``transformers``, the same folder with PyTorch,
        which the extra ``torch`` installs.
      model: folder (or, for ``jax``, GGUF file) of the model; for ``openai`` its name there.
      temperature, top_p, top_k, repetition_penalty: see
        :class:`medvlp_jax.generation.text.sampling.Sampling`; a server is told the first two and,
        where they are not neutral, the others, which are extensions that vLLM and SGLang know.
      max_new_tokens: longest reply in tokens.
      stop: strings that end a reply.
      seed: another seed gives other replies.
      rows, capacity: replies at a time, and tokens of prompt and reply together (``jax``,
        ``transformers``).
      dtype: empty is bfloat16 on TPU and GPU, float32 elsewhere.
      storage: ``int8`` keeps the weights as int8 (``jax``).
      mesh: devices (``jax``).
      url: of the server, up to and including ``/v1``.
      key_variable: environment variable that holds the server's key, if it wants one. It is sent
        to ``url`` alone; no redirect is followed.
      concurrency: requests to the server at a time.
      timeout: seconds for one of them, from connecting to the last byte of the answer.
      max_bytes: of one answer; a longer one is a failed attempt.
      attempts: how often one is tried, with pauses that double from ``backoff`` seconds, or are as
        long as the server asks for.
      backoff: seconds of the first pause between attempts.
      patience: seconds for all attempts and pauses of one prompt together.
      cache: folder that keeps the server's answers, empty for none: nothing is asked twice.
    """

    backend: Literal["jax", "openai", "transformers"] = "jax"
    model: str = ""
    temperature: NonNegative = 0.7
    top_p: Share = 0.95
    top_k: Count = 0
    repetition_penalty: Positive = 1.0
    max_new_tokens: Size = 256
    stop: tuple[str, ...] = ()
    seed: Seed = 0
    rows: Size = 8
    capacity: Size = 1024
    dtype: Literal["", "float32", "bfloat16", "float16"] = ""
    storage: Literal["float", "int8"] = "float"
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    concurrency: Extent = 16
    timeout: Positive = 120.0
    max_bytes: Size = 1 << 20
    attempts: Size = 6
    backoff: NonNegative = 1.0
    patience: NonNegative = 1800.0
    cache: str = ""

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError(f"backend={self.backend!r} needs model")
        if (self.backend == "openai") != bool(self.url):
            raise ValueError("url belongs to backend='openai': give both or neither")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url={self.url!r} must begin with http:// or https://")
        if any(c in self.url for c in "@?#"):  # not shown: it may hold the key
            raise ValueError(
                "url must hold neither a name, a password nor a query; the key belongs into the "
                "environment variable that key_variable names"
            )
        positive = ("concurrency", "attempts", "rows", "max_new_tokens", "max_bytes")
        if min(getattr(self, name) for name in positive) < 1:
            raise ValueError(f"{', '.join(positive)} must be positive")
        if not (self.timeout > 0 and self.patience > 0 and 0 <= self.backoff < math.inf):
            raise ValueError("timeout and patience must be positive and backoff not negative")

    @property
    def fingerprint(self) -> str:
        """Of what decides about the texts: not of the machine, the server's address or its pace."""
        settings = json.loads(json.dumps(dataclasses.asdict(self)))
        for key in ("rows", "capacity", "mesh", "url", "key_variable", "concurrency", "timeout"):
            del settings[key]
        for key in ("attempts", "backoff", "cache", "max_bytes", "patience"):
            del settings[key]
        return fingerprint(medvlp_jax.__version__, settings)
