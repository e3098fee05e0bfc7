#!/usr/bin/env python3
"""gpu-check's parts one by one, and the PyTorch twin that it runs."""
import contextlib
import importlib.util
import io
import json
import os
import signal
import sys
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True
from fakes import Folder, HERE, gone, script
from gpu_check import figures, machine, process, side_by_side


class Process(Folder):
    def run_sh(self, text, limit=10.0):
        return process.run(["sh", "-c", text], self.folder / "log", limit)

    def test_ends(self):
        self.assertEqual(self.run_sh("echo said; exit 3").sentence(), "ended with status 3")
        self.assertEqual(self.run_sh("exit 0").sentence(), "")
        self.assertEqual(self.run_sh("kill -SEGV $$").sentence(), "was killed by SIGSEGV")
        self.assertEqual((self.folder / "log").read_text(), "said\n")
        with self.assertRaises(OSError):
            process.run([self.folder / "nothing"], self.folder / "log", 1)

    def test_a_hang_ends_with_its_children_at_the_limit(self):
        pids = self.folder / "pids"
        for hang in ("", "trap '' INT; "):  # the second does not end when asked to
            start = time.monotonic()
            ended = self.run_sh(f"{hang}sleep 60 & echo $! >{pids}; echo $$ >>{pids}; wait; sleep 60", 0.5)
            self.assertEqual(ended.sentence(), "ran into its time limit")
            self.assertLess(time.monotonic() - start, 8)
            for pid in pids.read_text().split():
                self.assertTrue(gone(pid), f"{hang}{pid} still runs")

    def test_a_child_that_outlives_its_parent_is_ended(self):
        self.assertEqual(self.run_sh(f"sleep 60 & echo $! >{self.folder}/pid").code, 0)
        self.assertTrue(gone((self.folder / "pid").read_text().strip()))

    def test_tail_of_a_long_log(self):
        (self.folder / "log").write_text("".join(f"line {i}\n" for i in range(100000)))
        self.assertEqual(process.tail(self.folder / "log", 2), ["line 99998", "line 99999"])
        self.assertEqual(process.tail(self.folder / "none", 2), [])


class Figures(Folder):
    def test_catch2(self):
        self.assertEqual(figures.catch2("All tests passed (1 assertion in 1 test case)"), {"test cases": 1, "assertions": 1, "failed": 0})
        self.assertEqual(figures.catch2("test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 7 passed | 2 failed\n"), {"test cases": 5, "assertions": 9, "failed": 2})
        self.assertEqual(figures.catch2("test cases: 2 | 2 passed\nassertions: - none -\n"), {"test cases": 2, "assertions": 0, "failed": 0})
        self.assertEqual(figures.catch2("Segmentation fault"), {})
        line, dots = "-" * 79 + "\n", "." * 79 + "\n"
        text = f"{line}sums on CUDA\n{line}a.cpp:3\n{dots}a.cpp:5: warning:\n  skipped: none, and\n  no other\n\n{line}products\n  of nothing\n{line}a.cpp:9\n{dots}a.cpp:11: FAILED:\n  CHECK( x )\n"
        self.assertEqual(figures.failed_tests(text), ["products of nothing"])
        self.assertEqual(figures.skips(text), ["none, and no other"])

    def test_sanitizer(self):
        self.assertEqual(figures.sanitizer("========= ERROR SUMMARY: 0 errors"), 0)
        self.assertEqual(figures.sanitizer("========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)"), 2)
        self.assertEqual(figures.sanitizer("========= ERROR SUMMARY: 1 error\n========= ERROR SUMMARY: 3 errors"), 4)
        self.assertIsNone(figures.sanitizer("Device not supported"))
        self.assertEqual(figures.sanitizer_refused("Device not supported"), "Device not supported")
        self.assertEqual(figures.sanitizer_refused("========= ERROR SUMMARY: 1 error"), "")

    def test_microbenchmarks(self):
        (self.folder / "json").write_text("""{"ceilings": {"copy_gb_s": 4300.123, "launch_us": null}, "cases": [{"family": "relu", "name": "large", "implementations": [
            {"name": "native", "valid": true, "cold": {"median_us": 12.34567, "percent_of_ceiling": 95.4}, "warm": null}, {"name": "cuDNN", "skipped": "none"},
            {"name": "naive", "valid": false, "cold": null, "warm": null}]}]}""")
        self.assertEqual(figures.microbenchmarks(self.folder / "json"), {"cases": 1, "wrong": 1, "failed": 0, "copy gb s": 4300.12,
                         "cold, or warm where nothing is rotated": {"relu/large": "native 12.35 µs (95 %), cuDNN not run: none, naive wrong"}})
        self.assertEqual(figures.microbenchmarks(self.folder / "none"), {})

    def microbenchmark(self, *implementations, **more):
        (self.folder / "json").write_text(json.dumps({"cases": [{"family": "f", "name": "n", "implementations": implementations, **more}]}))
        found = figures.microbenchmarks(self.folder / "json")
        return found["wrong"], found["failed"], found["cold, or warm where nothing is rotated"]["f/n"]

    def test_how_a_microbenchmark_was_timed(self):
        timing = {"median_us": 2.5, "percent_of_ceiling": 50}
        said = self.microbenchmark(*({"name": str(n), "valid": True, "cold": {**timing, **marks}} for n, marks in
                                     enumerate(({"graph": True, "launch_bound": False}, {"graph": False, "launch_bound": True}, {"graph": False, "launch_bound": False}))))
        self.assertEqual(said, (0, 0, "0 2.5 µs (50 %) graph, 1 2.5 µs (50 %) launch-bound, 2 2.5 µs (50 %)"))

    def test_microbenchmarks_that_threw(self):
        right, wrong = {"name": "native", "valid": True, "error": 0, "bound": 1}, {"name": "cuDNN", "valid": False, "error": 2, "bound": 1}
        threw, no_number = ({"name": name, "valid": False, "error": None, "bound": 1} for name in ("naive", "cuDNN TF32"))
        not_reached = {"name": "last", "valid": False, "error": 0, "bound": 0}
        self.assertEqual(self.microbenchmark(right, wrong, threw, no_number, error="naive: no memory"),
                         (2, 1, "native right, cuDNN wrong, naive failed, cuDNN TF32 wrong; naive: no memory"))
        self.assertEqual(self.microbenchmark(error="no memory"), (0, 1, "no memory"))
        self.assertEqual(self.microbenchmark(right, not_reached, error="lost"), (0, 1, "native right, last failed; lost"))
        self.assertEqual(self.microbenchmark(right, error="lost"), (0, 1, "native right; lost"))

    def test_training(self):
        self.assertEqual(figures.training(self.folder / "none"), {})
        (self.folder / "log").write_text("epoch,images_per_second\n")
        self.assertEqual(figures.training(self.folder / "log"), {})

    def test_ratios_are_like_with_like_and_of_the_same_round(self):
        rounds = [{"Mica, a, TF32 off": 1, "Mica, b, TF32 off": 4, "Mica, a, TF32 on": 1, "PyTorch, eager, TF32 off": 3, "PyTorch, graph, TF32 off": 2, "PyTorch, graph, TF32 on": 3},
                  {"Mica, a, TF32 off": 2, "Mica, b, TF32 off": 1, "Mica, a, TF32 on": 1, "PyTorch, eager, TF32 off": 2, "PyTorch, graph, TF32 off": 4, "PyTorch, graph, TF32 on": 5},
                  {"Mica, a, TF32 off": 1}]  # one that was cut
        self.assertEqual(side_by_side.ratios(rounds), {"PyTorch's time over Mica's, TF32 off": 2, "PyTorch's time over Mica's, TF32 on": 4})
        self.assertEqual(side_by_side.ratios(rounds[2:]), {})


class Libraries(Folder):
    def test_wheels_come_before_cuda_and_folders_without_libraries_are_left_out(self):
        wheels, cuda = self.folder / "site/nvidia", self.folder / "cuda"
        for folder in (wheels / "cudnn/lib", wheels / "cublas/lib", wheels / "empty/lib", cuda / "lib64"):
            folder.mkdir(parents=True)
        for file in (wheels / "cudnn/lib/libcudnn.so.9", wheels / "cublas/lib/libcublasLt.so.13", cuda / "lib64/libcudart.so"):
            file.write_text("")
        (cuda / "targets/x86_64-linux").mkdir(parents=True)
        (cuda / "targets/x86_64-linux/lib").symlink_to(cuda / "lib64")  # one folder by two names
        self.assertEqual(machine.find_libraries([str(wheels)], [str(cuda)]), [str(p) for p in (wheels / "cublas/lib", wheels / "cudnn/lib", cuda / "lib64")])

    def test_a_hang_at_loading_libraries_is_a_fault(self):
        script(self.folder / "bin/op_runner", "sleep 60")
        with mock.patch.object(machine, "LOADING", 0.2):
            found = machine.Machine(machine.Programs(self.folder))
        said = "op_runner --libraries took more than 0.2 s, or could not be started"
        self.assertEqual(found.without, {"cuBLAS": said, "cuDNN": said})
        self.assertEqual(found.faults, [said, "no device was looked for: mnist is not among the programs"])

    def test_a_python_without_pytorch_is_none(self):
        self.assertEqual(machine.find_pytorch(script(self.folder / "python", "exit 1")), (None, "", []))
        self.assertEqual(machine.find_pytorch(self.folder / "none"), (None, "", []))
        python = script(self.folder / "python", 'printf "2.1\\n3.12\\n/site/nvidia\\n"')
        self.assertEqual(machine.find_pytorch(python), (python, "2.1, Python 3.12", ["/site/nvidia"]))


class Processes(Folder):
    def test_ctrl_c_while_a_program_starts_leaves_nothing_behind(self):
        program, started = script(self.folder / "program", f'echo $$ >"{self.folder}/pid"; sleep 60'), []
        popen = process.subprocess.Popen

        def interrupted(*arguments, **how):
            started.append(popen(*arguments, **how))
            os.kill(os.getpid(), signal.SIGINT)
            return started[0]

        for run in (lambda: process.run([program], self.folder / "log", 30), lambda: process.output_of([program], 30)):
            started.clear()
            with mock.patch.object(process.subprocess, "Popen", interrupted), self.assertRaises(KeyboardInterrupt):
                run()
            self.assertTrue(gone(started[0].pid))


class Twin(unittest.TestCase):
    """benchmarks/step_pytorch.py with a PyTorch that does nothing, and notes its calls."""

    def setUp(self):
        self.torch = mock.MagicMock()
        self.torch.__version__ = "9.9"
        self.torch.nn.Dropout = type("Dropout", (), {"__init__": lambda layer, p: setattr(layer, "p", p)})
        file = HERE.parents[1] / "benchmarks/step_pytorch.py"
        with mock.patch.dict(sys.modules, torch=self.torch):
            self.twin = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("step_pytorch", file))
            spec.loader.exec_module(self.twin)

    def test_a_capture_waits_for_what_was_queued_before_and_is_waited_for(self):
        self.twin.step_on_cuda("graph_tf32_on", mock.Mock(images=4, batch=2))
        calls = [name for name, _, _ in self.torch.mock_calls]
        order = [calls.index(name) for name in ("cuda.Stream", "cuda.Stream().wait_stream", "cuda.stream", "cuda.current_stream().wait_stream", "cuda.graph")]
        self.assertEqual(order, sorted(order))

    def test_a_mode_that_fails_costs_that_mode(self):
        def make(mode, arguments):
            if mode == "graph_tf32_on":
                raise RuntimeError("no\nmemory")
            return lambda: None
        with mock.patch.object(self.twin, "step_on_cuda", make), mock.patch.object(sys, "argv", ["", "--device", "cuda", "--steps", "1", "--mode", "graph_tf32_on,eager_tf32_on"]), \
             contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(self.twin.main(), 1)
        failed, done = figures.json_lines(said.getvalue())
        self.assertEqual(failed, {"mode": "graph_tf32_on", "error": "RuntimeError: no\nmemory"})
        self.assertEqual(done["mode"], "eager_tf32_on")


if __name__ == "__main__":
    unittest.main()
