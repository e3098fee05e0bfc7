#!/usr/bin/env python3
"""Makes the stored PyTorch results beside this file; run it in an environment with torch, torchvision and safetensors:
    python3 tests/pytorch/make_vectors.py

ops.safetensors      every op: arguments, output and gradients. Metadata: case id → JSON of op and attributes, named as
                     torch.nn.functional names them; tensors <id>.<argument>, <id>.grad_output, <id>.output,
                     <id>.grad.<argument>, and <id>.after.<buffer> for buffers that the op updates.
gap_19k.safetensors  ten SGD steps of gap-19k in f64 without dropout: start.<key>, end.<key>, losses.
transforms.safetensors   torchvision's rotation and crop + resize of one image.
sgd.safetensors      parameters after each of five steps of torch.optim.SGD.
adam.safetensors     the same of torch.optim.Adam: <case>.<parameter>.start, .gradients, .after; a NaN gradient stands for none.
plateau.safetensors  learning rates of two groups after each of 400 steps of ReduceLROnPlateau: <case>.metrics, .rates.
clip.safetensors     gradients before and after clip_grad_norm_ and clip_grad_value_, and the norm that the first returned.
initialize.safetensors   <case>: the bound or the deviation that torch.nn.init gives a weight.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from step_pytorch import gap_19k  # noqa: E402

HERE = pathlib.Path(__file__).parent
FUNCTIONS = {
    "conv2d": F.conv2d, "batch_norm": F.batch_norm, "relu": F.relu, "max_pool2d": F.max_pool2d, "linear": F.linear,
    "global_avg_pool": lambda input: F.adaptive_avg_pool2d(input, 1), "log_softmax": F.log_softmax, "nll_loss": F.nll_loss,
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "sum": torch.sum, "mean": torch.mean,
}
BUFFERS = ("running_mean", "running_var")


class Cases:
    def __init__(self):
        self.tensors, self.metadata, self.generator = {}, {}, torch.Generator().manual_seed(1)

    def random(self, *shape):
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def add(self, op, arguments, **attributes):
        case = f"{op}.{len(self.metadata)}"
        self.metadata[case] = json.dumps({"op": op, **attributes})
        arguments = {name: tensor.clone() for name, tensor in arguments.items()}
        for name, tensor in arguments.items():
            self.tensors[f"{case}.{name}"] = tensor.clone()
        wanted = [name for name, tensor in arguments.items() if tensor.is_floating_point() and name not in BUFFERS]
        for name in wanted:
            arguments[name].requires_grad_()
        output = FUNCTIONS[op](**arguments, **attributes)
        grad_output = self.random(*output.shape)
        gradients = torch.autograd.grad(output, [arguments[name] for name in wanted], grad_output)
        self.tensors[f"{case}.grad_output"], self.tensors[f"{case}.output"] = grad_output, output.detach().contiguous().clone()
        for name, gradient in zip(wanted, gradients):
            self.tensors[f"{case}.grad.{name}"] = gradient.contiguous().clone()
        for name in BUFFERS:
            if name in arguments:
                self.tensors[f"{case}.after.{name}"] = arguments[name]


def op_cases():
    c = Cases()
    r = c.random
    for n, channels, h, w, o, kernel, extra in [
            (2, 3, 7, 5, 4, (3, 3), {}), (1, 1, 1, 1, 1, (1, 1), {}), (2, 4, 9, 8, 6, (3, 2), {"stride": [2, 1], "padding": [1, 0]}),
            (3, 6, 11, 7, 9, (3, 3), {"groups": 3, "dilation": [2, 1], "padding": [2, 2]}), (1, 17, 5, 13, 19, (1, 1), {}),
            (2, 8, 6, 6, 8, (3, 3), {"groups": 8}), (1, 2, 3, 31, 3, (2, 7), {"stride": [1, 3], "padding": [0, 3]}),
            (1, 5, 4, 4, 16, (4, 4), {})]:
        weight = r(o, channels // extra.get("groups", 1), *kernel)
        c.add("conv2d", {"input": r(n, channels, h, w), "weight": weight, "bias": r(o)}, **extra)
        c.add("conv2d", {"input": r(n, channels, h, w), "weight": weight}, **extra)
    for shape in [(3, 5, 4, 7), (6, 16, 1, 1), (1, 1, 3, 3), (3, 33, 2, 3), (7, 3), (40, 2, 5, 5)]:
        buffers = {"running_mean": r(shape[1]), "running_var": r(shape[1]).abs() + 0.1}
        arguments = {"input": r(*shape) * 3 + 2, **buffers, "weight": r(shape[1]), "bias": r(shape[1])}
        c.add("batch_norm", arguments, training=True, momentum=0.1, eps=1e-5)
        c.add("batch_norm", arguments, training=False, momentum=0.3, eps=1e-3)
    for shape in [(3, 4), (2, 3, 5, 7), (1,), ()]:
        c.add("relu", {"input": r(*shape)})
    for shape, attributes in [((2, 3, 6, 8), {"kernel_size": [2, 2]}), ((1, 1, 7, 5), {"kernel_size": [2, 2]}),
                              ((1, 35, 7, 7), {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 1]}),
                              ((1, 2, 8, 11), {"kernel_size": [3, 3], "stride": [1, 2], "dilation": [2, 1], "padding": [1, 0]})]:
        c.add("max_pool2d", {"input": r(*shape)}, **attributes)
        c.add("max_pool2d", {"input": r(*shape).round()}, **attributes)  # with ties
    for shape in [(2, 3, 5, 7), (1, 1, 1, 1), (3, 33, 4, 4)]:
        c.add("global_avg_pool", {"input": r(*shape)})
    for shape, out in [((4, 5), 3), ((1, 1), 1), ((2, 3, 7), 11), ((6,), 2), ((2, 2, 3, 13), 5), ((3, 101), 7)]:
        c.add("linear", {"input": r(*shape), "weight": r(out, shape[-1]), "bias": r(out)})
        c.add("linear", {"input": r(*shape), "weight": r(out, shape[-1])})
    for shape, dim in [((5, 10), 1), ((3, 7), 0), ((2, 3, 4, 5), 1), ((2, 3, 4, 5), 3), ((2, 3, 4, 5), -2), ((4, 1), 1), ((3, 4, 5), 1)]:
        c.add("log_softmax", {"input": r(*shape) * 10}, dim=dim)
    for n, classes in [(1, 1), (5, 10), (33, 7)]:
        target = torch.randint(0, classes, (n,), generator=c.generator)
        c.add("nll_loss", {"input": torch.log_softmax(r(n, classes), 1), "target": target})
    for op in ["add", "sub", "mul", "div"]:
        for a, b in [((3, 4), (3, 4)), ((2, 3, 4, 5), (3, 1, 1)), ((2, 3, 4, 5), (5,)), ((3, 4, 5), (2, 3, 4, 5)), ((1, 3, 1, 5), (2, 1, 4, 1)),
                     ((), (2, 3)), ((7,), ()), ((2, 1, 3), (5, 1))]:
            c.add(op, {"input": r(*a), "other": r(*b).sign() * (r(*b).abs() + 0.5)})
    for op in ["sum", "mean"]:
        for shape, dim in [((3, 5), [0]), ((3, 5), [1]), ((2, 3, 4, 5), [1]), ((2, 3, 4, 5), [0, 2, 3]), ((2, 3, 4, 5), [3, 0]), ((2, 3, 4), [-1]),
                           ((2, 3, 4, 5, 2), [0]), ((7,), [0])]:
            for keepdim in (False, True):
                c.add(op, {"input": r(*shape)}, dim=dim, keepdim=keepdim)
        c.add(op, {"input": r(2, 3, 5, 7)})
    save_file(c.tensors, HERE / "ops.safetensors", c.metadata)


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
