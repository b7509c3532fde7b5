"""Attention: values, restrictions, the choice of implementation, the TPU kernel interpreted."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from medvlp_jax.core import sharding
from medvlp_jax.core.sharding import MeshConfig, make_mesh, use_mesh
from medvlp_jax.models import attention as module
from medvlp_jax.models.attention import Segments, attention, choose


def inputs(b=2, t=9, s=9, h=2, d=8, dtype=jnp.float32, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = ((b, t, h, d), (b, s, h, d), (b, s, h, d))
    return [jax.random.normal(k, x).astype(dtype) for k, x in zip(keys, shapes, strict=True)]


def by_loops(q, k, v, allowed):
    """Float64, one row at a time; ``allowed`` is [b, t, s]."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    out = np.zeros_like(q)
    for b, t, h in np.ndindex(*q.shape[:3]):
        seen = np.flatnonzero(allowed[b, t])
        scores = k[b, seen, h] @ q[b, t, h] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        out[b, t, h] = weights @ v[b, seen, h] / weights.sum()
    return out


MASK = np.arange(9) < np.array([[9], [4]])
IDS = np.array([[1, 1, 1, 2, 2, 2, 2, 3, 3], [4, 4, 1, 1, 1, 1, 1, 1, 1]])
CAUSAL = np.tril(np.ones((9, 9), bool))[None].repeat(2, 0)
CASES = {
    "free": ({}, np.ones((2, 9, 9), bool)),
    "mask": ({"mask": MASK}, MASK[:, None].repeat(9, 1)),
    "causal": ({"causal": True}, CAUSAL),
    "segments": ({"segments": Segments(IDS, IDS)}, IDS[:, :, None] == IDS[:, None]),
    "all": (
        {"mask": np.ones((2, 9), bool), "segments": Segments(IDS, IDS), "causal": True},
        CAUSAL & (IDS[:, :, None] == IDS[:, None]),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("impl", ["xla", "splash"])
def test_values(case, impl):
    options, allowed = CASES[case]
    q, k, v = inputs()
    out = jax.jit(lambda q, k, v: attention(q, k, v, impl=impl, **options))(q, k, v)
    np.testing.assert_allclose(out, by_loops(q, k, v, allowed), rtol=0, atol=2e-6)


def test_more_keys_than_queries():
    q, k, v = inputs(t=1, s=9)
    out = attention(q, k, v, mask=MASK)
    np.testing.assert_allclose(out, by_loops(q, k, v, MASK[:, None]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("impl", ["xla", "splash"])
def test_a_row_without_keys_is_finite(impl):
    q, k, v = inputs()
    mask = MASK.copy()
    mask[1] = False

    def total(q, k, v):
        return attention(q, k, v, mask=mask, impl=impl).sum()

    value, gradients = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(q, k, v)
    assert all(np.isfinite(x).all() for x in (value, *gradients))


@pytest.mark.parametrize("causal", [False, True])
def test_splash_gradients_across_blocks(causal):
    """130 tokens pad to two blocks; gradients of the padding must not leak."""
    q, k, v = inputs(t=130, s=130, h=1)
    mask = np.arange(130) < np.array([[130], [77]])

    def loss(impl):
        def f(q, k, v):
            return jnp.sin(attention(q, k, v, mask=mask, causal=causal, impl=impl)).sum()

        return jax.jit(jax.value_and_grad(f, (0, 1, 2)))(q, k, v)

    for ours, reference in zip(
        jax.tree.leaves(loss("splash")), jax.tree.leaves(loss("xla")), strict=True
    ):
        np.testing.assert_allclose(ours, reference, rtol=2e-6, atol=2e-6)


@pytest.mark.multidevice
def test_splash_on_a_mesh(devices):
    """Rows over data, heads over tensor; every device runs the kernel on its own piece."""
    q, k, v = inputs(b=4, h=2)
    mask = np.arange(9) < np.array([[9], [4], [2], [9]])
    expected = attention(q, k, v, mask=mask, impl="xla")
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), devices)
    with use_mesh(mesh):
        out = jax.jit(lambda q, k, v: attention(q, k, v, mask=mask, impl="splash"))(q, k, v)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6)
    assert {s.data.shape for s in out.addressable_shards} == {(1, 9, 1, 8)}


def test_bfloat16_softmax_is_float32():
    q, k, v = inputs(dtype=jnp.bfloat16)
    text = str(jax.make_jaxpr(lambda q, k, v: attention(q, k, v, impl="xla"))(q, k, v))
    exponentials = [line for line in text.splitlines() if " exp " in line]
    assert exponentials
    assert all("f32" in line.split("=")[0] for line in exponentials)
    assert attention(q, k, v, impl="xla").dtype == jnp.bfloat16


BF16 = jnp.dtype("bfloat16")


@pytest.mark.parametrize(
    ("platform", "queries", "head_dim", "dtype", "expected"),
    [
        ("cpu", 1024, 64, BF16, "xla"),
        ("rocm", 1024, 64, BF16, "xla"),
        ("gpu", 197, 64, BF16, "cudnn"),
        ("gpu", 197, 64, jnp.dtype("float32"), "xla"),
        ("gpu", 197, 80, BF16, "cudnn"),
        ("gpu", 197, 20, BF16, "xla"),
        ("gpu", 197, 256, BF16, "xla"),
        ("gpu", 1, 64, BF16, "xla"),
        ("tpu", 197, 64, BF16, "xla"),
        ("tpu", 577, 64, BF16, "splash"),
        ("tpu", 1, 64, BF16, "xla"),
    ],
)
def test_choice(platform, queries, head_dim, dtype, expected):
    assert choose(platform, queries, max(queries, 197), head_dim, dtype) == expected


def test_the_mesh_names_the_platform(devices):
    assert module.target_platform() == "cpu"
    assert sharding.current_mesh() is None
    fake = types.SimpleNamespace(
        devices=np.array([types.SimpleNamespace(platform="tpu")], dtype=object), size=1
    )
    with use_mesh(fake):
        assert module.target_platform() == "tpu"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", [9, 8])
def test_cudnn_call(monkeypatch, case, length):
    """cuDNN itself needs a GPU: the call it would get is run by XLA and its shapes are checked."""
    options, allowed = CASES[case]
    options = dict(options)
    q, k, v = (x[:, :length] for x in inputs(dtype=jnp.bfloat16))
    if "mask" in options:
        options["mask"] = options["mask"][:, :length]
    if "segments" in options:
        options["segments"] = Segments(*(x[:, :length] for x in options["segments"]))
    real, calls = jax.nn.dot_product_attention, []

    def spy(q, k, v, *, mask=None, is_causal, implementation):
        calls.append((q, mask, implementation))
        return real(q, k, v, mask=mask, is_causal=is_causal, implementation="xla")

    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    out = attention(q, k, v, impl="cudnn", **options)
    (query, mask, implementation), *others = calls
    assert not others
    assert implementation == "cudnn"
    if mask is not None:
        # The backward kernel takes a mask only in full and only at even lengths.
        t = query.shape[1]
        assert t % 2 == 0
        assert mask.shape == (2, 1, t, t)
    expected = by_loops(q, k, v, allowed[:, :length, :length])
    np.testing.assert_allclose(out.astype(jnp.float32), expected, rtol=0, atol=0.03)


def test_errors():
    q, k, v = inputs(t=4)
    with pytest.raises(ValueError, match="as many queries as keys"):
        attention(q, k, v, causal=True)
    with pytest.raises(ValueError, match="do not fit together"):
        attention(q, k, v[:, :3])
    with pytest.raises(ValueError, match="bfloat16 or float16, not float32"):
        attention(q, k, v, impl="cudnn")
    with pytest.raises(ValueError, match="not one of auto, xla, cudnn, splash"):
        attention(q, k, v, impl="flash")


@pytest.mark.aot
@pytest.mark.parametrize(("length", "head_dim"), [(577, 64), (1024, 80)])
def test_the_tpu_kernel_compiles_for_a_tpu(tpu_devices, length, head_dim):
    """The real TPU compiler takes forward and backward, heads and rows split over four chips."""
    mesh = make_mesh(MeshConfig(data=2, tensor=2), tpu_devices)
    rows = sharding.batch_sharding(mesh)
    x = jax.ShapeDtypeStruct((4, length, 4, head_dim), jnp.bfloat16, sharding=rows)
    mask = jax.ShapeDtypeStruct((4, length), jnp.bool_, sharding=rows)

    def total(q, k, v, mask):
        return attention(q, k, v, mask=mask).astype(jnp.float32).sum()

    with use_mesh(mesh):
        compiled = jax.jit(jax.grad(total, (0, 1, 2))).lower(x, x, x, mask).compile()
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == 3
