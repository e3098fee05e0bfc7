#!/usr/bin/env bash
# What nvcc gave each kernel (registers, spills, shared memory), held to the bounds of kernel_resources.txt.
# usage: kernel_resources.sh BOUNDS BUILD      (BUILD: a build folder of nvcc's, with the .resources files of cmake/nvcc-resources)
set -euo pipefail
bounds=$1 build=$2
sources=$(dirname "$0")/../../kernels/cuda
files=()  # of sources that still are: a build folder keeps what was compiled of removed ones
for file in $(find "$build" -name '*.cu.o.resources' | sort); do
  if [ -f "$sources/$(basename "${file%.o.resources}")" ]; then files+=("$file"); fi
done
[ ${#files[@]} -gt 0 ] || { echo "no .resources files under $build"; exit 1; }

# One line a kernel: file, architecture, registers, spilled bytes, shared bytes, name with its template arguments.
kernels() {
  awk '
    /Compiling entry function/ { split($0, quoted, "\047"); name = quoted[2]; arch = quoted[4] }
    /bytes stack frame/ { spilled = $5 + $9 }
    /Used [0-9]+ registers/ {
      registers = shared = 0
      for (i = 1; i < NF; ++i) { if ($i == "Used") registers = $(i + 1); if ($(i + 2) ~ /^smem/) shared = $i }
      file = FILENAME; sub(/\.cu\.o\.resources$/, "", file); sub(/.*\//, "", file)
      print file, arch, registers, spilled, shared, name
    }' "${files[@]}" | c++filt | sed -E 's/void //; s/mica::kernels::|\(anonymous namespace\)::|_GLOBAL__N__[0-9a-z_]*:://g; s/\(.*//'
}

# bounds: file  kernel (a prefix of its name, or *)  registers  shared  spilled (none: 0); the first line that fits counts.
kernels | awk -v bounds="$bounds" '
  BEGIN {
    while ((getline line < bounds) > 0) {
      if (line ~ /^#/ || line ~ /^ *$/) continue
      split(line, part, " +"); file[++n] = part[1]; kernel[n] = part[2]; gsub("~", " ", kernel[n]); registers[n] = part[3]; shared[n] = part[4]; spills[n] = part[5] + 0
    }
  }
  {
    name = $6; for (i = 7; i <= NF; ++i) name = name " " $i
    for (i = 1; i <= n; ++i) if ((file[i] == "*" || file[i] == $1) && (kernel[i] == "*" || index(name, kernel[i]) == 1)) break
    ++count; used[i] = 1
    if (i > n) { print $1 ": " name " has no bound"; bad = 1; next }
    most = registers[i]; if ($2 == "sm_75" && most < 64) most = 64
    if ($3 > most) { print $1 ".cu " $2 ": " name " uses " $3 " registers, bound " most; bad = 1 }
    if ($4 > spills[i]) { print $1 ".cu " $2 ": " name " spills " $4 " bytes, bound " spills[i]; bad = 1 }
    if ($5 > shared[i]) { print $1 ".cu " $2 ": " name " uses " $5 " bytes of shared memory, bound " shared[i]; bad = 1 }
  }
  END {
    for (i = 1; i <= n; ++i) if (!used[i]) { print "no kernel fits the bound: " file[i] " " kernel[i]; bad = 1 }
    if (!bad) print count " kernels keep to their bounds"
    exit bad
  }'
