#!/usr/bin/env bash
# The NVTX ranges of a training step, as a profiler sees them.
# usage: nvtx_test.sh MNIST LISTENER
set -euo pipefail
mnist=$1 listener=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
OMP_NUM_THREADS=1 MICA_DATA="$folder/none" http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 NVTX_INJECTION64_PATH=$listener \
  "$mnist" --device cpu --batch-size 2 --max-steps 1 --quiet 2>&1 | grep '^nvtx: ' | head -45 > "$folder/seen"
{
  echo "nvtx: BatchLoader"
  echo "nvtx: Sequential"
  layers="conv1 norm1 conv2 norm2 conv3 norm3 conv4 norm4 conv5 pool1 conv6 norm5 conv7 norm6 conv8 norm7 gap flatten fc log_softmax"
  for layer in $layers; do echo "nvtx:   $layer"; done
  echo "nvtx: loss"
  echo "nvtx: loss backward"
  for layer in $(tac -s ' ' <<< "$layers "); do echo "nvtx: $layer backward"; done
  echo "nvtx: Sgd"
} > "$folder/expected"
diff "$folder/expected" "$folder/seen" && echo "the ranges of $(wc -l < "$folder/seen") passes are as expected"
