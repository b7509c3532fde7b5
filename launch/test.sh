#!/usr/bin/env bash
# Sets up what the tests need and runs them: format, lint, types, import contract, tests.
#
#   bash launch/test.sh                # everything CI runs
#   bash launch/test.sh --all          # the slow ones too: long fuzzes and series of kills (hours)
#   bash launch/test.sh tests/core     # some of it; arguments go to pytest
#
# The demo's test drives a browser: Chromium is installed where apt-get may do that, and the test is
# skipped, with that reason, elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
EXTRAS="dev,demo,docs,faiss,pubmed,ray${EXTRAS:+,$EXTRAS}" bash launch/setup.sh
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "test: installing Chromium for the test of the demo"
  { apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; } \
    >.venv/apt.log 2>&1 || echo "test: that failed, see .venv/apt.log; the test is skipped" >&2
fi
if [ "${1:-}" = --all ]; then
  shift
  set -- -m "" tests "$@"
  check=1
fi
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}" PYTHONDONTWRITEBYTECODE=1
bin=.venv/bin
if [ $# -eq 0 ] || [ -n "${check:-}" ]; then
  "$bin/ruff" format --check .
  "$bin/ruff" check .
  "$bin/lint-imports"
  "$bin/basedpyright" --level error
fi
exec "$bin/python" -m pytest -q -n "${TEST_WORKERS:-2}" --dist loadfile "$@"
