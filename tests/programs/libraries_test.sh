#!/usr/bin/env bash
# What is said of CUDA's libraries where they are missing, broken or of another version, and of bad policies. No GPU is needed.
# usage: libraries_test.sh OP_RUNNER CXX BACKEND      (BACKEND: nvcc, emulator, or empty)
set -uo pipefail
program=$1 compiler=$2 backend=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
expect() { # what, a regular expression, what was said
  grep -qE -- "$2" <<<"$3" || { failures=$((failures + 1)); echo "FAILED: $1: expected $2, got:"; echo "$3"; }
}

# Every name by which a library is asked for, as a copy of one file.
plant() { # library file
  local version part
  rm -rf "$work/planted" && mkdir "$work/planted"
  for version in "" .7 .8 .9 .10 .11 .12 .13 .14 .15; do
    for part in "" _graph _ops _cnn; do cp "$2" "$work/planted/$1$part.so$version"; done
  done
}
ask() { LD_LIBRARY_PATH=$work/planted "$program" --libraries 2>&1; }
library() { echo "$1" >"$work/library.cpp" && "$compiler" -shared -fPIC -o "$work/library" "$work/library.cpp"; }

echo "here: $("$program" --libraries 2>&1)"
case $backend in
nvcc)
  library 'extern "C" int cublasLtGetProperty(int, int* value) { return *value = 7, 0; }' && plant libcublasLt "$work/library"
  expect "another version" "^cuBLAS: cuBLAS was found in version 7, but this build of Mica needs version [0-9]+$" "$(ask)"
  library '' && plant libcublasLt "$work/library"
  expect "a function is missing" "^cuBLAS: cuBLAS does not tell its version: cublasLtGetProperty is not in libcublasLt.so.[0-9]+; install a newer version of it$" "$(ask)"
  echo garbage >"$work/garbage" && plant libcublasLt "$work/garbage"
  expect "a broken file" "^cuBLAS: cuBLAS was not found: .*libcublasLt.so.[0-9]+: file too short$" "$(ask)"
  library 'extern "C" unsigned long cudnnGetVersion() { return 8902; }' && plant libcudnn "$work/library"
  expect "another cuDNN" "^cuDNN: this build is made for cuDNN [0-9.]+, and cuDNN 8.9 is what was found; install version [0-9]+$" "$(ask)"
  library '' && plant libcudnn "$work/library"
  expect "a function of cuDNN is missing" "^cuDNN: cuDNN does not tell its version: cudnnGetVersion is not in libcudnn.so.[0-9]+; install a newer version of it$" "$(ask)"
  for part in graph ops cnn; do
    plant libcudnn "$work/library"
    for file in "$work"/planted/libcudnn_$part.so*; do cp "$work/garbage" "$file"; done
    expect "a part of cuDNN is broken" "^cuDNN: cuDNN is not whole: .*libcudnn_$part.so.[0-9]+: file too short; install all of cuDNN [0-9]+$" "$(ask)"
  done
  plant libcudnn "$work/garbage"
  expect "a broken file of cuDNN" "^cuDNN: cuDNN was not found: .*libcudnn.so.[0-9]+: file too short$" "$(ask)" ;;
emulator)
  without="this build .*header was not found.*"  # then the emulator has none
  expect "another version" "^cuBLAS: (cuBLAS was found in version 7, but|$without)" "$(EMULATOR_CUBLAS_MAJOR=7 ask)"
  expect "the emulated one" "^cuBLAS: (can be used|$without)$" "$("$program" --libraries 2>&1)"
  expect "the emulated cuDNN" "^cuDNN: (can be used|$without)$" "$("$program" --libraries 2>&1)" ;;
*) expect "no CUDA" "^cuBLAS: this build of Mica has the CPU backend only$" "$(ask)"
  expect "no CUDA" "^cuDNN: this build of Mica has the CPU backend only$" "$(ask)" ;;
esac

said=$("$program" --policy conv=native "$work/in" "$work/out" 2>&1); status=$?
expect "a bad policy" "^1 op_runner: policy of op 'conv': there is nothing to choose for it, did you mean 'conv2d'[?]; ops are matmul, conv2d, .*softmax$" "$status $said"
said=$(MICA_POLICY=matmul=x "$program" --policy native "$work/in" "$work/out" 2>&1); status=$?
expect "a bad MICA_POLICY" "^1 op_runner: MICA_POLICY=matmul=x: policy 'x': expected auto, native or library, or op=policy$" "$status $said"
[ $failures = 0 ] && echo "CUDA's libraries and policies are explained"
