"""Programs that stand in for Mica's and NVIDIA's, and what tests of gpu-check share."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
CHECK = HERE / "gpu-check"

PASSED = 'echo "All tests passed (12 assertions in 3 test cases)"'
FAKES = {
    "mnist": '''case "$*" in *--summary*) exit 0 ;; esac
        while [ $# -gt 0 ]; do [ "$1" = --log ] && log=$2; shift; done
        echo "data: MNIST (SHA-256 checked) in /data"; echo "libraries did 12 ops and refused 3, which our own kernels did"
        [ -z "$log" ] || { echo "epoch,train_loss,train_accuracy,test_loss,test_accuracy,best_test_accuracy,lr,seconds,images_per_second"
        echo "1,0.3,90,0.1,96.00,96.00,0.05,2.000,30000.0"; echo "2,0.1,97,0.05,98.50,98.50,0.05,1.500,40000.0"; } >"$log"''',
    "mica_tests": PASSED,
    "op_runner": 'echo "cuBLAS: can be used"; echo "cuDNN: can be used"',
    "step": '''case "$*" in *library*) ms=0.5 ;; *graph*) ms=0.25 ;; *) ms=1 ;; esac; echo "{\\"what\\": \\"mica\\", \\"median_ms\\": $ms}"''',
    "microbench": '''case "$*" in *"--json -"*) exit 1 ;; esac; echo table; while [ $# -gt 0 ]; do [ "$1" = --json ] && echo '{"cases": [{"family": "relu", "name": "large", "implementations": []}]}' >"$2"; shift; done''',
}
# A Python that has PyTorch: tells its version, and does the twin of step.
PYTORCH = '''if [ "$1" = -c ]; then printf '9.9\\n3.99\\n'; exit; fi
    for mode in eager_tf32_off eager_tf32_on graph_tf32_off graph_tf32_on; do
      case $mode in eager*) ms=2 ;; *off) ms=0.75 ;; *) ms=0.5 ;; esac; echo "{\\"mode\\": \\"$mode\\", \\"median_ms\\": $ms}"; done'''
# compute-sanitizer: runs what it is given, and counts nothing.
SANITIZER = '''while case $1 in --*) true ;; *) false ;; esac; do shift 2; done; "$@" || exit; echo "========= ERROR SUMMARY: 0 errors"'''
# mica_tests with the cases of a table, {name: passes, fails, loses, crashes, is killed or hangs}; it prints as Catch2 2.13 does.
CATCH2 = r"""
import os, re, signal, sys, textwrap, time
CASES = {cases!r}
parts = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\),", sys.argv[1])]
names = [name for name in CASES if name in parts] or list(CASES)
if "--list-test-names-only" in sys.argv:
    print(*names, sep="\n")
    sys.exit(len(names))
def block(name, *said):
    print("-" * 79, *textwrap.wrap(name, 79), "-" * 79, "a.cpp:5", "." * 79, "", "a.cpp:6: FAILED:", *said, "", sep="\n")
LOST = ("due to unexpected exception with message:", *textwrap.wrap("the sum of the rows of x: the CUDA device is lost for this process: a kernel failed: "
        "cudaErrorIllegalAddress; restart the program", 79, initial_indent="  ", subsequent_indent="  "))
lost, failed = False, 0
for number, name in enumerate(names, 1):
    lost = lost or CASES[name] == "loses"
    if lost: block(name, *LOST)
    elif CASES[name] == "fails": block(name, "  CHECK( x )")
    elif CASES[name] == "crashes": block(name, "due to a fatal error condition:", "  SIGSEGV - Segmentation violation signal")
    elif CASES[name] == "hangs": time.sleep(60)
    elif CASES[name] == "is killed": sys.stdout.flush(), os.kill(os.getpid(), signal.SIGKILL)
    print(f"0.001 s: {{name}}", flush=True)
    failed += lost or CASES[name] != "passes"
    if CASES[name] == "crashes": break
print("=" * 79, f"test cases: {{number}} | {{number - failed}} passed | {{failed}} failed", f"assertions: {{number}} | {{number - failed}} passed | {{failed}} failed" if failed else
      f"All tests passed ({{number}} assertions in {{number}} test cases)", sep="\n", flush=True)
if CASES[names[number - 1]] == "crashes": os.kill(os.getpid(), signal.SIGSEGV)
sys.exit(failed)
"""
CARD = 'echo "NVIDIA Fake, 999.1, 1000 MiB, 9.0, 1980 MHz, 700.00 W"'


def script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + body + "\n")
    path.chmod(0o755)
    return path


def gone(pid, within=5.0):
    """Is there no such process, or none that still runs, soon?"""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except (OSError, IndexError):
            return True
        time.sleep(0.02)
    return False


class Folder(unittest.TestCase):
    """An empty folder for each test."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)

    def wait_for(self, file, within=10.0):
        end = time.monotonic() + within
        while not (file.exists() and file.read_text().strip()):
            self.assertLess(time.monotonic(), end, f"{file} was not written")
            time.sleep(0.02)
        return file.read_text().strip()


class Bundle(Folder):
    """A bundle of fakes, moved to a place of its own as a real one is, and a PATH with a card and its tools."""

    def setUp(self):
        super().setUp()
        self.home, self.tools, self.out = self.folder / "a bundle", self.folder / "tools", self.folder / "out"
        shutil.copytree(HERE / "gpu_check", self.home / "gpu_check")
        shutil.copy(CHECK, self.home)
        (self.home / "about.json").write_text('{"commit": "abc123", "date": "today"}')
        for name, body in FAKES.items():
            self.fake(name, body)
        script(self.tools / "nvidia-smi", CARD)
        script(self.tools / "compute-sanitizer", SANITIZER)
        self.pytorch = script(self.tools / "pytorch", PYTORCH)

    def fake(self, name, body):
        return script(self.home / "bin" / name, body)

    def fake_cases(self, cases):
        """mica_tests with these test cases; what runs it first notes its arguments in the file `arguments`."""
        program = self.folder / "cases.py"
        program.write_text(CATCH2.format(cases=cases))
        self.fake("mica_tests", f'echo "$@" >>"{self.folder}/arguments"; exec "{sys.executable}" "{program}" "$@"')

    def start(self, *arguments, **more):
        environment = dict(os.environ, PATH=f"{self.tools}:{os.environ['PATH']}", LD_LIBRARY_PATH=str(self.tools), **more)
        return subprocess.Popen([sys.executable, self.home / "gpu-check", "--out", self.out, "--python", self.pytorch, *arguments],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def check(self, *arguments, **environment):
        """Exit status, what was printed, and the report's steps by name."""
        process = self.start(*arguments, **environment)
        text = process.communicate(timeout=100)[0]
        return process.returncode, text, self.steps()

    def report(self):
        import json
        return json.loads((self.out / "report.json").read_text())

    def steps(self):
        return {step["name"]: step for step in self.report()["steps"]} if (self.out / "report.json").exists() else {}

    def interrupt(self, process, pid_file):
        """Ctrl-C once the program that writes its number into the file runs; the number."""
        pid = int(self.wait_for(pid_file))
        process.send_signal(signal.SIGINT)
        return pid
