"""The two compiled programs of generation: take prompts in, and go on for a while.

The state has a fixed number of rows. ``admit`` puts prompts into rows that are free; ``advance``
generates in all rows until enough of them are finished. Between two calls the host collects
finished texts and hands out the rows again.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, UInt32

from medvlp_jax.core import sharding
from medvlp_jax.core.fields import Count, Size
from medvlp_jax.core.state import ModelDef
from medvlp_jax.generation.text.sampling import Sampling, next_tokens
from medvlp_jax.models.lm.cached import (
    CACHE_AXES,
    Cache,
    abstract_cache,
    decode_step,
    insert,
    prefill,
)
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.decoder import build_lm


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """Sizes of the programs and the end of a text.

    Attributes:
      rows: texts that are written side by side.
      capacity: places of a row's cache: tokens of the prompt and of the text together.
      max_new_tokens: longest text; a request may ask for less.
      chunk: most tokens per row between two looks of the host, which finds stop strings only then.
      end_ids: tokens that end a text; they are not part of it.
      stop: strings that end a text; neither they nor what follows is part of it.
      sampling: how tokens are drawn.
    """

    rows: Size = 8
    capacity: Size = 1024
    max_new_tokens: Size = 256
    chunk: Size = 32
    end_ids: tuple[Count, ...] = ()
    stop: tuple[str, ...] = ()
    sampling: Sampling = dataclasses.field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if min(self.rows, self.max_new_tokens, self.chunk) < 1:
            raise ValueError("rows, max_new_tokens and chunk must be positive")
        if self.capacity <= self.max_new_tokens:
            raise ValueError(
                f"capacity={self.capacity} must be more than max_new_tokens={self.max_new_tokens}, "
                "so that a prompt fits in front of the text"
            )
        if "" in self.stop:
            raise ValueError("a stop string must not be empty")

    @property
    def penalized(self) -> bool:
        return self.sampling.repetition_penalty != 1


class State(NamedTuple):
    """All rows, finished and not.

    Attributes:
      seen: tokens of prompt and text, [b, vocab]; [b, 0] where nothing asks for them.
      tokens: the texts; what stands beyond ``count`` is meaningless.
      last, position: the newest token and its place, which the cache does not hold yet.
      limit: tokens after which a text ends.
      done: finished or never used.
    """

    cache: Cache
    seen: Bool[Array, "b vocab"]
    tokens: Int[Array, "b new"]
    count: Int[Array, " b"]
    last: Int[Array, " b"]
    position: Int[Array, " b"]
    limit: Int[Array, " b"]
    done: Bool[Array, " b"]
    keys: UInt32[Array, "b 2"]


class Prompts(NamedTuple):
    """Prompts for some rows; one whose row is ``config.rows`` fills up the shape."""

    ids: Int[Array, "p t"]
    lengths: Int[Array, " p"]
    rows: Int[Array, " p"]
    limits: Int[Array, " p"]
    keys: UInt32[Array, "p 2"]


def abstract_state(lm: LMConfig, config: GenerationConfig, mesh: Mesh) -> State:
    """Shapes and shardings: caches are split over rows and heads, what the host reads is whole.

    Raises:
      ValueError: the mesh does not divide the rows; they would be computed several times over.
    """
    b = config.rows
    shards = sharding.batch_shards(mesh)
    if b % shards:
        raise ValueError(f"rows={b} must be a multiple of the mesh's {shards} batch shards")

    def leaf(shape: tuple[int, ...], dtype: Any, *axes: str | None) -> Any:
        place = NamedSharding(mesh, sharding.spec(axes, shape, mesh) if axes else PartitionSpec())
        return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=place)

    cache = jax.tree.map(
        lambda x: leaf(x.shape, x.dtype, *CACHE_AXES), abstract_cache(lm, b, config.capacity)
    )
    return State(
        cache=cache,
        seen=leaf((b, lm.vocab if config.penalized else 0), bool, "batch", None),
        tokens=leaf((b, config.max_new_tokens), jnp.int32),
        count=leaf((b,), jnp.int32),
        last=leaf((b,), jnp.int32),
        position=leaf((b,), jnp.int32),
        limit=leaf((b,), jnp.int32),
        done=leaf((b,), bool),
        keys=leaf((b, 2), jnp.uint32),
    )


def empty_state(abstract: State) -> State:
    """All rows free, made in place on the devices."""

    def make() -> State:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), abstract)
        return zeros._replace(done=jnp.ones_like(zeros.done))

    return jax.jit(make, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))()


class Programs:
    """``admit`` and ``advance``, jitted for a model, a config and a mesh.

    ``admit(params, state, prompts)`` and ``advance(params, state, stopped, until)`` give
    ``(state, steps)``; the state they are given is donated.
    """

    def __init__(self, lm: LMConfig, config: GenerationConfig, mesh: Mesh):
        model_def = ModelDef.of(build_lm(lm))
        self.abstract = abstract_state(lm, config, mesh)
        places = jax.tree.map(lambda x: x.sharding, self.abstract)
        whole = sharding.replicated(mesh)

        def compiled(function: Any) -> Any:
            function = functools.partial(function, model_def, config, mesh)
            return jax.jit(function, donate_argnums=1, out_shardings=(places, whole))

        self.admit = compiled(_admit)
        self.advance = compiled(_advance)


def _admit(
    model_def: ModelDef,
    config: GenerationConfig,
    mesh: Mesh,
    params: Any,
    state: State,
    prompts: Prompts,
) -> tuple[State, Array]:
    """Reads prompts into their rows and draws the first token of each text; gives 0 steps."""
    with sharding.use_mesh(mesh):
        model = model_def.merge(params, {})
        logits, kv = prefill(model, prompts.ids, prompts.lengths, config.capacity)
        p, t = prompts.ids.shape
        seen = None
        if config.penalized:
            # A place behind the prompt's end names a token that does not exist, and is dropped.
            real = jnp.arange(t) < prompts.lengths[:, None]
            ids = jnp.where(real, prompts.ids, logits.shape[-1])
            seen = jnp.zeros(logits.shape, bool)
            seen = seen.at[jnp.arange(p)[:, None], ids].set(True, mode="drop")
        zero = jnp.zeros((p,), jnp.int32)
        tokens = next_tokens(logits, prompts.keys, zero, seen, config.sampling)

        def put(old: Array, new: Array) -> Array:
            return old.at[prompts.rows].set(new, mode="drop")

        ended = _is_end(tokens, config)
        new = state._replace(
            cache=insert(state.cache, kv, prompts.rows),
            tokens=state.tokens.at[prompts.rows, 0].set(tokens, mode="drop"),
            count=put(state.count, jnp.where(ended, 0, 1)),
            last=put(state.last, tokens),
            position=put(state.position, prompts.lengths),
            limit=put(state.limit, prompts.limits),
            done=put(state.done, ended | (prompts.limits <= 1)),
            keys=put(state.keys, prompts.keys),
        )
        if seen is not None:
            seen = seen.at[jnp.arange(p), tokens].set(True)
            new = new._replace(seen=put(state.seen, seen))
        return new, jnp.zeros((), jnp.int32)


def _advance(
    model_def: ModelDef,
    config: GenerationConfig,
    mesh: Mesh,
    params: Any,
    state: State,
    stopped: Bool[Array, " b"],
    until: Int[Array, ""],
) -> tuple[State, Array]:
    """Generates until ``until`` rows are done, all are, or a chunk is over; counts the steps.

    ``stopped`` are rows that the host found to be finished.
    """
    with sharding.use_mesh(mesh):
        model = model_def.merge(params, {})

        def goes_on(carry: tuple[Array, State]) -> Array:
            step, s = carry
            finished = jnp.sum(s.done)
            return (step < config.chunk) & (finished < jnp.minimum(until, config.rows))

        def one(carry: tuple[Array, State]) -> tuple[Array, State]:
            step, s = carry
            logits, cache = decode_step(model, s.last, s.position, s.cache)
            seen = s.seen if config.penalized else None
            tokens = next_tokens(logits, s.keys, s.count, seen, config.sampling)
            return step + 1, _accept(s._replace(cache=cache), tokens, config)

        state = state._replace(done=state.done | stopped)
        steps, state = jax.lax.while_loop(goes_on, one, (jnp.zeros((), jnp.int32), state))
        return state, steps


def _accept(s: State, tokens: Int[Array, " b"], config: GenerationConfig) -> State:
    """Adds the new tokens to the rows that are not done."""
    rows = jnp.arange(config.rows)
    ended = _is_end(tokens, config)
    grows = ~s.done & ~ended
    place = jnp.where(grows, s.count, config.max_new_tokens)  # out of range: dropped
    count = s.count + grows
    if config.penalized:
        s = s._replace(seen=s.seen.at[rows, tokens].set(s.seen[rows, tokens] | grows))
    return s._replace(
        tokens=s.tokens.at[rows, place].set(tokens, mode="drop"),
        count=count,
        last=jnp.where(s.done, s.last, tokens),
        # A row that is done stays where it is, so that it cannot run out of its cache.
        position=s.position + ~s.done,
        done=s.done | ended | (count >= s.limit),
    )


def _is_end(tokens: Int[Array, " b"], config: GenerationConfig) -> Bool[Array, " b"]:
    ended = jnp.zeros(tokens.shape, bool)
    for end in config.end_ids:
        ended = ended | (tokens == end)
    return ended
