#!/usr/bin/env bash
# Makes .venv with the locked versions and installs this project into it (editable).
#
#   bash launch/setup.sh                 # CPU
#   ACCEL=cuda bash launch/setup.sh      # NVIDIA GPU
#   ACCEL=tpu  bash launch/setup.sh      # Cloud TPU VM
#   EXTRAS=dev,torch bash launch/setup.sh
#
# A second call with the same lock and options returns at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ACCEL="${ACCEL:-cpu}"
case "$ACCEL" in
  cpu) accel_extra="" ;;
  cuda | tpu) accel_extra="$ACCEL" ;;
  *) echo "setup: ACCEL=$ACCEL is not known; use cpu, cuda or tpu" >&2; exit 2 ;;
esac
# Extras add up: asking for dev once keeps it when the quickstart runs later.
stamp=.venv/.medvlp_setup
have=""; [ -f "$stamp" ] && have="$(sed -n 2p "$stamp")"
extras="$(printf '%s\n' ${EXTRAS:+${EXTRAS//,/ }} ${accel_extra} ${have//,/ } | sed '/^$/d' | sort -u | paste -sd, -)"

want="$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)"
if [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" = "$want" ] && [ "$have" = "$extras" ]; then
  exit 0
fi

python=""
for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"; break
  fi
done
if [ -z "$python" ]; then
  echo "setup: no Python 3.11 or newer found; install one or set PYTHON=/path/to/python" >&2
  exit 1
fi

log=.venv/setup.log
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing into .venv (extras: ${extras:-none}); the first time takes a minute or two"
# Byte code comes afterwards, on all cores; what does not compile is a template, and never imported,
# as the tests of the packages are.
if ! .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    -c requirements.lock -e ".${extras:+[$extras]}" >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "setup: pip failed; the whole output is in $log" >&2
  exit 1
fi
.venv/bin/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >>"$log" 2>&1 || true
printf '%s\n%s\n' "$want" "$extras" >"$stamp"
echo "setup: done"
