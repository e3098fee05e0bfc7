#!/usr/bin/env python3
"""Makes the stored PyTorch results beside this file; run it in an environment with torch, torchvision and safetensors:
    python3 tests/pytorch/make_vectors.py

ops.safetensors      PyTorch's answers to the cases of tests/ops/case_table.h, which build/release/tests/op_runner writes
                     out. Metadata: case id → the case's line; tensors as tests/ops/case_file.h has answers.
networks.safetensors ten steps of every network by its recipe's optimizer, in f64 without dropout: <network>.losses, <network>.end.<key>.
transforms.safetensors   torchvision's transforms with fixed parameters: <case>, and <case>.noise of an elastic one.
sgd.safetensors      parameters after each of five steps of torch.optim.SGD.
adam.safetensors     the same of torch.optim.Adam: <case>.<parameter>.start, .gradients, .after; a NaN gradient stands for none.
plateau.safetensors  learning rates of two groups after each of 400 steps of ReduceLROnPlateau: <case>.metrics, .rates.
clip.safetensors     gradients before and after clip_grad_norm_ and clip_grad_value_, and the norm that the first returned.
initialize.safetensors   <case>: the bound or the deviation that torch.nn.init gives a weight.
"""
import json
import pathlib
import subprocess
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import networks
import oracle

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
    tensors = {}
    for name in networks.NETWORKS:
        losses, state = networks.train(name, 10, lambda step: batch(step, 4))
        tensors[f"{name}.losses"] = losses
        tensors.update({f"{name}.end.{key}": value for key, value in state.items()})
    save_file(tensors, HERE / "networks.safetensors")


def transforms():
    """Every transform with fixed parameters on images of several sizes; metadata: case → its parameters."""
    from torchvision.transforms import ElasticTransform, InterpolationMode, functional
    torch.manual_seed(4)
    tensors, metadata, images = {}, {}, {}
    for height, width in [(28, 28), (27, 31), (9, 20), (5, 6)]:
        h, w = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
        image = ((h * h * 3 + w * w * 5 + h * w * 7) % 256).to(torch.uint8)
        tensors[f"image {height}x{width}"] = image
        images[height, width] = (image.to(torch.float32) / 255).unsqueeze(0)

    def add(size, answer, **parameters):
        case = str(len(metadata))
        metadata[case] = json.dumps({"image": f"image {size[0]}x{size[1]}", **parameters})
        tensors[case] = answer[0].contiguous()

    modes = (InterpolationMode.NEAREST, InterpolationMode.BILINEAR)
    for size, x in images.items():
        for mode in modes:
            for degrees in (-15.0, -3.5, 0.0, 7.25, 90.0) if size == (28, 28) else (13.0,):
                add(size, functional.rotate(x, degrees, mode, fill=[0.0]), kind="rotation", degrees=degrees, interpolation=mode.value, fill=0.0)
            for degrees, translate, scale, shear, fill in [
                    (0.0, (2, -1), 1.0, (0.0, 0.0), 0.5), (0.0, (0, 0), 1.3, (0.0, 0.0), 0.0), (0.0, (0, 0), 1.0, (10.0, 0.0), 0.0),
                    (0.0, (0, 0), 1.0, (0.0, -8.0), 0.25), (-20.0, (-3, 2), 0.8, (12.0, 5.0), -0.4242), (0.0, (40, 0), 1.0, (0.0, 0.0), 0.75)]:
                add(size, functional.affine(x, degrees, list(translate), scale, list(shear), mode, [fill]), kind="affine", degrees=degrees,
                    translate=translate, scale=scale, shear=shear, interpolation=mode.value, fill=fill)
        for crop in (22, 21, 28) if size == (28, 28) else (min(size), 4, 1):
            add(size, functional.resize(functional.center_crop(x, [crop, crop]), list(size), antialias=True), kind="crop", crop=crop)
        for down, right in ((0, 0), (-3, 2), (4, -4)):
            padded = functional.pad(x, 4, 0.3)
            add(size, functional.crop(padded, 4 + down, 4 + right, *size), kind="shift", down=down, right=right, fill=0.3)
        add(size, functional.erase(x, 1, 2, 3, 4, torch.tensor([0.7]).view(1, 1, 1)), kind="erase", top=1, left=2, height=3, width=4, value=0.7)
        for brightness, contrast in ((0.7, 1.0), (1.4, 1.0), (1.0, 0.6), (1.3, 1.7)):
            y = functional.adjust_brightness(x, brightness) if brightness != 1 else x
            add(size, functional.adjust_contrast(y, contrast) if contrast != 1 else y, kind="jitter", brightness=brightness, contrast=contrast)
        add(size, functional.hflip(x), kind="flip")
        add(size, functional.normalize(x, [0.1307], [0.3081]), kind="normalize", mean=0.1307, std=0.3081)

    # Elastic: with torchvision's own noise, U(−1, 1) for columns, then for rows.
    for size, alpha, sigma, mode, fill in [((28, 28), 50.0, 5.0, modes[1], 0.0), ((28, 28), 40.0, 3.0, modes[0], 0.0), ((27, 31), 30.0, 2.0, modes[1], 0.5),
                                           ((27, 31), 9.0, 0.0, modes[1], 0.0), ((9, 20), 15.0, 0.7, modes[0], 0.25), ((5, 6), 8.0, 0.5, modes[1], -1.0)]:
        state = torch.get_rng_state()
        displacement = ElasticTransform.get_params([alpha, alpha], [sigma, sigma], list(size))
        torch.set_rng_state(state)
        noise = torch.cat([torch.rand([1, 1, *size]) * 2 - 1 for _ in range(2)])[:, 0].contiguous()
        case = str(len(metadata))
        add(size, functional.elastic_transform(images[size], displacement, mode, [fill]), kind="elastic", alpha=alpha, sigma=sigma,
            interpolation=mode.value, fill=fill)
        tensors[f"{case}.noise"] = noise
    save_file(tensors, HERE / "transforms.safetensors", metadata)


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


def adam():
    torch.manual_seed(6)
    tensors, metadata = {}, {}
    steps = 30
    for case, settings in enumerate([{}, {"lr": 0.1, "weight_decay": 0.05}, {"lr": 0.05, "betas": [0.5, 0.7], "eps": 1e-3},
                                     {"lr": 0.2, "betas": [0.0, 0.99]}, {"lr": 0.01, "betas": [0.8, 0.0], "weight_decay": 0.3}]):
        metadata[str(case)] = json.dumps(settings)
        parameters = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in [(7,), (2, 3)]]
        gradients = [torch.randn(steps, *p.shape, dtype=torch.float64) * 10 ** torch.linspace(-4, 2, steps).view(-1, *[1] * p.dim())
                     for p in parameters]
        gradients[1][::3] = float("nan")  # this parameter takes part in two steps of three
        for i, p in enumerate(parameters):
            tensors[f"{case}.{i}.start"], tensors[f"{case}.{i}.gradients"] = p.detach().clone(), gradients[i]
        optimizer = torch.optim.Adam(parameters, **settings)
        after = [[], []]
        for step in range(steps):
            for i, p in enumerate(parameters):
                p.grad = None if gradients[i][step].isnan().any() else gradients[i][step].clone()
            optimizer.step()
            for i, p in enumerate(parameters):
                after[i].append(p.detach().clone())
        for i in range(2):
            tensors[f"{case}.{i}.after"] = torch.stack(after[i])
    save_file(tensors, HERE / "adam.safetensors", metadata)


def plateau():
    torch.manual_seed(7)
    tensors, metadata = {}, {}
    for case, settings in enumerate([
            {}, {"patience": 0, "factor": 0.9}, {"mode": "max", "patience": 3, "factor": 0.5}, {"patience": 2, "cooldown": 3, "factor": 0.7},
            {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "factor": 0.8, "cooldown": 1},
            {"mode": "max", "threshold_mode": "abs", "threshold": 0.2, "patience": 4, "factor": 0.3, "min_lr": [1e-3, 0.2]},
            {"patience": 1, "factor": 0.6, "min_lr": 0.01}, {"patience": 1, "factor": 0.5, "eps": 1e-3}, {"threshold": 0.3, "patience": 5}]):
        noise = torch.randn(400, dtype=torch.float64)
        metrics = 3 * torch.exp(-torch.arange(400, dtype=torch.float64) / 150) + 0.2 * noise  # crosses zero near the end
        if settings.get("mode") == "max":
            metrics = -metrics
        metrics[torch.rand(400) < 0.1] = float("nan")
        if case == 1:
            metrics[0] = float("nan")
        a, b = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.3}])
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
        rates = []
        for metric in metrics.tolist():
            schedule.step(metric)
            rates.append([group["lr"] for group in optimizer.param_groups])
        metadata[str(case)] = json.dumps(settings)
        tensors[f"{case}.metrics"], tensors[f"{case}.rates"] = metrics, torch.tensor(rates, dtype=torch.float64)
    save_file(tensors, HERE / "plateau.safetensors", metadata)


def clip():
    torch.manual_seed(8)
    tensors, metadata = {}, {}
    shapes = [(3, 5), (2, 3, 4, 5), (1,), (35,)]
    cases = [{"max_norm": 1.0}, {"max_norm": 1e4}, {"max_norm": 0.5, "norm_type": 1.0}, {"max_norm": 2.0, "norm_type": float("inf")},
             {"max_norm": 2.0, "norm_type": 3.5}, {"max_norm": 0.0}, {"max_norm": 1.0, "norm_type": 0.5}, {"clip_value": 0.7}]
    for case, settings in enumerate(cases + [{**c, "special": s} for s in ("inf", "nan") for c in (cases[0], cases[3], cases[7])]):
        dtype = torch.float32 if case % 2 else torch.float64
        metadata[str(case)] = json.dumps(settings | {"norm_type": str(settings.get("norm_type", 2.0))})
        parameters = [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in shapes]
        for i, p in enumerate(parameters):
            p.grad = torch.randn(p.shape, dtype=dtype)
            if i == 1 and "special" in settings:
                p.grad[0, 1, 2, 3] = float(settings["special"])
            tensors[f"{case}.{i}.before"] = p.grad.clone()
        without = torch.zeros(2, requires_grad=True)
        arguments = {key: value for key, value in settings.items() if key != "special"}
        if "clip_value" in settings:
            torch.nn.utils.clip_grad_value_([*parameters, without], **arguments)
        else:
            tensors[f"{case}.norm"] = torch.nn.utils.clip_grad_norm_([*parameters, without], **arguments).double()
        for i, p in enumerate(parameters):
            tensors[f"{case}.{i}.after"] = p.grad
    save_file(tensors, HERE / "clip.safetensors", metadata)


def initialize():
    from unittest import mock
    given, tensors, metadata = [], {}, {}

    def add(function, shape, **settings):
        case = str(len(metadata))
        metadata[case] = json.dumps({"function": function, "shape": shape, **settings})
        getattr(torch.nn.init, function)(torch.empty(shape), **settings)
        tensors[case] = torch.tensor(given[-1], dtype=torch.float64)

    with mock.patch.object(torch.Tensor, "uniform_", lambda self, low, high, **_: given.append(high) or self), \
            mock.patch.object(torch.Tensor, "normal_", lambda self, mean, std, **_: given.append(std) or self):
        for shape in [(3, 5), (7, 2), (6, 4, 3, 5), (1, 1, 1, 1), (5, 3, 2)]:
            for kind in ("uniform_", "normal_"):
                add("xavier_" + kind, shape)
                add("xavier_" + kind, shape, gain=1.7)
                add("kaiming_" + kind, shape)
                for mode in ("fan_in", "fan_out"):
                    for nonlinearity in ("linear", "sigmoid", "tanh", "relu", "leaky_relu"):
                        add("kaiming_" + kind, shape, a=0.2, mode=mode, nonlinearity=nonlinearity)
    save_file(tensors, HERE / "initialize.safetensors", metadata)


if __name__ == "__main__":
    op_cases()
    network_steps()
    transforms()
    sgd()
    adam()
    plateau()
    clip()
    initialize()
