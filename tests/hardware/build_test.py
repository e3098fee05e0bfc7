#!/usr/bin/env python3
"""gpu-check with the programs of a build folder: every step on the emulated device, in small; without a device, every step's
own sentence.

usage: build_test.py BUILD BACKEND      (BACKEND: nvcc, emulator, or empty)
"""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import fakes
from gpu_check.steps import SANITIZED_OPS, STEPS

BACKEND, BUILD = sys.argv.pop(), sys.argv.pop()
NO_TOOL = {"microbenchmarks", "large-microbenchmarks"} if not os.path.exists(f"{BUILD}/benchmarks/kernels/microbench") else set()


class Build(fakes.Folder):
    def check(self, *arguments, **environment):
        """Exit status, what was printed, and the report."""
        tools = self.folder / "tools"
        fakes.script(tools / "compute-sanitizer", fakes.SANITIZER)
        fakes.script(tools / "nvidia-smi", "exit 9")
        python = fakes.script(tools / "pytorch", fakes.PYTORCH)
        done = subprocess.run([sys.executable, fakes.CHECK, "--binaries", BUILD, "--small", "--out", self.folder / "out", "--python", python, "--limit-scale", "20", *arguments],
                              env=dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", **environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        report = json.loads((self.folder / "out/report.json").read_text())
        return done.returncode, done.stdout, {step["name"]: step for step in report["steps"]}

    def small_set(self):
        """Eight images to train with, and four."""
        folder = self.folder / "set"
        folder.mkdir()
        for name, count in (("train", 8), ("t10k", 4)):
            (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + bytes(i * i * 7 % 251 for i in range(count * 784)))
            (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count)))
        return str(folder)

    @unittest.skipUnless(BACKEND == "emulator", "needs the emulated device")
    def test_every_step_on_the_emulated_device(self):
        # Work runs once, in one order: here it is gpu-check that is tested.
        status, text, found = self.check(MICA_DATA=self.small_set(), EMULATOR_RERUN="0")
        self.assertEqual({name: step["status"] for name, step in found.items()}, {step.name: "skipped" if step.name in NO_TOOL else "passed" for step in STEPS}, text)
        self.assertEqual(status, 0)
        for name in ("kernels", "cudnn", "ops-f64", "ops-f32", "gradients", "ten-steps", "conformance"):
            self.assertGreater(found[name]["figures"]["assertions"], 1, name)
        for name in ("train-native", "train-library", "train-graph"):
            self.assertEqual((found[name]["figures"]["epochs"], found[name]["figures"]["data"]), (1, "8 and 4 images, not all of MNIST"))
        self.assertEqual(found["racecheck"]["figures"], {"errors": 0})
        self.assertEqual(len(found["pytorch"]["figures"]["ms a step"]), 9)
        self.assertEqual(found["profile"]["text"].count("profile: of an emulated device, whose times say nothing of a GPU's"), 3)
        self.assertRegex(found["profile"]["text"], r"(?s)^native, TF32 on\n.*\nnative, TF32 off\n.*\nlibrary, TF32 on\n.*conv")

    @unittest.skipUnless(BACKEND == "emulator", "needs the emulated device")
    def test_the_case_that_loses_the_device_is_named(self):
        found = self.check("--only", "kernels", EMULATOR_FAIL="launch:1:cudaErrorIllegalAddress")[2]["kernels"]
        self.assertEqual((found["status"], found["reason"]), ("failed", "1 test case lost the device: views, copies and changes in place on the device"))

    def names(self, chosen):
        """Of the test cases that Catch2's expression means."""
        def listed(chosen, *how):
            said = subprocess.run([f"{BUILD}/tests/mica_tests", chosen, *how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            return {line.strip() for line in said.splitlines() if line.strip()}

        version_2, version_3 = ["--list-test-names-only"], ["--list-tests", "--verbosity", "quiet"]  # of Catch2
        return listed(chosen, *(version_2 if listed("*", *version_2) else version_3))

    @unittest.skipUnless(BACKEND, "needs a build with CUDA")
    def test_every_step_has_its_tests(self):
        libraries = subprocess.run([f"{BUILD}/tests/op_runner", "--libraries"], stdout=subprocess.PIPE, text=True).stdout
        of_libraries = {"conformance"} if libraries.count("header was not found") == 2 else set()
        for step in STEPS:
            for chosen in getattr(step.work, "chosen", []) if step.name not in of_libraries else []:
                for part in chosen.split(","):
                    self.assertTrue(self.names(part), f"{step.name}: no test is named {part}")

    @unittest.skipUnless(BACKEND == "emulator", "the other builds have tests that no step is for")
    def test_every_test_on_a_device_has_its_step(self):
        in_steps = set().union(*(self.names(chosen) for step in STEPS for chosen in getattr(step.work, "chosen", [])))
        self.assertEqual(self.names("[cuda]") - in_steps - self.names("[faults]"), set())

    def test_every_op_that_is_sanitized_is_one(self):
        cases = json.loads((fakes.HERE.parents[1] / "benchmarks/ops.json").read_text())
        self.assertEqual(set(SANITIZED_OPS.split(",")) - {case["op"] for case in cases}, set())

    @unittest.skipIf(BACKEND == "emulator", "needs a build for hardware, or for none")
    def test_without_a_device(self):
        status, text, found = self.check(CUDA_VISIBLE_DEVICES="")
        self.assertEqual(status, 3, text)
        for name, step in found.items():
            if name != "conformance" and name not in NO_TOOL:
                self.assertEqual(step["status"], "skipped", text)
                self.assertRegex(step["reason"], "^no device(: |$)")
        self.assertIn(found["conformance"]["status"], ("passed", "skipped"))  # which needs libraries only


if __name__ == "__main__":
    unittest.main()
