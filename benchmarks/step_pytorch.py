#!/usr/bin/env python3
"""The PyTorch twin of step.cpp: times one training step of gap-19k on the CPU and prints one JSON line.

usage: step_pytorch.py [--batch N] [--steps N] [--threads N] [--mode eager|channels_last|compile|compile_channels_last]
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn


def block(inputs, outputs, q):
    return [nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU(), nn.Dropout(q)]


def gap_19k():
    layers = [*block(1, 16, 0), *block(16, 16, 0), *block(16, 16, 0), *block(16, 32, 0),
              nn.Conv2d(32, 16, 1), nn.MaxPool2d(2),
              *block(16, 16, 0), *block(16, 16, 0.1), *block(16, 32, 0.1),
              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(1)]
    # A dropout that drops nothing is left out: eager PyTorch would copy its input for it.
    return nn.Sequential(*[layer for layer in layers if not (isinstance(layer, nn.Dropout) and layer.p == 0)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", default="eager")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    net = gap_19k()
    x = torch.randn(arguments.batch, 1, 28, 28)
    target = torch.randint(0, 10, (arguments.batch,))
    if arguments.mode.endswith("channels_last"):
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    run = torch.compile(net) if arguments.mode.startswith("compile") else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(run(x), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(5):
        step()
    times = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({"what": "pytorch " + torch.__version__ + " " + arguments.mode, "batch": arguments.batch,
                      "threads": arguments.threads, "median_ms": statistics.median(times), "min_ms": min(times),
                      "max_ms": max(times), "images_per_second": arguments.batch / statistics.median(times) * 1e3}))


if __name__ == "__main__":
    main()
