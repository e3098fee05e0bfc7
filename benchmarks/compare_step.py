#!/usr/bin/env python3
"""A training step of gap-19k by Mica and by PyTorch's CPU modes, in turn, each in a process of its own.

usage: compare_step.py [--rounds N] [--batch N] [--threads N]     (run it with the python that has torch)
Prints a line a mode: the median over the rounds of each round's median, and the ratio to Mica's in the same round.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODES = ["eager", "channels_last", "compile", "compile_channels_last"]


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    common = ["--batch", str(arguments.batch), "--threads", str(arguments.threads)]
    commands = {"mica": [str(ROOT / "build/release/benchmarks/step"), *common]}
    for mode in MODES:
        commands[mode] = [sys.executable, str(ROOT / "benchmarks/step_pytorch.py"), *common, "--mode", mode]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{processor()}, {arguments.threads} threads, commit {commit}, batch {arguments.batch}, {arguments.rounds} rounds")
    times = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            times[name].append(run(command)["median_ms"])
    for name, values in times.items():
        ratios = [value / mica for value, mica in zip(values, times["mica"])]
        median = statistics.median(values)
        print(f"{name:24}{median:9.2f} ms  {arguments.batch / median * 1e3:8.0f} images/s   "
              f"{statistics.median(ratios):5.2f} × Mica's time ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
