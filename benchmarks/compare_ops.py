#!/usr/bin/env python3
"""Every op by Mica and by PyTorch, forward and backward, f32, in turn, each in a process of its own.

usage: compare_ops.py [--rounds N] [--seconds S] [--threads N]     (run it with the python that has torch)
Prints a row a case of ops.json: medians over the rounds, PyTorch's in its faster memory format, and the median of the rounds'
ratios. The exit status is 1 if PyTorch is the faster in any.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from compare_step import ROOT, processor

CASES = ROOT / "benchmarks/ops.json"


def run(command):
    lines = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line)["median_us"] for line in lines]


def describe(line):
    attributes = {name: value for name, value in line.items() if name not in ("op", "arguments")}
    shapes = ", ".join("×".join(map(str, spec["shape"])) for spec in line["arguments"].values())
    return f"{line['op']}({shapes}{''.join(f', {name} {value}' for name, value in attributes.items())})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    common = [CASES, "--seconds", arguments.seconds, "--threads", arguments.threads]
    twin = [sys.executable, ROOT / "benchmarks/ops_pytorch.py", *common]
    rounds = []
    for _ in range(arguments.rounds):
        mica, plain, last = run([ROOT / "build/release/benchmarks/ops", *common]), run(twin), run([*twin, "--channels-last"])
        rounds.append([(m, min(times for times in (p, c) if times is not None)) for m, p, c in zip(mica, plain, last)])
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{processor()}, {arguments.threads} threads, commit {commit}, {arguments.rounds} rounds of {arguments.seconds} s a case")
    print(f"{'op':90}{'Mica µs':>10}{'PyTorch µs':>12}{'ratio':>8}")
    slower = 0
    for i, line in enumerate(json.loads(CASES.read_text())):
        mica, pytorch = (statistics.median(r[i][side] for r in rounds) for side in (0, 1))
        ratio = statistics.median(r[i][1] / r[i][0] for r in rounds)
        slower += ratio < 1
        print(f"{describe(line):90}{mica:10.1f}{pytorch:12.1f}{ratio:7.2f}×{'  slower' if ratio < 1 else ''}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
