#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels: static figures, read without a GPU. Never times.

Registers, spills and shared memory are nvcc's own report, which a build keeps beside each object (cmake/nvcc-resources). Theoretical
occupancy follows from them; it is "at most" that of a kernel whose launch asks for more shared memory, as much as its sizes need. Counts of instructions are read from the machine code by cuobjdump, and are of instructions in the code,
not of those executed. Bytes and FLOP of each case by formula come from microbench --static, where the build has it."""
import argparse
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

# A multiprocessor of compute capability 9.0: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
REGISTERS, WARPS, BLOCKS, SHARED = 65536, 64, 32, 227 * 1024
USUAL_THREADS = 256  # a block, but for kernels whose launch bounds allow fewer (kernels/cuda/launch.h)
SOURCES = Path(__file__).resolve().parent.parent / "kernels/cuda"
COUNTED = {"HMMA": r"HMMA", "LDG.128": r"LDG\S*\.128", "STG.128": r"STG\S*\.128", "LDS.128": r"LDS\S*\.128", "STS.128": r"STS\S*\.128", "LDG": r"LDG", "STG": r"STG",
           "LDS": r"LDS", "STS": r"STS", "local": r"LDL|STL"}


def resources(path):
    """(mangled name, architecture, registers, spilled bytes, shared bytes) of each kernel in nvcc's report."""
    name = arch = None
    spilled = 0
    for line in path.read_text().splitlines():
        if m := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            name, arch, spilled = m[1], m[2], 0
        elif m := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilled = int(m[1]) + int(m[2])
        elif (m := re.search(r"Used (\d+) registers", line)) and name:
            shared = re.search(r"(\d+) bytes smem", line)
            yield name, arch, int(m[1]), spilled, int(shared[1]) if shared else 0
            name = None


def with_dynamic_shared(source):
    """The kernels of a source that have dynamic shared memory, of which the compiler does not know how much: in them, or in a function that
    they call for it."""
    functions = re.findall(r"\b(\w+)\([^;{()]*\)\s*\{\s*MICA_SHARED_DYNAMIC", source)
    kernels = re.findall(r"__global__[^;{]*?\b(\w+)\([^;{()]*\)\s*\{(.*?)\n\}", source, re.S)
    return {name for name, body in kernels if name in functions or any(f"{function}()" in body for function in functions)}


def occupancy(registers, shared, threads):
    """Warps that can be resident, of the multiprocessor's: registers are given to warps in units of 256, from one of four banks."""
    warps = math.ceil(threads / 32)
    by_registers = REGISTERS // 4 // (math.ceil(registers * 32 / 256) * 256) * 4 // warps
    blocks = min(BLOCKS, WARPS // warps, by_registers, SHARED // (shared + 1024))
    return blocks * warps / WARPS


def find_cuobjdump(given):
    places = [given, os.environ.get("CUOBJDUMP"), shutil.which("cuobjdump"), "/usr/local/cuda/bin/cuobjdump"]
    return next((p for p in places if p and os.access(p, os.X_OK)), None)


def machine_code(cuobjdump, path, arch):
    """{mangled name: counts of instructions}, {mangled name: most threads of a block}"""
    # It calls nvdisasm, which lies beside it.
    environment = {**os.environ, "PATH": f"{Path(cuobjdump).resolve().parent}:{os.environ.get('PATH', '')}"}
    read = lambda what: subprocess.run([cuobjdump, what, "-arch", arch, str(path)], capture_output=True, text=True, env=environment)
    code = read("-sass")
    if code.returncode:
        sys.exit(f"static_figures.py: {cuobjdump} -sass {path}: {code.stderr.strip() or 'failed'}; give another by --cuobjdump")
    counts = {}
    for chunk in code.stdout.split("Function : ")[1:]:
        operations = [re.sub(r"^@!?U?P\w+\s+", "", m[1].strip()).split()[0] for m in re.finditer(r"/\*[0-9a-f]{4,}\*/\s+([^;]+);", chunk)]
        counts[chunk.split()[0]] = Counter({name: sum(bool(re.match(pattern, op)) for op in operations) for name, pattern in COUNTED.items()})
        counts[chunk.split()[0]]["all"] = len([op for op in operations if op != "NOP"])
    bounds = {}
    for chunk in re.split(r"\n\.nv\.info\.", read("-elf").stdout)[1:]:
        if m := re.search(r"EIATTR_MAX_THREADS\s+Format:\s+\w+\s+Value:\s+(0x[0-9a-f]+)", chunk):
            bounds[chunk.split()[0]] = int(m[1], 16)
    return counts, bounds


def readable(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = lambda n: re.sub(r"void |mica::kernels::|\(anonymous namespace\)::|_GLOBAL__N__\w*::", "", n)
    clean = lambda n: re.sub(r"\(.*", "", re.sub(r"\((\w+)\)(\d+)", r"\1 \2", short(n)))  # (Precision)1 is an argument of a template
    return [clean(n) for n in text.splitlines()]


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="a build folder of nvcc's")
    parser.add_argument("--arch", default="sm_90"), parser.add_argument("--cuobjdump")
    parser.add_argument("--file", default="", help="only kernels of files with this in their name")
    args = parser.parse_args()
    reports = sorted(p for p in args.build.rglob("kernels/cuda/*.cu.o.resources") if args.file in p.name)
    if not reports:
        sys.exit(f"static_figures.py: no .resources files of kernels under {args.build}; give a build folder made where nvcc is, such as build/release")
    there = {k[1] for report in reports for k in resources(report)}
    if args.arch not in there:
        sys.exit(f"static_figures.py: no kernels of {args.arch} under {args.build}, which has {', '.join(sorted(there)) or 'none'}; --arch names one of these")
    cuobjdump = find_cuobjdump(args.cuobjdump)
    print(f"Static figures of {args.arch}, read from the compiler's output; nothing here was run. Occupancy, for sm_90 only: of {WARPS} warps, at {USUAL_THREADS} threads a\n"
          f"block or the kernel's launch bounds, if fewer; at most: without the shared memory that the launch asks for. Shared memory: static, bytes.")
    if not cuobjdump:
        print("The machine code was not read, for want of cuobjdump: it is part of the CUDA toolkit, and pip install nvidia-cuda-cuobjdump\n"
              "nvidia-cuda-nvdisasm brings it (then --cuobjdump PATH, with nvdisasm beside it).")
    columns = list(COUNTED) + ["all"] if cuobjdump else []
    print("\n| file | kernel | registers | spilled | shared | occupancy |" + "".join(f" {c} |" for c in columns))
    print("|---|---|---|---|---|---|" + "---|" * len(columns))
    for report in reports:
        kernels = [k for k in resources(report) if k[1] == args.arch]
        counts, bounds = machine_code(cuobjdump, report.with_suffix(""), args.arch) if cuobjdump and kernels else ({}, {})
        source = SOURCES / report.name.removesuffix(".o.resources")
        dynamic = with_dynamic_shared(source.read_text()) if source.exists() else set()
        for (name, _, registers, spilled, shared), text in zip(kernels, readable([k[0] for k in kernels])):
            share = None if args.arch != "sm_90" else occupancy(registers, shared, min(USUAL_THREADS, bounds.get(name, USUAL_THREADS)))
            most = "at most " if re.sub(r"<.*", "", text).split("::")[-1] in dynamic else ""
            print(f"| {report.name.split('.')[0]} | {text} | {registers} | {spilled} | {shared} | {f'{most}{share:.0%}' if share is not None else '–'} |" +
                  "".join(f" {counts[name][c]} |" if name in counts else " – |" for c in columns))
    program = args.build / "benchmarks/kernels/microbench"
    if program.exists():
        print(flush=True)
        return subprocess.run([program, "--device", "cuda", "--static"], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
