#!/usr/bin/env python3
"""The PyTorch twin of ops.cpp: times ops, forward and backward, f32 on the CPU, and prints one JSON line each.

usage: ops_pytorch.py CASES [--seconds S] [--threads N] [--channels-last]
Results are made contiguous where PyTorch would give a strided view, as Mica's tensors always are.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/pytorch"))
import oracle  # noqa: E402

VIEWS = ("reshape", "permute", "transpose", "broadcast_to", "split")


def values(spec):
    shape, fill = spec["shape"], spec.get("fill", "distinct")
    if fill in ("classes", "indices"):
        return torch.randint(0, spec["below"], shape)
    x = torch.rand(shape)
    return x * 3.9 + 0.1 if fill == "positive" else x * 4 - 2


def time_case(line, budget, channels_last):
    attributes = {name: value for name, value in line.items() if name != "arguments"}
    arguments = {name: values(spec) for name, spec in line["arguments"].items()}
    if channels_last:
        arguments = {name: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for name, x in arguments.items()}
    wanted = [x.requires_grad_() for name, x in arguments.items() if oracle.differentiable(line["op"], name, x)]

    def forward():
        outputs = [y for name, y in oracle.call(attributes, arguments).items() if name != "indices"]
        return [y.contiguous() for y in outputs] if line["op"] in VIEWS else outputs

    gradients = [torch.randn_like(y) if y.is_floating_point() else None for y in forward()]

    def step():
        for x in wanted:
            x.grad = None
        outputs = forward()
        if outputs[0].requires_grad:
            torch.autograd.backward(outputs, gradients)

    def timed():
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    spent = 0
    while spent < budget / 4:
        spent += timed()
    times, spent = [], 0
    while spent < budget or len(times) < 5:
        times.append(timed())
        spent += times[-1]
    return statistics.median(times) * 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for line in json.loads(arguments.cases.read_text()):
        median = None
        if not arguments.channels_last or any(len(spec["shape"]) == 4 for spec in line["arguments"].values()):
            median = time_case(line, arguments.seconds, arguments.channels_last)
        print(json.dumps({"case": line, "median_us": median}), flush=True)


if __name__ == "__main__":
    main()
