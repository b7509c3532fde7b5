"""Runs launch scripts, each in a fork of one process that has imported what is slow.

Reads a JSON list of ``[script, argument, ...]``, prints one of ``[status, stdout, stderr]``.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback

import medvlp_jax.aot.image_sampling
import medvlp_jax.aot.text_decoding
import medvlp_jax.aot.train_step
import medvlp_jax.run.conversion.convert
import medvlp_jax.run.demo.reader
import medvlp_jax.run.evaluate
import medvlp_jax.run.finetune
import medvlp_jax.run.grid.run  # noqa: F401


def run(script: str, arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.argv = [script, *arguments]
                runpy.run_path(script, run_name="__main__")
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return status, texts[0], texts[1]


if __name__ == "__main__":
    print(json.dumps([run(script, rest) for script, *rest in json.load(sys.stdin)]))
