"""Every activation of the registry: limits, derivatives, transforms, layouts, layers, refusals. (Accuracy is apart.)

A function of rows is called as its formula is, from three columns to the first; the rest of it is in test_softmax.
"""

import ast
import copy
import functools
import inspect
import pickle

import numpy as np
import pytest
import sympy as sp
import torch
from formulas import ELEMENTWISE, every_activation, every_elementwise
from torch import nn

import actlib
from actlib import ACTIVATIONS, accuracy
from actlib.backends.torch_runner import TILE
from actlib.formula import analysis
from actlib.formula.primitives import derivative

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
LAYOUTS = {
    "scalar": lambda t: t[0, 0, 0, 0],
    "empty": lambda t: t[:0, 0, 0, 0],
    "empty with sizes": lambda t: t[:0, 0, 0],
    "contiguous": lambda t: t,
    "transposed": lambda t: t[0, 0].t(),
    "permuted": lambda t: t[0].permute(2, 0, 1),
    "channels last": lambda t: t.to(memory_format=torch.channels_last),
    "every other": lambda t: t[0, 0, :, ::2],
    "expanded": lambda t: t[0, 0, :, :1].expand(4, 3),
    "one column": lambda t: t[0, 0, :, 1],
}

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_end = pytest.mark.parametrize("end", [sp.oo, -sp.oo], ids=str)


def points(activation, shape, dtype=torch.float64):
    """Random inputs."""
    return [torch.randn(shape, dtype=torch.float64).to(dtype) for _ in activation.inputs]


def at_one_but(activation, wanted, value):
    """Inputs that are all 1 but for the wanted one."""
    inputs = [torch.ones_like(value) for _ in activation.inputs]
    inputs[wanted] = value
    return inputs


@functools.cache
def limit(expr, symbol, end):
    """SymPy's limit of a formula whose other inputs are 1."""
    low, high = analysis.limits(expr.subs(dict.fromkeys(expr.free_symbols - {symbol}, 1)), symbol)
    return float(high if end == sp.oo else low)


def assert_is(computed, expected):
    """Equal where that is 0 or infinite; else within two roundings."""
    expected = torch.full_like(computed, expected)
    torch.testing.assert_close(computed, expected, rtol=2 * torch.finfo(computed.dtype).eps, atol=0)


def test_names_and_order():
    assert all(name == activation.name for name, activation in ACTIVATIONS.items())
    chapters = [a.chapter for a in ACTIVATIONS.values() if a.chapter]
    assert chapters == sorted(chapters)


@every_activation
def test_registry_entry_is_complete(activation):
    assert activation.function.__doc__
    assert "Source:" in activation.function.__doc__
    assert issubclass(activation.layer, nn.Module)
    assert {s.name for s in getattr(activation.op, "parameters", ())} == set(activation.defaults)
    assert activation.default_formula.free_symbols <= set(activation.inputs)


@every_activation
@every_dtype
@every_end
def test_value_at_infinity_is_the_limit(activation, dtype, end):
    for i, symbol in enumerate(activation.inputs):
        value = activation.entry(*at_one_but(activation, i, torch.tensor(float(end), dtype=dtype)))
        assert_is(value, limit(activation.default_formula, symbol, end))


@every_activation
@every_dtype
@every_end
def test_slopes_at_infinity_are_the_limits(activation, dtype, end):
    for i, symbol in enumerate(activation.inputs):
        inputs = at_one_but(activation, i, torch.tensor(float(end), dtype=dtype))
        for wanted, variable in enumerate(activation.inputs):
            slope = accuracy.slope(activation.entry, *inputs, wanted=wanted)
            assert_is(slope, limit(derivative(activation.default_formula, variable), symbol, end))


@every_activation
@every_dtype
@pytest.mark.parametrize("sign", [1, -1])
def test_value_and_slope_at_the_largest_number(activation, dtype, sign):
    for i in range(len(activation.inputs)):
        inputs = at_one_but(activation, i, torch.tensor([sign * torch.finfo(dtype).max], dtype=dtype))
        exact = accuracy.Reference(activation.default_formula, activation.inputs, *inputs)
        # Half precision and float32 may be rounded twice, float64 computes with itself: 2 for a product of two factors.
        bar = 2 if dtype in (torch.float32, torch.float64) else 0.55
        assert exact.value_errors(activation.entry).max() <= bar
        assert exact.slope_errors(activation.entry).max() <= bar


@every_activation
@every_dtype
def test_nan_stays_nan(activation, dtype):
    for i in range(len(activation.inputs)):
        inputs = at_one_but(activation, i, torch.tensor([torch.nan, 1.0], dtype=dtype))
        assert activation.entry(*inputs).isnan().tolist() == [True, False]
        assert accuracy.slope(activation.entry, *inputs, wanted=i).isnan()[1].item() is False
    single = [torch.tensor(torch.nan, dtype=dtype) for _ in activation.inputs]
    assert accuracy.slope(activation.entry, *single).isnan()


def slope_by_torch(activation, *inputs):
    """Torch's slope; at the kinks of hardswish, where old versions take that of the middle piece, that of the outer."""
    slopes = accuracy.slope(activation.torch_entry, *inputs)
    if activation.name == "hardswish" and accuracy.slope(activation.torch_entry, torch.tensor([3.0])) == 1.5:
        slopes = torch.where(inputs[0].abs() == 3, (inputs[0] > 0).to(slopes.dtype), slopes)
    return slopes


@every_activation
@every_dtype
def test_agrees_with_torch(activation, dtype):
    if activation.torch is None:
        assert activation.entry(*points(activation, 3, dtype)).isfinite().all()  # nothing to compare with
        return
    inputs = [torch.linspace(-6, 6, 601).to(dtype)] * len(activation.inputs)  # beyond, torch's half slopes are wrong
    torch.testing.assert_close(activation.entry(*inputs), activation.torch_entry(*inputs))
    # torch takes some slopes from a rounded output: in half precision at a cost of a few of its steps at 1, times what
    # the other input multiplies them by.
    factor = 6 if len(inputs) > 1 else 1
    loose = {torch.bfloat16: {"rtol": 0, "atol": factor * 2**-7}, torch.float16: {"rtol": 0, "atol": factor * 2**-10}}
    ours, theirs = accuracy.slope(activation.entry, *inputs), slope_by_torch(activation, *inputs)
    torch.testing.assert_close(ours, theirs, **loose.get(dtype, {}))


@every_activation
@every_dtype
def test_slope_at_a_kink_is_torchs(activation, dtype):
    kinks = torch.tensor([-3.0, -0.0, 0.0, 3.0, 6.0], dtype=dtype)
    inputs = [kinks] + [torch.ones_like(kinks) for _ in activation.inputs[1:]]
    slopes = accuracy.slope(activation.entry, *inputs)
    if activation.torch is None:
        assert activation.name in (
            "relu_squared",
            "gelu_sigmoid",
            "clamped_swiglu",
            "softmax_with_sink",
        )  # no kink in the slope there
        assert torch.equal(slopes[1], slopes[2])
        return
    theirs = slope_by_torch(activation, *inputs)
    # A sixth, in torch's hardsigmoid, is one of float32 even in float64.
    torch.testing.assert_close(slopes, theirs, rtol=0, atol=max(4 * torch.finfo(dtype).eps, 1e-7))


@pytest.mark.parametrize("name", ["relu", "relu6", "hardsigmoid", "hardswish", "relu_squared"])
def test_no_gradient_passes_a_flat_piece_not_even_an_infinite_one(name):
    x = torch.tensor([-5.0, -5.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(ACTIVATIONS[name].function(x), x, torch.tensor([torch.inf, -torch.inf, 1.0]))
    assert gradient[:2].tolist() == [0, 0]
    assert gradient[2] > 0


@every_activation
def test_gradients_agree_with_finite_differences(activation):
    x = torch.linspace(-5, 5, 20, dtype=torch.float64)  # none of them 0, where there may be a kink
    inputs = [(x * (-0.7) ** i).requires_grad_() for i in range(len(activation.inputs))]
    assert torch.autograd.gradcheck(activation.entry, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(
        activation.entry, inputs, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True
    )


@every_activation
def test_third_derivative_is_the_formulas(activation):
    x = torch.linspace(-5, 5, 40, dtype=torch.float64)
    inputs = [x * (-0.7) ** i for i in range(len(activation.inputs))]
    for i, symbol in enumerate(activation.inputs):
        moving = inputs[i].clone().requires_grad_()
        result = activation.entry(*inputs[:i], moving, *inputs[i + 1 :])
        for _ in range(3):
            (result,) = torch.autograd.grad(result.sum(), moving, create_graph=True)
        third = derivative(activation.default_formula, *[symbol] * 3)
        expected, _ = accuracy.exact(third, activation.inputs, [t.numpy() for t in inputs])
        # Terms of size one cancel in it.
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-11, atol=1e-14)


@every_activation
def test_function_transforms(activation):
    function, batch = activation.entry, points(activation, (5, 3))
    first, rest = batch[0], batch[1:]
    torch.testing.assert_close(torch.vmap(function)(*batch), function(*batch))
    slopes = torch.vmap(torch.vmap(torch.func.grad(function)))(*batch)
    torch.testing.assert_close(slopes, accuracy.slope(function, *batch))
    _, rates = torch.func.jvp(lambda v: function(v, *rest), (first,), (torch.full_like(first, 2.0),))
    torch.testing.assert_close(rates, 2 * slopes)
    hessian = torch.func.hessian(lambda v: function(v, *(t[0] for t in rest)).sum())(first[0])
    assert torch.equal(hessian, torch.diag(hessian.diagonal()))


# In bfloat16, and for every function, test_accuracy tries all numbers on the compiled function, with dynamic shapes.
@pytest.mark.parametrize("name", ["sigmoid", "elu", "gelu", "mish", "swiglu", "softmax"])
def test_compiles_to_one_graph_in_float32(name):
    activation = ACTIVATIONS[name]
    torch.compiler.reset()
    compiled = torch.compile(activation.entry, fullgraph=True, dynamic=True)
    for size in (130, 7):
        inputs = points(activation, size, torch.float32)
        # Compiled arithmetic may fuse a product and a sum, and so be nearer to the truth by a rounding.
        torch.testing.assert_close(compiled(*inputs), activation.entry(*inputs))
        torch.testing.assert_close(accuracy.slope(compiled, *inputs), accuracy.slope(activation.entry, *inputs))


@every_activation
def test_autocast_leaves_the_type_alone(activation):
    inputs = [t.requires_grad_() for t in points(activation, 4, torch.float32)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = activation.entry(*inputs)
    assert output.dtype == torch.float32
    output.sum().backward()
    assert all(t.grad.dtype == torch.float32 for t in inputs)


@every_elementwise
@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layout_is_as_torchs(activation, dtype, layout):
    inputs = [layout(t) for t in points(activation, (2, 3, 4, 6), dtype)]
    output = activation.function(*inputs)
    like = torch.sin(inputs[0])
    assert (output.shape, output.dtype, output.stride()) == (like.shape, like.dtype, like.stride())
    singly = [activation.function(*t) for t in zip(*(t.flatten() for t in inputs), strict=True)]
    expected = torch.stack(singly).view(output.shape) if singly else output
    # torch's vector instructions and its scalar code for the rest may round differently, each factor by an ulp.
    torch.testing.assert_close(output, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    assert accuracy.slope(activation.function, *inputs).shape == output.shape


@every_elementwise
@pytest.mark.parametrize("beyond", [-1, 0, 1, TILE + 7])
def test_tiles_give_what_the_whole_gives(activation, beyond):
    inputs = points(activation, TILE + beyond, torch.bfloat16)
    parts = [activation.function(*t) for t in zip(*(t.split(1 << 12) for t in inputs), strict=True)]
    assert torch.equal(activation.function(*inputs), torch.cat(parts))


@every_elementwise
def test_channels_last_stays_channels_last_over_many_tiles(activation):
    inputs = [t.to(memory_format=torch.channels_last) for t in points(activation, (2, 3, 300, 301), torch.float32)]
    output = activation.function(*(t.requires_grad_() for t in inputs))
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, activation.function(*(t.detach().contiguous() for t in inputs)))
    for gradient in torch.autograd.grad(output.sum(), inputs):
        assert gradient.is_contiguous(memory_format=torch.channels_last)


@every_elementwise
def test_backward_keeps_the_inputs_and_nothing_else(activation):
    inputs = [t.requires_grad_() for t in points(activation, 8)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        activation.function(*inputs)
    assert [t.data_ptr() for t in kept] == [t.data_ptr() for t in inputs]


@every_activation
def test_a_kept_graph_gives_the_same_gradient_again(activation):
    inputs = [t.requires_grad_() for t in points(activation, 8)]
    output = activation.entry(*inputs).sum()
    first, second = (torch.autograd.grad(output, inputs, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, second))


@every_elementwise
def test_an_input_changed_in_place_is_noticed(activation):
    inputs = [t.requires_grad_() * 1 for t in points(activation, 8)]
    output = activation.function(*inputs)
    inputs[-1].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@every_elementwise
@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([1.0], "list"),
        (1.0, "float"),
        (None, "NoneType"),
        (np.zeros(2), "ndarray"),
        (torch.arange(3), "int64"),
        (torch.zeros(2, dtype=torch.bool), "bool"),
        (torch.zeros(2, dtype=torch.complex64), "complex64"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_float_tensor_is_refused_in_words(activation, given, word):
    for i in range(len(activation.inputs)):
        inputs = points(activation, 3)
        inputs[i] = given
        with pytest.raises(TypeError, match=f"must be a tensor.* but .*{word} came"):
            activation.function(*inputs)


@every_elementwise
def test_unequal_inputs_are_refused_in_words(activation):
    first, *others = points(activation, 3)
    if not others:  # a single input has nothing to differ from, but may still be joined by one too many
        with pytest.raises((TypeError, ValueError)):
            activation.op(first, first, *activation.defaults.values())
        return
    for what, odd in {"shape": torch.ones(4).double(), "dtype": torch.ones(3), "device": others[0].to("meta")}.items():
        with pytest.raises(ValueError, match=f"must have the same {what}"):
            activation.function(first, odd, *others[1:])


elementwise_layers = pytest.mark.parametrize(
    "activation",
    [a for a in ELEMENTWISE if len(a.inputs) == 1],
    ids=lambda a: a.name,
)


@elementwise_layers
def test_layer_is_the_function(activation):
    layer, (values,) = activation.layer(), points(activation, (3, 4), torch.float32)
    assert torch.equal(layer(values), activation.function(values))
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nn.Sequential(layer)):
        assert torch.equal(again(values), layer(values))
        assert again.state_dict() == {}
    assert repr(layer).startswith(type(layer).__name__)


SAME_NAME = [
    name
    for name in actlib.__all__
    if hasattr(nn if inspect.isclass(getattr(actlib, name)) else nn.functional, name)
    and name not in ("GLU", "glu", "Bilinear", "bilinear")  # of two inputs here, as the literature has them
]


@pytest.mark.parametrize("name", SAME_NAME)
def test_signature_is_torchs(name):
    ours, theirs = getattr(actlib, name), getattr(nn if inspect.isclass(getattr(actlib, name)) else nn.functional, name)
    try:
        parameters = inspect.signature(theirs).parameters
        expected = {n: p.default for n, p in parameters.items() if n not in ("_stacklevel", "args", "kwargs")}
    except ValueError:  # a builtin, whose docstring begins with the signature
        listed = theirs.__doc__.strip().split(")")[0].split("(")[1].split(",")
        pairs = [[part.strip() for part in entry.split("=")] for entry in listed]
        expected = {n: ast.literal_eval(default[0]) if default else inspect.Parameter.empty for n, *default in pairs}
    given = {n: p.default for n, p in inspect.signature(ours).parameters.items()}
    assert list(given.items())[: len(expected)] == list(expected.items())


x, beta, alpha, slope, threshold = sp.symbols("x beta alpha negative_slope threshold", real=True)
gate, value = sp.symbols("gate value", real=True)
offset, end = sp.symbols("offset limit", real=True)
x1, x2, x3 = sp.symbols("x1:4", real=True)
logistic = lambda u: 1 / (1 + sp.exp(-u))
normal = lambda u: (1 + sp.erf(u / sp.sqrt(2))) / 2
AS_PUBLISHED = {
    "sigmoid": logistic(x),
    "tanh": sp.tanh(x),
    "relu": sp.Max(x, 0),
    "leaky_relu": sp.Max(x, 0) + slope * sp.Min(x, 0),
    "elu": sp.Max(x, 0) + alpha * (sp.exp(sp.Min(x, 0)) - 1),
    "swish": x * logistic(beta * x),
    "silu": x * logistic(x),
    "softmax": sp.exp(x1) / (sp.exp(x1) + sp.exp(x2) + sp.exp(x3)),
    "log_softmax": x1 - sp.log(sp.exp(x1) + sp.exp(x2) + sp.exp(x3)),
    "gelu": x * normal(x),
    "gelu_tanh": x / 2 * (1 + sp.tanh(sp.sqrt(2 / sp.pi) * (x + sp.Rational("0.044715") * x**3))),
    "gelu_sigmoid": x * logistic(sp.Rational("1.702") * x),
    "glu": logistic(gate) * value,
    "bilinear": gate * value,
    "reglu": sp.Max(gate, 0) * value,
    "geglu": gate * normal(gate) * value,
    "swiglu": gate * logistic(beta * gate) * value,
    "hardsigmoid": sp.Min(sp.Max(x + 3, 0), 6) / 6,
    "hardswish": x * sp.Min(sp.Max(x + 3, 0), 6) / 6,
    "softplus": sp.Piecewise((x, beta * x > threshold), (sp.log(1 + sp.exp(beta * x)) / beta, True)),
    "softsign": x / (1 + sp.Abs(x)),
    "mish": x * sp.tanh(sp.log(1 + sp.exp(x))),
    "selu": sp.Rational("1.0507009873554804934193349852946")
    * (sp.Max(x, 0) + sp.Rational("1.6732632423543772848170429916717") * (sp.exp(sp.Min(x, 0)) - 1)),
    "celu": sp.Max(x, 0) + alpha * (sp.exp(sp.Min(x, 0) / alpha) - 1),
    "relu6": sp.Min(sp.Max(x, 0), 6),
    "logsigmoid": sp.log(logistic(x)),
    "relu_squared": sp.Max(x, 0) ** 2,
    "softmax_with_sink": sp.exp(x1) / (1 + sp.exp(x1) + sp.exp(x2) + sp.exp(x3)),
    "clamped_swiglu": sp.Min(gate, end)
    * logistic(alpha * sp.Min(gate, end))
    * (sp.Min(sp.Max(value, -end), end) + offset),
}
"""Every formula once more, as its authors wrote it: what the formulas in primitives are held against."""


@every_activation
def test_formula_is_as_published(activation):
    published = AS_PUBLISHED[activation.name]
    symbols = sorted(published.free_symbols | activation.formula.free_symbols, key=str)
    points = [np.linspace(-3.7, 4.1, 14) if s in activation.inputs else np.linspace(0.3, 2.1, 14) for s in symbols]
    points = [np.roll(p, 3 * i) for i, p in enumerate(points)]
    ours, theirs = (accuracy.exact(f, symbols, points) for f in (activation.formula, published))
    np.testing.assert_allclose(ours[0] + ours[1], theirs[0] + theirs[1], rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("leaky_relu", {"negative_slope": 0.01}),
        ("elu", {"alpha": 1.0}),
        ("celu", {"alpha": 1.0}),
        ("swish", {"beta": 1.0}),
        ("swiglu", {"beta": 1.0}),
        ("softplus", {"beta": 1, "threshold": 20}),
        ("clamped_swiglu", {"alpha": 1.0, "offset": 0.0, "limit": 10.0}),
    ],
)
def test_defaults_are_as_published(name, defaults):
    assert ACTIVATIONS[name].defaults == defaults
    given = [torch.linspace(-3, 3, 7)] * len(ACTIVATIONS[name].inputs)
    function = ACTIVATIONS[name].function
    assert torch.equal(function(*given), function(*given, **defaults))
