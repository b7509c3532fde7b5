"""The mesh, and the golden of path -> PartitionSpec for the toy."""

import core_toy as toy
import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from medvlp_jax.core import sharding
from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.sharding import MeshConfig, make_mesh, spec
from medvlp_jax.core.step import abstract_state, shardings_of

pytestmark = pytest.mark.multidevice


def test_mesh_is_auto_and_takes_what_is_left(devices):
    mesh = make_mesh(MeshConfig(-1, 2, 2), devices)
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}
    assert set(mesh.axis_types) == {AxisType.Auto}
    assert sharding.batch_shards(mesh) == 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MeshConfig(-1, -1), "at most one is -1"),
        (MeshConfig(0), "positive"),
        (MeshConfig(-1, 16), "there are 8 devices; --config.mesh.fsdp=1 or 2 or 4 or 8 would"),
        (MeshConfig(-1, 4, 4), "tensor=1 or 2 or 4 or 8 would .their product must divide 8."),
        (MeshConfig(3), "--config.mesh.data=-1 would"),
        (
            MeshConfig(-1, 3),
            r"fsdp=3, .* there are 8 devices; --config.mesh.fsdp=1 or 2 or 4 or 8 would",
        ),
        (MeshConfig(2, 2, 1), "there are 8 devices; --config.mesh.data=-1 "),
    ],
)
def test_mesh_errors(devices, config, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(config, devices)


def test_spec_rules(devices):
    mesh = make_mesh(MeshConfig(2, 2, 2), devices)
    P = PartitionSpec
    assert spec(("embed", "mlp"), (16, 32), mesh) == P("fsdp", "tensor")
    assert spec(("embed", "mlp"), (3, 16, 32), mesh) == P(None, "fsdp", "tensor")  # stacked
    assert spec(("embed", "mlp"), (15, 32), mesh) == P(None, "tensor")  # 15 does not divide
    assert spec(("embed", "embed"), (16, 16), mesh) == P("fsdp")  # an axis is used once
    assert spec(("norm",), (16,), mesh) == P()
    assert spec((), (16, 16), mesh) == P()
    assert spec(("batch", None), (8, 5), mesh) == P(("data", "fsdp"))
    assert spec(("batch",), (6,), mesh) == P()
    assert spec(("embed",), (16,), make_mesh(MeshConfig(8), devices)) == P()  # fsdp of size 1


def test_spec_errors(devices):
    mesh = make_mesh(MeshConfig(8), devices)
    with pytest.raises(KeyError, match="'embde' is not in"):
        spec(("embde",), (16,), mesh)
    with pytest.raises(ValueError, match="2 axis names"):
        spec(("embed", "mlp"), (16,), mesh)


def test_golden_of_the_state(devices):
    """Moments and averages follow their parameters; counters are replicated."""
    mesh = make_mesh(MeshConfig(2, 2, 2), devices)
    model = toy.model_def()
    config = OptimConfig(ema_decay=0.9, skip_factor=5.0, freeze=("text/head",))
    optimizer = make_optimizer(config, model.abstract_params, model.logical_axes, 10)
    abstract = abstract_state(model, optimizer, mesh)
    text = sharding.describe(abstract, shardings_of(abstract))
    f32 = "float32"
    tower = {
        "blocks/bias": f"(3, 32) {f32} P()",
        "blocks/down": f"(3, 32, 16) {f32} P(None, 'tensor', 'fsdp')",
        "blocks/norm": f"(3, 16) {f32} P()",
        "blocks/up": f"(3, 16, 32) {f32} P(None, 'fsdp', 'tensor')",
        "head": f"(16, 8) {f32} P('fsdp',)",
        "position": f"(1, 16) {f32} P(None, 'fsdp')",
    }
    for group in ("params", "ema", "opt_state/chain/1/mu", "opt_state/chain/1/nu"):
        got = {
            path.removeprefix(f"{group}/vision/"): line
            for path, line in text.items()
            if path.startswith(f"{group}/vision/")
        }
        assert got == tower | {"embed": f"(12, 16) {f32} P(None, 'fsdp')"}
    assert text["frozen/text/head"] == tower["head"]
    assert not any("text/head" in p and not p.startswith("frozen") for p in text)
    counters = {"step", "opt_state/chain/1/count", "opt_state/skip/norms", "opt_state/skip/seen"}
    assert all(text[c].endswith(" P()") for c in counters)


def test_bytes_per_device_is_what_devices_hold(devices):
    mesh = make_mesh(MeshConfig(1, 4, 2), devices)
    model = toy.model_def()
    places = sharding.tree_shardings(model.abstract_params, model.logical_axes, mesh)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), model.abstract_params)
    params = jax.device_put(zeros, places)
    held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(params))
    assert sharding.bytes_per_device(model.abstract_params, places) == held


def test_constrain_needs_a_mesh_only_while_tracing(devices):
    x = np.ones((8, 4), np.float32)
    assert sharding.constrain(x, "batch") is x
    mesh = make_mesh(MeshConfig(4, 2), devices)

    def f(x):
        with sharding.use_mesh(mesh):
            return sharding.constrain(x * 2, "batch")

    assert jax.jit(f)(x).sharding.spec == PartitionSpec(("data", "fsdp"))
    assert sharding.current_mesh() is None


def test_global_batch_keeps_order_and_leaves_text_on_the_host(devices):
    mesh = make_mesh(MeshConfig(4, 2), devices)
    batch = {"x": np.arange(16), "m": np.ones((16, 2), bool), "id": np.array(["a"] * 16)}
    placed = distributed.make_global_batch(batch, sharding.batch_sharding(mesh))
    assert set(placed) == {"x", "m"}
    np.testing.assert_array_equal(placed["x"], batch["x"])
    assert placed["x"].addressable_shards[0].data.shape == (2,)


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2), (1, 1, 8)], ids=str)
def test_one_process_loads_everything(devices, shape):
    assert distributed.data_slice(make_mesh(MeshConfig(*shape), devices)) == (0, 1)
