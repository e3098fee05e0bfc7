"""The steps, most valuable first. A step is a function of a Run (run.py): it calls programs, notes figures, and raises Skipped or
Failed with a sentence. `limit` is in seconds. With --small every step does the least that still goes all its way, for trying
gpu-check itself on a slow device."""
from . import figures, side_by_side
from .run import Failed, Skipped


class Step:
    def __init__(self, name, limit, title, work):
        self.name, self.limit, self.title, self.work = name, limit, title, work


def facts(run):
    """Everything about the machine into the log; the report's head has the short form."""
    for command in (["nvidia-smi"], ["ldd", "--version"]):
        run.try_out(command)
    for name, value in run.machine.facts.items():
        run.note(f"{name}: {value}")
    for folder in run.machine.library_folders:
        run.note(f"libraries: {folder}")
    if op_runner := run.machine.programs.find("op_runner"):
        run.call([op_runner, "--libraries"])
    if run.machine.fault:
        raise Failed(run.machine.device)
    if run.machine.device and run.machine.card:
        raise Failed(f"nvidia-smi sees {run.machine.card['card']}, but Mica: {run.machine.device}")
    if run.machine.device:
        raise Skipped(run.machine.device)


def tests(chosen, small, environment=None, needs_device=True):
    """Test cases of mica_tests, by Catch2's expression."""

    def work(run):
        program = run.program("mica_tests")
        if needs_device:
            run.need_device()
        command = [program, small if run.small else chosen, "--durations", "yes"]
        text = run.call(command, environment={**(environment or {}), **({"MICA_OPS": "relu"} if run.small else {})}, check=False)
        found = figures.catch2(text)
        run.figures.update(found)
        if names := figures.failed_tests(text):
            raise Failed(f"{len(names)} test case{'s' if len(names) > 1 else ''} failed: " + "; ".join(names[:5]) + (" …" if len(names) > 5 else ""))
        run.check_ended()
        if not found.get("test cases"):
            raise Failed("no test case ran")
        if skipped := figures.skips(text):
            run.note_reason("; ".join(dict.fromkeys(skipped)))
            if not found["assertions"]:
                raise Skipped("; ".join(dict.fromkeys(skipped)))

    work.chosen = [chosen, small]
    return work


# Ops of every kind of kernel, few enough for a tool that slows each launch down.
SANITIZED_OPS = "add,gelu,dropout,sum,amax,transpose,cat,gather,matmul,linear,conv2d,batch_norm,layer_norm,max_pool2d,adaptive_avg_pool2d,softmax,cross_entropy"


def sanitizer(tool, ops=SANITIZED_OPS, environment=None):
    """compute-sanitizer over the op table's f32 cases of some ops, and two training steps. Without cuBLAS and cuDNN, whose
    kernels are not ours to check."""

    def work(run):
        tests_program, mnist = run.program("mica_tests"), run.program("mnist")
        run.need_device()
        sanitizer_program = run.tool("compute-sanitizer", "/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/cuda/bin")
        check = [sanitizer_program, "--tool", tool, "--error-exitcode", "86", "--print-limit", "20"]
        chosen = {**(environment or {}), "MICA_OPS": "relu" if run.small else ops}
        found = []
        for command in ([tests_program, work.chosen[run.small]],
                        [mnist, "--device", "cuda", "--policy", "native", "--quiet", "--max-steps", "1" if run.small else "2",
                         "--batch-size", "2" if run.small else "16"]):
            count = figures.sanitizer(run.call(check + command, environment=chosen, libraries=False, check=False))
            if count is None:
                run.check_ended()
                raise Failed(f"compute-sanitizer came to no summary over {command[0].name}")
            found.append(count)
            run.figures["errors"] = sum(found)
            if not count:
                run.check_ended()
        if sum(found):
            raise Failed(f"{tool} counted {sum(found)} errors")

    work.chosen = ["f32 ops on CUDA equal f64*", "whole numbers give the same bits on CUDA*"]
    return work


def training(policy, *options):
    """gap-19k by its recipe for two epochs."""

    def work(run):
        mnist = run.program("mnist")
        run.need_device()
        log = run.file("csv")
        sizes = ["--epochs", "1", "--batch-size", "2"] if run.small else ["--epochs", "2"]
        text = run.call([mnist, "--device", "cuda", "--network", "gap-19k", "--policy", policy, *options, *sizes, "--log", log])
        found = figures.training(log)
        if not found:
            raise Failed("mnist wrote no log of an epoch")
        run.figures.update(found, data="drawn digits" if "DRAWN DIGITS" in text else "MNIST" if "data: MNIST" in text else "other images")
        if not found["train loss"] < 100:
            raise Failed(f"the loss is {found['train loss']}")
        if not run.small and found["test accuracy %"] < 90:
            raise Failed(f"the test accuracy is {found['test accuracy %']} %, expected 90 after two epochs")

    return work


def microbenchmarks(run):
    microbench = run.program("microbench")
    run.need_device()
    into = run.file("json")
    least = ["--validate", "--sizes", "small", "--filter", "elementwise"] if run.small else []
    try:
        run.call([microbench, "--device", "cuda", "--json", into, *least])
    finally:  # it writes what it has when its time is over
        run.figures.update(figures.microbenchmarks(into))
    if not run.figures.get("cases"):
        raise Failed("microbench wrote no figures")


STEPS = [
    Step("facts", 40, "the machine, its driver and libraries", facts),
    Step("kernels", 70, "tests of kernels, memory, graphs and optimizers on the device",
         tests("[cuda]~[ops]~[training]~[cudnn]", "*changes in place on the device")),
    Step("cudnn", 40, "tests of cuDNN's calls", tests("[cuda][cudnn]~[ops]", "the algorithm of a shape is asked for once")),
    Step("ops-f64", 60, "the op table in f64, forward and backward, by every policy, against the CPU", tests("f64 ops on CUDA*", "f64 ops on CUDA*")),
    Step("ops-f32", 70, "the op table in f32, against f64; whole numbers to the bit; the same bits every time",
         tests("f32 ops on CUDA*,whole numbers give the same bits on CUDA*,the same call gives the same bits on CUDA*,the policy decides*",
               "whole numbers give the same bits on CUDA*")),
    Step("gradients", 45, "gradients on the device against finite differences", tests("[cuda][gradients]", "[cuda][gradients]")),
    Step("ten-steps", 45, "ten training steps in every way, against the CPU; graphs", tests("[cuda][training]", "training that stops between two reads*")),
    Step("memcheck", 45, "compute-sanitizer: accesses out of bounds, leaks of errors; every buffer watched",
         sanitizer("memcheck", environment={"MICA_CUDA_CHECK_MEMORY": "1"})),
    Step("racecheck", 45, "compute-sanitizer: races in shared memory", sanitizer("racecheck")),
    Step("initcheck", 40, "compute-sanitizer: reads of what nothing wrote", sanitizer("initcheck")),
    Step("synccheck", 30, "compute-sanitizer: barriers", sanitizer("synccheck")),
    Step("train-native", 40, "gap-19k by our own kernels", training("native")),
    Step("train-library", 40, "gap-19k by cuDNN and cuBLAS", training("library")),
    Step("train-graph", 30, "gap-19k by our own kernels, eight steps a graph", training("native", "--graph=8")),
    Step("microbenchmarks", 90, "every kernel beside a naive one, cuDNN or cuBLAS, and the ceilings", microbenchmarks),
    Step("pytorch", 110, "gap-19k's step beside PyTorch's, in turn, TF32 on and off", side_by_side.work),
    Step("conformance", 20, "cuBLAS and cuDNN answer as their fakes do",
         tests("cuBLAS answers as*,cuDNN answers as*", "cuBLAS answers as*,cuDNN answers as*", needs_device=False)),
]
