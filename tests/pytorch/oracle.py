"""PyTorch's answer to a case of op_runner's format (tests/ops/case_file.h): for the stored vectors and the fuzzer."""
import torch
import torch.nn.functional as F

BUFFERS = ("running_mean", "running_var")
FUNCTIONS = {
    **{name: getattr(F, name) for name in
       ("relu", "leaky_relu", "gelu", "dropout", "linear", "conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "batch_norm", "layer_norm",
        "softmax", "log_softmax", "nll_loss", "cross_entropy", "mse_loss", "l1_loss", "huber_loss")},
    **{name: getattr(torch, name) for name in
       ("add", "sub", "mul", "div", "pow", "exp", "log", "sqrt", "clamp", "sigmoid", "tanh", "sum", "mean", "amax", "amin", "max", "min", "argmax",
        "argmin", "matmul", "reshape", "permute", "transpose", "broadcast_to", "cat", "stack", "split", "gather")},
    "global_avg_pool": lambda input: F.adaptive_avg_pool2d(input, 1),
}


def differentiable(op, name, tensor):
    class_weight = name == "weight" and op in ("nll_loss", "cross_entropy")
    return tensor.is_floating_point() and name not in BUFFERS and not class_weight


def call(attributes, arguments):
    """Outputs by name: output; output.0, …; or output and indices."""
    attributes = dict(attributes)
    op = attributes.pop("op")
    arguments = dict(arguments)
    if any(name.startswith("tensors.") for name in arguments):
        count = len(arguments)
        arguments = {"tensors": [arguments[f"tensors.{i}"] for i in range(count)]}
    if op == "batch_norm":
        arguments = {**dict.fromkeys(BUFFERS), **arguments}
    result = FUNCTIONS[op](**arguments, **attributes)
    if isinstance(result, torch.Tensor):
        return {"output": result}
    if hasattr(result, "indices"):
        return {"output": result.values, "indices": result.indices}
    return {f"output.{i}": part for i, part in enumerate(result)}


def run(attributes, arguments, grad_outputs):
    """All results by name, gradients as grad.<argument>, buffers under their own. Raises what PyTorch raises."""
    arguments = {name: tensor.clone() for name, tensor in arguments.items()}
    wanted = [name for name, tensor in arguments.items() if differentiable(attributes["op"], name, tensor)]
    for name in wanted:
        arguments[name].requires_grad_()
    results = call(attributes, arguments)
    answers = {name: tensor.detach() for name, tensor in results.items()}
    if grad_outputs:
        pairs = [(results[name], gradient) for name, gradient in grad_outputs.items() if name in results and results[name].requires_grad]
        gradients = [None] * len(wanted)
        if pairs and wanted:
            gradients = torch.autograd.grad([y for y, _ in pairs], [arguments[name] for name in wanted], [g for _, g in pairs], allow_unused=True)
        for name, gradient in zip(wanted, gradients):
            answers[f"grad.{name}"] = torch.zeros_like(arguments[name]) if gradient is None else gradient
    for name in BUFFERS:
        if name in arguments:
            answers[name] = arguments[name]
    return {name: tensor.detach().contiguous().clone() for name, tensor in answers.items()}


def cases_of(metadata, tensors):
    """{id: (arguments, grad_outputs)} of a file."""
    cases = {case: ({}, {}) for case in metadata}
    for key, tensor in tensors.items():
        case = key
        while case not in cases:
            case = case[:case.rindex(".")]
        name = key[len(case) + 1:]
        if name.startswith("grad_output"):
            cases[case][1]["output" + name[len("grad_output"):]] = tensor
        else:
            cases[case][0][name] = tensor
    return cases
