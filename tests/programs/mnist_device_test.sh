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

# Of --memory's table: in each row current <= peak <= reserved, nothing is given back, and the last row sums the others up.
memory_adds_up() {
  awk '/^-+$/ { rules++; next }
       rules == 1 || $1 == "now" {
         current = $(NF - 3); change = $(NF - 2); peak = $(NF - 1); reserved = $NF
         if (++rows == 1) before = current - change
         if (peak < current || reserved < peak || reserved < held) bad = 1
         if (peak > most) most = peak
         held = reserved
       }
       $1 == "now" { off = current - change - before; if (off > 0.0015 || off < -0.0015 || peak < most) bad = 1 }
       END { exit bad || rules != 2 || rows < 5 }' out
}

if "$program" --device cuda --summary >out 2>err; then
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps steps.csv --save there.safetensors --memory
  check "trains on cuda" '[ $status = 0 ] && grep -qE "on cuda:0 with(out)? cuBLAS.*, f32" out && [ "$(wc -l <steps.csv)" = 3 ]'
  check "TF32 by default is PyTorch's" 'grep -q ", TF32 off in matmul and on in conv2d, f32" out'
  number=" +[0-9]+\.[0-9]{3}" change=" +[+-][0-9]+\.[0-9]{3}"
  check "memory by layer" 'grep -qE "^Memory of cuda:0 \(MB\) +current +change +peak +reserved$" out && memory_adds_up'
  check "memory's lines" 'grep -qE "^conv1$number$change$number$number$" out && grep -qE "^conv1 backward$number$change$number$number$" out'
  check "memory of the run" 'grep -qE "^memory of cuda:0: peak [0-9]+\.[0-9]{3} MB, reserved [0-9]+\.[0-9]{3} MB$" out'
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps graph.csv --graph
  check "trains by a graph: the same losses" '[ $status = 0 ] && cmp -s steps.csv graph.csv'
  run --device cuda --data set --max-steps 2 --batch-size 3 --log-steps profile.csv --profile --profile-trace trace.json
  check "profiles: a row a layer, and the same losses" '[ $status = 0 ] && cmp -s steps.csv profile.csv && grep -q "^Profile of cuda:0 " out && grep -qE "^[^ ]*norm7\+relu7\+dropout7 " out && grep -q "^step  " out'
  check "a profile has a row for every convolution" '[ "$(grep -cE "^conv[1-8](\+[a-z0-9+]+)? " out)" = 8 ]'
  check "a trace of the device" 'python3 -m json.tool trace.json >/dev/null && grep -q "\"cuda:0\"" trace.json'
  [ "$backend" != emulator ] || check "says that its times say nothing" 'grep -q "^profile: of an emulated device, whose times say nothing of a GPU.s$" out'
  MICA_TF32=off run --device cuda --data set --max-steps 1 --batch-size 3 --policy library --tf32 on --deterministic off --workspace 16
  [ "$backend" != emulator ] || check "and says how much they did" 'grep -qE "^libraries did [1-9][0-9]* ops and refused 0, which our own kernels did$" out'
  check "trains by libraries, as options say before the environment" '[ $status = 0 ] && grep -q ", TF32 on in matmul and on in conv2d, f32" out'
  if [ "$backend" = emulator ]; then
    MICA_TF32=off EMULATOR_CUBLAS_MAJOR=7 run --device cuda --data set --max-steps 1 --batch-size 3 --policy library
    check "another cuBLAS is refused" '[ $status = 0 ] && grep -qE "without cuBLAS \((cuBLAS was found in version 7, but this build of Mica needs version [0-9]+|this build of Mica has no cuBLAS)" out'
    check "TF32 by the environment" 'grep -q ", TF32 off in matmul and off in conv2d, f32" out'
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
