#!/usr/bin/env python3
"""Makes many safetensors files, a third of them valid, and compares Mica with the official library on each: is it accepted,
with which metadata, and are all values equal? Every disagreement is printed with the file's bytes.
    make fuzz-safetensors PYTHON=… ARGS="--count 20000 --seed 1"      (an environment with torch and safetensors)
    python3 tests/pytorch/fuzz_safetensors.py --store 2500            writes safetensors_verdicts.safetensors for `make test`
"""
import argparse
import copy
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy
import safetensors
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64,
        "I64": 64, "U64": 64}
STORED = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "F16": torch.float16,
          "BF16": torch.bfloat16, "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu,
          "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "I8": torch.int8, "I16": torch.int16,
          "U16": torch.uint16, "U32": torch.uint32, "U64": torch.int64, "BOOL": torch.uint8}


def held(dtype):
    """What Mica makes of it, and that as PyTorch's."""
    if dtype == "F64":
        return "f64", torch.float64
    if dtype[0] == "F" or dtype == "BF16":
        return "f32", torch.float32
    if dtype in ("U32", "U64", "I64"):
        return "i64", torch.int64
    return ("u8", torch.uint8) if dtype in ("U8", "BOOL") else ("i32", torch.int32)


FIELDS = ["dtype", "shape", "data_offsets"]


# ---- what the official library says ----

def expected(entry):
    """What Mica should make of one entry: [dtype, shape, checksum], or None where no tensor can hold it."""
    name, shape, data = entry["dtype"], entry["shape"], entry["data"]
    sizes = 16
    for size in shape:
        sizes *= max(size, 1)
    if name not in STORED or len(shape) > 8 or sizes >= 2**63:
        return None
    kind, target = held(name)
    values = torch.frombuffer(data, dtype=STORED[name]) if len(data) else torch.empty(0, dtype=STORED[name])
    if name == "U64" and (values < 0).any():
        return None
    values = (values != 0).to(torch.uint8) if name == "BOOL" else values.to(target)
    if target == torch.float32 and name != "F32":
        values = torch.where(values.isnan(), torch.tensor(float("nan")), values)
    return [kind, shape, zlib.crc32(values.numpy().tobytes())]


def official(data, with_metadata=False):
    """None where the official library rejects; otherwise what safetensors_verdict should print."""
    try:
        tensors = {key: expected(entry) for key, entry in safetensors.deserialize(data)}
    except KeyboardInterrupt:
        raise
    except BaseException:  # its panics are no Exceptions
        return None
    if not with_metadata:
        return {"tensors": tensors}
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as file:
        file.write(data)
        file.flush()
        with safetensors.safe_open(file.name, "numpy") as opened:
            return {"tensors": tensors, "metadata": opened.metadata() or {}}


def mica(files):
    with tempfile.NamedTemporaryFile() as batch:
        for data in files:
            batch.write(struct.pack("<Q", len(data)) + data)
        batch.flush()
        program = os.environ.get("VERDICT", HERE.parents[1] / "build/release/tests/safetensors_verdict")
        output = subprocess.run([program, batch.name], capture_output=True, check=True).stdout
    return [json.loads(line) for line in output.decode().split("\n")[:-1]]


def agree(theirs, ours):
    if theirs is None or "error" in ours:
        return theirs is None and "error" in ours
    def same(key):
        a, b = theirs["tensors"][key], ours["tensors"][key]
        return isinstance(b, str) if a is None else a == b
    return (theirs["tensors"].keys() == ours["tensors"].keys() and all(map(same, theirs["tensors"])) and
            theirs.get("metadata", ours["metadata"]) == ours["metadata"])


# ---- headers as trees of tokens: a str is a token as spelled, a list an array, an Object pairs that may repeat ----

class Object:
    def __init__(self, members):
        self.members = members  # [[key token, node], …]


class Case:
    """A header, its data, and what is done to the bytes at the end."""
    def __init__(self, tree, data):
        self.tree, self.data, self.spaces, self.edits = tree, data, 0.0, []

    def to_bytes(self, r):
        header = spell(self.tree, r, self.spaces).encode("utf-8", "surrogatepass")
        for edit in self.edits:
            header = edit(header)
        return struct.pack("<Q", len(header)) + header + self.data


def spell(node, r, spaces):
    def gap():
        return "".join(r.choice(" \t\r\n") for _ in range(r.randrange(1, 3))) if r.random() < spaces else ""
    if isinstance(node, str):
        return gap() + node + gap()
    if isinstance(node, list):
        return gap() + "[" + ",".join(spell(x, r, spaces) for x in node) + gap() + "]" + gap()
    members = [spell(key, r, spaces) + ":" + spell(value, r, spaces) for key, value in node.members]
    return gap() + "{" + ",".join(members) + gap() + "}" + gap()


def token(text, r):
    """A string token for text, now and then with escapes."""
    if r.random() < 0.85:
        return json.dumps(text, ensure_ascii=r.random() < 0.5)
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [units[i] << 8 | units[i + 1] for i in range(0, len(units), 2)]
    plain = [32 <= code < 127 and chr(code) not in '"\\' and r.random() < 0.5 for code in codes]
    return '"' + "".join(chr(code) if as_is else f"\\u{code:04{r.choice('xX')}}" for code, as_is in zip(codes, plain)) + '"'


def junk(r, depth=0):
    """Any valid JSON."""
    kind = r.randrange(8 if depth < 4 else 6)
    if kind < 2:
        return r.choice(["0", "-0", "1", "-7", "1.5", "1e5", "2E-3", "0.0", "-0.0e+00", "18446744073709551615",
                         "18446744073709551616", "1e308", "1e-400",
                         "123456789012345678901234567890", "0e9999", "1.7976931348623157e308"])
    if kind == 2:
        return r.choice(["null", "true", "false"])
    if kind < 6:
        return token(r.choice(["", "x", "dtype", "é", "\U0001f600", "\x00", "\x7f", "a\"b\\c/", "\ud7ff\ue000\uffff",
                               "__metadata__", "U8"]), r)
    if kind == 6:
        return [junk(r, depth + 1) for _ in range(r.randrange(4))]
    return Object([[token(r.choice(["a", "b", "a", "dtype", "", "shape"]), r),
                    junk(r, depth + 1)] for _ in range(r.randrange(4))])


def valid_case(r):
    """A file that both accept."""
    entries, at, data = [], 0, b""
    for i in range(r.choice([0, 1, 1, 2, 2, 3, 5])):
        dtype = r.choice(list(BITS)) if r.random() < 0.6 else r.choice(["F32", "F64", "I64", "U8"])
        shape = [r.choice([0, 1, 1, 2, 2, 3, 4, 5]) for _ in range(r.choice([0, 1, 1, 2, 2, 3, 4, 4, 5, 8, 9]))]
        if BITS[dtype] % 8:
            shape.append(4)
        if r.random() < 0.03:
            shape = [0] + shape + [r.choice([2**31, 2**32, 2**63, 2**64 - 1])]
        count = 1
        for size in shape:
            count *= size
        if count * BITS[dtype] > 4096:
            shape, count = [4], 4
        size = count * BITS[dtype] // 8
        body = r.randbytes(size)
        if dtype == "U64" and r.random() < 0.7:
            body = b"".join(body[k:k + 7] + b"\0" for k in range(0, size, 8))
        key = r.choice(["a", "b", "weight", "conv1.weight", "é\U0001f600", "", "a\"\\", "\x01",
                        "x" * 40]) + str(i) * r.randrange(2)
        fields = [[token("dtype", r), token(dtype, r)], [token("shape", r), [str(n) for n in shape]],
                  [token("data_offsets", r), [str(at), str(at + size)]]]
        if key in [json.loads(k) for k, _ in entries]:
            key += f".{i}"
        data, at = data + body, at + size
        if r.random() < 0.04:
            entry = [value for _, value in fields]
            if r.random() < 0.3:
                entry[0] = Object([[entry[0], "null"]])
        else:
            for _ in range(r.choice([0, 0, 0, 0, 1, 2])):
                fields.append([token(r.choice(["extra", "Dtype", "", "shape ", "é"]), r), junk(r)])
            r.shuffle(fields)
            entry = Object(fields)
        entries.append([token(key, r), entry])
    if r.random() < 0.3:
        r.shuffle(entries)
    if r.random() < 0.35:
        metadata = Object([[token(r.choice(["format", "a", "é", "", "a"]), r), token(r.choice(["pt", "", "é\U0001f600", "1"]), r)]
                           for _ in range(r.randrange(4))])
        entries.insert(r.randrange(len(entries) + 1), [token("__metadata__", r), metadata if r.random() < 0.9 else "null"])
    case = Case(Object(entries), data)
    case.spaces = r.choice([0, 0, 0.1, 0.5])
    return case


# ---- mutations: each changes a case in one way ----

def places(node, parent=None, index=None):
    """(parent list, index) of every node and key, so that it can be replaced."""
    if parent is not None:
        yield parent, index
    if isinstance(node, list):
        for i, x in enumerate(node):
            yield from places(x, node, i)
    elif isinstance(node, Object):
        for member in node.members:
            yield member, 0
            yield from places(member[1], member, 1)


def nodes_of(case, kind):
    return [x for x in [case.tree] + [p[i] for p, i in places(case.tree)] if isinstance(x, kind)]


def replace_any(case, r):
    spots = list(places(case.tree))
    if spots:
        parent, index = r.choice(spots)
        parent[index] = r.choice(["0", "1", "-1", '""', "null", "true", "[]", "{}", '"U8"', "", "1.0", '"a"', "[0,1]", "nul",
                                  "NaN", "'a'"])


def put_junk(case, r):
    spots = [(p, i) for p, i in places(case.tree) if not (i == 0 and len(p) == 2 and isinstance(p[0], str) and p[0][:1] == '"')]
    if spots:
        parent, index = r.choice(spots)
        parent[index] = junk(r)


def swap(case, r):
    spots = list(places(case.tree))
    if len(spots) > 1:
        (p, i), (q, j) = r.sample(spots, 2)
        a, b = copy.deepcopy(p[i]), copy.deepcopy(q[j])
        p[i], q[j] = b, a


def duplicate(case, r):
    containers = [x.members for x in nodes_of(case, Object) if x.members] + [x for x in nodes_of(case, list) if x]
    if containers:
        members = r.choice(containers)
        members.insert(r.randrange(len(members) + 1), copy.deepcopy(r.choice(members)))


def remove(case, r):
    containers = [x.members for x in nodes_of(case, Object) if x.members] + [x for x in nodes_of(case, list) if x]
    if containers:
        members = r.choice(containers)
        members.pop(r.randrange(len(members)))


def numbers(case):
    return [(p, i) for p, i in places(case.tree) if isinstance(p[i], str) and p[i].isdigit()]


def move_number(case, r):
    spots = numbers(case)
    if spots:
        p, i = r.choice(spots)
        p[i] = str(max(0, int(p[i]) + r.choice([-8, -4, -1, 1, 1, 2, 4, 8, 2**32, 2**63, 2**64 - 1])))


def odd_number(case, r):
    spots = numbers(case)
    if spots:
        p, i = r.choice(spots)
        n = p[i]
        p[i] = r.choice([f"{n}.0", f"{n}e0", f"-{n}", f"+{n}", f"0{n}", f"{n}.", f".{n}", f"0x{n}", f'"{n}"', "-0", "1e999",
                         "-1e999", f"{n}E+1", f"{n}e", "-",
                         "18446744073709551615", "18446744073709551616", "9223372036854775808", "9" * 400, "Infinity",
                         f"{n} {n}", f"{n}_0", f"{n}u"])


def border_number(case, r):
    """Near the largest double, where readers round differently; in an extra field."""
    digits = r.choice(["17976931348623157", "17976931348623158", "17976931348623159", "179769313486231570814",
                       "18446744073709551615", "1844674407370955161",
                       "1", "9", "99999999999999999999999", "0", "2"]) + r.choice(["", "0", "5", "00000000000", "6", "999"])
    point = r.randrange(len(digits) + 1)
    value = (digits[:point].lstrip("0") or "0") + ("." + digits[point:] if point < len(digits) else "")
    exponent = 309 - len(digits[:point].lstrip("0")) + r.choice([0, 0, 0, -1, 1, -2, 2, 20])
    value = r.choice(["", "-"]) + value + r.choice([f"e{exponent}", f"E+{exponent}", f"e0{exponent}",
                                                    "0" * r.randrange(290) if "." not in value else "",
                                                    "e-400", "e99999999999", "e-99999999999", "e2147483647", "e2147483648",
                                                    "e-2147483648", f"e{exponent}"])
    add_extra(case, r, value)


def add_extra(case, r, value):
    entries = [x for _, x in case.tree.members if isinstance(x, Object)] if isinstance(case.tree, Object) else []
    if entries:
        entry = r.choice(entries)
        entry.members.insert(r.randrange(len(entry.members) + 1), ['"extra"', value])


def nest(case, r):
    depth = r.choice([3, 50, 120, 123, 124, 125, 126, 127, 128, 129, 300])
    kind = r.randrange(3)
    opening, closing = [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")][kind]
    if kind == 2:
        depth //= 2
    add_extra(case, r, opening * depth + ("1" if kind else "") + closing * depth)


def odd_string(case, r):
    value = r.choice(['"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\ud83d\\u0041"', '"\\ud83d\\n"', '"\\ud83dx"',
                      '"\\ud83d\\ud83d\\ude00"', '"\\u12"', '"\\u00g0"',
                      '"\\x41"', '"\\a"', '"\t"', '"\n"', '"\x1f"', '"\x7f"', '"\\u0000"', '"abc', '"\\"',
                      '"\\/\\b\\f\\n\\r\\t"', "'a'", '"\\U0041"',
                      '"\\u+041"', '"\\u 041"', '"\\u00e9"', '"\ufeff"', '"\x00"', '"\\uD83D\\uDE00"', '"\\udbff\\udfff"',
                      '"\\uFFFF"'])
    if r.random() < 0.5:
        return add_extra(case, r, value)
    spots = [(p, i) for p, i in places(case.tree) if isinstance(p[i], str) and p[i][:1] == '"']
    if spots:
        p, i = r.choice(spots)
        p[i] = value


def odd_dtype(case, r):
    spots = [(p, i) for p, i in places(case.tree) if isinstance(p[i], str) and p[i].strip('"') in BITS]
    if spots:
        p, i = r.choice(spots)
        name = p[i].strip('"')
        p[i] = r.choice([f'"{name.lower()}"', f'"{name} "', '"F128"', '"BF8"', '"F8_E4M3FN"', '"C128"', '""', '"I4"',
                         f'["{name}"]', f'{{"{name}":null}}', f'{{"{name}":{{}}}}',
                         f'{{"{name}":1}}', f'{{"{name}":null,"{name}":null}}', "{}", "4", "null", f'"{r.choice(list(BITS))}"',
                         f'"{r.choice(list(BITS))}"'])


def odd_metadata(case, r):
    value = r.choice(["null", "{}", "[]", '""', "1", '{"a":1}', '{"a":null}', '{"a":"1","a":"2"}', '{"a":{"b":"c"}}',
                      '{"a":["b"]}', '{"":""}', '{"__metadata__":"x"}'])
    if isinstance(case.tree, Object):
        key = r.choice(['"__metadata__"'] * 5 + ['"\\u005f_metadata__"', '"__metadata__ "', '"__Metadata__"'])
        case.tree.members.insert(r.randrange(len(case.tree.members) + 1), [key, value])


def array_entry(case, r):
    if isinstance(case.tree, Object):
        members = [m for m in case.tree.members if isinstance(m[1], Object)]
        if members:
            m = r.choice(members)
            named = {k.strip('"'): v for k, v in m[1].members if isinstance(k, str)}
            m[1] = [named[f] for f in FIELDS if f in named] + r.choice([[], [], ["1"], ["null"], [[]]])
            if r.random() < 0.2:
                r.shuffle(m[1])


def change_data(case, r):
    case.data = r.choice([case.data + b"\0", case.data[:-1], case.data + case.data, b"", case.data + r.randbytes(9),
                          case.data[1:]])


def surround(case, r):
    before, after = r.choice([(b" ", b""), (b"", b"   "), (b"\n\t\r", b"\n"), (b"\xef\xbb\xbf", b""), (b"", b"\0"),
                              (b"", b"\0\0\0\0"), (b"\0", b""), (b"", b"{}"),
                              (b"", b","), (b"[", b"]"), (b"\x0b", b""), (b"\x0c", b""), (b"", b"\xc2\xa0"), (b"/**/", b""),
                              (b"", b"//"), (b"", b"}"), (b"", b"\xff")])
    case.edits.append(lambda header: before + header + after)


def whole_header(case, r):
    other = r.choice([b"", b"{}", b"[]", b"null", b"{", b"}", b'""', b"0", b" ", b"{}{}", b"[{}]", b"true", b'{"":{}}',
                      b'{"a":[]}', b'{"a":{}}', b"{,}", b'{"a"}', b'{a:1}'])
    case.edits.append(lambda header: other)
    if r.random() < 0.7:
        case.data = b""


def header_bytes(case, r):
    def edit(header):
        header = bytearray(header)
        for _ in range(r.choice([1, 1, 1, 2, 3])):
            if not header:
                break
            at = r.randrange(len(header))
            kind = r.randrange(5)
            if kind == 0:
                header[at] ^= 1 << r.randrange(8)
            elif kind == 1:
                header[at] = r.choice(b'{}[]:,"\\0123456789-.eE \n\0\xff\x80\xc3\xed')
            elif kind == 2:
                del header[at]
            elif kind == 3:
                header.insert(at, r.choice(b'{}[]:,"\\0123456789-.eE \n\0\xff\x80\xc3\xf0'))
            else:
                header[at:at] = header[at:at + r.randrange(1, 12)]
        return bytes(header)
    case.edits.append(edit)


def utf8(case, r):
    bad = r.choice([b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf",
                    b"\xed\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf4\x8f\xbf\xbf",
                    b"\xf5\x80\x80\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xee\x80\x80", b"\xef\xbf\xbf", b"\xc2\x80",
                    b"\xdf\xbf", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])
    def edit(header):
        at = [i for i in range(len(header)) if header[i:i + 1] == b'"']
        i = r.choice(at) + 1 if at else 0
        return header[:i] + bad + header[i:]
    case.edits.append(edit)


MUTATIONS = [replace_any, put_junk, swap, duplicate, duplicate, remove, move_number, move_number, move_number, odd_number,
             odd_number, border_number, nest,
             odd_string, odd_dtype, odd_dtype, odd_metadata, array_entry, change_data, surround, whole_header, header_bytes,
             header_bytes, utf8]


def file_bytes(data, r):
    """Mutations of the file whole."""
    kind = r.randrange(5)
    if kind == 0:
        return data[:r.randrange(len(data) + 1)]
    if kind == 1:
        length = struct.unpack("<Q", data[:8])[0]
        length = r.choice([length + 1, max(0, length - 1), length + 8, 0, 10**8, 10**8 + 1, 2**63, 2**64 - 1, 2**64 - 8,
                           r.randrange(len(data))])
        return struct.pack("<Q", length) + data[8:]
    if kind == 2:
        data = bytearray(data)
        at = r.randrange(len(data))
        data[at] ^= 1 << r.randrange(8)
        return bytes(data)
    if kind == 3:
        return data + r.randbytes(r.randrange(1, 4))
    return data[:8][::-1] + data[8:]


def edge_cases():
    """What a mutation finds seldom, once each."""
    entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    two = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
    huge = '{"dtype":"U8","shape":[18446744073709551615,2],"data_offsets":[0,1]}'
    eighth = 2**61 - 1
    def bytes_at(key, begin, size):
        return f'"{key}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{begin},{begin + size}]}}'
    parts = ",".join(bytes_at(i, i * eighth, eighth) for i in range(8))
    for header, data in [(f'{{"a":{two},"a":{entry}}}', b"1"), (f'{{"a":{huge},"a":{entry}}}', b"1"),
                         (f'{{"a":5,"a":{entry}}}', b"1"), (f'{{"a":{entry},"a":{huge}}}', b"1"),
                         (f"{{{parts}}}", b""), (f'{{{parts},{bytes_at("z", 8 * eighth, 8)}}}', b""),
                         ('{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}', b""),
                         ('{"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}', b""),
                         ('{"a":{"dtype":"F4","shape":[4611686018427387904],"data_offsets":[0,1]}}', b"1"),
                         ('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', b"1"),
                         ('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', b"12"),
                         ('{"a":{"dtype":"U8","shape":[' + ",".join("1" * 200) + '],"data_offsets":[0,1]}}', b"1"),
                         ('{"a":{"dtype":"' + "é" * 100 + '","shape":[1],"data_offsets":[0,1]}}', b"1"),
                         (f'{{"{"é" * 100}":{huge}}}', b"1"), (f'{{"a":{entry},"__metadata__":null,"__metadata__":null}}', b"1")]:
        yield struct.pack("<Q", len(header.encode())) + header.encode() + data
    for name, bits in BITS.items():  # every value of 8 and 16 bits
        if name in STORED and bits <= 16:
            data = numpy.arange(2**bits, dtype="<u2" if bits == 16 else "u1").tobytes()
            header = json.dumps({"a": {"dtype": name, "shape": [2**bits], "data_offsets": [0, len(data)]}}).encode()
            yield struct.pack("<Q", len(header)) + header + data


def candidates(count, seed):
    r = random.Random(seed)
    yield from edge_cases()
    for _ in range(count):
        case = valid_case(r)
        if r.random() < 0.25:
            yield case.to_bytes(r)
            continue
        for _ in range(r.choice([1, 1, 1, 1, 2, 3])):
            if r.random() < 0.12:
                case.edits.append(None)
            else:
                r.choice(MUTATIONS)(case, r)
        whole = None in case.edits
        case.edits = [edit for edit in case.edits if edit]
        data = case.to_bytes(r)
        yield file_bytes(data, r) if whole else data


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=20000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--store", type=int, metavar="N", help="write N small files and their verdicts beside this script")
    a = arguments.parse_args()
    if a.store:
        return store(a.store, a.seed)
    files = list(candidates(a.count, a.seed))
    wrong, accepted = 0, 0
    for i, (data, ours) in enumerate(zip(files, mica(files), strict=True)):
        theirs = official(data, with_metadata=i % 10 == 0)
        accepted += theirs is not None
        if not agree(theirs, ours):
            wrong += 1
            print(f"disagreement on {data[:600]!r}\n  official: {theirs}\n  Mica:     {ours}"[:3000])
    print(f"safetensors {safetensors.__version__}, seed {a.seed}: {len(files)} files, {accepted} accepted, {wrong} disagreements")
    return wrong > 0


def store(count, seed):
    """One safetensors file: the files one after the other, their lengths, and 1 for each that is accepted."""
    files = [data for data in dict.fromkeys(candidates(count * 3, seed)) if len(data) < 300][:count]
    path = HERE / "safetensors_verdicts.safetensors"
    save_file({"bytes": torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8),
               "lengths": torch.tensor([len(f) for f in files]),
               "accepted": torch.tensor([official(f) is not None for f in files], dtype=torch.uint8)},
              path, {"made_by": f"fuzz_safetensors.py --store {count}, safetensors {safetensors.__version__}"})
    path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
