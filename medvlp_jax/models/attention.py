"""Scaled dot-product attention: one function, three implementations chosen by device and shape.

- ``xla``: plain matrix products; runs everywhere, keeps the ``[b, h, t, s]`` scores in memory.
- ``cudnn``: the fused kernel of cuDNN on NVIDIA GPUs, 16-bit inputs only.
- ``splash``: the Pallas kernel on TPUs, memory linear in the sequence length. Sequences are padded
  to the kernel's blocks. Off a TPU it runs in Pallas' interpreter, which is for tests.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from medvlp_jax.core import sharding

Implementation = Literal["auto", "xla", "cudnn", "splash"]

#: Block edge of the TPU kernel: one vector register is 128 lanes wide.
LANES = 128
#: Below this length the score matrix is small and padding to whole blocks costs more than it saves.
MIN_SPLASH_LENGTH = 512
#: Score of a forbidden pair: finite, so that a row with no allowed key gives the mean and not NaN.
MASKED = -0.7 * float(jnp.finfo(jnp.float32).max)
#: Name of the outputs for ``jax.checkpoint`` policies.
SAVED_NAME = "attention"


class Segments(NamedTuple):
    """Token ids that may see each other: a query attends to the keys that carry its own id."""

    q: Int[Array, "b t"]
    kv: Int[Array, "b s"]


def attention(
    q_bthd: Float[Array, "b t h d"],
    k_bshd: Float[Array, "b s h d"],
    v_bshd: Float[Array, "b s h d"],
    *,
    mask: Bool[Array, "b s"] | None = None,
    segments: Segments | None = None,
    causal: bool = False,
    window: Int[Array, ""] | None = None,
    cap: float = 0.0,
    impl: Implementation = "auto",
) -> Float[Array, "b t h d"]:
    """``softmax(q kᵀ / √d) v`` per head, with the softmax in float32.

    Args:
      q_bthd: queries; the compute dtype is theirs.
      k_bshd: keys.
      v_bshd: values.
      mask: True for the keys that exist. A row without any such key gives finite values.
      segments: further restricts attention to equal ids (several texts packed in one row).
      causal: query ``i`` sees keys ``0..i``; needs ``t == s``.
      window: with ``causal``: query ``i`` sees keys after ``i - window`` alone; 0 is no window.
      cap: c of ``c * tanh(score / c)``, 0 without. Windows and caps are for ``xla`` alone.
      impl: ``auto`` follows :func:`choose`; a name forces that implementation.

    Returns:
      One mixture of values per query, in the dtype of ``q_bthd``.

    Raises:
      ValueError: shapes disagree, or ``impl`` cannot serve these inputs.
    """
    b, t, h, d = q_bthd.shape
    s = k_bshd.shape[1]
    if k_bshd.shape != (b, s, h, d) or v_bshd.shape != k_bshd.shape:
        raise ValueError(
            f"q {q_bthd.shape}, k {k_bshd.shape}, v {v_bshd.shape} do not fit together"
        )
    if causal and t != s:
        raise ValueError(f"causal attention needs as many queries as keys, not {t} and {s}")
    if window is not None or cap:
        if impl not in ("auto", "xla"):
            raise ValueError(f"attention implementation {impl!r} has no windows and no caps")
        impl = "xla"
    if impl == "auto":
        impl = choose(target_platform(), t, s, d, q_bthd.dtype)
    if impl == "xla":
        allowed = _allowed(t, mask, segments, causal, window)
        return checkpoint_name(_xla(q_bthd, k_bshd, v_bshd, allowed, cap), SAVED_NAME)
    if impl == "cudnn":
        reason = cudnn_obstacle(d, q_bthd.dtype)
        if reason:
            raise ValueError(f"attention implementation 'cudnn' cannot be used: {reason}")
        return checkpoint_name(_cudnn(q_bthd, k_bshd, v_bshd, mask, segments, causal), SAVED_NAME)
    if impl == "splash":
        return _splash(q_bthd, k_bshd, v_bshd, mask, segments, causal)
    raise ValueError(f"attention implementation {impl!r} is not one of auto, xla, cudnn, splash")


def choose(
    platform: str, queries: int, keys: int, head_dim: int, dtype: jnp.dtype
) -> Implementation:
    """The implementation that ``auto`` means for a platform (``cpu``, ``gpu``, ``tpu``, ...)."""
    if platform == "gpu" and queries > 1 and cudnn_obstacle(head_dim, dtype) is None:
        return "cudnn"
    if platform == "tpu" and min(queries, keys) >= MIN_SPLASH_LENGTH:
        return "splash"
    return "xla"


def cudnn_obstacle(head_dim: int, dtype: jnp.dtype) -> str | None:
    """Why cuDNN's fused attention refuses these inputs, or None."""
    if jnp.dtype(dtype) not in (jnp.dtype("bfloat16"), jnp.dtype("float16")):
        return f"it takes bfloat16 or float16, not {jnp.dtype(dtype).name}"
    if head_dim % 8 or head_dim > 128:
        return f"the head width must be a multiple of 8 up to 128, not {head_dim}"
    return None


def target_platform() -> str:
    """The platform that the code being traced will run on.

    The mesh decides, because ahead-of-time compilation traces on one platform for another.
    ROCm devices count as ``rocm``, since they have no cuDNN.
    """
    mesh = sharding.current_mesh()
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    if device.platform == "gpu" and "rocm" in getattr(device.client, "platform_version", ""):
        return "rocm"
    return device.platform


def _allowed(
    t: int,
    mask: Array | None,
    segments: Segments | None,
    causal: bool,
    window: Array | None = None,
) -> Bool[Array, "#b 1 #t s"] | None:
    """All restrictions as one boolean array that broadcasts to the scores."""
    allowed = None if mask is None else mask[:, None, None, :]
    if segments is not None:
        same = (segments.q[:, :, None] == segments.kv[:, None, :])[:, None]
        allowed = same if allowed is None else allowed & same
    if causal:
        lower = jnp.tril(jnp.ones((t, t), bool))[None, None]
        if window is not None:
            back = jnp.arange(t)[:, None] - jnp.arange(t)
            lower = lower & ((back < window) | (window == 0))
        allowed = lower if allowed is None else allowed & lower
    return allowed


def cap_scores(x: Float[Array, "..."], cap: float) -> Float[Array, "..."]:
    """``cap * tanh(x / cap)``, or ``x`` where ``cap`` is 0."""
    return cap * jnp.tanh(x / cap) if cap else x


def _xla(
    q: Array,
    k: Array,
    v: Array,
    allowed: Array | None,
    cap: float,
) -> Array:
    # Batch and heads lead, so that both products are plain batched matrix products; scaling the
    # queries touches t·d numbers where scaling the scores would touch t·s.
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q * q.shape[-1] ** -0.5, k, v))
    scores = jnp.einsum("bhtd,bhsd->bhts", q, k, preferred_element_type=jnp.float32)
    scores = cap_scores(scores, cap)
    if allowed is not None:
        scores = jnp.where(allowed, scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum("bhts,bhsd->bhtd", weights, v).transpose(0, 2, 1, 3)


def _cudnn(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    segments: Segments | None,
    causal: bool,
) -> Array:
    b, t, _, _ = q.shape
    s = k.shape[1]
    if mask is None and segments is None:
        return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation="cudnn")
    # With a mask the backward kernel takes even lengths only.
    if mask is None:
        mask = jnp.ones((b, s), bool)
    q, k, v = (_pad(x, 2) for x in (q, k, v))
    mask = _pad(mask, 2)
    if segments is not None:
        segments = Segments(_pad(segments.q, 2), _pad(segments.kv, 2))
    allowed = _allowed(q.shape[1], mask, segments, causal=False)
    assert allowed is not None
    allowed = jnp.broadcast_to(allowed, (b, 1, q.shape[1], k.shape[1]))
    out = jax.nn.dot_product_attention(
        q, k, v, mask=allowed, is_causal=causal, implementation="cudnn"
    )
    return out[:, :t]


def _splash(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    segments: Segments | None,
    causal: bool,
) -> Array:
    b, t, _, d = q.shape
    s = k.shape[1]
    q, k, v = (_pad(x, LANES) for x in (q * d**-0.5, k, v))
    restricted = mask is not None or segments is not None
    if restricted or k.shape[1] != s:
        # Ids are shifted by one: 0 marks the keys that nobody sees. Padded queries have id 0 too,
        # see only such keys, and are cut off below.
        q_ids = jnp.ones((b, t), jnp.int32) if segments is None else segments.q + 1
        kv_ids = jnp.ones((b, s), jnp.int32) if segments is None else segments.kv + 1
        if mask is not None:
            kv_ids = jnp.where(mask, kv_ids, 0)
        segments = Segments(_pad(q_ids, LANES), _pad(kv_ids, LANES))
    kernel = functools.partial(_splash_local, causal=causal, interpret=target_platform() != "tpu")
    mesh = sharding.current_mesh()
    if mesh is None or mesh.size == 1:
        return kernel(q, k, v, segments)[:, :t]
    # A Pallas call is opaque to the partitioner, so each device gets its rows and heads by hand.
    specs = sharding.spec(("batch", None, "heads", None), q.shape, mesh)
    id_spec = sharding.spec(("batch", None), q.shape[:2], mesh)
    kernel = jax.shard_map(
        kernel,
        mesh=mesh,
        in_specs=(specs, specs, specs, jax.tree.map(lambda _: id_spec, segments)),
        out_specs=specs,
        check_vma=False,
    )
    return kernel(q, k, v, segments)[:, :t]


def _splash_local(
    q: Array, k: Array, v: Array, segments: Segments | None, *, causal: bool, interpret: bool
) -> Array:
    """The Pallas kernel on one device's whole rows and heads; lengths are multiples of LANES."""
    # Imported here: Pallas' TPU part takes a second to load and most programs never need it.
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    t, s, h = q.shape[1], k.shape[1], q.shape[2]
    mask = splash.CausalMask((t, s)) if causal else splash.FullMask((t, s))
    block_q, block_kv = _block(t), _block(s)
    run = splash.make_splash_mha_single_device(
        splash.MultiHeadMask([mask] * h),
        block_sizes=splash.BlockSizes(
            block_q=block_q,
            block_kv=block_kv,
            block_kv_compute=block_kv,
            block_q_dkv=block_q,
            block_kv_dkv=block_kv,
            block_kv_dkv_compute=block_kv,
            block_q_dq=block_q,
            block_kv_dq=block_kv,
        ),
        mask_value=MASKED,
        # Names the output and the log-sum-exp, so that a policy can spare the whole kernel.
        residual_checkpoint_name=SAVED_NAME,
        interpret=interpret,
    )
    ids = None if segments is None else splash.SegmentIds(q=segments.q, kv=segments.kv)
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    out: Any = jax.vmap(run)(q, k, v, ids)
    return out.transpose(0, 2, 1, 3)


def _block(length: int) -> int:
    """The largest kernel block, up to 512, that divides a padded length."""
    return next(size for size in (512, 384, 256, LANES) if length % size == 0)


def _pad(x: Array, multiple: int) -> Array:
    """Zeros (False) at the end of axis 1 up to a multiple."""
    missing = -x.shape[1] % multiple
    if not missing:
        return x
    return jnp.pad(x, [(0, missing if axis == 1 else 0) for axis in range(x.ndim)])
