import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from medvlp_jax.aot import hlo


@pytest.mark.multidevice
def test_collectives_inside_a_scan_count_once_per_trip(devices):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,), devices=devices)

    def program(x, w):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0].sum()

    x = jax.ShapeDtypeStruct(
        (16, 32), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("d"))
    )
    w = jax.ShapeDtypeStruct(
        (4, 32, 32), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(None, "d"))
    )
    compiled = jax.jit(jax.grad(program, argnums=1), out_shardings=w.sharding).lower(x, w).compile()
    moved = hlo.collective_bytes(compiled.as_text())
    # Forward and backward gather one 32x32 fp32 layer in each of the four trips.
    assert moved["all-gather"] == 2 * 4 * 32 * 32 * 4
    assert hlo.memory(compiled).arguments == 16 * 32 * 4 // 8 + 4 * 32 * 32 * 4 // 8


def test_async_and_tuple_results():
    text = """HloModule m

%fused (p: bf16[8]) -> bf16[16] {
  ROOT %g = bf16[16]{0:T(1024)} all-gather(%p), dimensions={0}
}

ENTRY %main (a: bf16[8], b: f32[4]) -> f32[4] {
  %s = (bf16[8]{0}, bf16[64]{0}) all-gather-start(%a), dimensions={0}
  %d = bf16[64]{0} all-gather-done(%s)
  %r = (f32[4]{0}, f32[2]{0}) all-reduce(%b, %c), to_apply=%add
  %f = bf16[16]{0} fusion(%a), kind=kOutput, calls=%fused
  ROOT %p = f32[4]{0} collective-permute(%b), source_target_pairs={{0,1}}
}
"""
    assert hlo.collective_bytes(text) == {
        "all-gather": 64 * 2 + 16 * 2,
        "all-reduce": 24,
        "collective-permute": 16,
    }


def test_loop_bound_stands_in_for_a_missing_trip_count():
    text = """HloModule m

%cond (p: (s32[], f32[8])) -> pred[] {
  %c = s32[]{:T(128)} constant(12), metadata={op_name="x"}
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %c), direction=LT
}

%start (p: f32[8]) -> f32[8] {
  %g = f32[8]{0} all-reduce(%p), channel_id=7, to_apply=%add
}

%done (p: f32[8]) -> f32[8] {
  %g2 = f32[8]{0} all-reduce(%p), channel_id=7, to_apply=%add
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = f32[8]{0} fusion(%x), kind=kCustom, calls=%start
  %b = f32[8]{0} fusion(%a), kind=kCustom, calls=%done
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %w = (s32[], f32[8]{0}) while(%t), condition=%cond, body=%body
}
"""
    assert hlo.collective_bytes(text) == {"all-reduce": 12 * 32}
