#!/usr/bin/env python3
"""Packs Mica's programs, the libraries they need, and gpu-check into one archive for a machine with a GPU (docs/hardware/README.md).

usage: pack.py BUILD INTO [--limit MB] [--glibc VERSION]
BUILD is a build folder of nvcc's; the archive is INTO/mica-gpu-<commit>.tar.xz. Libraries are what ldd finds, without the C
library's and CUDA's own, which the other machine has. The first images of the data set that MICA_DATA names go along.
"""
import argparse
import datetime
import gzip
import json
import os
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["tests/mica_tests", "tests/op_runner", "examples/mnist", "examples/quickstart", "benchmarks/step", "benchmarks/ops", "benchmarks/kernels/microbench"]
FILES = ["tests/pytorch/*.safetensors", "tests/emulator_test/*.txt", "benchmarks/ops.json", "benchmarks/step_pytorch.py"]
CHECK = ["gpu-check", "gpu_check/*.py"]

# What every system with a C library has, and what comes with CUDA or its driver.
OF_THE_C_LIBRARY = r"(ld-linux-x86-64|linux-vdso|libc|libm|libdl|librt|libpthread|libresolv|libutil|libanl|libnsl|libBrokenLocale)\.so"
OF_CUDA = r"lib(cuda|cudart|cublas|cublasLt|cudnn\w*|nvrtc\S*|nvJitLink|nvidia\S*|nvToolsExt)\.so"


class Refused(Exception):
    pass


def said(command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def libraries(program):
    """{name: path} of the shared libraries that the program needs, directly or not, and that must travel with it."""
    found = {}
    for line in said(["ldd", program]).splitlines():
        name, _, path = line.strip().partition(" => ")
        name, path = name.split()[0].rsplit("/", 1)[-1], path.split(" (")[0]
        if re.match(f"{OF_THE_C_LIBRARY}|{OF_CUDA}", name) or "statically linked" in line:
            continue
        if not path or path == "not found":
            raise Refused(f"{program} needs {name}, which is not found")
        found[name] = pathlib.Path(path).resolve()
    return found


def needed_glibc(file):
    """The newest version of the C library that the file asks for, as numbers."""
    versions = re.findall(r"\bGLIBC_(\d+(?:\.\d+)+)", said(["readelf", "-V", file]))
    return max((numbers(version) for version in versions), default=(0,))


def numbers(version):
    return tuple(int(n) for n in version.split("."))


def programs_of(build):
    missing = [name for name in PROGRAMS if not (build / name).is_file()]
    if missing:
        raise Refused(f"{build} has no {', '.join(missing)}; `make gpu-bundle` builds all of them")
    return [build / name for name in PROGRAMS]


def commit():
    """Of the source tree; -dirty where that has changes that are not committed."""
    try:
        name = said(["git", "-C", SOURCE, "rev-parse", "--short=12", "HEAD"]).strip()
        return name + ("-dirty" if said(["git", "-C", SOURCE, "status", "--porcelain"]).strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cache_of(build):
    """CMake's, by name."""
    file = build / "CMakeCache.txt"
    return dict(re.findall(r"^(\w+):\w+=(.*)$", file.read_text(), re.M)) if file.is_file() else {}


def require_fit(build, cache):
    """A bundle shows all there is: our kernels on its card and newer ones, and beside them the libraries."""
    if cache.get("MICA_NATIVE") == "ON":
        raise Refused(f"{build} is built for this machine's processor only (MICA_NATIVE=ON)")
    built = cache.get("MICA_CUDA_BUILT", "").split(";")  # cmake/cuda.cmake
    if missing := [part for part in ("nvcc", "CUBLAS", "CUDNN") if part not in built]:
        raise Refused(f"{build} is built without {', '.join(missing)}; configure it anew where CUDA's toolkit, its cublasLt.h and cudnn.h of version 9 are (docs/cuda.md)")
    code, ptx = device_code(build / "tests/op_runner", cache)
    if not code or not ptx:
        raise Refused(f"{build} has no {'PTX, which newer cards need' if code else 'code for compute capability 9.0'}; `make gpu-bundle` builds both (CMAKE_CUDA_ARCHITECTURES=90)")


def device_code(program, cache):
    """Has the program code for sm_90, and has it PTX? As cuobjdump says, or without it as it was configured."""
    beside_nvcc = pathlib.Path(nvcc_of(cache) or "nvcc").parent
    if cuobjdump := shutil.which("cuobjdump", path=f"{beside_nvcc}:{os.environ['PATH']}"):
        lists = [subprocess.run([cuobjdump, how, program], capture_output=True, text=True).stdout for how in ("--list-elf", "--list-ptx")]
        return ".sm_90." in lists[0], ".ptx" in lists[1]
    architectures = cache.get("CMAKE_CUDA_ARCHITECTURES", "").split(";")
    return bool({"90", "90-real"} & set(architectures)), any(re.fullmatch(r"\d+(-virtual)?", name) for name in architectures)


def nvcc_of(cache):
    return cache.get("CMAKE_CUDA_COMPILER") or cache.get("MICA_NVCC")


def about(cache):
    """What the report says of this build."""
    facts = {"commit": commit(), "built": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")}
    for name, compiler in (("compiler", cache.get("CMAKE_CXX_COMPILER")), ("nvcc", nvcc_of(cache))):
        if compiler:
            lines = said([compiler, "--version"]).splitlines()
            facts[name] = next((line for line in lines if "release" in line), lines[0])
    if cache.get("CMAKE_CUDA_ARCHITECTURES"):
        facts["built for"] = "compute capability " + cache["CMAKE_CUDA_ARCHITECTURES"]
    return facts


SMALL_SET = {"train": 20000, "t10k": 4000}  # enough to train gap-19k to 95 % in two epochs


def small_set(folder, into):
    """The first images and labels of each file of MNIST's, which a folder has, gzip-compressed or not. Returns a sentence for the report."""
    parts = {}
    for name, count in SMALL_SET.items():
        for kind, header in (("images-idx3", ">4I"), ("labels-idx1", ">2I")):
            file = f"{name}-{kind}-ubyte"
            there = [path for path in (folder / file, folder / f"{file}.gz") if path.is_file()] if folder else []
            if not there:
                return "none: MICA_DATA named no folder with MNIST's four files when this was packed; digits are drawn"
            raw = gzip.decompress(there[0].read_bytes()) if there[0].suffix == ".gz" else there[0].read_bytes()
            begin = struct.calcsize(header)
            numbers = list(struct.unpack(header, raw[:begin]))
            numbers[1] = count = min(count, numbers[1])
            size = numbers[2] * numbers[3] if len(numbers) > 2 else 1
            if len(raw) < begin + count * size:
                raise Refused(f"{there[0]} has {len(raw)} bytes, expected {begin + count * size} or more; is it cut off?")
            parts[file] = struct.pack(header, *numbers) + raw[begin:begin + count * size]
    into.mkdir(parents=True)
    for file, content in parts.items():
        (into / file).write_bytes(content)
    return "the first {} and {} images of MNIST, where MICA_DATA does not name all of them".format(*SMALL_SET.values())


def collect(build, into, newest_glibc):
    """Lays everything out under the folder `into`."""
    programs, found, cache = programs_of(build), {}, cache_of(build)
    require_fit(build, cache)
    for program in programs:
        found.update(libraries(program))
    for name, path in [*((f"bin/{p.name}", p) for p in programs), *((f"lib/{name}", p) for name, p in sorted(found.items()))]:
        if needed_glibc(path) > newest_glibc:
            raise Refused(f"{path} needs glibc {'.'.join(map(str, needed_glibc(path)))}, and the bundle is for machines with "
                          f"{'.'.join(map(str, newest_glibc))}; build it on an older system (Debian 12)")
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "-o", into / name, path], check=True)
    copies = [*((path, into / path.relative_to(SOURCE / "tests/hardware")) for pattern in CHECK for path in SOURCE.glob("tests/hardware/" + pattern)),
              *((path, into / "files" / path.relative_to(SOURCE)) for pattern in FILES for path in SOURCE.glob(pattern)),
              (SOURCE / "docs/hardware/README.md", into / "README.md"), (SOURCE / "LICENSE", into / "LICENSE")]
    for path, target in copies:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    data = small_set(pathlib.Path(os.environ["MICA_DATA"]) if os.environ.get("MICA_DATA") else None, into / "files/data")
    (into / "about.json").write_text(json.dumps({**about(cache), "data": data}, indent=1) + "\n")


def archive(folder, file):
    """A .tar.xz of the folder, in an order that does not change, owned by nobody in particular. The programs have most of their
    bytes in common, which only a compressor with a dictionary of several programs' size sees (19 MB; by gzip 50)."""
    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 4, "dict_size": 1 << 26}]
    with lzma.open(file, "wb", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, f"{folder.name}/{path.relative_to(folder)}", filter=plain)


def largest(folder, most=8):
    """The parts that take the most room in the archive, a line each."""
    sizes = sorted(((len(zlib.compress(path.read_bytes(), 6)), path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()), reverse=True)
    return "\n".join(f"{size / 1e6:8.1f} MB  {path}" for size, path in sizes[:most])


def pack(build, into, limit=40, newest_glibc=(2, 36)):
    """Returns the archive's path and size; raises Refused."""
    name = f"mica-gpu-{commit()}"
    file = pathlib.Path(into) / f"{name}.tar.xz"
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / name
        collect(pathlib.Path(build).resolve(), folder, newest_glibc)
        unfinished = pathlib.Path(work) / "archive"
        archive(folder, unfinished)
        size = unfinished.stat().st_size
        if size >= limit * 1e6:
            raise Refused(f"the bundle has {size / 1e6:.1f} MB, and must stay under {limit:g} MB; its largest parts, compressed:\n{largest(folder)}")
        pathlib.Path(into).mkdir(parents=True, exist_ok=True)
        shutil.move(unfinished, file)
    return file, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("into")
    parser.add_argument("--limit", metavar="MB", type=float, default=40)
    parser.add_argument("--glibc", metavar="VERSION", type=numbers, default=(2, 36))
    arguments = parser.parse_args()
    try:
        file, size = pack(arguments.build, arguments.into, arguments.limit, arguments.glibc)
    except Refused as refused:
        sys.exit(f"pack.py: {refused}")
    if file.name.endswith("-dirty.tar.xz"):
        print("warning: there are changes that are not committed; the bundle's commit ends in -dirty", file=sys.stderr)
    print(f"{file}: {size / 1e6:.1f} MB. On a machine with a GPU: tar xf {file.name} && {file.name.removesuffix('.tar.xz')}/gpu-check")


if __name__ == "__main__":
    main()
