"""Every activation of the registry: accuracy, limits, derivatives, transforms, layouts, layers, refusals."""

import copy
import functools
import pickle

import numpy as np
import pytest
import sympy as sp
import torch
from torch import nn

from actlib import ACTIVATIONS, accuracy
from actlib.formula.primitives import derivative, elementary

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
HALVES = DTYPES[:2]
CHANNELS_LAST = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
LAYOUTS = {
    "scalar": torch.tensor(0.5),
    "empty": torch.empty(0),
    "empty with sizes": torch.empty(0, 3),
    "contiguous": torch.randn(3, 4),
    "transposed": torch.randn(3, 4).t(),
    "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
    "channels last": CHANNELS_LAST,
    "every other": torch.randn(3, 8)[:, ::2],
    "expanded": torch.randn(3, 1).expand(3, 4),
    "one column": torch.randn(3, 4)[:, 1],
}

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@functools.cache
def reference(name, dtype):
    activation = ACTIVATIONS[name]
    return accuracy.Reference(activation.default_formula, activation.inputs[0], accuracy.every_finite(dtype))


@functools.cache
def limit(name, order, end):
    activation = ACTIVATIONS[name]
    x, formula = activation.inputs[0], activation.default_formula
    return float(sp.limit(elementary(derivative(formula, *[x] * order) if order else formula), x, end))


def test_names_and_order():
    assert all(name == activation.name for name, activation in ACTIVATIONS.items())
    chapters = [a.chapter for a in ACTIVATIONS.values() if a.chapter]
    assert chapters == sorted(chapters)


@every_activation
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_value_is_within_055_ulp_on_every_finite_half(name, dtype):
    assert reference(name, dtype).value_errors(ACTIVATIONS[name].function).max() <= 0.55


@every_activation
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_slope_is_within_055_ulp_on_every_finite_half(name, dtype):
    assert reference(name, dtype).slope_errors(ACTIVATIONS[name].function).max() <= 0.55


@every_activation
def test_float32_is_within_four_mixed_ulp(name):
    activation = ACTIVATIONS[name]
    errors = accuracy.mixed_errors(activation.default_formula, activation.inputs[0], activation.function, 4_000_000)
    assert max(errors) <= 4


@every_activation
def test_float64_keeps_its_digits(name):
    activation = ACTIVATIONS[name]
    inputs = torch.cat([accuracy.random_finite(torch.float64, 2000), torch.linspace(-40, 40, 801, dtype=torch.float64)])
    exact = accuracy.Reference(activation.default_formula, activation.inputs[0], inputs)
    normal = np.abs(exact.value[0]) >= torch.finfo(torch.float64).smallest_normal
    steep = np.abs(np.nan_to_num(exact.slope[0])) * accuracy.ulp(inputs.numpy(), torch.float64)
    mixed = 1 + steep / accuracy.ulp(exact.value[0], torch.float64)
    assert (exact.value_errors(activation.function) / mixed)[normal].max() <= 4


@every_activation
@every_dtype
@pytest.mark.parametrize("order", [0, 1], ids=["value", "slope"])
@pytest.mark.parametrize("end", [sp.oo, -sp.oo], ids=str)
def test_infinity_gives_the_limit_of_the_formula(name, dtype, order, end):
    values = torch.tensor([float(end)], dtype=dtype)
    function = ACTIVATIONS[name].function
    result = accuracy.slope(function, values) if order else function(values)
    assert result.item() == limit(name, order, end)


@every_activation
@every_dtype
def test_nan_stays_nan(name, dtype):
    values = torch.tensor([torch.nan, 1.0], dtype=dtype)
    function = ACTIVATIONS[name].function
    assert function(values).isnan().tolist() == [True, False]
    assert accuracy.slope(function, values).isnan().tolist() == [True, False]


@every_activation
@every_dtype
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_number_is_right(name, dtype, sign):
    activation = ACTIVATIONS[name]
    values = torch.tensor([sign * torch.finfo(dtype).max], dtype=dtype)
    exact = accuracy.Reference(activation.default_formula, activation.inputs[0], values)
    assert exact.value_errors(activation.function).max() <= 0.55
    assert exact.slope_errors(activation.function).max() <= 0.55


@every_activation
def test_far_tails_keep_their_digits(name):
    activation = ACTIVATIONS[name]
    inputs = torch.linspace(-85, 85, 341)
    exact = accuracy.Reference(activation.default_formula, activation.inputs[0], inputs)
    for computed, (high, _), rate in (
        (activation.function(inputs), exact.value, exact.slope[0]),
        (accuracy.slope(activation.function, inputs), exact.slope, None),
    ):
        rate = np.abs(high) if rate is None else np.abs(rate)  # the slope of an exponential tail is of its own size
        scale = accuracy.ulp(high, torch.float32) + rate * accuracy.ulp(inputs.double().numpy(), torch.float32)
        assert (np.abs(computed.double().numpy() - high) / scale).max() <= 4


@every_activation
@every_dtype
def test_agrees_with_torch(name, dtype):
    activation = ACTIVATIONS[name]
    if activation.torch is None:
        pytest.skip(f"torch has no {name}")
    values = torch.linspace(-6, 6, 601).to(dtype)  # beyond, torch's half-precision slopes are wrong
    ours, theirs = (f(values) for f in (activation.function, activation.torch))
    torch.testing.assert_close(ours, theirs)
    ours, theirs = (accuracy.slope(f, values) for f in (activation.function, activation.torch))
    # torch takes the slope from the rounded output, in half precision at a cost of a few units of 1/256 and 1/2048.
    loose = {torch.bfloat16: {"rtol": 0, "atol": 2**-8}, torch.float16: {"rtol": 0, "atol": 2**-11}}
    torch.testing.assert_close(ours, theirs, **loose.get(dtype, {}))


@every_activation
def test_differentiates_to_third_order(name):
    activation = ACTIVATIONS[name]
    values = torch.linspace(-5, 5, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(activation.function, values, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(
        activation.function, values, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True
    )
    result = activation.function(values)
    for _ in range(3):
        (result,) = torch.autograd.grad(result.sum(), values, create_graph=True)
    x = activation.inputs[0]
    expected, _ = accuracy.exact(derivative(activation.default_formula, x, x, x), [x], [values.detach().numpy()])
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-11, atol=1e-14)


@every_activation
def test_function_transforms(name):
    function = ACTIVATIONS[name].function
    batch = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(function)(batch), function(batch))
    slopes = torch.vmap(torch.vmap(torch.func.grad(function)))(batch)
    torch.testing.assert_close(slopes, accuracy.slope(function, batch))
    _, rates = torch.func.jvp(function, (batch,), (torch.full_like(batch, 2.0),))
    torch.testing.assert_close(rates, 2 * slopes)
    hessian = torch.func.hessian(lambda v: function(v).sum())(batch[0])
    assert torch.equal(hessian, torch.diag(hessian.diagonal()))


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiles_to_one_graph(name, dtype):
    torch.compiler.reset()
    function = ACTIVATIONS[name].function
    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    for shape in [(130,), (3, 5), ()]:
        values = torch.randn(shape).to(dtype)
        # Compiled arithmetic may fuse a product and a sum, and so be nearer to the truth by a rounding.
        torch.testing.assert_close(compiled(values), function(values))
        torch.testing.assert_close(accuracy.slope(compiled, values), accuracy.slope(function, values))


@every_activation
def test_compiled_slope_keeps_its_tail(name):
    torch.compiler.reset()
    activation = ACTIVATIONS[name]
    compiled = torch.compile(activation.function, fullgraph=True)
    inputs = accuracy.every_finite(torch.bfloat16)
    exact = reference(name, torch.bfloat16)
    assert ulp_max(compiled(inputs), exact.value) <= 0.55
    assert ulp_max(accuracy.slope(compiled, inputs), exact.slope) <= 0.55


def ulp_max(computed, exact):
    return accuracy.ulp_error(computed, *exact).max()


@every_activation
def test_autocast_leaves_the_type_alone(name):
    values = torch.randn(4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = ACTIVATIONS[name].function(values)
    assert output.dtype == torch.float32
    output.sum().backward()
    assert values.grad.dtype == torch.float32


@every_activation
@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_as_torchs(name, dtype, layout):
    activation = ACTIVATIONS[name]
    values = LAYOUTS[layout].to(dtype).detach().as_strided(LAYOUTS[layout].shape, LAYOUTS[layout].stride())
    output = activation.function(values)
    like = (activation.torch or torch.sin)(values)
    assert (output.shape, output.dtype, output.stride()) == (like.shape, like.dtype, like.stride())
    elements = [activation.function(v) for v in values.flatten()]
    expected = torch.stack(elements).view(values.shape) if elements else output
    torch.testing.assert_close(output, expected)
    slope = accuracy.slope(activation.function, values)
    assert slope.shape == values.shape


@every_activation
def test_channels_last_stays_channels_last_over_many_tiles(name):
    values = torch.randn(2, 3, 300, 301).to(memory_format=torch.channels_last).requires_grad_()
    output = ACTIVATIONS[name].function(values)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, ACTIVATIONS[name].function(values.detach().contiguous()))
    (gradient,) = torch.autograd.grad(output.sum(), values)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@every_activation
def test_backward_keeps_the_input_and_nothing_else(name):
    values = torch.randn(8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ACTIVATIONS[name].function(values)
    assert [t.data_ptr() for t in kept] == [values.data_ptr()]


@every_activation
def test_a_kept_graph_gives_the_same_gradient_again(name):
    values = torch.randn(8, requires_grad=True)
    output = ACTIVATIONS[name].function(values).sum()
    first, second = (torch.autograd.grad(output, values, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@every_activation
def test_an_input_changed_in_place_is_noticed(name):
    values = torch.randn(8, requires_grad=True)
    changed = values * 1
    output = ACTIVATIONS[name].function(changed)
    changed.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@every_activation
def test_layer_is_the_function(name):
    activation = ACTIVATIONS[name]
    layer, values = activation.layer(), torch.randn(3, 4)
    assert torch.equal(layer(values), activation.function(values))
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nn.Sequential(layer)):
        assert torch.equal(again(values), layer(values))
        assert again.state_dict() == {}
    assert repr(layer).startswith(type(layer).__name__)


@every_activation
@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([1.0], "list"),
        (1.0, "float"),
        (None, "NoneType"),
        (torch.arange(3), "int64"),
        (torch.zeros(2, dtype=torch.bool), "bool"),
    ]
    + [(torch.zeros(2, dtype=torch.complex64), "complex64"), (np.zeros(2), "ndarray")],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_float_tensor_is_refused_in_words(name, given, word):
    with pytest.raises(TypeError, match=f"must be a tensor.* but .*{word} came"):
        ACTIVATIONS[name].function(given)


@every_activation
def test_registry_entry_is_complete(name):
    activation = ACTIVATIONS[name]
    assert activation.function.__doc__
    assert "Source:" in activation.function.__doc__
    assert issubclass(activation.layer, nn.Module)
    assert {s.name for s in activation.op.parameters} == set(activation.defaults)
    assert activation.default_formula.free_symbols <= set(activation.inputs)
