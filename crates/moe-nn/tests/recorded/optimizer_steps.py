#!/usr/bin/env python3
"""Records steps of PyTorch's optimisers (float64) on small parameters, for a test that repeats them.

    pip install torch
    python optimizer_steps.py

Writes `optimizer_steps.json` beside itself. No gradient is stored: starts and gradients are formulas over a counter,
`unit(n) = (2654435761 n mod 2^32) / 2^31 - 1`, in [-1, 1).

Parameters  `table` [6, 3], `encoder.weight` [2, 4] and `encoder.bias` [4], visited in this order; element i of
            parameter p = 0, 1, 2 starts at unit(1000 p + i + 1).
Gradients   of step t = 0..11: element i of parameter p is
            unit(100000 (t + 1) + 1000 p + i) * [0.01, 0.3, 2, 0.1][t % 4]. A case with `rows` has a gradient of `table`
            in the rows {t % 6, (3 t + 1) % 6} only: in PyTorch a sparse tensor for SparseAdam, else zeros elsewhere.

Fields      cases: NAME -> `values`: all elements of the three parameters, one list, after each of the steps in KEPT;
            `norms`: of the whole gradient before clipping, in each step, as clip_grad_norm_ returns it (only where the
            case clips by norm). What a case is stands in `CASES` here and, a second time, in the test.
"""
import json
import math
from pathlib import Path

import torch

STEPS, KEPT = 12, [0, 1, 5, 11]
SHAPES = [(6, 3), (2, 4), (4,)]
RATE, BETAS, EPSILON = 0.01, (0.9, 0.99), 1e-6


def unit(n):
    return (2654435761 * n % 2**32) / 2**31 - 1


def start(p):
    size = math.prod(SHAPES[p])
    return torch.tensor([unit(1000 * p + i + 1) for i in range(size)], dtype=torch.float64).reshape(SHAPES[p])


def rows_of(t):
    return sorted({t % 6, (3 * t + 1) % 6})


def gradient(p, t, rows):
    size = math.prod(SHAPES[p])
    values = [unit(100000 * (t + 1) + 1000 * p + i) * [0.01, 0.3, 2.0, 0.1][t % 4] for i in range(size)]
    dense = torch.tensor(values, dtype=torch.float64).reshape(SHAPES[p])
    if p == 0 and rows:
        kept = torch.zeros(6, 1, dtype=torch.float64)
        kept[rows_of(t)] = 1
        dense = dense * kept
    return dense


def adam(parameters):
    return [torch.optim.Adam(parameters, lr=RATE, betas=BETAS, eps=EPSILON)]


def lazy_adam(parameters):
    return [torch.optim.SparseAdam(parameters[:1], lr=RATE, betas=BETAS, eps=EPSILON),
            torch.optim.Adam(parameters[1:], lr=RATE, betas=BETAS, eps=EPSILON)]


def adamw(parameters):
    return [torch.optim.AdamW(parameters, lr=RATE, betas=BETAS, eps=EPSILON, weight_decay=0.1)]


def grouped_adamw(parameters):
    """`encoder` at three times the rate and another decay, except that `encoder.bias` does not decay."""
    groups = [{"params": parameters[0:1]},
              {"params": parameters[1:2], "lr": 3 * RATE, "weight_decay": 0.3},
              {"params": parameters[2:3], "lr": 3 * RATE, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, weight_decay=0.1)]


def sgd(**options):
    return lambda parameters: [torch.optim.SGD(parameters, lr=RATE, **options)]


def warmup(s):
    return min(1.0, (s + 1) / 4)


def cosine(s):
    """Three steps of warm-up, ten in all, then a twentieth."""
    return warmup(s) if s < 3 else 0.05 + 0.95 * (1 + math.cos(math.pi * min(1.0, (s - 3) / 7))) / 2


def inverse_sqrt(s):
    return warmup(s) if s < 3 else math.sqrt(4 / (s + 1))


# NAME -> optimisers and, where they are not the plain ones, rows, clipping and schedule.
CASES = {
    "adam": (adam, {}),
    "adam rows": (adam, {"rows": True}),
    "adam lazy": (lazy_adam, {"rows": True}),
    "adam clipped by norm": (adam, {"norm": 1.5}),
    "adam lazy clipped by value": (lazy_adam, {"rows": True, "value": 0.05}),
    "adam warm-up": (adam, {"schedule": warmup}),
    "adamw": (adamw, {}),
    "adamw rows, inverse square root": (adamw, {"rows": True, "schedule": inverse_sqrt}),
    "adamw groups, cosine": (grouped_adamw, {"schedule": cosine}),
    "sgd": (sgd(), {"rows": True}),
    "sgd decay": (sgd(weight_decay=0.2), {"rows": True}),
    "sgd momentum": (sgd(momentum=0.8), {"rows": True}),
    "sgd nesterov, decay, clipped by norm": (sgd(momentum=0.8, nesterov=True, weight_decay=0.2), {"norm": 1.5}),
    "sgd momentum clipped by value": (sgd(momentum=0.8), {"value": 0.05}),
}


def record(optimizers, rows=False, norm=None, value=None, schedule=None):
    parameters = [start(p).requires_grad_() for p in range(3)]
    optimizers = optimizers(parameters)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, schedule) for o in optimizers] if schedule else []
    values, norms = [], []
    for t in range(STEPS):
        for p, parameter in enumerate(parameters):
            parameter.grad = gradient(p, t, rows)
        if norm is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(parameters, norm).item())
        if value is not None:
            torch.nn.utils.clip_grad_value_(parameters, value)
        if isinstance(optimizers[0], torch.optim.SparseAdam):
            index = torch.tensor([rows_of(t)])
            parameters[0].grad = torch.sparse_coo_tensor(index, parameters[0].grad[index[0]], SHAPES[0])
        for optimizer in optimizers + schedulers:
            optimizer.step()
        if t in KEPT:
            values.append([x for parameter in parameters for x in parameter.detach().reshape(-1).tolist()])
    return {"values": values, "norms": norms} if norms else {"values": values}


if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = {
        "about": f"{STEPS} steps of PyTorch's optimisers in float64. Made by `python optimizer_steps.py` with torch "
                 f"{torch.__version__}; the script describes the fields.",
        "cases": {name: record(optimizers, **options) for name, (optimizers, options) in CASES.items()},
    }
    text = json.dumps(recorded).replace('{"values"', '\n{"values"').replace("], [", "],\n[") + "\n"
    Path(__file__).with_name("optimizer_steps.json").write_text(text)
