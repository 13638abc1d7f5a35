"""What a training step of a small network costs, where it is calls that take the time: our functions beside torch's.

The network has four layers, each of them `torch.nn.Linear(64, 64)` and an activation function. A step is what stands in
a loop of training: gradients set to zero, forward, mean squared error, backward, and a step of `torch.optim.SGD`.
"""

import functools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from actlib import ACTIVATIONS
from benchmarks import report, timing
from benchmarks.peers import BOTH, COPY, OURS, STEP, TORCH, Case

DEPTH, WIDTH, BATCH = 4, 64, 32
CPU = torch.device("cpu")


def rows(functions: Iterable[str], rounds: int, patience: float) -> Iterator[dict]:
    """The entry of each of the functions in the results."""
    for function in functions:
        case = Case(function, torch.float32, BATCH * WIDTH, None, CPU)
        x = torch.randn(BATCH, WIDTH)
        layer = ACTIVATIONS[function].layer
        steps = {TORCH: step(getattr(nn, layer.__name__)), OURS: step(layer)}
        tasks = {COPY: [functools.partial(torch.empty_like(x).copy_, x)]} | {name: [one] for name, one in steps.items()}
        times = timing.interleaved(tasks, rounds, CPU, patience=patience)
        # Of memory, the least that the four functions must move.
        yield report.row_of(case.key | {"task": STEP}, DEPTH * case.bytes_to_copy(BOTH), times, gpu=False)


def step(layer: Callable[[], nn.Module]) -> Callable[[], None]:
    """A training step of a network with these layers."""
    torch.manual_seed(0)
    model = nn.Sequential(*(one for _ in range(DEPTH) for one in (nn.Linear(WIDTH, WIDTH), layer())))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, target = torch.randn(2, BATCH, WIDTH)

    def run():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), target).backward()
        optimizer.step()

    return run
