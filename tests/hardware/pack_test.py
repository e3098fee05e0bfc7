#!/usr/bin/env python3
"""pack.py on programs of a few lines.

usage: pack_test.py CXX
"""
import gzip
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
import pack
from fakes import Folder, script

COMPILER = sys.argv.pop(1) if len(sys.argv) > 1 else "c++"


def fake_nvcc(folder):
    return script(folder / "nvcc", "echo nvcc: NVIDIA; echo Cuda compilation tools, release 13.0, V13.0.88; echo Build 7")


class Pack(Folder):
    """A build of one program, which needs the library `near`, which needs `far`; both where only a run path finds them."""

    def setUp(self):
        super().setUp()
        self.build, self.libraries = self.folder / "build", self.folder / "libraries"
        for folder in ("tests", "examples", "benchmarks/kernels"):
            (self.build / folder).mkdir(parents=True)
        self.libraries.mkdir()
        self.compile("int far() { return 7; }", self.libraries / "libfar.so", "-shared", "-fPIC")
        self.compile("int far(); int near() { return far(); }", self.libraries / "libnear.so", "-shared", "-fPIC", "-lfar")
        self.compile('#include <cstdio>\nint near(); int main() { std::printf("%d\\n", near()); }', self.build / "examples/mnist", "-lnear")
        for name in pack.PROGRAMS:
            if name != "examples/mnist":
                (self.build / name).write_bytes((self.build / "examples/mnist").read_bytes())
        self.cache(MICA_NVCC=self.cuobjdump("ELF file 1: m.1.sm_90.cubin", "PTX file 1: m.1.sm_90.ptx"))

    def cache(self, **changed):
        """CMake's cache of a build that can be packed, but for what is changed."""
        entries = {"CMAKE_CXX_COMPILER": COMPILER, "MICA_CUDA_BUILT": "nvcc;CUBLAS;CUDNN", "CMAKE_CUDA_ARCHITECTURES": "90", **changed}
        (self.build / "CMakeCache.txt").write_text("".join(f"{name}:STRING={value}\n" for name, value in entries.items()))

    def cuobjdump(self, elf, ptx):
        """Beside an nvcc; answers these."""
        script(self.folder / "cuda/cuobjdump", f'[ "$1" = --list-elf ] && echo "{elf}"; [ "$1" = --list-ptx ] && echo "{ptx}"; exit 0')
        return script(self.folder / "cuda/nvcc", "echo release 13.0")

    def compile(self, text, into, *options):
        source = self.folder / "source.cpp"
        source.write_text(text)
        subprocess.run([COMPILER, source, "-o", into, f"-L{self.libraries}", f"-Wl,-rpath,{self.libraries}", "-Wl,--disable-new-dtags", *options], check=True)

    def refusal(self, **how):
        with self.assertRaises(pack.Refused) as caught:
            pack.pack(self.build, self.folder / "into", **how)
        self.assertFalse(list((self.folder / "into").glob("*")) if (self.folder / "into").exists() else [])
        return str(caught.exception)

    def test_what_is_in_it_runs_elsewhere(self):
        file, size = pack.pack(self.build, self.folder / "into", newest_glibc=(99,))
        self.assertEqual(size, file.stat().st_size)
        with tarfile.open(file) as tar:
            tar.extractall(self.folder / "elsewhere")
        home = next((self.folder / "elsewhere").iterdir())
        self.assertEqual(home.name + ".tar.xz", file.name)
        self.assertEqual(sorted(p.name for p in (home / "bin").iterdir()), ["mica_tests", "microbench", "mnist", "op_runner", "ops", "quickstart", "step"])
        names = {p.name for p in (home / "lib").iterdir()}
        self.assertLessEqual({"libnear.so", "libfar.so"}, names)
        self.assertFalse([name for name in names if name.startswith(("libc.so", "libm.so", "ld-linux"))])
        for name in ("gpu-check", "gpu_check/main.py", "about.json", "README.md", "LICENSE", "files/tests/pytorch/networks.safetensors", "files/benchmarks/ops.json",
                     "files/tests/emulator_test/cudnn_answers.txt", "files/benchmarks/step_pytorch.py"):
            self.assertTrue((home / name).is_file(), name)
        self.assertEqual(home.name, "mica-gpu-" + json.loads((home / "about.json").read_text())["commit"])
        self.libraries.rename(self.folder / "gone")
        said = subprocess.run([home / "bin/mnist"], env={"LD_LIBRARY_PATH": str(home / "lib")}, capture_output=True, text=True)
        self.assertEqual((said.stdout, said.stderr), ("7\n", ""))
        self.assertTrue(subprocess.run([home / "gpu-check", "--list"], capture_output=True).stdout)

    def test_a_small_data_set(self):
        whole = self.folder / "mnist"
        whole.mkdir()
        for name, count in (("train", 20003), ("t10k", 5)):
            (whole / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 2, 3) + bytes(i % 251 for i in range(count * 6)))
            (whole / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count))))
        with mock.patch.dict(os.environ, {"MICA_DATA": str(whole)}):
            file, _ = pack.pack(self.build, self.folder / "into", newest_glibc=(99,))
        with tarfile.open(file) as tar:
            tar.extractall(self.folder / "elsewhere")
        data = next((self.folder / "elsewhere").iterdir()) / "files/data"
        for name, count in (("train", 20000), ("t10k", 5)):
            self.assertEqual((data / f"{name}-images-idx3-ubyte").read_bytes(), struct.pack(">4I", 0x803, count, 2, 3) + bytes(i % 251 for i in range(count * 6)))
            self.assertEqual((data / f"{name}-labels-idx1-ubyte").read_bytes(), struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count)))
        self.assertIn("the first 20000 and 4000 images", json.loads((data.parents[1] / "about.json").read_text())["data"])
        (whole / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 5, 2, 3) + bytes(29))
        with mock.patch.dict(os.environ, {"MICA_DATA": str(whole)}), self.assertRaisesRegex(pack.Refused, "has 45 bytes, expected 46 or more; is it cut off"):
            pack.small_set(whole, self.folder / "none")
        self.assertTrue(pack.small_set(None, self.folder / "none").startswith("none: "))
        self.assertFalse((self.folder / "none").exists())

    def test_too_large(self):
        said = self.refusal(limit=0.001, newest_glibc=(99,))
        self.assertRegex(said, r"^the bundle has \d+\.\d MB, and must stay under 0.001 MB; its largest parts, compressed:\n +\d+\.\d MB  \S+\n")
        self.assertEqual(len(said.splitlines()), 9)

    def test_a_newer_c_library(self):
        said = self.refusal(newest_glibc=(2, 1))
        self.assertRegex(said, r" needs glibc 2\.\d+, and the bundle is for machines with 2\.1; build it on an older system \(Debian 12\)$")

    def test_a_library_that_is_not_found(self):
        (self.libraries / "libfar.so").unlink()
        self.assertRegex(self.refusal(), "^.*/tests/mica_tests needs libfar.so, which is not found$")

    def test_a_program_that_was_not_built(self):
        (self.build / "benchmarks/step").unlink()
        (self.build / "benchmarks/kernels/microbench").unlink()
        self.assertEqual(self.refusal(), f"{self.build} has no benchmarks/step, benchmarks/kernels/microbench; `make gpu-bundle` builds all of them")

    def test_a_build_for_one_processor(self):
        self.cache(MICA_NATIVE="ON")
        self.assertEqual(self.refusal(newest_glibc=(99,)), f"{self.build} is built for this machine's processor only (MICA_NATIVE=ON)")

    def test_a_build_without_kernels_or_libraries(self):
        for built, without in (("", "nvcc, CUBLAS, CUDNN"), ("emulator;CUBLAS;CUDNN", "nvcc"), ("nvcc;CUBLAS", "CUDNN"), ("nvcc;CUDNN", "CUBLAS")):
            self.cache(MICA_CUDA_BUILT=built)
            self.assertEqual(self.refusal(newest_glibc=(99,)), f"{self.build} is built without {without}; configure it anew where CUDA's toolkit, its cublasLt.h and "
                             "cudnn.h of version 9 are (docs/cuda.md)")

    def test_a_build_without_code_for_the_card(self):
        no_code, no_ptx = "has no code for compute capability 9.0", "has no PTX, which newer cards need"
        cure = "; `make gpu-bundle` builds both (CMAKE_CUDA_ARCHITECTURES=90)"
        self.cache(MICA_NVCC=self.cuobjdump("", ""))
        self.assertEqual(self.refusal(newest_glibc=(99,)), f"{self.build} {no_code}{cure}")
        for architectures, said in (("80-real;120-virtual", no_code), ("90-virtual", no_code), ("90-real", no_ptx), ("native", no_code)):
            self.cache(CMAKE_CUDA_ARCHITECTURES=architectures)
            with mock.patch.object(pack.shutil, "which", return_value=None):
                self.assertEqual(self.refusal(newest_glibc=(99,)), f"{self.build} {said}{cure}", architectures)
        for elf, ptx, said in (("ELF file 1: m.1.sm_80.cubin", "PTX file 1: m.1.sm_80.ptx", no_code), ("ELF file 1: m.1.sm_90.cubin", "", no_ptx)):
            self.cache(CMAKE_CUDA_COMPILER=self.cuobjdump(elf, ptx))  # what the program has counts, not what was last configured
            self.assertEqual(self.refusal(newest_glibc=(99,)), f"{self.build} {said}{cure}")
        self.cache(CMAKE_CUDA_COMPILER=self.cuobjdump("ELF file 1: m.1.sm_90.cubin", "PTX file 1: m.1.sm_90.ptx"), CMAKE_CUDA_ARCHITECTURES="80")
        pack.pack(self.build, self.folder / "into", newest_glibc=(99,))

    def test_what_the_report_says_of_the_build(self):
        self.cache(MICA_NVCC=fake_nvcc(self.folder))
        facts = pack.about(pack.cache_of(self.build))
        self.assertEqual((facts["nvcc"], facts["built for"]), ("Cuda compilation tools, release 13.0, V13.0.88", "compute capability 90"))
        self.assertTrue(facts["compiler"] and facts["commit"] and facts["built"])

    def test_what_stays_behind(self):
        answer = "".join(f"\t{name} => /lib/{name} (0x1)\n" for name in ("libc.so.6", "libm.so.6", "libcuda.so.1", "libcublasLt.so.13", "libcudnn_graph.so.9", "libnvrtc.so.13"))
        answer += "\tlinux-vdso.so.1 (0x1)\n\t/lib64/ld-linux-x86-64.so.2 (0x1)\n\tlibcurl.so.4 => /lib/libcurl.so.4 (0x1)\n"
        with mock.patch.object(pack, "said", return_value=answer):
            self.assertEqual(list(pack.libraries("program")), ["libcurl.so.4"])

    def test_the_commit_names_changes(self):
        for changes, ending in (("", ""), (" M README.md\n", "-dirty")):
            with mock.patch.object(pack, "said", side_effect=["abc123\n", changes]):
                self.assertEqual(pack.commit(), "abc123" + ending)
        with mock.patch.object(pack, "said", side_effect=FileNotFoundError):
            self.assertEqual(pack.commit(), "unknown")

    def test_the_newest_version_is_found_by_number(self):
        with mock.patch.object(pack, "said", return_value="GLIBC_2.9 GLIBC_2.34 GLIBC_2.4 GLIBCXX_3.4.30"):
            self.assertEqual(pack.needed_glibc("file"), (2, 34))


if __name__ == "__main__":
    unittest.main()
