"""What actlib's functions and layers do when two processes share tensors and parameters. No test by itself.

`python -m torch.distributed.run --standalone --nproc-per-node=2 tests/two_processes.py` prints what failed, as JSON.
"""

import copy
import functools
import json
import os

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import actlib
from actlib import ACTIVATIONS


class FeedForward(nn.Module):
    """Two linear maps, a gate, a third map; what tensor parallelism is made for."""

    def __init__(self):
        super().__init__()
        self.gate, self.value, self.out = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x):
        return self.out(actlib.swiglu(self.gate(x), self.value(x)))


LEARNABLE = {
    "Swish": lambda: actlib.Swish(learnable=True),
    "PReLU": actlib.PReLU,
    "PReLU, a channel each": lambda: actlib.PReLU(6),
    "SoftmaxWithSink": lambda: actlib.SoftmaxWithSink(heads=6),
    **{a.layer.__name__: lambda a=a: a.layer(6, 4) for a in ACTIVATIONS.values() if issubclass(a.layer, actlib.GLU)},
    "SwiGLU, packed": lambda: actlib.SwiGLU(6, 4, layout="halves"),
}


def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gap(ours, theirs):
    return max(float((full(a) - full(b)).abs().max()) for a, b in zip(ours, theirs, strict=True))


def learnt(layer, plain, x, times=1.0):
    """How far value and gradients are from those of the plain layer, the latter multiplied by a number."""
    results = []
    for one, factor in ((layer, 1.0), (plain, times)):
        y = one(x)
        full(y).square().sum().backward()
        results.append([full(y).detach(), *(full(p.grad) * factor for p in one.parameters())])
    return gap(*results)


def sharded(make, mesh):
    plain = make()
    layer = copy.deepcopy(plain)
    fully_shard(layer, mesh=mesh)
    return learnt(layer, plain, torch.randn(2, 6, 6), adds_up(mesh))


@functools.cache
def adds_up(mesh):
    """By what torch's own layer says that gradients of both processes are multiplied: gloo once had no mean."""
    plain = nn.Linear(1, 1, bias=False)
    layer = copy.deepcopy(plain)
    fully_shard(layer, mesh=mesh)
    for one in (plain, layer):
        one(torch.ones(1, 1)).sum().backward()
    return float(full(layer.weight.grad) / plain.weight.grad)


def columns(activation, mesh):
    """How far value and gradients are from plain ones where each process has some columns of the inputs."""
    call = (lambda t: activation.function(t, -1)) if activation.op is None else activation.function
    given = [torch.randn(4, 6) for _ in (activation.inputs if activation.op is not None else [0])]
    results = []
    for spread in (True, False):
        leaves = [distribute_tensor(t, mesh, [Shard(1)]) if spread else t.clone() for t in given]
        y = full(call(*(t.requires_grad_() for t in leaves)))
        results.append([y.detach(), *torch.autograd.grad((y * torch.linspace(-1, 2, 6)).sum(), leaves)])
    return gap(*results)


def parallel(mesh):
    plain = FeedForward()
    model = copy.deepcopy(plain)
    parallelize_module(model, mesh, {"gate": ColwiseParallel(), "value": ColwiseParallel(), "out": RowwiseParallel()})
    return learnt(model, plain, torch.randn(4, 6))


def cut(layout, mesh):
    """A gated layer of which each process has some of the hidden units."""

    def rows(_, module, mesh):
        for key, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(key, nn.Parameter(distribute_tensor(parameter, mesh, [Shard(0)])))

    plain = actlib.SwiGLU(6, 8, layout=layout)
    layer = distribute_module(copy.deepcopy(plain), mesh, rows)
    x = torch.randn(4, 6)
    y = layer(distribute_tensor(x, mesh, [Replicate()]))
    assert layout or y.placements == (Shard(1),), "something was sent"
    return gap([y.detach()], [plain(x).detach()])


def main():
    distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    cases = {f"fully_shard, {name}": lambda make=make: sharded(make, mesh) for name, make in LEARNABLE.items()}
    for a in ACTIVATIONS.values():  # softmax needs whole rows
        cases[f"columns, {a.name}"] = lambda a=a: columns(a, mesh)
    cases["tensor parallelism"] = lambda: parallel(mesh)
    for layout in (None, "halves", "interleaved"):
        cases[f"hidden units, {layout}"] = lambda layout=layout: cut(layout, mesh)
    found = {}
    for name, case in cases.items():
        torch.manual_seed(0)
        try:
            found[name] = case()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    if distributed.get_rank() == 0:
        print(json.dumps(found))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    assert os.environ.get("WORLD_SIZE") == "2", "to be started by torch.distributed.run"
    main()
