"""A small training program for the tests that start, stop and kill one.

``python core_run.py WORKDIR --steps N ...``: what a launch script does, with the toy model.
"""

import argparse
import contextlib
import faulthandler
import os
import pathlib
import signal
import sys
import time
import types

import core_toy as toy
import jax
import numpy as np

from medvlp_jax.core import sharding
from medvlp_jax.core.checkpoints.checkpoint import CheckpointConfig, Checkpointer
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.loop import LoopConfig, fit
from medvlp_jax.core.metrics import MetricWriter
from medvlp_jax.core.optim import OptimConfig, make_optimizer
from medvlp_jax.core.predict import Predictor
from medvlp_jax.core.processes import distributed, preemption
from medvlp_jax.core.processes.lock import LockError, workdir_lock
from medvlp_jax.core.profiling import Profiler
from medvlp_jax.core.step import abstract_state, init_state, make_train_step

BATCH = 16


def batches(mesh, start, host_hook=lambda step: None):
    """The data of a run: a function of the step; each process loads its slice."""
    index, count = distributed.data_slice(mesh)
    rows, place = BATCH // count, sharding.batch_sharding(mesh)
    step = start
    while True:
        host_hook(step)
        batch = toy.batch_of(step, BATCH)
        batch = {k: v[index * rows : (index + 1) * rows] for k, v in batch.items()}
        step += 1
        yield distributed.make_global_batch(batch, place), {"id": batch["id"]}, {"next": step}


def evaluator(predictor):
    """A number that changes if a row is lost, moved or repeated."""
    index, count = distributed.data_slice(predictor.mesh)
    rows = BATCH // count
    image = toy.batch_of(0, BATCH)["image"][index * rows : (index + 1) * rows]
    embedded = predictor("image_embed", {"image": image})
    weights = np.arange(BATCH)[:, None] / BATCH
    return types.SimpleNamespace(metrics={"sum": float(np.sum(embedded * weights))})


def train(workdir, loop, *, mesh_config=None, devices=None, config=None, host_hook=None, **extra):
    """Opens, restores, trains, closes; returns the FitResult."""
    mesh = sharding.make_mesh(mesh_config or sharding.MeshConfig(), devices)
    model_def, task = toy.model_def(), toy.Contrastive(noise=0.1)
    config = config or OptimConfig(lr=1e-3, weight_decay=0.1, warmup_steps=2, ema_decay=0.9)
    optimizer = make_optimizer(
        config, model_def.abstract_params, model_def.logical_axes, max(loop.steps, 100)
    )
    step = make_train_step(model_def, task, optimizer, mesh)
    checkpoints = extra.pop("checkpoints", CheckpointConfig())
    checkpointer = Checkpointer(workdir, checkpoints, {"optim": {"lr": config.lr}})
    restored = checkpointer.restore_latest(abstract_state(model_def, optimizer, mesh))
    state = (
        restored.state if restored else init_state(model_def, optimizer, jax.random.key(0), mesh)
    )
    first = restored.data["next"] if restored else 0
    if restored:
        print(f"restored step {restored.step}", flush=True)
    with MetricWriter(workdir, start_step=restored.step if restored else 0) as writer:
        result = fit(
            state,
            train_step=step,
            batches=batches(mesh, first, host_hook or (lambda step: None)),
            key=jax.random.key(1),
            config=loop,
            checkpointer=checkpointer,
            writer=writer,
            profiler=Profiler(workdir, loop.profile),
            restored=restored,
            predictor=Predictor(model_def, task.predict, mesh),
            evaluators={"toy": evaluator},
            **extra,
        )
    checkpointer.close()
    return result


def wait_for_checkpoint(workdir):
    """Until the first checkpoint has its final name; it gets that by a rename."""
    deadline = time.monotonic() + 60
    while not any(p.name.isdigit() for p in (workdir / "checkpoints").glob("*")):
        assert time.monotonic() < deadline, "no checkpoint within a minute"
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir", nargs="+")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--save_every", type=int, default=4)
    parser.add_argument("--signal", choices=["SIGKILL", "SIGTERM"])
    parser.add_argument(
        "--at", type=int, default=-1, help="signal in front of this batch, of the last run"
    )
    parser.add_argument("--mesh", default="-1,1,1")
    args = parser.parse_args()
    distributed.initialize()

    def hook(step):
        if not args.signal or workdir != args.workdir[-1]:
            return
        if step == args.at and distributed.is_main():
            if args.signal == "SIGKILL":
                # A checkpoint is written in the background: without one on disk, a restart would
                # begin at 0 and restore nothing.
                wait_for_checkpoint(pathlib.Path(workdir))
            os.kill(os.getpid(), getattr(signal, args.signal))
        if step > args.at and jax.process_count() > 1:
            time.sleep(1.0)  # the preemption service looks once a second

    mesh = sharding.MeshConfig(*map(int, args.mesh.split(",")))
    loop = LoopConfig(steps=args.steps, log_every=1, save_every=args.save_every)
    preempted = False
    for workdir in args.workdir:
        with contextlib.ExitStack() as stack:
            if distributed.is_main():
                stack.enter_context(workdir_lock(workdir, "training"))
            result = train(workdir, loop, mesh_config=mesh, host_hook=hook)
            preempted |= result.preempted
    if preempted:
        sys.exit(preemption.EXIT_CODE)


if __name__ == "__main__":
    faulthandler.enable()
    try:
        main()
    except (UserError, LockError) as e:
        print(f"error: {e}")
        sys.exit(2)
