#!/usr/bin/env python3
"""gpu-check with programs that pass, fail, crash and hang: what it says, writes, and leaves behind."""
import os
import re
import sys
import unittest
from unittest import mock

sys.dont_write_bytecode = True
import fakes
from fakes import Bundle, CARD, HERE, PASSED, PYTORCH, gone, script
from gpu_check import main, process, steps


class Check(Bundle):
    def test_all_is_well(self):
        (self.home / "lib").mkdir()
        status, text, found = self.check()
        self.assertEqual((status, {step["status"] for step in found.values()}), (0, {"passed"}), text)
        self.assertEqual(list(found), [step.name for step in steps.STEPS])
        report = self.report()
        self.assertEqual((report["machine"]["card"], report["machine"]["driver"], report["bundle"]["commit"]), ("NVIDIA Fake", "999.1", "abc123"))
        self.assertEqual(report["machine"]["PyTorch"], "9.9, Python 3.99")
        self.assertEqual(found["kernels"]["figures"], {"test cases": 3, "assertions": 12, "failed": 0})
        self.assertEqual(found["train-graph"]["figures"], {"images/s": 40000, "epoch s": 1.5, "epochs": 2, "train loss": 0.1, "test accuracy %": 98.5, "data": "MNIST"})
        self.assertEqual(found["pytorch"]["figures"]["PyTorch's time over Mica's, TF32 off"], 3)
        self.assertEqual(found["pytorch"]["figures"]["PyTorch's time over Mica's, TF32 on"], 2)
        page = (self.out / "report.md").read_text()
        for part in ("# NVIDIA Fake, commit abc123, ", "NVIDIA Fake: 19 passed in ", "| driver | 999.1 |", "| train-native | passed | ", "images/s 40000",
                     "| Mica, native, graph, TF32 on | 0.25 |"):
            self.assertIn(part, page)
        self.assertIn("LD_LIBRARY_PATH=", (self.out / "kernels.log").read_text())  # the line that repeats it

    def test_a_failure_a_crash_and_a_hang_cost_one_step_each(self):
        title = "-" * 79
        self.fake("mica_tests", f'''case "$*" in *--list*) exit ;; esac; case "$1" in
            "f64 ops"*) printf -- '{title}\\nwrong sums\\n{title}\\na.cpp:5: FAILED:\\n'; echo "test cases: 2 | 1 passed | 1 failed"; echo "assertions: 4 | 3 passed | 1 failed"; exit 1 ;;
            "f32 ops"*,*) kill -SEGV $$ ;;
            "[cuda][gradients]") sleep 60 & echo $! >"{self.folder}/child"; wait ;;
            "[cuda][training]") echo "No tests ran" ;;
            *) {PASSED} ;; esac''')
        status, text, found = self.check("--limit-scale", "0.05", "--only", "ops-f64", "--only", "ops-f32", "--only", "gradients", "--only", "ten-steps", "--only", "conformance")
        said = {name: (step["status"], step["reason"]) for name, step in found.items()}
        self.assertEqual(said["ops-f64"], ("failed", "1 test case failed: wrong sums"))
        self.assertEqual(said["ops-f32"], ("failed", "mica_tests was killed by SIGSEGV"))
        self.assertEqual(said["gradients"][0], "timed out")
        self.assertRegex(said["gradients"][1], r"^mica_tests ran into its time limit of \d+ s$")
        self.assertEqual(said["ten-steps"], ("failed", "no test case ran"))
        self.assertEqual(said["conformance"], ("passed", ""))
        self.assertEqual(status, 1, text)
        self.assertTrue(gone((self.folder / "child").read_text().strip()))
        self.assertIn("assertions: 4 | 3 passed | 1 failed", found["ops-f64"]["tail"])
        self.assertIn("## ops-f64 failed: the end of ops-f64.log", (self.out / "report.md").read_text())

    def test_no_device(self):
        self.fake("mnist", 'echo "mnist: Device::cuda(0): this machine has no NVIDIA driver" >&2; exit 1')
        self.fake("mica_tests", 'echo "  skipped: cuDNN was not found"; echo "test cases: 2 | 2 passed"; echo "assertions: - none -"')
        script(self.tools / "nvidia-smi", "exit 9")
        status, text, found = self.check()
        self.assertEqual({step["status"] for step in found.values()}, {"skipped"}, text)
        self.assertEqual(found["conformance"]["reason"], "cuDNN was not found")
        self.assertEqual(found["facts"]["reason"], "no device: Device::cuda(0): this machine has no NVIDIA driver")
        self.assertEqual({step["reason"] for name, step in found.items() if name not in ("facts", "conformance")}, {"no device"})
        self.assertEqual(status, 3)
        self.assertIn("No device: Device::cuda(0)", (self.out / "report.md").read_text())
        script(self.tools / "nvidia-smi", CARD)  # a card that Mica cannot use is a failure
        status, text, found = self.check("--only", "facts")
        self.assertEqual((status, found["facts"]["status"]), (1, "failed"), text)
        self.assertIn("nvidia-smi sees NVIDIA Fake, but Mica: no device: ", found["facts"]["reason"])

    def test_a_bundle_that_does_not_work_here_is_a_failure(self):
        script(self.tools / "nvidia-smi", "exit 9")
        for body, said in (("echo mnist: error while loading shared libraries: libfar.so; exit 127", "mnist ended with status 127: mnist: error while loading shared libraries: libfar.so"),
                           ("echo oops; kill -ILL $$", "mnist was killed by SIGILL: oops")):
            self.fake("mnist", body)
            status, text, found = self.check("--only", "facts", "--only", "kernels")
            self.assertEqual((found["facts"]["status"], found["facts"]["reason"]), ("failed", "no device was found: " + said))
            self.assertEqual((found["kernels"]["status"], found["kernels"]["reason"]), ("skipped", "no device"))
            self.assertEqual(status, 1, text)

    def test_what_is_missing_is_skipped_with_the_reason(self):
        self.fake("microbench", """echo '{"cases": []}' >"$4" """)
        self.assertEqual(self.check("--only", "microbenchmarks")[2]["microbenchmarks"]["reason"], "microbench wrote no figures")
        (self.home / "bin/microbench").unlink()
        (self.tools / "compute-sanitizer").unlink()
        self.pytorch = self.tools / "none"
        status, text, found = self.check("--only", "microbenchmarks", "--only", "memcheck", "--only", "pytorch")
        self.assertEqual({name: step["status"] for name, step in found.items()}, {"microbenchmarks": "skipped", "memcheck": "skipped", "pytorch": "skipped"}, text)
        self.assertEqual(found["microbenchmarks"]["reason"], "microbench is not in this bundle")
        self.assertRegex(found["memcheck"]["reason"], "^compute-sanitizer was not found on PATH nor in ")
        self.assertEqual(found["pytorch"]["reason"], "no Python with PyTorch was found; --python names one")
        self.assertEqual(status, 0)

    def test_compute_sanitizer_finds_something(self):
        counts = fakes.SANITIZER.replace(" 0 errors", " 3 errors") + "; exit 86"
        script(self.tools / "compute-sanitizer", counts)
        self.assertEqual(self.only("memcheck"), (("failed", "memcheck counted 6 errors"), {"errors": 6}))
        self.fake("mica_tests", 'echo "test cases: 2 | 1 passed | 1 failed"; echo "assertions: 4 | 3 passed | 1 failed"')
        self.assertEqual(self.only("memcheck")[0], ("failed", "memcheck counted 6 errors"))
        self.fake("mica_tests", 'echo "No tests ran"')  # so they are not of Mica's kernels
        self.assertEqual(self.only("memcheck")[0], ("failed", "no test case ran under compute-sanitizer, and memcheck counted 3 errors"))
        self.fake("mica_tests", PASSED)
        script(self.tools / "compute-sanitizer", 'echo "========= ERROR SUMMARY: 0 errors"; exit 5')  # the program's own
        self.assertEqual(self.check("--only", "memcheck")[2]["memcheck"]["reason"], "compute-sanitizer ended with status 5")

    def test_a_compute_sanitizer_that_refuses_is_no_error_of_mica(self):
        for line in ('Error: Device not supported. Please refer to the "Supported Devices" section of the sanitizer documentation',
                     "Internal Sanitizer Error: The Sanitizer encountered an error when generating the internal structures",
                     "Error: Unable to find injection library libsanitizer-collection.so", "Error: Unsupported driver"):
            script(self.tools / "compute-sanitizer", f"echo '========= COMPUTE-SANITIZER'; echo '========= {line}'; echo '========= ERROR SUMMARY: 1 error'; exit 86")
            self.assertEqual(self.only("memcheck"), (("skipped", f"compute-sanitizer refused: {line}"), {}))
        # What it counted before it refused is told all the same.
        script(self.tools / "compute-sanitizer", 'case "$*" in *mnist*) echo "========= Internal Sanitizer Error: no" ;; *) ' + fakes.SANITIZER.replace(" 0 errors", " 3 errors") + " ;; esac; exit 86")
        self.assertEqual(self.only("memcheck")[0], ("failed", "memcheck counted 3 errors; compute-sanitizer refused: Internal Sanitizer Error: no"))
        self.fake("mica_tests", f'echo "Unsupported, says a test"; {PASSED}')  # which is not compute-sanitizer
        script(self.tools / "compute-sanitizer", fakes.SANITIZER)
        self.assertEqual(self.only("memcheck")[0], ("passed", ""))

    def test_training_that_learns_nothing_fails(self):
        self.fake("mnist", (self.home / "bin/mnist").read_text().replace("98.50", "11.35"))
        self.assertEqual(self.check("--only", "train-native")[2]["train-native"]["reason"], "the test accuracy is 11.35 %, expected 90 after two epochs")
        self.fake("mnist", (self.home / "bin/mnist").read_text().replace("2,0.1,", "2,nan,"))
        self.assertEqual(self.check("--only", "train-native")[2]["train-native"]["reason"], "the loss is nan")

    def only(self, name, **environment):
        """The step's status and reason, and its figures."""
        step = self.check("--only", name, **environment)[2][name]
        return (step["status"], step["reason"]), step["figures"]

    # ---- the machine ----

    def test_without_a_library_what_needs_it_is_skipped(self):
        self.fake("op_runner", 'echo "cuBLAS: cuBLAS was not found: no file"; echo "cuDNN: can be used"')
        status, text, found = self.check()
        self.assertEqual(status, 0, text)
        reason = "without cuBLAS: cuBLAS was not found: no file"
        self.assertRegex(self.report()["machine"]["cuBLAS"], r"^([\d.]+, )?not used: cuBLAS was not found: no file$")
        self.assertRegex(self.report()["machine"]["cuDNN"], r"^([\d.]+, )?can be used$")
        said = {name: (step["status"], step["reason"]) for name, step in found.items()}
        self.assertEqual((said["train-library"], said["cudnn"], said["ops-f64"]), (("skipped", reason), ("passed", ""), ("passed", reason)))
        self.assertEqual(said["pytorch"], ("passed", reason))
        self.assertFalse([row for row in found["pytorch"]["figures"]["ms a step"] if "library" in row])
        self.assertEqual(found["pytorch"]["figures"]["PyTorch's time over Mica's, TF32 on"], 2)
        self.assertIn(("profile", "passed", reason), {(name, *how) for name, how in said.items()})
        self.fake("op_runner", "exit 0")
        self.assertEqual(self.only("cudnn")[0], ("skipped", "without cuDNN: op_runner --libraries did not tell of it"))
        self.assertEqual(self.only("train-library")[0][0], "skipped")

    def test_a_crash_at_loading_libraries_is_a_failure(self):
        for body, said in (("kill -SEGV $$", "op_runner --libraries was killed by SIGSEGV"), ("echo oops; exit 1", "op_runner --libraries ended with status 1: oops")):
            self.fake("op_runner", 'echo "cuBLAS: can be used"; ' + body)
            status, text, found = self.check("--only", "facts", "--only", "cudnn", "--only", "train-library")
            self.assertEqual((status, found["facts"]["status"], found["facts"]["reason"]), (1, "failed", said), text)
            self.assertEqual(found["cudnn"]["reason"], "without cuDNN: " + said)
            self.assertNotIn("not used", self.report()["machine"]["cuBLAS"])  # of which it told before

    def test_the_card_is_the_first_that_is_visible(self):
        script(self.tools / "nvidia-smi", f'case "$*" in *"-i GPU-2 "*) echo "NVIDIA Second, 999.1, 1 MiB, 9.0, 1 MHz, 1 W" ;; *) {CARD} ;; esac')
        for visible, card in (("GPU-2,0", "NVIDIA Second"), ("", None), ("-1", None), ("0", "NVIDIA Fake")):
            self.check("--only", "facts", CUDA_VISIBLE_DEVICES=visible)
            self.assertEqual(self.report()["machine"].get("card"), card, visible)

    def test_without_nvidia_smi_mica_names_the_card(self):
        script(self.tools / "nvidia-smi", "exit 9")
        self.fake("microbench", '''case "$*" in *"--json -"*) ;; *) exit 1 ;; esac; echo "copy (1 of 1)" >&2
            printf '{\n "device": {"name": "NVIDIA Told", "about": "sm_90, driver for CUDA 13.0"}, "cases": []\n}\n'; echo done >&2''')
        self.check("--only", "facts")
        self.assertEqual((self.report()["machine"]["card"], self.report()["machine"]["about the card"]), ("NVIDIA Told", "sm_90, driver for CUDA 13.0"))
        self.assertTrue((self.out / "report.md").read_text().startswith("# NVIDIA Told, commit abc123, "))
        for body in ("echo '{\"cases\": []}'", "echo '{oops'", "exit 1"):
            self.fake("microbench", body)
            self.check("--only", "facts")
            self.assertNotIn("card", self.report()["machine"])

    def test_settings_that_are_inherited_are_named(self):
        self.check("--only", "facts", MICA_POLICY="library", MICA_DATA="/data", MICA_MIRROR="none", CUDA_VISIBLE_DEVICES="0")
        self.assertEqual(self.report()["machine"]["settings of the environment"], "CUDA_VISIBLE_DEVICES=0 MICA_POLICY=library")

    def test_an_old_driver_is_the_reason(self):
        self.fake("mnist", 'echo "mnist: no driver, or an old one" >&2; exit 1')
        (self.home / "about.json").write_text('{"commit": "abc123", "nvcc": "Cuda compilation tools, release 13.0, V13.0.88"}')
        for driver, said in (("550.54.15", "no device: no driver, or an old one; CUDA 13 needs driver R580 or newer, and this one is 550.54.15"),
                             ("580.65.06", "no device: no driver, or an old one")):
            script(self.tools / "nvidia-smi", CARD.replace("999.1", driver))
            self.check("--only", "facts")
            self.assertEqual(self.report()["device"], said)

    # ---- test cases ----

    def test_a_lost_device_costs_the_case_that_lost_it(self):
        long = "wrong [sums] of a name, that is so long that Catch2 does not print it in one line"
        self.fake_cases({"first": "passes", long: "fails", "an access, out of [bounds]": "loses", "after": "passes", "wrong": "fails", "last": "passes"})
        said, found = self.only("kernels")
        self.assertEqual(said, ("failed", f"2 test cases failed: {long}; wrong. 1 lost the device: an access, out of [bounds]"))
        self.assertEqual(found, {"test cases": 6, "failed": 3, "processes": 2})
        again = (self.folder / "arguments").read_text().splitlines()[-1]
        self.assertTrue(again.startswith("after,wrong,last --"), again)

    def test_every_lost_device_and_crash_gets_a_new_process(self):
        self.fake_cases({"loses": "loses", "crashes": "crashes", "is killed": "is killed", "passes": "passes"})
        said, found = self.only("kernels")
        self.assertEqual(said, ("failed", "1 test case lost the device: loses. 2 crashed: crashes (was killed by SIGSEGV); is killed (was killed by SIGKILL)"))
        self.assertEqual(found, {"test cases": 4, "failed": 3, "processes": 4})

    def test_a_case_that_hangs_is_named(self):
        self.fake_cases({"first": "passes", "wrong": "fails", "hangs": "hangs", "after": "passes"})
        step = self.check("--only", "kernels", "--limit-scale", "0.05")[2]["kernels"]
        self.assertEqual(step["status"], "timed out")
        self.assertRegex(step["reason"], r"^mica_tests ran into its time limit of \d+ s; 1 test case failed: wrong. 1 was under way: hangs$")

    # ---- steps ----

    def test_one_mode_that_fails_costs_that_mode(self):
        self.fake("step", """case "$*" in *library*on*) echo "step: out of memory"; exit 1 ;; *library*) echo nothing ;; *graph*) echo '{"median_ms": 0.25}' ;;
                             *) echo '{"median_ms": 1}' ;; esac""")
        script(self.pytorch, PYTORCH.replace("for mode in eager_tf32_off", """echo '{"mode": "eager_tf32_off", "error": "RuntimeError: no"}'; for mode in""") + "; exit 1")
        said, found = self.only("pytorch")
        self.assertEqual(said, ("failed", "3 of 9 ways failed: Mica, library, graph, TF32 off (step printed no result); "
                                "Mica, library, graph, TF32 on (step ended with status 1: step: out of memory); PyTorch, eager, TF32 off (RuntimeError: no)"))
        self.assertEqual((found["rounds"], len(found["ms a step"])), (3, 6))
        self.assertEqual((found["PyTorch's time over Mica's, TF32 off"], found["PyTorch's time over Mica's, TF32 on"]), (3, 2))

    def test_ways_that_are_cut_keep_the_others(self):
        self.fake("step", """case "$*" in *"off --graph"*) exit 1 ;; *"on --graph"*) sleep 60 ;; *) echo '{"median_ms": 1}' ;; esac""")
        step = self.check("--only", "pytorch", "--limit-scale", "0.03")[2]["pytorch"]
        self.assertEqual((step["status"], step["figures"]["ms a step"]), ("timed out", {"Mica, native, TF32 off": 1}))
        self.assertRegex(step["reason"], r"^step ran into its time limit of \d+ s; 1 of 9 ways failed: Mica, native, graph, TF32 off \(step ended with status 1\)$")

    def test_sanitized_test_cases_ran_without_libraries(self):
        self.fake("mica_tests", f'echo "$MICA_POLICY" >"{self.folder}/policy"; {PASSED}')
        self.assertEqual(self.only("memcheck", MICA_POLICY="library")[0], ("passed", ""))
        self.assertEqual((self.folder / "policy").read_text(), "native\n")
        for printed, said in (("No tests ran", "no test case ran"), ("test cases: 2 | 2 passed", "the test cases checked nothing"),
                              ("test cases: 2 | 1 passed | 1 failed", "1 test case failed")):
            self.fake("mica_tests", f'echo "{printed}"; echo "assertions: - none -"')
            self.assertEqual(self.only("memcheck")[0], ("failed", f"{said} under compute-sanitizer"))

    def test_training_that_ends_badly_keeps_its_epochs(self):
        whole = (self.home / "bin/mnist").read_text().removeprefix("#!/bin/sh\n")
        self.fake("mnist", whole + "\nexit 3")
        said, found = self.only("train-native")
        self.assertEqual((said, found["epochs"], found["data"]), (("failed", "mnist ended with status 3"), 2, "MNIST"))
        self.fake("mnist", "case \"$*\" in *--summary*) exit 0 ;; esac; exit 3")
        self.assertEqual(self.only("train-native"), (("failed", "mnist ended with status 3"), {}))  # not those of the run before

    def test_the_bundle_s_part_of_mnist_is_used_where_the_environment_names_none(self):
        (self.home / "files/data").mkdir(parents=True)
        self.fake("mnist", '''case "$*" in *--summary*) exit 0 ;; esac
            while [ $# -gt 0 ]; do [ "$1" = --log ] && log=$2; shift; done
            echo "data: *** IDX files that are NOT the original MNIST in $MICA_DATA: 20 training and 4 test images ***"
            echo "$MICA_DATA" >&2
            { echo "epoch,train_loss,train_accuracy,test_loss,test_accuracy,best_test_accuracy,lr,seconds,images_per_second"; echo "1,0.3,90,0.1,96.00,96.00,0.05,2.000,30000.0"; } >"$log"''')
        environment = {name: value for name, value in os.environ.items() if name != "MICA_DATA"}
        with mock.patch.dict(os.environ, environment, clear=True):
            self.assertEqual(self.only("train-native")[1]["data"], "20 and 4 images, not all of MNIST")
            self.assertIn(f"{self.home / 'files/data'}\n", (self.out / "train-native.log").read_text())
        self.check("--only", "train-native", MICA_DATA="/elsewhere")
        self.assertIn("\n/elsewhere\n", (self.out / "train-native.log").read_text())

    def test_libraries_that_do_nothing_fail(self):
        self.assertEqual({name: self.only("train-library")[1][name] for name in ("library ops", "refused")}, {"library ops": 12, "refused": 3})
        self.fake("mnist", (self.home / "bin/mnist").read_text().replace("did 12 ops", "did 0 ops"))
        self.assertEqual(self.only("train-library")[0], ("failed", "the libraries did nothing: our own kernels did it all"))

    def test_drawn_digits_are_called_so(self):
        self.fake("mnist", (self.home / "bin/mnist").read_text().replace("MNIST (SHA-256 checked)", "*** DRAWN DIGITS, NOT MNIST, which could not be had"))
        self.assertEqual(self.only("train-native")[1]["data"], "drawn digits, not MNIST")

    def test_profiles_are_in_the_report(self):
        self.fake("mnist", """case "$*" in *--summary*) ;; *--profile*library*) echo "| conv2 | 3 |" ;; *--profile*off*) echo "| conv2 | 2 |" ;; *) echo "| conv2 | 1 |" ;; esac""")
        step = self.check("--only", "profile")[2]["profile"]
        self.assertEqual(step["text"], "native, TF32 on\n| conv2 | 1 |\n\nnative, TF32 off\n| conv2 | 2 |\n\nlibrary, TF32 on\n| conv2 | 3 |\n")
        self.assertIn("\n## profile\n\n```text\n" + step["text"] + "```\n", (self.out / "report.md").read_text())

    def test_a_profile_that_fails_costs_that_way(self):
        self.fake("mnist", """case "$*" in *--summary*) ;; *--profile*off*) echo "out of memory"; exit 1 ;; *) echo "| conv2 | 1 |" ;; esac""")
        step = self.check("--only", "profile")[2]["profile"]
        self.assertEqual((step["status"], step["reason"]), ("failed", "1 of 3 ways failed: native, TF32 off (mnist ended with status 1: out of memory)"))
        self.assertEqual(step["text"], "native, TF32 on\n| conv2 | 1 |\n\nlibrary, TF32 on\n| conv2 | 1 |\n")

    def test_microbenchmarks_that_throw_are_failed(self):
        self.fake("microbench", """while [ $# -gt 0 ]; do [ "$1" = --json ] && file=$2; shift; done
            echo '{"cases": [{"family": "f", "name": "n", "error": "naive: no memory", "implementations": [{"name": "native", "valid": false, "error": 1, "bound": 0.1},
                  {"name": "naive", "valid": false, "error": null, "bound": 0.1}]}, {"family": "f", "name": "m", "error": "no memory", "implementations": []}]}' >"$file"; exit 1""")
        said, found = self.only("microbenchmarks")
        self.assertEqual((said, found["wrong"], found["failed"]), (("failed", "implementations: 1 wrong, 2 failed"), 1, 2))
        self.fake("microbench", (self.home / "bin/microbench").read_text().replace('"error": 1', '"error": 0.01').replace('"valid": false', '"valid": true', 1))
        self.assertEqual(self.only("microbenchmarks")[0], ("failed", "implementations: 2 failed"))

    def test_microbenchmarks_that_are_cut_keep_their_figures(self):
        self.fake("microbench", (self.home / "bin/microbench").read_text() + "sleep 60")
        step = self.check("--only", "microbenchmarks", "--limit-scale", "0.03")[2]["microbenchmarks"]
        self.assertEqual(step["status"], "passed")
        self.assertRegex(step["reason"], r"^cut: microbench ran into its time limit of \d+ s; the cases are those that it came to$")
        self.assertEqual(step["figures"]["cases"], 1)
        self.fake("microbench", "sleep 60")
        self.assertEqual(self.check("--only", "microbenchmarks", "--limit-scale", "0.03")[2]["microbenchmarks"]["status"], "timed out")
        self.fake("microbench", """while [ $# -gt 0 ]; do [ "$1" = --json ] && file=$2; shift; done
            echo '{"cases": [{"family": "f", "name": "n", "implementations": [{"name": "native", "valid": false}]}]}' >"$file"; sleep 60""")
        step = self.check("--only", "microbenchmarks", "--limit-scale", "0.03")[2]["microbenchmarks"]
        self.assertEqual((step["status"], step["reason"]), ("failed", "implementations: 1 wrong"))

    # ---- time ----

    def test_a_step_that_hangs_takes_no_time_of_later_ones(self):
        self.fake("mica_tests", f'case "$*" in *--list*) ;; "[cuda]~"*|f64*) sleep 60 ;; *) {PASSED} ;; esac')
        status, text, found = self.check("--limit-scale", "0.08")
        ends = [step["status"] for step in found.values()]
        self.assertEqual(found["ops-f64"]["status"], "timed out", text)
        self.assertEqual(set(ends[list(found).index("ops-f64") + 1:]), {"passed"}, text)

    def test_a_step_that_is_slow_to_end_takes_no_time_of_the_next(self):
        self.fake("mica_tests", f"""case "$*" in *--list*) ;; "[cuda]~"*) trap "" INT; while :; do sleep 0.1; done ;; "[cuda][cudnn]"*) sleep 60 ;; *) {PASSED} ;; esac""")
        found = self.check("--limit-scale", "0.1", "--only", "kernels", "--only", "cudnn")[2]
        shares = {step.name: step.seconds for step in steps.STEPS}
        self.assertEqual(found["cudnn"]["status"], "timed out")
        self.assertGreater(found["cudnn"]["seconds"], 0.09 * shares["cudnn"])

    def test_what_is_late_ends_with_the_run(self):
        # Time that steps took beyond their own is the last ones', for the whole run has its end.
        end, whole = 0.0, main.last_end(0, 1)
        for step in steps.STEPS:
            end = main.end_of(step, end, end + 4, whole, 1)
        self.assertEqual(end, whole)
        self.assertLessEqual(whole + 3 * process.GRACE, main.WHOLE_RUN)
        self.assertEqual(main.end_of(steps.STEPS[1], 25, 20, whole, 1), 25 + steps.STEPS[1].seconds)  # what is left over is kept

    def test_what_a_step_leaves_over_the_next_may_use(self):
        self.fake("mica_tests", f'case "$*" in *--list*) ;; f64*) sleep 60 ;; *) {PASSED} ;; esac')
        step = self.check("--limit-scale", "0.05", "--only", "kernels", "--only", "cudnn", "--only", "ops-f64")[2]["ops-f64"]
        shares = {step.name: step.seconds for step in steps.STEPS}
        self.assertGreater(step["seconds"], 0.05 * (shares["ops-f64"] + shares["cudnn"]))

    def test_the_time_of_all_steps_fits_into_the_run(self):
        self.assertLessEqual(main.ASKING + sum(step.seconds for step in steps.STEPS) + 3 * process.GRACE, main.WHOLE_RUN)

    def test_the_table_of_steps_is_true(self):
        table = (HERE.parents[1] / "docs/hardware/README.md").read_text()
        rows = [zip(names.split(", "), seconds.split(", ")) for names, seconds in re.findall(r"^\| ([a-z0-9, -]+) \| .* \| ([\d, ]+) \|$", table, re.M)]
        self.assertEqual([(name, int(seconds)) for row in rows for name, seconds in row], [(step.name, step.seconds) for step in steps.STEPS])

    def test_looking_at_the_machine_counts(self):
        script(self.tools / "nvidia-smi", f"sleep 3; {CARD}")
        status, text, found = self.check("--limit-scale", "0.005")
        self.assertEqual({step["reason"] for step in found.values()}, {"no time was left for it; --only repeats it"}, text)

    def test_ctrl_c_writes_the_report_so_far(self):
        self.fake("mica_tests", f'case "$1" in "f64 ops"*) echo $$ >"{self.folder}/pid"; sleep 60 ;; *) {PASSED} ;; esac')
        running = self.start()
        pid = self.interrupt(running, self.folder / "pid")
        text = running.communicate(timeout=20)[0]
        self.assertEqual(running.returncode, 130, text)
        self.assertTrue(gone(pid))
        said = {name: step["status"] for name, step in self.steps().items()}
        self.assertEqual((said["facts"], said["kernels"], said["ops-f64"], said["ops-f32"], said["conformance"]), ("passed", "passed", "interrupted", "not run", "not run"))
        self.assertIn("| ops-f32 | not run |", (self.out / "report.md").read_text())

    def test_only_keeps_the_other_steps_of_the_report(self):
        self.fake("mica_tests", "exit 1")
        self.check("--only", "ops-f64", "--only", "kernels")
        self.fake("mica_tests", PASSED)
        status, text, found = self.check("--only", "ops-f64")
        self.assertEqual({name: step["status"] for name, step in found.items()}, {"kernels": "failed", "ops-f64": "passed"}, text)
        self.assertEqual(status, 0)
        (self.home / "about.json").write_text('{"commit": "def456"}')  # of another build, nothing is kept
        self.assertEqual(list(self.check("--only", "facts")[2]), ["facts"])

    def test_command_line(self):
        status, text, _ = self.check("--only", "train-natve")
        self.assertEqual(status, 2)
        self.assertIn("--only train-natve: there is no such step, did you mean train-native? Steps are facts, kernels, ", text)
        for bad in (["--limit-scale", "0"], ["--limit-scale", "nan"], ["--onyl", "facts"], ["more"]):
            self.assertEqual(self.check(*bad)[0], 2, bad)
        self.assertFalse(self.out.exists())
        status, text, _ = self.check("--list")
        self.assertEqual((status, len(text.splitlines())), (0, len(steps.STEPS)))
        (self.home / "about.json").unlink()
        status, text, _ = self.check()
        self.assertEqual(status, 2)
        self.assertIn("this is not a bundle (`make gpu-bundle` packs one): --binaries names a build folder", text)

    def test_a_program_that_cannot_be_started(self):
        (self.home / "bin/mica_tests").write_text("no program")
        self.assertEqual(self.check("--only", "kernels")[2]["kernels"]["reason"], "mica_tests cannot be started: Exec format error")


if __name__ == "__main__":
    unittest.main()
