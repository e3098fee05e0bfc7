"""What this machine has: the card and its driver, CUDA's libraries, a Python with PyTorch. Everything is asked of other
processes, under limits, because drivers and libraries may hang or crash."""
import glob
import json
import os
import pathlib
import platform
import re
import shutil
import sys

from . import process

CARD = "name,driver_version,memory.total,compute_cap,clocks.max.sm,power.limit"  # as nvidia-smi calls it
LOADING = 60  # seconds for cuBLAS and cuDNN, which are gigabytes, to be loaded for the first time
OLDEST_DRIVER = {12: 525, 13: 580}  # by CUDA's release notes, "Minimum Required Driver Version for CUDA Minor Version Compatibility"
CHANGE_WHAT_IS_MEASURED = r"(?!MICA_DATA$|MICA_MIRROR$)MICA_|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING|MODULE_LOADING)$|NVIDIA_TF32_OVERRIDE$"

# Run by a Python that may have PyTorch: its version (without importing it) and the folders of NVIDIA's wheels.
ASK_PYTHON = """
import importlib.metadata, importlib.util, platform
nvidia = importlib.util.find_spec("nvidia")
print(importlib.metadata.version("torch"), platform.python_version(), *(nvidia.submodule_search_locations if nvidia else []), sep="\\n")
"""
# Run with LD_LIBRARY_PATH set: versions as the libraries themselves tell them.
ASK_LIBRARIES = """
import ctypes
def say(name, files, function, result=ctypes.c_size_t):
    for file in files:
        try:
            f = getattr(ctypes.CDLL(file), function)
        except (OSError, AttributeError):
            continue
        f.restype = result
        print(name, f(), flush=True)
        return
say("cuDNN", ["libcudnn.so.9", "libcudnn.so", "libcudnn.so.8"], "cudnnGetVersion")
say("cuBLAS", ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"], "cublasLtGetVersion")
version = ctypes.c_int()
try:
    ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    print("CUDA", version.value)
except OSError:
    pass
"""


class Machine:
    """device: empty, or why Mica cannot use one. faults: sentences on what is no answer of Mica's, but a bundle that does not work here.
    without: {cuBLAS or cuDNN: why Mica cannot use it}. facts: what the report's head says, by name."""

    def __init__(self, programs, python=None, about={}):
        self.programs, self.about = programs, about
        self.python, self.torch, self.wheels = find_pytorch(python)
        self.library_folders = find_libraries(self.wheels)
        self.card, self.faults = find_card(), []
        self.facts = {**self.card, **self.versions(), **host()}
        self.without = self.libraries_that_cannot_be_used()
        for name in ("cuBLAS", "cuDNN"):
            use = f"not used: {self.without[name]}" if name in self.without else "can be used"
            self.facts[name] = ", ".join(filter(None, [self.facts.get(name), use]))
        if inherited := " ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if re.match(CHANGE_WHAT_IS_MEASURED, name)):
            self.facts["settings of the environment"] = inherited
        if self.torch:
            self.facts["PyTorch"] = self.torch
        self.device = self.why_no_device()
        if not self.card and not self.device:
            self.facts = {**self.card_by_mica(), **self.facts}

    def environment(self, libraries=True, own=True):
        """For a program. own: one of Mica's, which needs the bundle's libraries; libraries: may it find cuBLAS and cuDNN?"""
        folders = [str(self.programs.libraries)] if own and self.programs.libraries else []
        if libraries:
            folders += self.library_folders
        folders += [f for f in os.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
        environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        if folders:
            environment["LD_LIBRARY_PATH"] = ":".join(folders)
        if self.programs.files:
            environment["MICA_SOURCE"] = str(self.programs.files)
            if (self.programs.files / "data").is_dir():
                environment.setdefault("MICA_DATA", str(self.programs.files / "data"))
        environment.setdefault("MICA_MIRROR", "http://127.0.0.1:9")  # a run downloads nothing: MICA_DATA, or drawn digits
        environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
        return environment

    def libraries_that_cannot_be_used(self):
        op_runner = self.programs.find("op_runner")
        if not op_runner:
            return dict.fromkeys(("cuBLAS", "cuDNN"), "op_runner is not among the programs")
        text, code = process.output_of([op_runner, "--libraries"], LOADING, self.environment())
        said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        beside = "\n".join(line for line in text.splitlines() if not line.startswith(("cuBLAS: ", "cuDNN: ")))
        if fault := why_it_failed("op_runner --libraries", beside, code, LOADING):
            self.faults.append(fault)
        reasons = {name: said.get(name, fault or "op_runner --libraries did not tell of it") for name in ("cuBLAS", "cuDNN")}
        return {name: reason for name, reason in reasons.items() if reason != "can be used"}

    def versions(self):
        text, _ = process.output_of([sys.executable, "-c", ASK_LIBRARIES], 20, self.environment(own=False))
        found = dict(line.split() for line in text.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit())
        facts = {}
        if "CUDA" in found:
            facts["CUDA driver"] = f"{int(found['CUDA']) // 1000}.{int(found['CUDA']) % 1000 // 10}"
        if "cuDNN" in found:  # 9.19.1 is 91901, 8.9.2 is 8902
            n = int(found["cuDNN"])
            facts["cuDNN"] = f"{n // 10000}.{n // 100 % 100}.{n % 100}" if n >= 10000 else f"{n // 1000}.{n // 100 % 10}.{n % 100}"
        if "cuBLAS" in found:
            n = int(found["cuBLAS"])
            facts["cuBLAS"] = f"{n // 10000}.{n // 100 % 100}.{n % 100}"
        return facts

    def why_no_device(self):
        mnist = self.programs.find("mnist")
        if not mnist:
            self.faults.append("no device was looked for: mnist is not among the programs")
            return self.faults[-1]
        text, code = process.output_of([mnist, "--device", "cuda", "--summary"], 30, self.environment())
        if code == 0:
            return ""
        for line in text.splitlines():
            if code == 1 and line.startswith("mnist: "):
                return "no device: " + line.removeprefix("mnist: ") + self.older_driver()
        self.faults.append("no device was found: " + why_it_failed("mnist", text, code, 30))
        return self.faults[-1]

    def card_by_mica(self):
        """Where there is no nvidia-smi: as microbench names it. Empty where that does not work either."""
        microbench = self.programs.find("microbench")
        text, _ = process.output_of([microbench, *"--device cuda --validate --sizes small --filter copy --json -".split()], 20, self.environment()) if microbench else ("", None)
        try:
            device = json.JSONDecoder().raw_decode(text[text.index("{"):])[0]["device"]
            return {"card": device["name"], "about the card": device["about"]}
        except (ValueError, KeyError, TypeError):
            return {}

    def older_driver(self):
        """A sentence where the driver is older than the CUDA that this bundle is built with needs."""
        toolkit, driver = re.search(r"release (\d+)", self.about.get("nvcc", "")), re.match(r"\d+", self.card.get("driver", ""))
        needed = OLDEST_DRIVER.get(int(toolkit[1])) if toolkit else None
        if not needed or not driver or int(driver[0]) >= needed:
            return ""
        return f"; CUDA {toolkit[1]} needs driver R{needed} or newer, and this one is {self.card['driver']}"


def why_it_failed(name, text, code, limit):
    """Of a program and what output_of says of it; empty where it ended well."""
    if code is None:
        return f"{name} took more than {limit} s, or could not be started"
    sentence, last = process.Ended(code, 0).sentence(), " ".join(text.split())[-300:]
    return f"{name} {sentence}" + (f": {last}" if last else "") if sentence else ""


def find_card():
    """What nvidia-smi says of the first card that programs may see; empty where it is missing or finds none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()  # a number or "GPU-…", as nvidia-smi has them
    if visible in ("", "-1"):
        return {}
    text, code = process.output_of(["nvidia-smi", "-i", visible, f"--query-gpu={CARD}", "--format=csv,noheader"])
    values = [v.strip() for v in text.splitlines()[0].split(",")] if code == 0 and text.strip() else []
    names = ["card", "driver", "memory", "compute capability", "highest clock", "power limit"]
    return dict(zip(names, values)) if len(values) == len(names) else {}


def host():
    model = next((line.split(":", 1)[1].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return {"processor": f"{model}, {len(os.sched_getaffinity(0))} cores", "kernel": platform.release(),
            "C library": " ".join(platform.libc_ver()), "system": next((line.split("=", 1)[1].strip('"') for line in
            lines_of("/etc/os-release") if line.startswith("PRETTY_NAME=")), platform.system())}


def lines_of(file):
    try:
        return pathlib.Path(file).read_text(errors="replace").splitlines()
    except OSError:
        return []


def find_pytorch(wanted=None):
    """(python, version of its PyTorch, folders of NVIDIA's wheels) of the first Python that has PyTorch; the one that is
    wanted, this one, or one on PATH. (None, "", []) where none has."""
    candidates = [wanted] if wanted else [sys.executable, shutil.which("python3"), shutil.which("python")]
    for python in dict.fromkeys(c for c in candidates if c):
        text, code = process.output_of([python, "-c", ASK_PYTHON])
        if code == 0 and len(text.splitlines()) >= 2:
            version, python_version, *wheels = text.splitlines()
            return python, f"{version}, Python {python_version}", wheels
    return None, "", []


def find_libraries(wheels, places=("/usr/local/cuda", "/opt/cuda")):
    """Folders with cuBLAS, cuDNN or what they load: NVIDIA's wheels (site-packages/nvidia/*/lib) before CUDA's own."""
    patterns = [f"{wheel}/*/lib" for wheel in wheels]
    patterns += [f"{place}/{folder}" for place in places for folder in ("lib64", "targets/x86_64-linux/lib")]
    folders = [folder for pattern in patterns for folder in sorted(glob.glob(pattern)) if glob.glob(folder + "/lib*.so*")]
    return list(dict.fromkeys(os.path.realpath(folder) for folder in folders))


class Programs:
    """Where Mica's programs are: a bundle (bin/ and lib/), or a build folder of CMake's. files: what stands for the source
    tree, None where the programs know it themselves."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.libraries = self.folder / "lib" if (self.folder / "lib").is_dir() else None
        self.files = self.folder / "files" if (self.folder / "files").is_dir() else None

    def source(self):
        """The folder that has tests/ and benchmarks/, in a bundle those of their files that are needed."""
        return self.files or pathlib.Path(__file__).resolve().parents[3]

    def find(self, name):
        for place in ("bin", "tests", "examples", "benchmarks", "benchmarks/kernels"):
            path = self.folder / place / name
            if path.is_file() and os.access(path, os.X_OK):
                return path
        return None
