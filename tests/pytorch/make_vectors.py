#!/usr/bin/env python3
"""Makes the stored PyTorch results beside this file; run it in an environment with torch, torchvision and safetensors:
    python3 tests/pytorch/make_vectors.py

ops.safetensors      PyTorch's answers to the cases of tests/ops/case_table.cpp, which build/release/tests/op_runner writes
                     out. Metadata: case id → the case's line; tensors as tests/ops/case_file.h has answers.
gap_19k.safetensors  ten SGD steps of gap-19k in f64 without dropout: start.<key>, end.<key>, losses.
transforms.safetensors   torchvision's rotation and crop + resize of one image.
sgd.safetensors      parameters after each of five steps of torch.optim.SGD.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

import oracle

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from step_pytorch import gap_19k  # noqa: E402

HERE = pathlib.Path(__file__).parent
OP_RUNNER = HERE.parents[1] / "build/release/tests/op_runner"


def op_cases():
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "table.safetensors"
        subprocess.run([OP_RUNNER, "--write-table", table], check=True)
        with safe_open(table, "pt") as file:
            metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    lines = {key.removeprefix("line "): metadata.pop(key) for key in list(metadata) if key.startswith("line ")}
    answers = {}
    for case, (arguments, grad_outputs) in oracle.cases_of(metadata, tensors).items():
        try:
            results = oracle.run(json.loads(metadata[case]), arguments, grad_outputs)
        except Exception as error:
            raise SystemExit(f"PyTorch refuses case {case}, {lines[case]}: {error}")
        answers.update({f"{case}.{name}": tensor for name, tensor in results.items()})
    save_file(answers, HERE / "ops.safetensors", lines)


def batch(step, size):
    """The images and labels of tests/network_test.cpp: integers that both languages compute alike."""
    n = torch.arange(step * size, (step + 1) * size).view(-1, 1, 1, 1)
    h, w = torch.arange(28).view(1, 1, -1, 1), torch.arange(28).view(1, 1, 1, -1)
    pixels = (n * 7919 + h * h * (n % 10 + 1) * 31 + w * w * (n % 7 + 1) * 17 + h * w * 13) % 256
    return (pixels.to(torch.float64) / 255 - 0.1307) / 0.3081, n.flatten() % 10


def network_steps():
    torch.manual_seed(3)
    net = gap_19k()
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    names, convs, norms = {}, 0, 0
    for index, module in enumerate(net):
        if isinstance(module, torch.nn.Conv2d):
            convs += 1
            names[str(index)] = f"conv{convs}"
        elif isinstance(module, torch.nn.BatchNorm2d):
            norms += 1
            names[str(index)] = f"norm{norms}"
        elif isinstance(module, torch.nn.Linear):
            names[str(index)] = "fc"

    def state(prefix):
        return {f"{prefix}.{names[key.split('.')[0]]}.{key.split('.')[1]}": value.clone() for key, value in net.state_dict().items()}

    tensors = state("start")  # f32
    net.double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(10):
        images, labels = batch(step, 16)
        optimizer.zero_grad()
        loss = F.nll_loss(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    save_file({**tensors, **state("end"), "losses": torch.tensor(losses, dtype=torch.float64)}, HERE / "gap_19k.safetensors")


def transforms():
    from torchvision.transforms import InterpolationMode, functional
    h, w = torch.arange(28).view(-1, 1), torch.arange(28).view(1, -1)
    image = ((h * h * 3 + w * w * 5 + h * w * 7) % 256).to(torch.uint8)
    x = (image.to(torch.float32) / 255).unsqueeze(0)
    tensors = {"image": image}
    for angle in (-15.0, -3.5, 0.0, 7.25, 15.0):
        for mode in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR):
            tensors[f"rotate.{mode.value}.{angle}"] = functional.rotate(x, angle, mode, fill=[0.0])[0].contiguous()
    for crop in (22, 21, 28):
        tensors[f"crop.{crop}"] = functional.resize(functional.center_crop(x, [crop, crop]), [28, 28], antialias=True)[0].contiguous()
    save_file(tensors, HERE / "transforms.safetensors")


def sgd():
    torch.manual_seed(5)
    tensors, metadata = {}, {}
    for case, settings in enumerate([{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.05, "momentum": 0.8, "dampening": 0.3},
                                     {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"lr": 0.2, "weight_decay": 0.1}]):
        parameter = torch.randn(7, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], **settings)
        metadata[str(case)] = json.dumps(settings)
        tensors[f"{case}.start"] = parameter.detach().clone()
        gradients = torch.randn(5, 7, dtype=torch.float64)
        tensors[f"{case}.gradients"] = gradients
        after = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
            after.append(parameter.detach().clone())
        tensors[f"{case}.after"] = torch.stack(after)
    save_file(tensors, HERE / "sgd.safetensors", metadata)


if __name__ == "__main__":
    op_cases()
    network_steps()
    transforms()
    sgd()
