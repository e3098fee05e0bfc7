#!/usr/bin/env bash
# Rules that the library keeps: it never prints, exits or aborts, and includes point only downward.
# usage: library_test.sh SOURCE
set -euo pipefail
cd "$1"
failed=0
complain() { echo "$1"; echo "$2"; failed=1; }

calls=$(grep -rnE '\b(v?f?printf|f?puts|fwrite|fmt::print(ln)?|std::(cout|cerr|clog|terminate))\b|\b((quick_|_)?exit|abort) *\(' kernels core layers optim data | grep -v -E '^[^:]*:[0-9]+: *//' || true)
[ -z "$calls" ] || complain "the library prints or ends the program:" "$calls"

# folder: what it may not include
while read -r folder forbidden; do
  found=$(grep -rnE "#include <mica/($forbidden)/" "$folder" || true)
  [ -z "$found" ] || complain "$folder includes what lies above or beside it:" "$found"
done <<'RULES'
kernels core|layers|optim|data
core layers|optim|data
layers optim|data
optim layers|data
data layers|optim
RULES
outside=$(grep -rnlE '#include <cuda|#include <cudnn|#include <cublas' kernels core layers optim data examples | grep -vE '^(kernels|core)/cuda/' || true)
[ -z "$outside" ] || complain "CUDA headers outside kernels/cuda and core/cuda:" "$outside"

# The README's program is the quickstart, to the letter.
readme=$(awk '/^```cpp$/ {on=1; next} /^```$/ {on=0} on' README.md)
[ "$readme" = "$(cat examples/quickstart.cpp)" ] || complain "README.md's program differs from examples/quickstart.cpp" ""
exit $failed
