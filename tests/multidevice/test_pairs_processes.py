"""One process equals two (gloo), for every loss."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh

from . import pairs_process as program


@pytest.mark.multidevice
@pytest.mark.multiprocess
def test_two_processes_agree_with_one(devices, repo_root):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(repo_root), str(repo_root / "tests/helpers")]),
    }
    script = pathlib.Path(program.__file__)
    processes = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env=environment | {"JAX_PROCESS_ID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=500) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-2000:]
    found = [json.loads(out.splitlines()[-1]) for out, _ in outputs]

    mesh = make_mesh(MeshConfig(2, 2, 1), devices[:4])
    place = batch_sharding(mesh)
    for name, function in program.functions(mesh).items():
        (loss, _), slope = program.differentiate(function, *program.arguments(), place=place)
        for part in found:
            np.testing.assert_allclose(part[name]["loss"], loss, rtol=1e-6, err_msg=name)
            first, rows = part[name]["first_row"], np.array(part[name]["slope"])
            mine = np.asarray(slope)[first : first + len(rows)]
            np.testing.assert_allclose(rows, mine, rtol=1e-5, atol=1e-7, err_msg=name)
