import importlib.metadata
import os
import subprocess
import sys

import pytest

from medvlp_jax.core.presets import apply_cpu_preset, forward_options

FLAG = "--xla_cpu_experimental_ynn_fusion_type"


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.10.2")


@pytest.mark.usefixtures("clean")
def test_adds_to_the_flags_once():
    assert apply_cpu_preset()
    given = os.environ["XLA_FLAGS"]
    assert given.startswith("--xla_force_host_platform_device_count=8 ")
    assert given.count(FLAG) == 1
    assert not apply_cpu_preset()
    assert os.environ["XLA_FLAGS"] == given


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("name", "value"), [("JAX_PLATFORMS", "cuda"), ("XLA_FLAGS", f"{FLAG}=LIBRARY_FUSION_TYPE_DOT")]
)
def test_leaves_other_platforms_and_the_users_choice_alone(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    before = os.environ["XLA_FLAGS"]
    assert not apply_cpu_preset()
    assert os.environ["XLA_FLAGS"] == before


@pytest.mark.usefixtures("clean")
def test_unmeasured_jaxlib_runs_without(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.11.0")
    assert not apply_cpu_preset()


@pytest.mark.usefixtures("clean")
def test_forward_options_are_part_of_the_preset(monkeypatch):
    assert forward_options("cpu") is None  # no preset
    apply_cpu_preset()
    assert forward_options("cpu") == {FLAG.removeprefix("--"): "LIBRARY_FUSION_TYPE_REDUCE"}
    assert forward_options("gpu") is None
    monkeypatch.setenv("XLA_FLAGS", f"{FLAG}=LIBRARY_FUSION_TYPE_DOT")  # the user's choice
    assert forward_options("cpu") is None


def test_the_installed_jaxlib_takes_forward_options(tmp_path):
    program = (
        "import os; os.environ['XLA_FLAGS'] = ''\n"
        "from medvlp_jax.core.presets import apply_cpu_preset, forward_options\n"
        "apply_cpu_preset()\n"
        "import jax, jax.numpy as jnp\n"
        "x = jnp.ones((64, 512))\n"
        "for options in (None, forward_options('cpu')):\n"
        "    f = jax.jit(lambda x: x @ x.T, compiler_options=options).lower(x).compile()\n"
        "    print('ynn' in f.as_text(), float(f(x)[0, 0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "512.0", "False", "512.0"]


def test_the_installed_jaxlib_takes_it(tmp_path):
    """XLA ends the process when it meets an unknown flag or an unknown value."""
    program = (
        "import os; os.environ['XLA_FLAGS'] = ''\n"
        "from medvlp_jax.core.presets import apply_cpu_preset\n"
        "apply_cpu_preset()\n"
        "import jax, jax.numpy as jnp\n"
        "x, w = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))\n"
        "f = lambda w: jax.lax.conv_general_dilated(\n"
        "    x, w, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')).sum()\n"
        "print(float(jax.jit(f)(w)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == 4 * 4 * 22 * 22
