#!/usr/bin/env bash
# Runs a training on every worker of a Cloud TPU VM (one VM or a pod slice).
#
#   bash launch/tpu_vm.sh NAME ZONE --config=configs/cxr/clip_b16.py --workdir=/mnt/runs/clip
#
# It copies the committed files of this checkout, installs them with ACCEL=tpu and starts
# launch/train.py on all workers at once; jax.distributed finds its peers by itself. The same
# command after a preemption goes on from the last checkpoint. Needs gcloud with a project set.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
name="$1"; zone="$2"; shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case " $* " in
  *" --workdir=/"*) ;;
  *) echo "tpu_vm: --workdir must be a folder that all workers mount (gcsfuse, Filestore)" >&2; exit 2 ;;
esac
if [ -n "$(git status --porcelain)" ]; then
  echo "tpu_vm: warning: uncommitted changes are not copied" >&2
fi

archive="$(mktemp -t medvlp_XXXXXX.tar.gz)"
trap 'rm -f "$archive"' EXIT
git archive --format=tar.gz --prefix=medvlp_jax/ -o "$archive" HEAD

on_all() { gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"; }

gcloud compute tpus tpu-vm scp "$archive" "$name:medvlp_jax.tar.gz" --zone="$zone" --worker=all
on_all "rm -rf medvlp_jax.new && mkdir medvlp_jax.new \
  && tar -xzf medvlp_jax.tar.gz -C medvlp_jax.new --strip-components=1 \
  && if [ -d medvlp_jax/.venv ]; then mv medvlp_jax/.venv medvlp_jax.new/.venv; fi \
  && rm -rf medvlp_jax && mv medvlp_jax.new medvlp_jax \
  && cd medvlp_jax && ACCEL=tpu bash launch/setup.sh"

args="$(printf '%q ' "$@")"
# The latency-hiding flags overlap the all-gathers of the fsdp axis with computation.
on_all "cd medvlp_jax && LIBTPU_INIT_ARGS='--xla_tpu_enable_async_collective_fusion=true \
  --xla_tpu_enable_async_collective_fusion_fuse_all_gather=true \
  --xla_tpu_overlap_compute_collective_tc=true' \
  .venv/bin/python launch/train.py $args"
