#!/usr/bin/env bash
# The program contact_sheet from outside: the PNG that it writes, and what it says to bad input.
# usage: contact_sheet_test.sh CONTACT_SHEET
set -uo pipefail
program=$1
source "$(dirname "$0")/checks.sh"
mkdir set && make_set set train 20 && make_set set t10k 10

run() { "$program" "$@" >out 2>err; status=$?; }
run sheet.png --data set --network gap-19k --images 3 --epochs 4
check "says what it wrote" '[ $status = 0 ] && grep -qx "sheet.png: 3 images of not MNIST by gap-19k.s recipe: crop 22 p=0.1, rotation 15" out'
check "the images themselves come first, then others, 2 pixels apart" 'python3 - sheet.png set/train-images-idx3-ubyte <<"PYTHON"
import struct, sys, zlib
png, images = (open(name, "rb").read() for name in sys.argv[1:])
assert png[:8] == b"\x89PNG\r\n\x1a\n"
at, data = 8, b""
while at < len(png):
  size, kind = struct.unpack(">I4s", png[at:at + 8])
  if kind == b"IHDR": width, height, depth, color = struct.unpack(">IIBB", png[at + 8:at + 18])
  if kind == b"IDAT": data += png[at + 8:at + 8 + size]
  at += size + 12
assert (width, height, depth, color) == (5 * 30 - 2, 3 * 30 - 2, 8, 0), (width, height, depth, color)
data, above, rows = zlib.decompress(data), [0] * (width + 1), []
for r in range(height):  # each line after the number of its filter; a pixel to the left of the line is 0
  line, row = data[r * (width + 1):(r + 1) * (width + 1)], [0]
  for x in range(1, width + 1):
    a, b, c = row[x - 1], above[x], above[x - 1]
    paeth = min((a, b, c), key=lambda v: abs(a + b - c - v))
    row.append((line[x] + (0, a, b, (a + b) // 2, paeth)[line[0]]) % 256)
  above = row
  rows.append(row[1:])
cell = lambda i, k: [v for row in rows[i * 30:i * 30 + 28] for v in row[k * 30:k * 30 + 28]]
assert all(cell(i, 0) == list(images[16 + i * 784:16 + (i + 1) * 784]) for i in range(3))
assert len({tuple(cell(0, k)) for k in range(5)}) == 5
assert all(row[28:30] == [0, 0] for row in rows) and set(rows[28]) == {0}
PYTHON'
fails() { # STATUS TEXT ARGUMENT...
  local expected=$1 text=$2; shift 2
  run "$@"
  check "$*" "[ $status = $expected ] && grep -qF -- \"\$text\" err"
}
fails 1 "contact_sheet: cannot write no/sheet.png: the folder no does not exist" no/sheet.png --data set
fails 1 "contact_sheet: unknown network 'gap-19'; did you mean gap-19k?" sheet.png --data set --network gap-19
fails 2 "contact_sheet: " --data set
fails 2 "contact_sheet: --images: " sheet.png --data set --images 0
checked
