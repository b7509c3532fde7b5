"""The optimizer: an optax chain, a learning rate that is a function of the step, and guards.

The learning rate is read from the step that the training state stores, never from a counter of
its own, so that a skipped update or a changed schedule cannot put the two out of step.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.fields import (
    AboveOne,
    Count,
    Decay,
    Fraction,
    NonNegative,
    Pattern,
    Positive,
    Share,
    Size,
)
from medvlp_jax.core.groups import Groups
from medvlp_jax.core.state import flatten, partition

Tree = Any
Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """What ``config.optim`` may say. Patterns are regular expressions matched from the start of a
    parameter path such as ``vision/blocks/mlp_in/kernel``.

    Attributes:
      name: ``adamw``; ``adam``; ``sgd`` with momentum.
      lr: peak learning rate.
      schedule: ``cosine`` to ``final_lr_fraction``; ``constant``; ``cooldown`` (constant, then
        linear over the last ``cooldown_steps``; warm-up-stable-decay, Hu et al. 2024,
        arXiv:2404.06395); ``rsqrt`` (Zhai et al. 2022, arXiv:2106.04560: lr / sqrt(1 + s / t)
        with the time scale t = ``rsqrt_timescale``, with the same optional cooldown).
      warmup_steps: steps over which the learning rate rises from 0 to ``lr``.
      cooldown_steps: steps of the linear descent at the end of ``cooldown`` and ``rsqrt``.
      final_lr_fraction: of ``lr``, where the schedule ends.
      rsqrt_timescale: steps; see ``schedule``.
      b1: decay of the first moment (Adam).
      b2: decay of the second moment (Adam).
      eps: added to the root of the second moment (Adam).
      momentum: of ``sgd``.
      mu_dtype: type in which the first moment is kept.
      weight_decay: decoupled for ``adamw`` and multiplied by the learning rate; for ``adam`` and
        ``sgd`` the L2 term added to the gradient. Both as PyTorch, and so most recipes, mean it.
      no_decay: patterns that are never decayed, besides vectors, norms, biases and positions.
      clip_norm: the global gradient norm is clipped to it; ``None`` turns it off.
      lr_multipliers: pattern -> factor; the first pattern that matches wins.
      layer_decay: factor per layer, counted from the last layer down (Clark et al. 2020,
        arXiv:2003.10555, as in BEiT); needs stacked blocks. 1 turns it off.
      layer_decay_stem: patterns of what lies in front of the blocks, decayed once more.
      freeze: patterns of parameters that are not trained and have no moments.
      hold: pattern -> steps from the start during which what it matches does not move; its moments
        run on, so that it starts smoothly.
      unit_norm: patterns of tables whose rows are scaled back to length one after every update.
      skip_factor: an update is skipped (and counted) if the gradient norm is not finite or is
        above this many times the median of the last ``skip_window`` norms; ``None`` never skips.
      skip_window: gradient norms that ``skip_factor`` takes the median of.
      ema_decay: decay of the exponential moving average of the parameters; 0 keeps none.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: NonNegative = 1e-3
    schedule: Literal["cosine", "constant", "cooldown", "rsqrt"] = "cosine"
    warmup_steps: Count = 0
    cooldown_steps: Count = 0
    final_lr_fraction: Fraction = 0.0
    rsqrt_timescale: Size = 10_000
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-8
    momentum: Decay = 0.9
    mu_dtype: Literal["float32", "bfloat16"] = "float32"
    weight_decay: NonNegative = 0.0
    no_decay: tuple[Pattern, ...] = ()
    clip_norm: Positive | None = 1.0
    lr_multipliers: dict[Pattern, NonNegative] = dataclasses.field(default_factory=dict)
    layer_decay: Share = 1.0
    layer_decay_stem: tuple[Pattern, ...] = (r".*(embed|position|class_token|patch|token)",)
    freeze: tuple[Pattern, ...] = ()
    hold: dict[Pattern, Count] = dataclasses.field(default_factory=dict)
    unit_norm: tuple[Pattern, ...] = ()
    skip_factor: AboveOne | None = None
    skip_window: Size = 64
    ema_decay: Decay = 0.0

    def __post_init__(self) -> None:
        if self.schedule == "cooldown" and self.cooldown_steps == 0:
            raise ValueError("schedule='cooldown' needs cooldown_steps")


def make_schedule(config: OptimConfig, total_steps: int) -> Schedule:
    """The learning rate as a pure function of the number of steps already done.

    Warm-up is linear and reaches the peak after ``warmup_steps``: step 0 uses lr / warmup_steps.
    """
    warmup, cooldown = config.warmup_steps, config.cooldown_steps
    if warmup + cooldown > total_steps:
        raise ConfigError(
            f"optim.warmup_steps={warmup} + optim.cooldown_steps={cooldown} are more than the "
            f"{total_steps} steps of the run"
        )
    floor = config.final_lr_fraction

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        s = jnp.asarray(step, jnp.float32)
        after = jnp.maximum(s - warmup, 0.0)
        factor = jnp.float32(1.0)
        if config.schedule == "cosine":
            done = jnp.clip(after / max(total_steps - warmup, 1), 0.0, 1.0)
            factor = floor + (1 - floor) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        elif config.schedule == "rsqrt":
            factor = jax.lax.rsqrt(1 + after / config.rsqrt_timescale)
        if config.schedule in ("cooldown", "rsqrt") and cooldown:
            left = jnp.clip((total_steps - s) / cooldown, 0.0, 1.0)
            factor = factor * (floor + (1 - floor) * left)
        if warmup:
            factor = factor * jnp.minimum((s + 1) / warmup, 1.0)
        return config.lr * factor

    return schedule


class SkipState(NamedTuple):
    """Memory of the spike guard."""

    norms: Float[Array, " window"]  # the last finite gradient norms, oldest overwritten first
    seen: Int[Array, ""]  # finite norms written so far
    skipped: Int[Array, ""]  # updates skipped so far


class OptState(NamedTuple):
    """State of :class:`Optimizer`."""

    chain: Any  # the optax chain's own state
    skip: SkipState | None


class UpdateInfo(NamedTuple):
    """What one update did; scalars for the log."""

    lr: Float[Array, ""]
    grad_norm: Float[Array, ""]  # before clipping
    update_norm: Float[Array, ""]
    skip: Bool[Array, ""]  # True: parameters, moments and averages must stay as they were


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optax chain with the run's schedule, multipliers and spike guard; see ``make_optimizer``.

    Attributes:
      multipliers: per parameter a scalar, or a vector along the stacked layer axis that broadcasts
        against the parameter.
      held: per parameter the steps during which it does not move.
      unit: per parameter whether its rows have length one.
    """

    config: OptimConfig
    chain: optax.GradientTransformation
    schedule: Schedule
    multipliers: Tree
    held: Tree
    unit: Tree

    def split(self, params: Tree) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parts a model's parameters into (trained, frozen)."""
        return partition(params, self.config.freeze)

    def init(self, params: Tree) -> OptState:
        """State for the trained parameters."""
        skip = None
        if self.config.skip_factor is not None:
            skip = SkipState(
                norms=jnp.full((self.config.skip_window,), jnp.nan, jnp.float32),
                seen=jnp.zeros((), jnp.int32),
                skipped=jnp.zeros((), jnp.int32),
            )
        return OptState(self.chain.init(params), skip)

    def update(
        self, grads: Tree, state: OptState, params: Tree, step: Int[Array, ""]
    ) -> tuple[Tree, OptState, UpdateInfo]:
        """New parameters; on a skipped update the old ones, bit for bit.

        Args:
          grads: gradients of the trained parameters, fp32.
          step: optimizer steps done before this one.
        """
        lr = self.schedule(step)
        grad_norm = optax.tree.norm(grads)
        directions, chain = self.chain.update(grads, state.chain, params)

        def scaled(direction: jax.Array, multiplier: Any, held: int) -> jax.Array:
            update = -lr * jnp.asarray(multiplier, jnp.float32) * direction
            return jnp.where(step >= held, update, 0.0) if held else update

        def moved(param: jax.Array, update: jax.Array, unit: bool, held: int) -> jax.Array:
            new = (param + update).astype(param.dtype)
            if not unit:
                return new
            new = new / jnp.linalg.norm(new, axis=-1, keepdims=True)
            return jnp.where(step >= held, new, param)  # held is held to the last bit

        updates = jax.tree.map(scaled, directions, self.multipliers, self.held)
        new_params = jax.tree.map(moved, params, updates, self.unit, self.held)
        info = UpdateInfo(lr, grad_norm, optax.tree.norm(updates), jnp.zeros((), bool))
        if state.skip is None:
            return new_params, OptState(chain, None), info
        skip, skip_state = _judge(grad_norm, state.skip, self.config)
        info = info._replace(skip=skip, update_norm=jnp.where(skip, 0.0, info.update_norm))
        new_params = keep_if(skip, params, new_params)
        chain = keep_if(skip, state.chain, chain)
        return new_params, OptState(chain, skip_state), info


def keep_if(condition: Bool[Array, ""], old: Tree, new: Tree) -> Tree:
    """``old`` where ``condition`` holds, else ``new``."""
    return jax.tree.map(lambda o, n: jnp.where(condition, o, n), old, new)


def _judge(
    norm: Float[Array, ""], state: SkipState, config: OptimConfig
) -> tuple[Bool[Array, ""], SkipState]:
    """Decides whether to skip, and remembers the norm.

    Norms of skipped updates are remembered too: after a lasting change of scale half a window
    moves the median, and training goes on instead of skipping for ever.
    """
    assert config.skip_factor is not None
    finite = jnp.isfinite(norm)
    # Half a window of history first, because early norms fall steeply.
    known = state.seen >= config.skip_window // 2
    spike = known & (norm > config.skip_factor * jnp.nanmedian(state.norms))
    skip = ~finite | spike
    at = state.seen % config.skip_window
    return skip, SkipState(
        norms=jnp.where(finite, state.norms.at[at].set(norm), state.norms),
        seen=state.seen + finite,
        skipped=state.skipped + skip,
    )


def make_optimizer(
    config: OptimConfig, abstract_params: Tree, logical_axes: Tree, total_steps: int
) -> Optimizer:
    """Builds the optimizer for a model.

    Args:
      abstract_params: all parameters of the model (``ModelDef.abstract_params``); those that
        ``config.freeze`` matches are left out.
      logical_axes: ``ModelDef.logical_axes``; tells how many axes one layer has.
      total_steps: length of the run, in optimizer steps.

    Raises:
      ConfigError: a schedule longer than the run, a pattern that matches nothing, or nothing left
        to train.
      ValueError: a parameter without logical axes.
    """
    trained, _ = partition(abstract_params, config.freeze, "config.optim.freeze")
    if not flatten(trained):
        raise ConfigError("optim.freeze matches every parameter: nothing is left to train")
    groups = Groups(abstract_params, trained, logical_axes)
    decay = groups.decay_mask(config.no_decay)
    steps = []
    if config.clip_norm is not None:
        steps.append(optax.clip_by_global_norm(config.clip_norm))
    if config.name != "adamw" and config.weight_decay:
        steps.append(optax.add_decayed_weights(config.weight_decay, mask=decay))
    if config.name == "sgd":
        steps.append(optax.trace(config.momentum, accumulator_dtype=config.mu_dtype))
    else:
        steps.append(
            optax.scale_by_adam(config.b1, config.b2, config.eps, mu_dtype=config.mu_dtype)
        )
    if config.name == "adamw" and config.weight_decay:
        steps.append(optax.add_decayed_weights(config.weight_decay, mask=decay))
    return Optimizer(
        config=config,
        chain=optax.chain(*steps),
        schedule=make_schedule(config, total_steps),
        multipliers=groups.lr_factors(
            config.lr_multipliers, config.layer_decay, config.layer_decay_stem
        ),
        held=groups.values(config.hold, 0, "optim.hold"),
        unit=groups.values(dict.fromkeys(config.unit_norm, True), False, "optim.unit_norm"),
    )


def average(ema: Tree, params: Tree, decay: float, step: Int[Array, ""]) -> Tree:
    """Exponential moving average with a warm-up: decay_t = min(decay, (1 + t) / (10 + t)).

    Without the warm-up the random start would weigh in for 1 / (1 - decay) steps.
    """
    t = jnp.asarray(step, jnp.float32)
    d = jnp.minimum(decay, (1 + t) / (10 + t))
    return jax.tree.map(lambda e, p: e + (1 - d) * (p - e), ema, params)
