#!/usr/bin/env python3
"""Fuzzes every op against PyTorch: random cases, valid and invalid, through build/release/tests/op_runner.

usage: fuzz.py [--cases 20000] [--seed 0] [--op NAME] [--threads N]     (in an environment with torch and safetensors)
$OP_RUNNER names another build of op_runner, for example a sanitized one.
f64 outputs and gradients must agree to 1e-10 and f32 ones within f32's rounding; where PyTorch refuses a case Mica must, with a
text, and the other way round. Every disagreement is printed with the case; the exit status is 1 if there is one.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fuzz_cases
import oracle

OP_RUNNER = pathlib.Path(os.environ.get("OP_RUNNER", pathlib.Path(__file__).resolve().parents[2] / "build/release/tests/op_runner"))
warnings.filterwarnings("ignore")


def answers_of_mica(cases, threads):
    """{id: {name: tensor} or the text of an error}"""
    tensors, metadata = {}, {}
    for case, (attributes, arguments, gradients) in cases.items():
        metadata[case] = json.dumps(attributes)
        tensors.update({f"{case}.{name}": tensor.contiguous() for name, tensor in arguments.items()})
        tensors.update({f"{case}.grad_{name}": tensor.contiguous() for name, tensor in gradients.items()})
    with tempfile.TemporaryDirectory() as folder:
        given, answered = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
        save_file(tensors, given, metadata)
        subprocess.run([OP_RUNNER, given, answered, "--threads", str(threads)], check=True)
        answers = {case: {} for case in cases}
        with safe_open(answered, "pt") as file:
            for key in file.keys():
                case, name = key.split(".", 1)
                answers[case][name] = file.get_tensor(key)
            for key, text in (file.metadata() or {}).items():
                answers[key.removesuffix(".error")] = text
    return answers


def difference(got, want, scale):
    """The largest |got − want| relative to the largest |want| or scale; NaN equals NaN, ∞ itself."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if want.numel() == 0:
        return 0.0
    got, want = got.double(), want.double()
    same = (got == want) | (got.isnan() & want.isnan())
    off = torch.where(same, 0.0, (got - want).abs()).nan_to_num(nan=float("inf"))
    finite = want[want.isfinite()].abs()
    return float(off.max() / max(float(finite.max()) if finite.numel() else 0.0, scale, 1e-30))


def compare(attributes, arguments, gradients, got, tolerance, scale):
    """What is wrong with Mica's answer, or None; and whether PyTorch took the case."""
    try:
        want = oracle.run(attributes, arguments, gradients)
    except Exception as error:
        return (None if isinstance(got, str) else f"PyTorch refuses it: {str(error).splitlines()[0]}"), False
    if isinstance(got, str):
        return f"Mica refuses it: {got}", True
    if set(got) != set(want):
        return f"results {sorted(got)}, PyTorch's {sorted(want)}", True
    incoming = max([float(g.abs().max()) for g in gradients.values() if g.numel()] or [0.0])
    for name, tensor in want.items():
        # What cancels to nothing is compared on the scale of what went in.
        off = difference(got[name], tensor, incoming if name.startswith("grad.") else scale)
        if not off <= tolerance:
            return f"{name} differs by {off:.3g}", True
    return None, True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--op")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    maker = fuzz_cases.Maker(arguments.seed)
    names = [arguments.op] if arguments.op else sorted(fuzz_cases.MAKERS)
    taken, refused, wrong = collections.Counter(), collections.Counter(), collections.Counter()
    for start in range(0, arguments.cases, 1000):
        cases = {}
        for i in range(start, min(start + 1000, arguments.cases)):
            cases[str(i)] = maker.case(names[i % len(names)])
        for case, got in answers_of_mica(cases, arguments.threads).items():
            attributes, inputs, gradients = cases[case]
            if any(quirk(attributes, inputs) for quirk in fuzz_cases.QUIRKS):
                continue
            dtype = next((t.dtype for t in inputs.values() if t.is_floating_point()), torch.float64)
            tolerance = 1e-10 if dtype == torch.float64 else fuzz_cases.f32_tolerance(attributes)
            problem, valid = compare(attributes, inputs, gradients, got, tolerance, fuzz_cases.output_scale(attributes, inputs))
            (taken if valid else refused)[attributes["op"]] += 1
            if problem:
                wrong[attributes["op"]] += 1
                if wrong[attributes["op"]] <= 3:
                    shapes = {name: [str(t.dtype)[6:], *t.shape] for name, t in inputs.items()}
                    print(f"case {case} of seed {arguments.seed}: {json.dumps(attributes)} {json.dumps(shapes)}\n  {problem}", flush=True)
        print(f"{min(start + 1000, arguments.cases)} cases, {sum(wrong.values())} disagreements", file=sys.stderr, flush=True)
    for name in names:
        print(f"{name:22} {taken[name]:6} agreed to be valid or compared, {refused[name]:6} refused by PyTorch, {wrong[name]:6} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
