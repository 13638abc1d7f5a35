"""What backward keeps: slopes from the output, their accuracy and the memory that they save."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

import actlib
from actlib import ACTIVATIONS, accuracy
from actlib.activations import hardsigmoid, kept, logsigmoid, relu, relu6, selu, sigmoid, softsign, tanh
from actlib.formula.primitives import derivative

MODULES = {m.activation.name: m for m in (sigmoid, tanh, relu, relu6, hardsigmoid, selu, softsign, logsigmoid)}
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)

OFF = {
    "sigmoid": (0.002, 0.0003),
    "tanh": (0.004, 0.0005),
    "relu": (0, 0),
    "relu6": (0, 0),
    "hardsigmoid": (0, 0),
    "selu": (0.008, 0.001),
    "softsign": (0.004, 0.0005),
    "logsigmoid": (0.004, 0.0005),
}
"""By how much a slope from the output may be off in bfloat16 and float16, as the docstrings say."""


def from_output(module):
    return lambda x: module.activation.function(x, keep="output")


@every_module
def test_slope_in_the_output_is_the_formulas(module):
    op, slope = module.op, module.from_output.slope
    (x,) = op.inputs
    points = np.linspace(-8, 8, 51)
    ours, theirs = (
        accuracy.exact(f, [x], [points]) for f in (slope.subs(kept.y, op.outputs[0]), derivative(op.outputs[0], x))
    )
    np.testing.assert_allclose(ours[0] + ours[1], theirs[0] + theirs[1], rtol=1e-15, atol=0)


@every_module
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_value_is_the_same_and_slope_close(module, dtype):
    function = module.activation.function
    x = accuracy.every_finite(dtype) if dtype.itemsize == 2 else torch.linspace(-9, 9, 501, dtype=dtype)
    x = torch.cat([x, torch.tensor([torch.inf, -torch.inf], dtype=dtype)])
    assert torch.equal(from_output(module)(x), function(x))
    ours, exact = accuracy.slope(from_output(module), x), accuracy.slope(function, x)
    off = (ours.double() - exact.double()).abs().max()
    if dtype.itemsize == 2:
        said = OFF[module.activation.name][dtype == torch.float16]
        assert said * 0.6 <= off <= said * 1.05
        doc = " ".join(function.__doc__.split())
        name = str(dtype).removeprefix("torch.")
        assert (f"{said:g} in {name}" if said else "The slope is the same") in doc
    else:
        assert off <= 4 * torch.finfo(dtype).eps
    assert accuracy.slope(from_output(module), torch.tensor([torch.nan, 1.0], dtype=dtype)).isnan().tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("function", "dtype", "end"),
    [
        (actlib.sigmoid, torch.bfloat16, 6.25),
        (actlib.sigmoid, torch.float16, 8.33),
        (actlib.sigmoid, torch.float32, 17.3),
        (actlib.tanh, torch.bfloat16, 3.47),
        (actlib.tanh, torch.float16, 4.51),
        (actlib.tanh, torch.float32, 9.01),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_slope_from_the_output_ends_where_the_docstring_says(function, dtype, end):
    assert f"{end:g} in" in " ".join(function.__doc__.split())
    x = torch.tensor([end * 0.99, end * 1.01], dtype=dtype)
    assert (accuracy.slope(lambda t: function(t, keep="output"), x) > 0).tolist() == [True, False]
    assert (accuracy.slope(function, x) > 0).all()


@every_module
def test_derivatives_of_all_kinds(module):
    f = from_output(module)
    x = torch.linspace(-5, 7, 12, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(f, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, x, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True)
    rows = torch.randn(3, 4).double()
    for in_dim in (0, 1):
        torch.testing.assert_close(torch.vmap(f, in_dims=in_dim)(rows), f(rows.movedim(in_dim, 0)))
    slopes = torch.vmap(torch.vmap(torch.func.grad(f)))(rows)
    torch.testing.assert_close(slopes, accuracy.slope(module.activation.function, rows))


@pytest.mark.parametrize("name", ["sigmoid", "relu"])
def test_compiles_to_one_graph(name):
    torch.compiler.reset()
    f = from_output(MODULES[name])
    compiled, x = torch.compile(f, fullgraph=True), torch.randn(50)
    torch.testing.assert_close(compiled(x), f(x))
    torch.testing.assert_close(accuracy.slope(compiled, x), accuracy.slope(f, x))


def kept_tensors(function):
    """How many tensors as large as the batch a network of two matrices with a function between keeps for backward."""
    x, first, second = torch.randn(64, 8, requires_grad=True), torch.randn(8, 8), torch.randn(8, 8)
    first.requires_grad_(), second.requires_grad_()
    found = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: found.update({t.data_ptr(): t}) or t, lambda t: t):
        function(x @ first) @ second
    return sum(t.numel() == x.numel() for t in found.values())


@every_module
def test_between_two_matrices_the_output_needs_no_memory(module):
    function = module.activation.function
    assert kept_tensors(function) == 3
    assert kept_tensors(from_output(module)) == 2
    if module in (sigmoid, tanh, relu):  # of the others torch, too, keeps the input
        assert kept_tensors(module.activation.torch) == 2


@every_module
def test_layer_says_what_it_keeps(module):
    layer = module.activation.layer(keep="output")
    assert repr(layer).endswith("(keep='output')")
    for again in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nn.Sequential(layer)):
        assert kept_tensors(again) == 2
        assert again.state_dict() == {}
    assert kept_tensors(module.activation.layer()) == 3


@pytest.mark.parametrize("name", ["relu", "relu6", "hardsigmoid", "selu"])
def test_in_place_the_old_input_is_not_needed(name):
    leaf = torch.linspace(-4, 8, 50, dtype=torch.float64).requires_grad_()
    between = leaf * 1
    result = ACTIVATIONS[name].layer(inplace=True, keep="output")(between)
    assert result is between
    (slope,) = torch.autograd.grad(result.sum(), leaf)
    torch.testing.assert_close(slope, accuracy.slope(ACTIVATIONS[name].function, leaf.detach()))


@every_module
@pytest.mark.parametrize("keep", ["both", None, True, 1])
def test_anything_else_is_refused_in_words(module, keep):
    name = module.activation.name
    message = f'{name}: keep must be "input" or "output", but {re.escape(repr(keep))} came'
    with pytest.raises(ValueError, match=message):
        module.activation.function(torch.ones(2), keep=keep)
    with pytest.raises(ValueError, match=message):
        module.activation.layer(keep=keep)
    with pytest.raises(TypeError, match=rf"{name}: .* must be a tensor, but list came"):
        module.activation.function([1.0], keep="output")
