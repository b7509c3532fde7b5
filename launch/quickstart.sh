#!/usr/bin/env bash
# From an empty machine to an evaluated model: sets up .venv, generates synthetic chest
# radiographs with reports, trains a small CLIP on them, evaluates it, writes report.html.
#
#   bash launch/quickstart.sh [--out=runs/quickstart] [--train_studies=6000] [--steps=1000]
#                             [--real=FOLDER_OF_REAL_FILMS]
#
# Killed or interrupted, the same command goes on where it was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh
exec .venv/bin/python launch/quickstart.py "$@"
