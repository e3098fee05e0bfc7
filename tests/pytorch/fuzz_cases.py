"""Random cases for fuzz.py: (attributes, arguments, gradients of outputs) for each op, about one in six of them invalid."""
import random

import torch

import oracle


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype, self.fill = torch.float64, "normal"

    # ---- values ----

    def chance(self, p):
        return self.random.random() < p

    def pick(self, *options):
        return self.random.choice(options)

    def tensor(self, shape, positive=False):
        x = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        if self.fill == "integers":
            x = (x * 2).round()
        if positive:
            x = x.abs() + 0.1
        return x.to(self.dtype)

    def integers(self, shape, low, high):
        return torch.randint(low, max(low + 1, high), shape, generator=self.generator)

    def size(self):
        return self.pick(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17) if self.chance(0.95) else self.pick(31, 33, 67)

    def shape(self, low=0, high=5, most=600):
        while True:
            shape = [self.size() for _ in range(self.random.randint(low, high))]
            if torch.Size(shape).numel() <= most:
                return shape

    def dim(self, rank):
        if self.chance(0.04):
            return self.pick(rank, -rank - 1, 9)
        rank = max(rank, 1)
        return self.random.randint(-rank, rank - 1)

    def spoiled(self, shape):
        """A shape that mostly does not fit where `shape` did."""
        shape = list(shape)
        if shape and self.chance(0.6):
            shape[self.random.randrange(len(shape))] += 1
        elif shape and self.chance(0.5):
            shape.pop()
        else:
            shape.append(self.pick(1, 2))
        return shape

    # ---- a case ----

    def case(self, op):
        self.dtype = self.pick(torch.float64, torch.float32)
        self.fill = self.pick("normal", "normal", "integers")
        attributes, arguments = MAKERS[op](self)
        attributes = {"op": op, **attributes}
        # One argument of another shape, or none; where there are no elements PyTorch often does not look.
        if arguments and self.chance(0.1) and all(tensor.numel() for tensor in arguments.values()):
            name = self.pick(*arguments)
            if self.chance(0.8):
                tensor = arguments[name]
                shape = self.spoiled(tensor.shape)
                arguments[name] = self.tensor(shape) if tensor.is_floating_point() else self.integers(shape, 0, 3)
            elif not name.startswith("tensors."):
                del arguments[name]
        return attributes, arguments, self.gradients(attributes, arguments)

    def gradients(self, attributes, arguments):
        try:
            with torch.no_grad():
                outputs = oracle.call(attributes, {name: tensor.clone() for name, tensor in arguments.items()})
        except Exception:
            return {}
        return {name: self.tensor(tensor.shape) for name, tensor in outputs.items() if tensor.is_floating_point()}


def unary(positive=False, **choices):
    def make(m):
        attributes = {name: m.pick(*values) for name, values in choices.items() if m.chance(0.7)}
        return attributes, {"input": m.tensor(m.shape(), positive)}
    return make


def broadcast_pair(m):
    shape = m.shape()
    a = [1 if m.chance(0.2) else s for s in shape]
    b = [1 if m.chance(0.2) else s for s in shape][m.random.randint(0, len(shape)):] if m.chance(0.4) else [1 if m.chance(0.2) else s for s in shape]
    return (a, b) if m.chance(0.5) else (b, a)


def binary(name="other", positive=False):
    def make(m):
        a, b = broadcast_pair(m)
        if m.chance(0.1):
            return {name: m.pick(2.0, -1.5, 0.5, 3.0)}, {"input": m.tensor(a, positive)}
        return {}, {"input": m.tensor(a, positive), name: m.tensor(b)}
    return make


def pow_case(m):
    attributes, arguments = binary("exponent", positive=m.chance(0.8))(m)
    return attributes, arguments


def reduction(several, all_allowed=True):
    def make(m):
        shape = m.shape()
        attributes = {}
        if m.chance(0.85) or not all_allowed:
            attributes["dim"] = m.dim(len(shape)) if not several or m.chance(0.4) else [m.dim(len(shape)) for _ in range(m.random.randint(1, 3))]
            if m.chance(0.5):
                attributes["keepdim"] = m.pick(True, False)
        return attributes, {"input": m.tensor(shape)}
    return make


def matmul(m):
    k = m.size()
    batch = m.shape(0, 2, 12)
    a, b = [*batch, m.size(), k], [*batch, k, m.size()]
    if m.chance(0.3):
        a = a[m.random.randint(0, len(a) - 1):]
    if m.chance(0.3):
        b = b[len(batch):] if m.chance(0.5) else [k]
    if m.chance(0.2) and len(a) > 2:
        a[0] = 1
    return {}, {"input": m.tensor(a), "other": m.tensor(b)}


def linear(m):
    shape = m.shape(1, 4)
    out = m.size()
    arguments = {"input": m.tensor(shape), "weight": m.tensor([out, shape[-1]])}
    if m.chance(0.6):
        arguments["bias"] = m.tensor([out])
    return {}, arguments


def number_or_pair(m, *values):
    return m.pick(*values) if m.chance(0.5) else [m.pick(*values), m.pick(*values)]


def maybe(m, attributes, p, **values):
    for name, value in values.items():
        if m.chance(p):
            attributes[name] = value() if callable(value) else value


def conv2d(m):
    groups = m.pick(1, 1, 1, 2, 3)
    c, o = groups * m.pick(1, 2, 3, 8, 16), groups * m.pick(1, 2, 5, 16)
    arguments = {"input": m.tensor([m.pick(0, 1, 1, 2, 3), c, m.pick(1, 3, 5, 8, 11), m.pick(1, 3, 6, 9)]),
                 "weight": m.tensor([o, c // groups, m.pick(1, 2, 3, 5), m.pick(1, 2, 3)])}
    if m.chance(0.1):
        arguments["input"] = m.tensor(list(arguments["input"].shape[1:]))
    attributes = {"groups": groups} if groups > 1 or m.chance(0.3) else {}
    maybe(m, attributes, 0.4, stride=lambda: number_or_pair(m, 1, 2, 3, *([0] if m.chance(0.05) else [])), padding=lambda: number_or_pair(m, 0, 1, 2, *([-1] if m.chance(0.05) else [])),
          dilation=lambda: number_or_pair(m, 1, 2))
    if m.chance(0.15):
        attributes["padding"] = m.pick("same", "valid")
    if m.chance(0.5):
        arguments["bias"] = m.tensor([o])
    return attributes, arguments


def image(m):
    shape = [m.pick(0, 1, 2, 3), m.pick(1, 2, 3, 16, 17, 35), m.pick(1, 2, 4, 5, 7), m.pick(1, 3, 6, 8)]
    if m.chance(0.03):
        shape[m.random.randint(1, 3)] = 0
    return shape if m.chance(0.85) else shape[1:]


def max_pool2d(m):
    attributes = {"kernel_size": number_or_pair(m, 1, 2, 3, *([0] if m.chance(0.03) else []))}
    maybe(m, attributes, 0.4, stride=lambda: number_or_pair(m, 1, 2, 3, *([0] if m.chance(0.05) else [])), dilation=lambda: number_or_pair(m, 1, 2),
          ceil_mode=lambda: m.pick(True, False))
    if "dilation" not in attributes:  # with both, a window may see padding only, and PyTorch 2.15 then writes its gradient out of bounds
        maybe(m, attributes, 0.4, padding=lambda: number_or_pair(m, 0, 1))
    return attributes, {"input": m.tensor(image(m))}


def avg_pool2d(m):
    attributes, arguments = max_pool2d(m)
    attributes.pop("dilation", None)
    maybe(m, attributes, 0.3, count_include_pad=lambda: m.pick(True, False), divisor_override=lambda: m.pick(1, 2, 3, 0))
    return attributes, arguments


def adaptive(m):
    size = m.pick(1, 2, 3, 5, 9) if m.chance(0.5) else [m.pick(1, 2, 4, None), m.pick(1, 3, 7, None)]
    shape = image(m)
    shape[-3] = max(shape[-3], 1)  # PyTorch has a forward for no channels, but no backward
    return {"output_size": size}, {"input": m.tensor(shape)}


def batch_norm(m):
    shape = m.shape(2, 5)
    shape[1] = max(shape[1], 1)  # PyTorch stumbles over no channels
    channels = shape[1]
    arguments = {"input": m.tensor(shape)}
    if m.chance(0.8):
        arguments.update(running_mean=m.tensor([channels]), running_var=m.tensor([channels], True))
    if m.chance(0.7):
        arguments["weight"] = m.tensor([channels])
    if m.chance(0.7):
        arguments["bias"] = m.tensor([channels])
    attributes = {"training": m.pick(True, False), "eps": m.pick(0.01, 0.1)}
    maybe(m, attributes, 0.5, momentum=lambda: m.pick(0.1, 0.9, 0.0, 1.0))
    return attributes, arguments


def layer_norm(m):
    shape = m.shape(1, 5)
    normalized = shape[m.random.randint(0, len(shape) - 1):]
    arguments = {"input": m.tensor(shape)}
    if m.chance(0.6):
        arguments["weight"] = m.tensor(normalized)
    if m.chance(0.6):
        arguments["bias"] = m.tensor(normalized)
    return {"normalized_shape": normalized, "eps": m.pick(0.01, 0.1)}, arguments


def along(m):
    shape = m.shape()
    return {"dim": m.dim(len(shape))}, {"input": m.tensor(shape)}


def classes(smoothing):
    def make(m):
        shape = m.shape(1, 5)
        at = 0 if len(shape) == 1 else 1
        shape[at] = max(shape[at], 1)  # PyTorch takes no classes or refuses them by rank
        count = shape[at]
        target = shape[:at] + shape[at + 1:]
        attributes = {}
        maybe(m, attributes, 0.7, reduction=lambda: m.pick("mean", "sum", "none"))
        maybe(m, attributes, 0.3, ignore_index=lambda: m.pick(-100, 0, 1, -1))
        if smoothing:
            maybe(m, attributes, 0.4, label_smoothing=lambda: m.pick(0.0, 0.1, 0.5, 1.0, *([1.5] if m.chance(0.1) else [])))
        arguments = {"input": m.tensor(shape)}
        if smoothing and m.chance(0.2):
            arguments["target"] = torch.softmax(m.tensor(shape), at)
        else:
            arguments["target"] = m.integers(target, 0, count + (1 if m.chance(0.05) else 0))
            if m.chance(0.2):
                arguments["target"][torch.rand(target, generator=m.generator) < 0.3] = attributes.get("ignore_index", -100)
        if m.chance(0.4):
            arguments["weight"] = m.tensor([count], True)
        return attributes, arguments
    return make


def regression(**choices):
    def make(m):
        a, b = broadcast_pair(m) if m.chance(0.3) else [m.shape()] * 2
        attributes = {name: m.pick(*values) for name, values in {"reduction": ("mean", "sum", "none"), **choices}.items() if m.chance(0.6)}
        return attributes, {"input": m.tensor(a), "target": m.tensor(b)}
    return make


def reshape(m):
    shape = m.shape()
    count = torch.Size(shape).numel()
    target = []
    while count > 1 and len(target) < 5 and m.chance(0.8):
        divisor = m.pick(*[d for d in range(1, min(count, 40) + 1) if count % d == 0])
        target.append(divisor)
        count //= divisor
    target.append(count)
    m.random.shuffle(target)
    if m.chance(0.4):
        target[m.random.randrange(len(target))] = -1
    return {"shape": target}, {"input": m.tensor(shape)}


def permute(m):
    shape = m.shape()
    dims = list(range(len(shape)))
    m.random.shuffle(dims)
    if dims and m.chance(0.05):
        dims[0] = dims[-1]
    return {"dims": [d - len(shape) if m.chance(0.3) else d for d in dims]}, {"input": m.tensor(shape)}


def transpose(m):
    shape = m.shape()
    return {"dim0": m.dim(len(shape)), "dim1": m.dim(len(shape))}, {"input": m.tensor(shape)}


def broadcast_to(m):
    shape = m.shape(0, 5, 200)
    given = [1 if m.chance(0.3) else s for s in shape]
    return {"size": shape}, {"input": m.tensor(given[m.random.randint(0, len(given)) if m.chance(0.3) else 0:])}


def cat(m):
    shape = m.shape(1, 5, 200)
    dim = m.dim(len(shape))
    parts = []
    for _ in range(m.random.randint(1, 4)):
        part = list(shape)
        if -len(shape) <= dim < len(shape):
            part[dim] = m.size()
        parts.append(part if not parts or m.chance(0.95) else [0])
    return {"dim": dim}, {f"tensors.{i}": m.tensor(part) for i, part in enumerate(parts)}


def stack(m):
    shape = m.shape(0, 4, 100)
    return {"dim": m.dim(len(shape) + 1)}, {f"tensors.{i}": m.tensor(shape) for i in range(m.random.randint(1, 4))}


def split(m):
    shape = m.shape(1, 5) if m.chance(0.97) else []
    dim = m.dim(len(shape))
    size = shape[dim] if -len(shape) <= dim < len(shape) else 3
    if m.chance(0.5):
        sections = m.pick(1, 2, 3, 5, *([0, -1] if m.chance(0.1) else []))
    else:
        sections, left = [], size
        while left > 0:
            sections.append(m.random.randint(0, left))
            left -= sections[-1]
        sections = sections or [0]
        if m.chance(0.05):
            sections.append(1)
    return {"split_size_or_sections": sections, "dim": dim}, {"tensor": m.tensor(shape)}


def gather(m):
    shape = m.shape(0, 5, 300)
    dim = m.dim(len(shape))
    index = [m.random.randint(0, s) for s in shape]
    size = 1
    if shape and -len(shape) <= dim < len(shape):
        index[dim] = m.size()
        size = shape[dim]
    return {"dim": dim}, {"input": m.tensor(shape), "index": m.integers(index, 0, size + (1 if m.chance(0.05) else 0))}


def clamp(m):
    attributes = {}
    maybe(m, attributes, 0.7, min=lambda: m.pick(-0.5, 0.0, 1.0), max=lambda: m.pick(-1.0, 0.5, 1.0))
    return attributes, {"input": m.tensor(m.shape())}


MAKERS = {
    "add": binary(), "sub": binary(), "mul": binary(), "div": binary(), "pow": pow_case, "exp": unary(), "log": unary(True), "sqrt": unary(True), "relu": unary(),
    "leaky_relu": unary(negative_slope=(0.1, 0.0, -0.5, 2.0)), "sigmoid": unary(), "tanh": unary(), "gelu": unary(approximate=("none", "tanh")), "clamp": clamp,
    "dropout": lambda m: ({"p": m.pick(0.0, 1.0), **({"training": False, "p": 0.4} if m.chance(0.3) else {})}, {"input": m.tensor(m.shape())}),
    "sum": reduction(True), "mean": reduction(True), "amax": reduction(True), "amin": reduction(True), "max": reduction(False), "min": reduction(False),
    "argmax": reduction(False), "argmin": reduction(False), "matmul": matmul, "linear": linear, "conv2d": conv2d, "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": adaptive, "global_avg_pool": lambda m: ({}, {"input": m.tensor(image(m))}), "batch_norm": batch_norm, "layer_norm": layer_norm,
    "softmax": along, "log_softmax": along, "nll_loss": classes(False), "cross_entropy": classes(True), "mse_loss": regression(), "l1_loss": regression(),
    "huber_loss": regression(delta=(0.5, 1.0, 2.0, 0.0)), "reshape": reshape, "permute": permute, "transpose": transpose, "broadcast_to": broadcast_to, "cat": cat, "stack": stack,
    "split": split, "gather": gather,
}


def f32_tolerance(attributes):
    """f32 sums of n products differ by their order: a few roundings of 6e-8 each, more where values cancel or are powers."""
    return {"batch_norm": 1e-4, "layer_norm": 1e-4, "pow": 1e-4, "conv2d": 2e-5, "matmul": 2e-5, "linear": 2e-5}.get(attributes["op"], 1e-5)


def output_scale(attributes, arguments):
    """What an output's error is measured against, if that is more than the output: the inputs of ops in which they cancel."""
    if attributes["op"] not in ("gelu", "nll_loss", "cross_entropy", "mean", "sum"):
        return 0.0
    return max([float(x.abs().max()) for x in arguments.values() if x.is_floating_point() and x.numel()] or [0.0])


# Where PyTorch decides by what it happens to run, and Mica by one rule: such cases are not compared.
QUIRKS = [
    lambda a, t: a["op"] in ("nll_loss", "cross_entropy") and all(name in t and t[name].dim() == 1 for name in ("input", "target")),  # classes as a batch
    lambda a, t: a["op"] == "linear" and "bias" in t and t["bias"].shape in ((), (1,)),  # a bias that broadcasts
    lambda a, t: a["op"] == "batch_norm" and any(x.dim() != 1 for name, x in t.items() if name != "input"),  # (1) and () count as alike
    lambda a, t: a["op"] == "batch_norm" and t.get("input") is not None and t["input"].numel() == 0 and "running_mean" not in t,  # evaluation without statistics
    lambda a, t: a["op"] in ("nll_loss", "cross_entropy") and "weight" in t and t["weight"].dim() != 1,  # taken where it has as many elements as there are classes
    lambda a, t: a["op"] in ("global_avg_pool", "adaptive_avg_pool2d") and "input" in t and t["input"].dim() not in (3, 4),  # to one pixel it is a mean, which takes any rank
]
