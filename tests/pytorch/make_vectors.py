#!/usr/bin/env python3
"""Makes the stored PyTorch results beside this file; run it in an environment with torch, torchvision and safetensors:
    python3 tests/pytorch/make_vectors.py

ops.safetensors      PyTorch's answers to the cases of tests/ops/case_table.h, which build/release/tests/op_runner writes
                     out. Metadata: case id → the case's line; tensors as tests/ops/case_file.h has answers.
networks.safetensors ten steps of every network by its recipe's optimizer, in f64 without dropout: <network>.losses, <network>.end.<key>.
transforms.safetensors   torchvision's transforms with fixed parameters: <case>, and <case>.noise of an elastic one.
sgd, adam, adamw, rmsprop.safetensors   parameters after each of 36 steps: <case>.<parameter>.start, .gradients, .after; a NaN
                     gradient stands for none.
average.safetensors  averages of AveragedModel after each of 30 updates: <case>.<key>.start, .values, .after.
schedules.safetensors    learning rates before each of 210 steps: <case>.rates, of one group or of two.
one_cycle.safetensors    the two groups' rates and the first's momentum at each step: <case>.SGD; <case>.Adam has beta1 alone.
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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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


def optimizer(name, rule, cases, seed):
    """Two groups of one parameter each, which miss gradients now and then; some cases change momentum (beta1) halfway."""
    torch.manual_seed(seed)
    tensors, metadata = {}, {}
    steps = 36
    for case, (first, second, momentum) in enumerate(cases):
        metadata[str(case)] = json.dumps({"groups": [first, second], "momentum": momentum})
        parameters = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in [(3,), (2, 2)]]
        scale = 10 ** torch.linspace(-2, 1, steps, dtype=torch.float64)
        gradients = [torch.randn(steps, *p.shape, dtype=torch.float64) * scale.view(-1, *[1] * p.dim()) for p in parameters]
        gradients[0][11::13] = float("nan")
        gradients[1][::3] = float("nan")
        for i, p in enumerate(parameters):
            tensors[f"{case}.{i}.start"], tensors[f"{case}.{i}.gradients"] = p.detach().clone(), gradients[i]
        made = rule([{"params": [parameters[0]], **first}, {"params": [parameters[1]], **second}])
        after = [[], []]
        for step in range(steps):
            if step == steps // 2 and momentum is not None:
                for group in made.param_groups:
                    if "betas" in group:
                        group["betas"] = (momentum, group["betas"][1])
                    else:
                        group["momentum"] = momentum
            for i, p in enumerate(parameters):
                p.grad = None if gradients[i][step].isnan().any() else gradients[i][step].clone()
            made.step()
            for i, p in enumerate(parameters):
                after[i].append(p.detach().clone())
        for i in range(2):
            tensors[f"{case}.{i}.after"] = torch.stack(after[i])
    save_file(tensors, HERE / f"{name}.safetensors", metadata)


def optimizers():
    optimizer("sgd", torch.optim.SGD, [
        ({"lr": 0.1}, {"lr": 0.2, "weight_decay": 0.1}, None),
        ({"lr": 0.1, "momentum": 0.9}, {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}, None),
        ({"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.2}, 0.7)], 5)
    optimizer("adam", torch.optim.Adam, [
        ({}, {"lr": 0.1, "weight_decay": 0.05}, None),
        ({"lr": 0.05, "betas": [0.5, 0.7], "eps": 1e-3}, {"lr": 0.2, "betas": [0.0, 0.99]}, None),
        ({"lr": 0.01, "betas": [0.8, 0.0], "weight_decay": 0.3}, {"lr": 0.02, "betas": [0.95, 0.999]}, 0.85)], 6)
    optimizer("adamw", torch.optim.AdamW, [
        ({}, {"lr": 0.1, "weight_decay": 0.5}, None),
        ({"lr": 0.05, "betas": [0.5, 0.7], "eps": 1e-3}, {"lr": 0.2, "weight_decay": 0.0}, None),
        ({"lr": 0.01, "betas": [0.8, 0.0], "weight_decay": 0.3}, {"lr": 0.02, "betas": [0.95, 0.999], "weight_decay": 2.0}, 0.85)], 9)
    optimizer("rmsprop", torch.optim.RMSprop, [
        ({}, {"lr": 0.1, "weight_decay": 0.05}, None),
        ({"lr": 0.05, "alpha": 0.5, "eps": 1e-3}, {"lr": 0.02, "centered": True}, None),
        ({"lr": 0.01, "momentum": 0.9}, {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "centered": True}, None),
        ({"lr": 0.01, "momentum": 0.95, "weight_decay": 0.3}, {"lr": 0.005, "centered": True, "momentum": 0.8, "weight_decay": 0.1}, 0.85)], 10)


def average():
    """A network of a parameter, a floating buffer and another parameter, which walk at random."""
    torch.manual_seed(11)
    tensors, metadata = {}, {}
    for case, decay in enumerate([0.999, 0.9, 0.3, 0.0, 1.0]):
        network = torch.nn.Module()
        network.weight = torch.nn.Parameter(torch.randn(2, 3, dtype=torch.float64))
        network.bias = torch.nn.Parameter(torch.randn(2, dtype=torch.float64))
        network.register_buffer("mean", torch.randn(2, dtype=torch.float64))
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        metadata[str(case)] = json.dumps({"decay": decay})
        values, after = {}, {}
        for key, value in network.state_dict().items():
            tensors[f"{case}.{key}.start"] = value.clone()
        for step in range(30):
            with torch.no_grad():
                for value in network.state_dict().values():
                    value.add_(torch.randn_like(value))
            averaged.update_parameters(network)
            for key, value in network.state_dict().items():
                values.setdefault(key, []).append(value.clone())
                after.setdefault(key, []).append(averaged.module.state_dict()[key].clone())
        for key in values:
            tensors[f"{case}.{key}.values"], tensors[f"{case}.{key}.after"] = torch.stack(values[key]), torch.stack(after[key])
    save_file(tensors, HERE / "average.safetensors", metadata)


def schedules():
    """A line is a list of schedules with their settings; more than one, or one with milestones, are chained or in sequence."""
    tensors, metadata = {}, {}
    step, cosine, linear = ["StepLR", {"step_size": 30}], ["CosineAnnealingLR", {"T_max": 50}], ["LinearLR", {}]
    cases = [
        [step], [["StepLR", {"step_size": 7, "gamma": 0.9}]],
        [["MultiStepLR", {"milestones": [10, 50, 120, 120]}]], [["MultiStepLR", {"milestones": [0, 3, 100], "gamma": 0.5}]],
        [["ExponentialLR", {"gamma": 0.97}]], [["ExponentialLR", {"gamma": 1.001}]],
        [linear], [["LinearLR", {"start_factor": 0.01, "total_iters": 150}]],
        [["LinearLR", {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 100}]],
        [cosine], [["CosineAnnealingLR", {"T_max": 220, "eta_min": 0.003}]], [["CosineAnnealingLR", {"T_max": 7, "eta_min": 0.1}]],
        ["chained", linear, ["ExponentialLR", {"gamma": 0.98}]], ["chained", step, ["CosineAnnealingLR", {"T_max": 30, "eta_min": 0.02}]],
        ["chained", ["CosineAnnealingLR", {"T_max": 30, "eta_min": 0.02}], ["StepLR", {"step_size": 30, "gamma": 1.1}]],
        ["chained", ["LinearLR", {"start_factor": 0.5, "total_iters": 20}], ["MultiStepLR", {"milestones": [10, 60]}],
         ["ExponentialLR", {"gamma": 0.995}]],
        [10, ["LinearLR", {"start_factor": 0.1, "total_iters": 10}], ["CosineAnnealingLR", {"T_max": 90}]],
        [5, 100, linear, ["StepLR", {"step_size": 20, "gamma": 0.5}], ["ExponentialLR", {"gamma": 0.9}]],
        [40, ["LinearLR", {"total_iters": 60}], ["MultiStepLR", {"milestones": [0, 10], "gamma": 0.3}]],
    ]
    for case, line in enumerate(cases):
        parts = [part for part in line if isinstance(part, list)]
        milestones = [part for part in line if isinstance(part, int)]
        made = torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.5, 0.03)])
        made_parts = [getattr(torch.optim.lr_scheduler, name)(made, **settings) for name, settings in parts]
        schedule = made_parts[0]
        if "chained" in line:
            schedule = torch.optim.lr_scheduler.ChainedScheduler(made_parts, made)
        if milestones:
            schedule = torch.optim.lr_scheduler.SequentialLR(made, made_parts, milestones)
        rates = []
        for _ in range(210):
            rates.append([group["lr"] for group in made.param_groups])
            schedule.step()
        metadata[str(case)] = json.dumps({"parts": parts, "milestones": milestones})
        tensors[f"{case}.rates"] = torch.tensor(rates, dtype=torch.float64)[:, :1 if case % 3 else 2].clone()  # of both groups now and then
    save_file(tensors, HERE / "schedules.safetensors", metadata)


def one_cycle():
    tensors, metadata = {}, {}
    for case, settings in enumerate([
            {"max_lr": 0.5, "total_steps": 220}, {"max_lr": [0.5, 0.02], "total_steps": 201, "anneal_strategy": "linear", "pct_start": 0.4},
            {"max_lr": 1.0, "total_steps": 210, "three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0},
            {"max_lr": 0.1, "total_steps": 230, "pct_start": 0.0, "base_momentum": 0.7, "max_momentum": 0.9},
            {"max_lr": 0.1, "total_steps": 205, "pct_start": 1.0, "cycle_momentum": False}]):
        for rule in ("SGD", "Adam"):
            groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.5, 0.03)]
            made = torch.optim.SGD(groups, momentum=0.9) if rule == "SGD" else torch.optim.Adam(groups)
            schedule = torch.optim.lr_scheduler.OneCycleLR(made, **settings)
            rates = []
            for step in range(settings["total_steps"]):
                first, second = made.param_groups
                rates.append([first["lr"], second["lr"], first["betas"][0] if rule == "Adam" else first["momentum"]])
                if step + 1 < settings["total_steps"]:
                    schedule.step()
            tensors[f"{case}.{rule}"] = torch.tensor(rates, dtype=torch.float64)
        metadata[str(case)] = json.dumps(settings)
        assert torch.equal(tensors[f"{case}.SGD"][:, :2], tensors[f"{case}.Adam"][:, :2])
        tensors[f"{case}.Adam"] = tensors[f"{case}.Adam"][:, 2].clone()
    save_file(tensors, HERE / "one_cycle.safetensors", metadata)


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
    optimizers()
    average()
    schedules()
    one_cycle()
    plateau()
    clip()
    initialize()
