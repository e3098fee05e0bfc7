#!/usr/bin/env python3
"""The PyTorch twin of step.cpp: times one training step of gap-19k and prints one JSON line for each mode, with an
error where a mode fails, which costs that mode only.

usage: step_pytorch.py [--device cpu|cuda] [--batch N] [--steps N] [--block N] [--images N] [--threads N] [--mode MODE,…]
Modes on the CPU: eager, channels_last, compile, compile_channels_last, on one batch that is there already.
Modes on CUDA: eager or graph (the whole step captured), each with _tf32_on or _tf32_off; channels_last, fused SGD, cuDNN's
benchmark mode, and batches that the step gathers and normalises from images on the device, as step --gather does.
"""
import argparse
import json
import statistics
import sys
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


def step_on_cpu(mode, arguments):
    """A function that does one step and waits for its loss."""
    net = gap_19k()
    x = torch.randn(arguments.batch, 1, 28, 28)
    target = torch.randint(0, 10, (arguments.batch,))
    if mode.endswith("channels_last"):
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    run = torch.compile(net) if mode.startswith("compile") else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(run(x), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def step_on_cuda(mode, arguments):
    """A function that queues one step. The order of the images is on the device too: a counter there says which batch is next."""
    how, tf32 = mode.split("_tf32_")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32 == "on"
    torch.backends.cudnn.benchmark = True
    count = max(arguments.images // arguments.batch, 1) * arguments.batch  # whole batches
    images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, device="cuda")
    labels = torch.randint(0, 10, (count,), device="cuda")
    order = torch.randperm(count, device="cuda").view(-1, arguments.batch)
    at = torch.zeros(1, dtype=torch.int64, device="cuda")
    net = gap_19k().cuda().to(memory_format=torch.channels_last).train()
    lr = torch.tensor(0.05, device="cuda") if how == "graph" else 0.05  # a captured rate must be changeable
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, fused=True)

    def step():
        index = order.index_select(0, at).view(-1)
        at.add_(1).remainder_(order.shape[0])
        x = ((images[index].unsqueeze(1).float() / 255 - 0.1307) / 0.3081).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.nll_loss(net(x), labels[index])
        loss.backward()
        optimizer.step()

    if how == "eager":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())  # as docs.pytorch.org/docs/stable/notes/cuda.html, "Whole-network capture"
    with torch.cuda.stream(side):
        for _ in range(11):  # what is made at a first use
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph, stream=side):
        step()
    return graph.replay


def measure(step, block, steps, wait):
    """Milliseconds of a step, `steps` times measured over `block` steps."""
    times = []
    for i in range(5 + steps):
        start = time.perf_counter()
        for _ in range(block):
            step()
        wait()
        if i >= 5:
            times.append((time.perf_counter() - start) / block * 1e3)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--block", type=int)
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", default="eager")
    arguments = parser.parse_args()
    on_cuda = arguments.device == "cuda"
    torch.set_num_threads(arguments.threads)
    failures = 0
    for mode in arguments.mode.split(","):
        torch.manual_seed(0)
        try:
            step = (step_on_cuda if on_cuda else step_on_cpu)(mode, arguments)
            times = measure(step, arguments.block or (50 if on_cuda else 1), arguments.steps, torch.cuda.synchronize if on_cuda else lambda: None)
        except Exception as error:
            failures += 1
            print(json.dumps({"mode": mode, "error": f"{type(error).__name__}: {error}"}), flush=True)
            continue
        print(json.dumps({"what": "pytorch " + torch.__version__ + " " + mode, "mode": mode, "device": arguments.device, "batch": arguments.batch,
                          "threads": arguments.threads, "median_ms": statistics.median(times), "min_ms": min(times),
                          "max_ms": max(times), "images_per_second": arguments.batch / statistics.median(times) * 1e3}), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
