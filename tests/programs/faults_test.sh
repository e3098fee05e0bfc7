#!/usr/bin/env bash
# The program mnist on an emulated device whose calls fail: what it says, how it ends, and which weights are on disk then.
# usage: faults_test.sh MNIST
set -uo pipefail
program=$1
source "$(dirname "$0")/checks.sh"
export EMULATOR_RERUN=0 MICA_CUDA_CHECK_MEMORY=0

# Two steps an epoch, of two images.
mkdir set && make_set set train 4 && make_set set t10k 2

train() { "$program" --device cuda --data set --batch-size 2 "$@" >out 2>err; status=$?; }
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
EMULATOR_COUNT=1 train --max-steps 1 --policy library
library=$(calls library err)
if [ "$library" -gt 0 ]; then  # this build has them; in backward both have objects
  EMULATOR_FAIL=library:$((library * 3 / 4)):cudaErrorIllegalAddress train --max-steps 1 --policy library
  fails 3 "no weights were saved"
fi
EMULATOR_FAIL=launch:1:cudaErrorIllegalAddress train --eval --weights whole1.safetensors
fails 3 "no weights were saved"

# ---- out of memory at any request of the training: the weights as they are then are saved, or it goes on with what was cached ----
# Most are the first step's, and alike: every eighth of those, every other one after them. tests/faults.h fails every one of a small step.
EMULATOR_COUNT=1 train --max-steps 0
before=$(calls allocation err)
EMULATOR_COUNT=1 train --max-steps 1
first=$(calls allocation err)
ran_out=0
for n in $(seq $((before + 1)) 8 "$first") $(seq "$(calls allocation counted2)" -2 "$first"); do
  rm -f full.safetensors
  EMULATOR_FAIL=allocation:$n+:cudaErrorMemoryAllocation train --epochs 2 --save full.safetensors
  if [ $status = 0 ]; then
    check "out of memory, request $n: trained all the same" 'cmp -s full.safetensors whole2.safetensors'
    continue
  fi
  fails 1 "the weights as they were then are saved to full.safetensors"
  ran_out=$((ran_out + 1))
  cmp -s full.safetensors usable.safetensors && continue
  train --eval --weights full.safetensors
  check "out of memory, request $n: the weights can be used" '[ $status = 0 ]'
  cp full.safetensors usable.safetensors
done
check "memory ran out" '[ $ran_out -gt 0 ]'

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

checked
