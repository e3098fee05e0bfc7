"""gap-19k's training step by Mica and by PyTorch, in turn, each in processes of their own, on data that is on the device: a batch
is gathered and normalised in the step. Times are medians over the rounds, ratios those of the same round."""
import statistics

from . import figures
from .run import Failed, Skipped, ways_that_failed

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
    without = run.why_without("cuBLAS", "cuDNN")
    ways = {f"Mica, {name}": options for name, options in MICA.items() if not (without and "library" in name)}
    modes = {"PyTorch, " + mode.replace("_tf32_", ", TF32 "): mode for mode in PYTORCH}
    rounds, failed = [], {}
    try:
        for number in range(1 if run.small else ROUNDS):
            rounds.append({})
            for name, options in ways.items():
                if name not in failed:
                    by_mica(run, step, name, options, rounds[-1], failed)
            by_pytorch(run, twin, {name: mode for name, mode in modes.items() if name not in failed}, rounds[-1], failed)
            run.figures["rounds"] = number + 1
    finally:  # what there is, where it is cut
        note(run.figures, rounds)
        run.note_reason(ways_that_failed(failed, len(ways) + len(modes)) or without)
    if failed:
        raise Failed(run.reason)


def by_mica(run, step, name, options, times, failed):
    """Adds the milliseconds of a step to `times`, or to `failed` why there are none."""
    graph = ["--graph", "1" if run.small else "8"] if "graph" in name else []
    sizes = ["--batch", "2", "--steps", "1", "--block", "1", "--warm-up", "0", "--images", "16"] if run.small else ["--batch", str(BATCH), "--steps", "9"]
    lines = figures.json_lines(run.call([step, "--device", "cuda", "--gather", *options, *graph, *sizes], check=False))
    if run.ended.code == 0 and len(lines) == 1 and "median_ms" in lines[0]:
        times[name] = lines[0]["median_ms"]
    else:
        failed[name] = run.why_no_result()


def by_pytorch(run, twin, modes, times, failed):
    """So for all modes that are left, by one process."""
    if not modes:
        return
    sizes = ["--batch", str(2 if run.small else BATCH)] + (["--steps", "1", "--images", "16"] if run.small else ["--steps", "9"])
    text = run.call([run.machine.python, twin, "--device", "cuda", "--mode", ",".join(modes.values()), *sizes], own=False, libraries=False, check=False)
    said = {line.get("mode"): line for line in figures.json_lines(text)}
    for name, mode in modes.items():
        if "median_ms" in said.get(mode, {}):
            times[name] = said[mode]["median_ms"]
        else:
            failed[name] = " ".join(said.get(mode, {}).get("error", "").split())[:300] or run.why_no_result()


def note(found, rounds):
    names = dict.fromkeys(name for times in rounds for name in times)
    found["ms a step"] = {name: round(statistics.median(times[name] for times in rounds if name in times), 4) for name in names}
    found.update(ratios(rounds))


def ratios(rounds):
    """PyTorch's best over Mica's best, like with like: median over the rounds that have both."""
    found = {}
    for switch in ("off", "on"):
        best = [[min((t for name, t in times.items() if name.startswith(who) and name.endswith("TF32 " + switch)), default=None) for who in ("PyTorch", "Mica")]
                for times in rounds]
        if both := [peer / mica for peer, mica in best if peer and mica]:
            found[f"PyTorch's time over Mica's, TF32 {switch}"] = round(statistics.median(both), 2)
    return found
