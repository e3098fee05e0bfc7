#!/usr/bin/env bash
# The program mnist on a CUDA device, one of the machine or the emulated one: it is used where it is there, and otherwise one line says
# why it is not.
# usage: mnist_device_test.sh MNIST BACKEND      (BACKEND: nvcc, emulator, or empty)
set -uo pipefail
program=$1 backend=$2
source "$(dirname "$0")/checks.sh"
mkdir set && make_set set train 20 && make_set set t10k 10

run() { "$program" "$@" >out 2>err; status=$?; }
fails() { # TEXT ARGUMENT...: ends with status 1 and one line on stderr that holds TEXT
  local text=$1; shift
  run "$@"
  check "$*" "[ $status = 1 ] && [ \$(wc -l <err) = 1 ] && grep -qF -- \"\$text\" err"
}

if "$program" --device cuda --summary >out 2>err; then
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps steps.csv --save there.safetensors
  check "trains on cuda" '[ $status = 0 ] && grep -qE "on cuda:0 with(out)? cuBLAS.*, f32" out && [ "$(wc -l <steps.csv)" = 3 ]'
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps graph.csv --graph
  check "trains by a graph: the same losses" '[ $status = 0 ] && cmp -s steps.csv graph.csv'
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps profile.csv --profile --profile-trace trace.json
  check "profiles: a row a layer, and the same losses" '[ $status = 0 ] && cmp -s steps.csv profile.csv && grep -q "^Profile of cuda:0 " out && grep -qE "^[^ ]*norm7\+relu7\+dropout7 " out && grep -q "^step  " out'
  check "a trace of the device" 'python3 -m json.tool trace.json >/dev/null && grep -q "\"cuda:0\"" trace.json'
  [ "$backend" != emulator ] || check "says that its times say nothing" 'grep -q "^profile: of an emulated device, whose times say nothing of a GPU.s$" out'
  run --device cuda --data set --max-steps 1 --batch-size 3 --policy library
  check "trains by libraries" '[ $status = 0 ]'
  if [ "$backend" = emulator ]; then
    EMULATOR_CUBLAS_MAJOR=7 run --device cuda --data set --max-steps 1 --batch-size 3 --policy library
    check "another cuBLAS is refused" '[ $status = 0 ] && grep -qE "without cuBLAS \((cuBLAS was found in version 7, but this build of Mica needs version [0-9]+|this build of Mica has no cuBLAS)" out'
  fi
  run --device cuda --data set --eval --weights there.safetensors
  there=$(grep "^test accuracy" out)
  run --device cpu --data set --eval --weights there.safetensors
  check "weights from cuda are whole: the same accuracy on both" '[ $status = 0 ] && [ "$(grep "^test accuracy" out | cut -d, -f1)" = "${there%%,*}" ]'
else
  run --device auto --data set --max-steps 0
  check "auto says why it is not cuda" '[ $status = 0 ] && grep -q "no CUDA: " out'
  fails "use Device::cpu()" --device cuda --data set
  fails "--graph: expected a CUDA device, got cpu, " --graph --data set
fi
fails "mnist: --graph: expected a CUDA device, got cpu, " --device cpu --graph=2 --data set

checked
