#!/usr/bin/env bash
# One node of a training on several: call it on each with the same HOST:PORT of the first one, and the storage of --out and
# of the data shared by all.
#   NODES=2 DEVICES=8 MEET=first-node:29500 configs/launch/node.sh --config configs/paper.yaml --out runs/paper --resume auto
set -euo pipefail
exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes "${NODES:-1}" --nproc_per_node "${DEVICES:-1}" --max_restarts "${RESTARTS:-3}" \
  --rdzv_backend c10d --rdzv_id "${RUN:-xlip}" --rdzv_endpoint "${MEET:-localhost:29500}" \
  -m xlip.cli pretrain "$@"
