#!/usr/bin/env python3
"""Makes the stored PyTorch results beside this file; run it in an environment with torch, torchvision and safetensors:
    python3 tests/pytorch/make_vectors.py

ops.safetensors      every op: arguments, output and gradients. Metadata: case id → JSON of op and attributes, named as
                     torch.nn.functional names them; tensors <id>.<argument>, <id>.grad_output, <id>.output,
                     <id>.grad.<argument>, and <id>.after.<buffer> for buffers that the op updates.
gap_19k.safetensors  ten SGD steps of gap-19k in f64 without dropout: start.<key>, end.<key>, losses.
transforms.safetensors   torchvision's rotation and crop + resize of one image.
sgd.safetensors      parameters after each of five steps of torch.optim.SGD.
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


if __name__ == "__main__":
    op_cases()
    network_steps()
    transforms()
    sgd()
