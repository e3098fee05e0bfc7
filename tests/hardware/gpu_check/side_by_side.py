"""gap-19k's training step by Mica and by PyTorch, in turn, each in processes of their own, on data that is on the device: a batch
is gathered and normalised in the step. Times are medians over the rounds, ratios those of the same round."""
import statistics

from . import figures
from .run import Failed, Skipped

ROUNDS, BATCH = 3, 128
MICA = {  # name: options of benchmarks/step
    "native, TF32 off": ["--policy", "native", "--tf32", "off"],
    "native, graph, TF32 off": ["--policy", "native", "--tf32", "off"],
    "native, graph, TF32 on": ["--policy", "native", "--tf32", "on"],
    "library, graph, TF32 off": ["--policy", "library", "--tf32", "off"],
    "library, graph, TF32 on": ["--policy", "library", "--tf32", "on"],
}
PYTORCH = ["eager_tf32_off", "eager_tf32_on", "graph_tf32_off", "graph_tf32_on"]  # modes of benchmarks/step_pytorch.py


def work(run):
    step = run.program("step")
    run.need_device()
    if not run.machine.torch:
        raise Skipped("no Python with PyTorch was found; --python names one")
    twin = run.machine.programs.source() / "benchmarks/step_pytorch.py"
    times = {}
    for number in range(1 if run.small else ROUNDS):
        for name, seconds in one_round(run, step, twin).items():
            times.setdefault(name, []).append(seconds)
        run.figures["ms a step"] = {name: round(statistics.median(t), 4) for name, t in times.items()}
        run.figures["rounds"] = number + 1
        compare(run.figures, times)


def one_round(run, step, twin):
    graph = ["--graph", "1" if run.small else "8"]
    sizes = ["--batch", "2", "--steps", "1", "--block", "1", "--warm-up", "0", "--images", "16"] if run.small else ["--batch", str(BATCH), "--steps", "9"]
    times = {}
    for name, options in MICA.items():
        measured = figures.json_lines(run.call([step, "--device", "cuda", "--gather", *options, *(graph if "graph" in name else []), *sizes]))
        times["Mica, " + name] = one(measured, name)["median_ms"]
    sizes = ["--batch", str(2 if run.small else BATCH)] + (["--steps", "1", "--images", "16"] if run.small else ["--steps", "9"])
    text = run.call([run.machine.python, twin, "--device", "cuda", "--mode", ",".join(PYTORCH), *sizes], own=False, libraries=False)
    measured = {line.get("mode"): line for line in figures.json_lines(text)}
    for mode in PYTORCH:
        if mode not in measured:
            raise Failed(f"PyTorch's step printed no result of {mode}")
        times["PyTorch, " + mode.replace("_tf32_", ", TF32 ")] = measured[mode]["median_ms"]
    return times


def one(measured, name):
    if len(measured) != 1 or "median_ms" not in measured[0]:
        raise Failed(f"step printed no result of {name}")
    return measured[0]


def compare(found, times):
    """PyTorch's best over Mica's best, like with like: median over the rounds."""
    for switch in ("off", "on"):
        mica, peer = ([t for name, t in times.items() if name.startswith(who) and name.endswith("TF32 " + switch)] for who in ("Mica", "PyTorch"))
        ratios = [min(p) / min(m) for p, m in zip(zip(*peer), zip(*mica))]
        found[f"PyTorch's time over Mica's, TF32 {switch}"] = round(statistics.median(ratios), 2)
