#!/usr/bin/env bash
# The program op_runner from outside: a file of cases on the CPU and, where there is a device, on CUDA; and bad input.
# usage: op_runner_test.sh OP_RUNNER
set -uo pipefail
program=$1
source "$(dirname "$0")/checks.sh"

run() { "$program" "$@" >out 2>err; status=$?; }
# fails 'TEXT' ARGUMENT...: the program ends with a status of its own, says TEXT on stderr, and writes nothing.
fails() {
  local text=$1; shift
  rm -f answers
  run "$@"
  check "$*" "[ $status -gt 0 ] && [ $status -lt 126 ] && grep -qF -- \"\$text\" err && [ ! -e answers ]"
}

# A safetensors file: the length of its header, the header, the values.
file() { # HEADER: JSON; the values from stdin
  printf "\\$(printf %03o $((${#1} & 255)))\\$(printf %03o $((${#1} >> 8 & 255)))\\000\\000\\000\\000\\000\\000%s" "$1"
  cat
}
f32() { for n; do case $n in 0) printf '\0\0\0\0' ;; 1) printf '\0\0\200\077' ;; 2) printf '\0\0\0\100' ;; 3) printf '\0\0\100\100' ;; -2) printf '\0\0\0\300' ;; esac; done; }
i64() { for n; do printf "\\$(printf %03o "$n")\\0\\0\\0\\0\\0\\0\\0"; done; }
tensor() { echo "\"$1\":{\"dtype\":\"$2\",\"shape\":[$3],\"data_offsets\":[$4]}"; }

# ---- cases that have whole numbers for answers, on both devices; two of them are wrong, one found on the device ----
cases='"__metadata__":{"add":"{\"op\":\"add\"}","wrong":"{\"op\":\"matmul\"}","product":"{\"op\":\"matmul\"}","far":"{\"op\":\"gather\",\"dim\":0}","near":"{\"op\":\"gather\",\"dim\":0}"}'
header="{$cases"
for t in "add.input F32 2,2 0,16" "add.other F32 2 16,24" "add.grad_output F32 2,2 24,40" \
  "wrong.input F32 2,2 40,56" "wrong.other F32 1,2 56,64" \
  "product.input F32 2,2 64,80" "product.other F32 2,1 80,88" "product.grad_output F32 2,1 88,96" \
  "far.input F32 2 96,104" "far.index I64 3 104,128" "near.input F32 2 128,136" "near.index I64 3 136,160" "near.grad_output F32 3 160,172"; do
  # shellcheck disable=SC2086
  header+=,$(tensor $t)
done
{ f32 1 2 3 -2 3 2 1 1 2 0 1 2 3 1 2 1 2 3 1 -2 3 2 1 2; f32 1 2; i64 0 7 1; f32 3 -2; i64 0 1 1; f32 1 2 3; } | file "$header}" >cases
run cases answers.cpu
check "the CPU answers" '[ $status = 0 ] && [ ! -s out ] && [ ! -s err ]'
check "outputs, gradients and errors" 'for name in add.output add.grad.other product.grad.input near.grad.input wrong.error far.error; do grep -qF "\"$name\"" answers.cpu || echo "no $name"; done | (! grep .)'
check "the error of an index" 'grep -qF "an index is 7, expected 0 to 1" answers.cpu'
if "$program" cases answers.cuda --device cuda >out 2>err; then
  check "CUDA gives the CPU's answers, errors included" 'cmp answers.cpu answers.cuda'
  fails "cannot read nowhere" nowhere answers --device cuda
else
  check "without CUDA one line says why" '[ "$(wc -l <err)" = 1 ] && grep -q "^op_runner: Device::cuda(0): .*; use Device::cpu()" err && [ ! -e answers.cuda ]'
fi

# ---- bad input ----
fails "--device: tpu not in {cpu,cuda}" cases answers --device tpu
fails "--device: cuda:0 not in {cpu,cuda}" cases answers --device cuda:0
fails "--device" cases answers --device
fails "give the files IN and OUT" cases
fails "cannot read nowhere" nowhere answers
echo garbage-garbage >junk
fails "junk is no safetensors file" junk answers
f32 1 | file "{$(tensor stray.input F32 1 0,4)}" >stray
fails "tensor 'stray.input' belongs to no case" stray answers
run cases no/where
check "a folder that is not there" '[ $status = 1 ] && grep -qF "cannot write no/where: the folder no does not exist" err'

checked
