#!/usr/bin/env bash
# Sets up what the tests need and runs them: format, lint, types, import contract, tests.
#
#   bash launch/test.sh                # everything CI runs
#   bash launch/test.sh tests/core     # some of it; arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS="dev${EXTRAS:+,$EXTRAS}" bash launch/setup.sh
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}" PYTHONDONTWRITEBYTECODE=1
bin=.venv/bin
if [ $# -eq 0 ]; then
  "$bin/ruff" format --check .
  "$bin/ruff" check .
  "$bin/lint-imports"
  "$bin/basedpyright" --level error
fi
exec "$bin/python" -m pytest -q -n "${TEST_WORKERS:-2}" --dist loadfile "$@"
