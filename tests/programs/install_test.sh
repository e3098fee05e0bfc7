#!/usr/bin/env bash
# Installs the build into a scratch folder, and builds the quickstart against it with find_package(mica) alone.
# Without the code for GPUs the library stays under 5 MB, or 6 where ops are compiled for both backends.
# usage: install_test.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
library=$(find "$work/prefix" -name 'libmica.*')
gpu=$(ar tv $library | awk '$NF ~ /[.]cu[.]o$/ {bytes += $3} END {print bytes + 0}')
size=$(($(stat -c %s $library) - gpu)) most=$((gpu > 0 ? 7000000 : 5000000))  # with CUDA, its host side too
[ "$size" -lt $most ] || { echo "$library has $size bytes beside those for GPUs, expected fewer than $most"; exit 1; }
cmake -S "$source/tests/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Release \
  -DQUICKSTART="$source/examples/quickstart.cpp" >/dev/null
cmake --build "$work/build"
"$work/build/consumer" "$work/nothing" 2>/dev/null && { echo "expected a failure without data"; exit 1; }
echo "the installed package builds and links"
