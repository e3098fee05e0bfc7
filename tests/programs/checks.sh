# Sourced by tests of programs: an empty folder to work in, checks that are counted, small sets of images.
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0 failures=0

# check NAME CONDITION: a failed one shows what the program wrote into the files out and err.
check() { checks=$((checks + 1)); if ! eval "$2"; then failures=$((failures + 1)); echo "FAILED: $1: $2"; cat out err 2>/dev/null; fi; }
checked() { # the last command of a test
  echo "$checks checks, $failures failures"
  [ $failures = 0 ]
}

# IDX files of images, by a formula, and of labels, every one once in ten.
idx() { printf '\000\000\010'; printf "\\$(printf %03o $#)"; for n; do printf "\\$(printf %03o $((n >> 24)))\\$(printf %03o $((n >> 16 & 255)))\\$(printf %03o $((n >> 8 & 255)))\\$(printf %03o $((n & 255)))"; done; }
make_set() { # folder prefix count
  { idx "$3" 28 28; seq 1 99999 | head -c $(($3 * 784)); } >"$1/$2-images-idx3-ubyte"
  { idx "$3"; for i in $(seq 1 "$3"); do printf "\\$(printf %03o $((i % 10)))"; done; } >"$1/$2-labels-idx1-ubyte"
}
