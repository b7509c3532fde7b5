"""One side of a comparison, alone in its process: ``python -m benchmarks.worker``.

Reads one JSON request a line from stdin and answers each with one JSON line. The first request is
``{"make": "package.module:function", "args": {...}}``; the object that the function returns then
answers ``{"call": method, "args": {...}}``. Answers are ``{"value": ...}``,
``{"user_error": line}`` or ``{"defect": traceback}``. What the libraries print goes to stderr.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any

from medvlp_jax.core.errors import UserError


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "make" in request:
                module, _, function = request["make"].partition(":")
                made = getattr(importlib.import_module(module), function)(**request["args"])
                answer: dict[str, Any] = {"value": None}
            else:
                answer = {"value": getattr(made, request["call"])(**request["args"])}
        except UserError as error:
            answer = {"user_error": str(error)}
        except Exception:
            answer = {"defect": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
