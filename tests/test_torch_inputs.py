"""The inputs that torch tries its own functions with: ours are at least as near to the truth, in value and gradient."""

import functools

import pytest
import torch
from conftest import need
from torch.nn import functional

import actlib

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

SIXTH = 2**-24
"""In float64 torch's hardsigmoid has the slope 1/6 in float32."""

FUNCTIONS = {
    "sigmoid": (actlib.sigmoid, torch.sigmoid),
    "tanh": (actlib.tanh, torch.tanh),
    "nn.functional.relu": (actlib.relu, functional.relu),
    "nn.functional.relu6": (actlib.relu6, functional.relu6),
    "nn.functional.leaky_relu": (actlib.leaky_relu, functional.leaky_relu),
    "nn.functional.elu": (actlib.elu, functional.elu),
    "nn.functional.selu": (actlib.selu, functional.selu),
    "nn.functional.celu": (actlib.celu, functional.celu),
    "nn.functional.silu": (actlib.silu, functional.silu),
    "nn.functional.gelu": (actlib.gelu, functional.gelu),
    "nn.functional.hardsigmoid": (actlib.hardsigmoid, functional.hardsigmoid),
    "nn.functional.hardswish": (actlib.hardswish, functional.hardswish),
    "nn.functional.softplus": (actlib.softplus, functional.softplus),
    "nn.functional.softsign": (actlib.softsign, functional.softsign),
    "nn.functional.mish": (actlib.mish, functional.mish),
    "nn.functional.logsigmoid": (actlib.logsigmoid, functional.logsigmoid),
    "softmax": (actlib.softmax, torch.softmax),
    "log_softmax": (actlib.log_softmax, torch.log_softmax),
}


@functools.cache
def torchs_inputs():
    """By name, what torch knows of how to try its functions."""
    try:
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as error:
        need(False, f"torch's own inputs: {error}")
    return {info.name: info for info in op_db if not info.variant_test_name}


def samples(name, dtype):
    info = torchs_inputs()[name]
    if dtype not in info.supported_dtypes("cpu"):
        pytest.skip(f"torch does not try {name} with {dtype}")
    return list(info.sample_inputs("cpu", dtype, requires_grad=False))


def computed(function, sample, dtype=None):
    """Value and gradient, on the sample in a type of its own or in another."""
    x = sample.input.detach().clone()
    x = (x if dtype is None else x.to(dtype)).requires_grad_()
    options = {k: dtype if k == "dtype" and v and dtype else v for k, v in sample.kwargs.items() if k != "inplace"}
    result = function(x, *sample.args, **options)
    upstream = torch.linspace(0.5, 1.5, result.numel(), dtype=torch.float64).reshape(result.shape)
    upstream = upstream.to(sample.kwargs.get("dtype") or sample.input.dtype).to(result.dtype)
    return result.detach(), *torch.autograd.grad(result, x, upstream)


def error(found, truth):
    """The largest error in units of the type's precision, by the largest number about."""
    if not truth.numel():
        return 0.0
    step = torch.finfo(found.dtype).eps
    scale = truth.abs().double().clamp(min=float(torch.finfo(found.dtype).smallest_normal))
    distance = (found.double() - truth.double()).abs() / scale
    return float(torch.where(found == truth.to(found.dtype), 0, distance).max()) / step


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_torchs_inputs(name, dtype):
    ours, theirs = FUNCTIONS[name]
    tried = 0
    for sample in samples(name, dtype):
        given = [computed(function, sample) for function in (ours, theirs)]
        for a, b in zip(*given, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if dtype == torch.float64:
            for a, b in zip(*given, strict=True):
                torch.testing.assert_close(a, b, rtol=SIXTH if "hardsigmoid" in name else 1e-12, atol=1e-13)
        else:
            truth = computed(ours, sample, torch.float64)
            for a, b, t in zip(*given, truth, strict=True):
                # Of half precision rounded once. In float32 a difference or product is rounded before an exponential
                # is taken of it, by torch as well: which of two errors of 8 ulp is the larger, chance decides.
                bound = max(error(b, t), 1.0) if dtype != torch.float32 else max(1.1 * error(b, t), 3.0)
                assert error(a, t) <= bound, (sample, a, b, t)
        tried += 1
    assert tried
