#!/usr/bin/env bash
# The program mnist on an emulated device whose calls fail: what it says, how it ends, and which weights are on disk then.
# usage: faults_test.sh MNIST
set -uo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export EMULATOR_RERUN=0 MICA_CUDA_CHECK_MEMORY=0
checks=0 failures=0

# 16 training and 4 test images: two steps an epoch.
idx() { printf '\000\000\010'; printf "\\$(printf %03o $#)"; for n; do printf "\\$(printf %03o $((n >> 24)))\\$(printf %03o $((n >> 16 & 255)))\\$(printf %03o $((n >> 8 & 255)))\\$(printf %03o $((n & 255)))"; done; }
make_set() { # prefix count
  { idx "$2" 28 28; seq 1 99999 | head -c $(($2 * 784)); } >"set/$1-images-idx3-ubyte"
  { idx "$2"; for i in $(seq 1 "$2"); do printf "\\$(printf %03o $((i % 10)))"; done; } >"set/$1-labels-idx1-ubyte"
}
mkdir set && make_set train 16 && make_set t10k 4

check() { checks=$((checks + 1)); if ! eval "$2"; then failures=$((failures + 1)); echo "FAILED: $1: $2"; cat out err 2>/dev/null; fi; }
train() { "$program" --device cuda --data set --batch-size 8 "$@" >out 2>err; status=$?; }
# fails STATUS 'TEXT': the program ended so, with one line of its own that holds TEXT.
fails() { check "$1, $2" "[ $status = $1 ] && [ \$(grep -c '^mnist: ' err) = 1 ] && grep '^mnist: ' err | grep -qF -- \"$2\""; }

# How many calls of each kind one and two epochs make: the middle of the second lies between.
calls() { sed -n "s/^emulator: \([0-9]*\) of kind $1\$/\1/p" "$2"; }
for epochs in 1 2; do
  EMULATOR_COUNT=1 train --epochs $epochs --save "whole$epochs.safetensors"
  cp err "counted$epochs"
  check "$epochs epochs" '[ $status = 0 ]'
done
check "weights are saved after every epoch, and no more" '[ "$(grep -c "^weights saved to whole2.safetensors" out)" = 2 ]'
middle() { echo $((($(calls "$1" counted1) + $(calls "$1" counted2)) / 2)); }

# ---- the device is lost: exit status 3, and the last whole epoch's weights are on disk ----
for fault in launch:cudaErrorIllegalAddress wait:cudaErrorLaunchFailure copy:cudaErrorMpsClientTerminated; do
  kind=${fault%:*} error=${fault#*:}
  rm -f lost.safetensors
  EMULATOR_FAIL=$kind:$(middle "$kind"):$error train --epochs 2 --save lost.safetensors
  fails 3 "the CUDA device is lost for this process: "
  fails 3 "failed: $error, "
  fails 3 "the last saved weights are lost.safetensors (after epoch 1)"
  check "$kind: the weights on disk are the last whole epoch's" 'cmp -s lost.safetensors whole1.safetensors'
done
train --eval --weights lost.safetensors
check "they can be used" '[ $status = 0 ]'
EMULATOR_FAIL=launch:$(middle launch):cudaErrorIllegalAddress train --epochs 2
fails 3 "no weights were saved: --save FILE does that after every epoch"
rm -f none.safetensors
EMULATOR_FAIL=launch:$(($(calls launch counted1) / 2)):cudaErrorIllegalAddress train --epochs 2 --save none.safetensors
fails 3 "no weights were saved yet"
check "nothing was written" '[ ! -e none.safetensors ] && [ -z "$(find . -name "*.safetensors.??????")" ]'
EMULATOR_COUNT=1 train --epochs 1 --graph
EMULATOR_FAIL=graph:$(($(calls graph err) + 1)):cudaErrorIllegalAddress train --epochs 3 --graph --save graph.safetensors
fails 3 "the last saved weights are graph.safetensors (after epoch 1)"
EMULATOR_FAIL=launch:1:cudaErrorIllegalAddress train --eval --weights whole1.safetensors
fails 3 "no weights were saved"

# ---- out of memory: the weights as they are then are saved ----
# Memory is taken in the first steps: the first request that the device refuses for good.
for n in $(seq "$(calls allocation counted1)" -1 1); do
  rm -f full.safetensors
  EMULATOR_FAIL=allocation:$n+:cudaErrorMemoryAllocation train --epochs 2 --save full.safetensors
  check "out of memory, request $n: an error or none" '[ $status = 0 ] || [ $status = 1 ]'
  grep -q "the weights as they were then are saved to full.safetensors" err && break
done
fails 1 "the weights as they were then are saved to full.safetensors"
train --eval --weights full.safetensors
check "they can be used" '[ $status = 0 ]'

# ---- faults while the device and the network are made: an error, no leak (status 23), no crash ----
for fault in allocation:cudaErrorMemoryAllocation copy:cudaErrorUnknown wait:cudaErrorUnknown wait:cudaErrorLaunchFailure; do
  for n in 1 2 4; do
    MICA_CUDA_CHECK_MEMORY=1 EMULATOR_FAIL=${fault%:*}:$n+:${fault#*:} train --max-steps 0
    check "$fault $n" '[ $status = 1 ] || [ $status = 3 ]'
  done
done

# ---- another error: as before ----
EMULATOR_FAIL=launch:$(middle launch):cudaErrorLaunchOutOfResources train --epochs 2 --save other.safetensors
fails 1 "failed: cudaErrorLaunchOutOfResources"
check "an error leaves the last epoch's weights" 'cmp -s other.safetensors whole1.safetensors'
EMULATOR_FAIL=lunch:1:cudaErrorUnknown train --epochs 1
check "a fault that means nothing" '[ $status = 2 ] && grep -q "^emulator: EMULATOR_FAIL=lunch:1:cudaErrorUnknown: expected " err'

echo "$checks checks, $failures failures"
[ $failures = 0 ]
