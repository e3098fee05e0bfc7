"""The steps, most valuable first. A step is a function of a Run (run.py): it calls programs, notes figures, and raises Skipped or
Failed with a sentence. It has its seconds, and what earlier steps left over. With --small every step does the least that still goes
all its way, for trying gpu-check itself on a slow device."""
import re

from . import figures, side_by_side
from .cases import run_cases
from .run import Failed, Skipped, TimedOut, ways_that_failed


class Step:
    def __init__(self, name, seconds, title, work):
        self.name, self.seconds, self.title, self.work = name, seconds, title, work


def facts(run):
    """Everything about the machine into the log; the report's head has the short form."""
    for command in (["nvidia-smi"], ["ldd", "--version"]):
        run.try_out(command)
    for name, value in run.machine.facts.items():
        run.note(f"{name}: {value}")
    for folder in run.machine.library_folders:
        run.note(f"libraries: {folder}")
    if run.machine.faults:
        raise Failed("; ".join(run.machine.faults))
    if run.machine.device and run.machine.card:
        raise Failed(f"nvidia-smi sees {run.machine.card['card']}, but Mica: {run.machine.device}")
    if run.machine.device:
        raise Skipped(run.machine.device)


def tests(chosen, small, needs_device=True, needs=(), uses=()):
    """Test cases of mica_tests, by Catch2's expression. needs: libraries without which it is skipped; uses: those without which a part of it is."""

    def work(run):
        program = run.program("mica_tests")
        if needs_device:
            run.need_device()
        run.need_libraries(*needs)
        run_cases(run, program, small if run.small else chosen, {"MICA_OPS": "relu"} if run.small else {})
        if not run.figures.get("test cases"):
            raise Failed("no test case ran")
        reasons = [*figures.skips(run.printed), run.why_without(*uses)]
        run.note_reason("; ".join(dict.fromkeys(filter(None, reasons))))
        if run.reason and not run.figures.get("assertions"):
            raise Skipped(run.reason)

    work.chosen = [chosen, small]
    return work


# Ops of every kind of kernel, few enough for a tool that slows each launch down.
SANITIZED_OPS = "add,gelu,dropout,sum,amax,transpose,cat,gather,matmul,linear,conv2d,batch_norm,layer_norm,max_pool2d,adaptive_avg_pool2d,softmax,cross_entropy"


def sanitizer(tool, environment={}):
    """compute-sanitizer over the op table's f32 cases of some ops, and two training steps. Without cuBLAS and cuDNN, whose
    kernels are not ours to check: MICA_POLICY=native, whichever libraries this machine finds."""

    def work(run):
        tests_program, mnist = run.program("mica_tests"), run.program("mnist")
        run.need_device()
        sanitizer_program = run.tool("compute-sanitizer", "/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/cuda/bin")
        check = [sanitizer_program, "--tool", tool, "--error-exitcode", "86", "--print-limit", "20"]
        chosen = {**environment, "MICA_POLICY": "native", "MICA_OPS": "relu" if run.small else SANITIZED_OPS}
        for command in ([tests_program, work.chosen[run.small]],
                        [mnist, "--device", "cuda", "--quiet", "--max-steps", "1" if run.small else "2", "--batch-size", "2" if run.small else "16"]):
            printed = run.call(check + command, environment=chosen, libraries=False, check=False)
            if refused := figures.sanitizer_refused(printed):  # what it counts then is no error of ours
                refused = f"compute-sanitizer refused: {refused}"
                raise Failed(f"{counted(run)}; {refused}") if run.figures.get("errors") else Skipped(refused)
            count = figures.sanitizer(printed)
            if count is None:
                run.check_ended()
                raise Failed(f"compute-sanitizer came to no summary over {command[0].name}")
            if command[0] == tests_program:
                require_checks(run, figures.catch2(printed), f", and {tool} counted {count} errors" if count else "")
            elif not count:
                run.check_ended()
            run.figures["errors"] = run.figures.get("errors", 0) + count
        if run.figures["errors"]:
            raise Failed(counted(run))

    def counted(run):
        return f"{tool} counted {run.figures['errors']} errors"

    work.chosen = ["f32 ops on CUDA equal f64*", "whole numbers give the same bits on CUDA*"]
    return work


def require_checks(run, found, counted):
    """Test cases that find no device end well, and without an error; and what is counted where none ran is not of our kernels."""
    if not counted:
        if failed := found.get("failed"):
            raise Failed(f"{failed} test case{'s' if failed > 1 else ''} failed under compute-sanitizer")
        run.check_ended()
    if not found.get("test cases"):
        raise Failed("no test case ran under compute-sanitizer" + counted)
    if not found["assertions"]:
        raise Failed("the test cases checked nothing under compute-sanitizer" + counted)


def training(policy, *options, needs=()):
    """gap-19k by its recipe for two epochs."""

    def work(run):
        mnist = run.program("mnist")
        run.need_device()
        run.need_libraries(*needs)
        log = run.new_file("csv")
        sizes = ["--epochs", "1", "--batch-size", "2"] if run.small else ["--epochs", "2"]
        try:
            run.call([mnist, "--device", "cuda", "--network", "gap-19k", "--policy", policy, *options, *sizes, "--log", log], check=False)
        finally:  # where it ends badly, what it has until then
            if found := figures.training(log):
                run.figures.update(found, data=data(run.printed))
        run.check_ended()
        if not found:
            raise Failed("mnist wrote no log of an epoch")
        if policy == "library":
            require_libraries(run)
        if not found["train loss"] < 100:
            raise Failed(f"the loss is {found['train loss']}")
        if not run.small and found["test accuracy %"] < 90:
            raise Failed(f"the test accuracy is {found['test accuracy %']} %, expected 90 after two epochs")

    return work


def require_libraries(run):
    """Notes what mnist says of them: where a library refuses, our own kernel does the op."""
    said = re.search(r"libraries did (\d+) ops and refused (\d+)", run.printed)
    if not said or said[1] == "0":
        raise Failed("the libraries did nothing: our own kernels did it all")
    run.figures.update({"library ops": int(said[1]), "refused": int(said[2])})


def data(printed):
    """The images that mnist says it has."""
    if "DRAWN DIGITS" in printed or "data: MNIST" in printed:
        return "drawn digits, not MNIST" if "DRAWN DIGITS" in printed else "MNIST"
    part = re.search(r"(\d+) training and (\d+) test images", printed)
    return f"{part[1]} and {part[2]} images, not all of MNIST" if part else "other images"


def profile(run):
    """mnist's own table of where a step's time goes, by layer."""
    mnist = run.program("mnist")
    run.need_device()
    sizes = ["--max-steps", "2", "--batch-size", "2"] if run.small else []
    without = run.why_without("cuBLAS", "cuDNN")
    ways, failed = [("native", "on"), ("native", "off")] + ([] if without else [("library", "on")]), {}
    try:
        for policy, tf32 in ways:
            printed = run.call([mnist, "--device", "cuda", "--network", "gap-19k", "--profile", "--quiet", "--policy", policy, "--tf32", tf32, *sizes], check=False)
            if run.ended.code == 0:
                run.text += ("\n" if run.text else "") + f"{policy}, TF32 {tf32}\n{printed}"
            else:
                failed[f"{policy}, TF32 {tf32}"] = run.why_no_result()
    finally:  # what there is, where it is cut
        run.note_reason(ways_that_failed(failed, len(ways)) or without)
    if failed:
        raise Failed(run.reason)


def microbenchmarks(*options):
    def work(run):
        microbench = run.program("microbench")
        run.need_device()
        into = run.new_file("json")
        least = ["--validate", "--sizes", "small", "--filter", "elementwise"] if run.small else ["--repeats", "5", *options]
        cut = None
        try:
            run.call([microbench, "--device", "cuda", "--json", into, *least], check=False)
        except TimedOut as timed_out:
            cut = timed_out
        finally:  # it writes what it has after every case
            run.figures.update(figures.microbenchmarks(into))
        if bad := [f"{run.figures[how]} {how}" for how in ("wrong", "failed") if run.figures.get(how)]:
            raise Failed("implementations: " + ", ".join(bad))
        if cut and not run.figures:
            raise cut
        if cut:
            return run.note_reason(f"cut: {cut} of {run.limit:.0f} s; the cases are those that it came to")
        run.check_ended()
        if not run.figures:
            raise Failed("microbench wrote no figures")

    return work


STEPS = [
    Step("facts", 10, "the machine, its driver and libraries", facts),
    Step("kernels", 35, "tests of kernels, memory, graphs and optimizers on the device",
         tests("[cuda]~[ops]~[training]~[cudnn]~[answers]", "*changes in place on the device")),
    Step("cudnn", 15, "tests of cuDNN's calls", tests("[cuda][cudnn]~[answers]", "a gradient of dropout goes through the mask that its own call drew", needs=["cuDNN"])),
    Step("ops-f64", 30, "the op table in f64, forward and backward, by every policy, against the CPU",
         tests("f64 ops on CUDA*", "f64 ops on CUDA*", uses=["cuBLAS", "cuDNN"])),
    Step("ops-f32", 40, "the op table in f32, against f64; whole numbers to the bit; the same bits every time",
         tests("f32 ops on CUDA*,whole numbers give the same bits on CUDA*,the same call gives the same bits on CUDA*",
               "whole numbers give the same bits on CUDA*", uses=["cuBLAS", "cuDNN"])),
    Step("gradients", 25, "gradients on the device against finite differences", tests("[cuda][gradients]", "[cuda][gradients]")),
    Step("ten-steps", 20, "ten training steps in every way, against the CPU; graphs", tests("[cuda][training]", "training that stops between two reads*")),
    Step("memcheck", 30, "compute-sanitizer: accesses out of bounds, leaks of errors; every buffer watched",
         sanitizer("memcheck", environment={"MICA_CUDA_CHECK_MEMORY": "1"})),
    Step("racecheck", 30, "compute-sanitizer: races in shared memory", sanitizer("racecheck")),
    Step("initcheck", 25, "compute-sanitizer: reads of what nothing wrote", sanitizer("initcheck")),
    Step("synccheck", 15, "compute-sanitizer: barriers", sanitizer("synccheck")),
    Step("train-native", 15, "gap-19k by our own kernels", training("native")),
    Step("train-library", 15, "gap-19k by cuDNN and cuBLAS", training("library", needs=["cuBLAS", "cuDNN"])),
    Step("train-graph", 15, "gap-19k by our own kernels, eight steps a graph", training("native", "--graph=8")),
    Step("profile", 20, "where the time of a step of gap-19k goes, by layer", profile),
    Step("microbenchmarks", 50, "every kernel beside a naive one, cuDNN or cuBLAS, and the ceilings", microbenchmarks()),
    Step("pytorch", 50, "gap-19k's step beside PyTorch's, in turn, TF32 on and off", side_by_side.work),
    Step("conformance", 5, "cuBLAS and cuDNN answer as their fakes do", tests("[answers]", "[answers]", needs_device=False)),
    Step("large-microbenchmarks", 10, "some of them in large, in what time is left",
         microbenchmarks("--sizes", "large", "--filter", "^(elementwise|conv2d|matmul|batch_norm)/")),
]
