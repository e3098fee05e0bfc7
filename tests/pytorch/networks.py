"""The example networks in PyTorch, written from their documents, not from examples/networks: for make_vectors.py.
Layers are named by kind as they come: conv1, norm1, relu1, dropout1, conv2, …, fc."""
import collections
import math

import torch
from torch import nn


class Skip(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.body = layers

    def forward(self, x):
        return self.body(x) + x


KINDS = {nn.Conv2d: "conv", nn.BatchNorm2d: "norm", nn.ReLU: "relu", nn.Dropout: "dropout", nn.MaxPool2d: "pool", Skip: "skip"}
ONCE = {nn.AdaptiveAvgPool2d: "gap", nn.Flatten: "flatten", nn.Linear: "fc", nn.LogSoftmax: "log_softmax"}


def named(layers, numbers=None):
    numbers = collections.Counter() if numbers is None else numbers
    result = collections.OrderedDict()
    for layer in layers:
        if type(layer) in ONCE:
            result[ONCE[type(layer)]] = layer
            continue
        kind = KINDS[type(layer)]
        numbers[kind] += 1
        if isinstance(layer, Skip):
            layer.body = named(layer.body, numbers)
        result[f"{kind}{numbers[kind]}"] = layer
    return nn.Sequential(result)


def conv(inputs, outputs, kernel=3, padding=0, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=bias)


def norm_relu(inputs, outputs, kernel=3, padding=0):
    return [conv(inputs, outputs, kernel, padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def norm_drop_relu(inputs, outputs, kernel=3):
    return [conv(inputs, outputs, kernel), nn.BatchNorm2d(outputs), nn.Dropout(0), nn.ReLU()]


def biased(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU(), nn.Dropout(0)]


def dense(norms):
    def block(inputs, outputs, kernel, padding, bias=True):
        return [nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=bias), *([nn.BatchNorm2d(outputs)] if norms else []), nn.ReLU()]

    return [*block(1, 16, 3, 1), *block(16, 16, 3, 1), *block(16, 32, 3, 1), nn.MaxPool2d(2), *block(32, 16, 1, 0), *block(16, 32, 3, 1), nn.MaxPool2d(2),
            *block(32, 16, 1, 0), *block(16, 16, 3, 0, bias=not norms), nn.Flatten(), *([nn.Dropout(0)] if norms else []), nn.Linear(400, 10), nn.LogSoftmax(1)]


GAP = lambda: nn.AdaptiveAvgPool2d(1)  # noqa: E731

NETWORKS = {
    "gap-19k": lambda: [*biased(1, 16), *biased(16, 16), *biased(16, 16), *biased(16, 32), nn.Conv2d(32, 16, 1), nn.MaxPool2d(2),
                        *biased(16, 16), *biased(16, 16), *biased(16, 32), GAP(), nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(1)],
    "bigkernel-10k": lambda: [*norm_relu(1, 10), *norm_relu(10, 10), *norm_relu(10, 20), nn.MaxPool2d(2), *norm_relu(20, 10, 1), *norm_relu(10, 10),
                              *norm_relu(10, 20), *norm_relu(20, 10, 1), conv(10, 10, 7), nn.Flatten(), nn.LogSoftmax(1)],
    "dropout-6k": lambda: [*norm_relu(1, 8), *norm_relu(8, 8), *norm_drop_relu(8, 8), nn.MaxPool2d(2), *norm_drop_relu(8, 16), *norm_drop_relu(16, 8),
                           *norm_drop_relu(8, 10), conv(10, 10, 5), nn.Flatten(), nn.LogSoftmax(1)],
    "gap-8k": lambda: [*norm_relu(1, 8), *norm_relu(8, 8), *norm_drop_relu(8, 8), nn.MaxPool2d(2), *norm_drop_relu(8, 16), *norm_drop_relu(16, 16),
                       *norm_drop_relu(16, 8, 1), *norm_drop_relu(8, 32), *norm_drop_relu(32, 16, 1), GAP(), conv(16, 10, 1), nn.Flatten(), nn.LogSoftmax(1)],
    "rotate-7k": lambda: [*norm_drop_relu(1, 8), *norm_drop_relu(8, 8), *norm_drop_relu(8, 8), nn.MaxPool2d(2), *norm_drop_relu(8, 13), *norm_drop_relu(13, 14),
                          *norm_drop_relu(14, 8, 1), *norm_drop_relu(8, 26), *norm_drop_relu(26, 50, 1), GAP(), conv(50, 10, 1), nn.Flatten(), nn.LogSoftmax(1)],
    "transition-16k": lambda: [*biased(1, 16), *biased(16, 16), *biased(16, 32), nn.MaxPool2d(2), nn.Conv2d(32, 8, 1), nn.ReLU(), *biased(8, 16), *biased(16, 16),
                               nn.Conv2d(16, 32, 3), nn.ReLU(), GAP(), nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(1)],
    "plain-6k": lambda: [conv(1, 8, 3, 1), conv(8, 10, 3, 1), conv(10, 16, 3, 1), conv(16, 8, 1), nn.MaxPool2d(2), conv(8, 8, 3, 1), conv(8, 10, 3, 1),
                         conv(10, 16, 3, 1), conv(16, 8, 1), nn.MaxPool2d(2), conv(8, 16, 3, 1), GAP(), conv(16, 10, 1), nn.Flatten()],
    "norm-6k": lambda: [*norm_relu(1, 8, 3, 1), *norm_relu(8, 10, 3, 1), *norm_relu(10, 16, 3, 1), nn.MaxPool2d(2), *norm_relu(16, 8, 1), *norm_relu(8, 8, 3, 1),
                        *norm_relu(8, 10, 3, 1), *norm_relu(10, 16, 3, 1), nn.MaxPool2d(2), *norm_relu(16, 8, 1), conv(8, 16, 3, 1), GAP(), conv(16, 10, 1),
                        nn.Flatten()],
    "skip-7k": lambda: [*norm_relu(1, 8, 3, 1), *norm_relu(8, 10, 3, 1), *norm_relu(10, 16, 3, 1), nn.Dropout(0), nn.MaxPool2d(2), conv(16, 8, 1),
                        *norm_relu(8, 10, 3, 1), Skip(*norm_relu(10, 10, 3, 1)), *norm_relu(10, 12, 3, 1), nn.Dropout(0), nn.MaxPool2d(2), conv(12, 8, 1),
                        Skip(*norm_relu(8, 8, 3, 1)), *norm_relu(8, 10, 3, 1), conv(10, 12, 3, 1), conv(12, 10, 1), GAP(), nn.Flatten()],
    "dense-19k": lambda: dense(False),
    "dense-bn-19k": lambda: dense(True),
}

# What each document says: the optimizer, and the norm to which gradients are clipped.
OPTIMIZERS = {"sgd": lambda lr: lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9), "adam": lambda lr: lambda p: torch.optim.Adam(p, lr=lr)}
RECIPES = {"gap-19k": ("sgd", 0.05, None), "bigkernel-10k": ("sgd", 0.01, None), "dropout-6k": ("sgd", 0.01, None), "gap-8k": ("sgd", 0.01, None),
           "rotate-7k": ("sgd", 0.1, None), "transition-16k": ("adam", 1e-3, 5.0), "plain-6k": ("adam", 1e-3, None), "norm-6k": ("adam", 1e-2, None),
           "skip-7k": ("adam", 1e-2, None), "dense-19k": ("adam", 1e-3, None), "dense-bn-19k": ("adam", 1e-3, None)}


def start(net):
    """Gives parameters the values of tests/formula_weights.h: of integers that both languages compute alike."""
    for key, tensor in net.state_dict().items():
        if tensor.dtype != torch.float64 or key.split(".")[-1].startswith("running"):
            continue
        salt = sum((i + 1) * c for i, c in enumerate(key.encode()))
        u = (torch.arange(tensor.numel()) * 7919 + salt * 104729) % 20011 / torch.tensor(20011.0, dtype=torch.float64) * 2 - 1
        if tensor.dim() > 1:
            u = u * math.sqrt(3 / (tensor.numel() / tensor.shape[0]))
        elif key.endswith("weight"):
            u = u * 0.2 + 1
        else:
            u = u * 0.1
        tensor.copy_(u.view(tensor.shape))


def train(name, steps, batch):
    """The losses of ten steps without dropout in f64, and what state they end with."""
    net = named(NETWORKS[name]()).double()
    with torch.no_grad():
        start(net)
    kind, lr, clip = RECIPES[name]
    optimizer = OPTIMIZERS[kind](lr)(net.parameters())
    losses = []
    for step in range(steps):
        images, labels = batch(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64), net.state_dict()
