"""Elementwise, on formulas made up for the tests: values, derivatives of every order and mode, transforms, refusals."""

import copy
import functools
import pickle

import numpy as np
import pytest
import sympy as sp
import torch
from formulas import CASES, alpha, x, y
from torch import nn
from torch.utils.checkpoint import checkpoint

from actlib import Elementwise, accuracy
from actlib.backends import torch_runner
from actlib.formula.primitives import derivative, sigma

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
with_parameters = pytest.mark.parametrize(
    "case", [c for c in CASES.values() if c.values], ids=[n for n, c in CASES.items() if c.values]
)
LAST_BITS = {"rtol": 2e-15, "atol": 0}
"""torch's vector instructions and its scalar code for what is left over may round differently."""
SHAPES = {"scalar": (), "channel last": (4,), "channel first": (3, 1), "full": (3, 4)}


def tensors(case, shape=(3, 4), dtype=torch.float64):
    """Random inputs that require a gradient; none is at a kink."""
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for _ in case.op.inputs]


def parameters(case, shape, dtype=torch.float64):
    """The case's parameters as tensors of a shape."""
    return [(v + 0.1 * torch.rand(shape, dtype=dtype)).detach().requires_grad_() for v in case.values]


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


cached_limit = functools.cache(sp.limit)


@every_case
def test_value_is_the_formula_at_50_digits(case):
    inputs = tensors(case, (50,))
    points = [t.detach().numpy() for t in inputs] + [np.full(50, v) for v in case.values]
    for expr, output in zip(case.op.outputs, as_tuple(case.op(*inputs, *case.values)), strict=True):
        high, low = accuracy.exact(expr, case.op.symbols, points)
        # Relative to the largest result: where terms cancel, rounding of the terms is what is left.
        assert np.abs(output.detach().numpy() - high - low).max() <= 4 * torch.finfo(torch.float64).eps * max(
            1, np.abs(high).max()
        )


@every_case
def test_first_and_second_derivative_agree_with_finite_differences(case):
    call = lambda *inputs: case.op(*inputs, *case.values)
    inputs = tensors(case)
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, inputs, check_fwd_over_rev=True, check_batched_grad=True)


@with_parameters
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_gradient_of_a_parameter_has_its_shape(case, shape):
    arguments = [*tensors(case), *parameters(case, shape)]
    assert torch.autograd.gradcheck(case.op, arguments, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(case.op, arguments, check_fwd_over_rev=True)


@with_parameters
def test_a_parameter_alone_may_require_a_gradient(case):
    (values,) = (t.detach() for t in tensors(case))
    given = parameters(case, (4,))
    gradients = torch.autograd.grad(case.op(values, *given).sum(), given)
    assert [g.shape for g in gradients] == [(4,)] * len(given)
    tangents = [torch.ones(4, dtype=torch.float64)] * len(given)
    _, rate = torch.func.jvp(lambda *p: case.op(values, *p), tuple(p.detach() for p in given), tuple(tangents))
    # Two orders of summation: a few roundings of numbers of size one.
    torch.testing.assert_close(rate.sum(), torch.stack(gradients).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("precise", [torch.float32, torch.float64])
def test_gradient_of_a_parameter_is_summed_before_it_is_rounded(precise):
    op = CASES["parameter"].op
    values = torch.randn(4096).bfloat16()
    slope = torch.tensor(1.0, dtype=precise, requires_grad=True)
    output = op(values, slope)
    assert output.dtype == torch.bfloat16
    output.backward(torch.ones_like(output))
    expected = accuracy.exact(
        derivative(op.outputs[0], op.parameters[0]), op.symbols, [values.double().numpy(), np.ones(4096)]
    )[0]
    assert slope.grad.dtype == precise
    # The sum is one of 4096 float32 numbers, each rounded once; in bfloat16 it would be off by 1e-3.
    assert abs(slope.grad.item() / expected.sum() - 1) < 1e-5


@every_case
def test_third_derivative_is_the_formulas(case):
    call = lambda v: as_tuple(case.op(v, *fixed, *case.values))[0]
    (first, *rest) = tensors(case, (20,))
    fixed = [t.detach() for t in rest]
    values = first
    result = call(values)
    for _ in range(3):
        if not result.requires_grad:
            result = torch.zeros_like(values)
            break
        (result,) = torch.autograd.grad(result.sum(), values, create_graph=True)
    third = derivative(case.op.outputs[0], *[case.op.inputs[0]] * 3)
    points = [t.detach().numpy() for t in (values, *fixed)] + [np.full(20, v) for v in case.values]
    expected = accuracy.exact(third, case.op.symbols, points)[0]
    # The third derivative is a sum of terms up to a few dozen in size.
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@every_case
def test_one_of_several_outputs_may_go_unused(case):
    inputs = tensors(case)
    outputs = as_tuple(case.op(*inputs, *case.values))
    for output, expr in zip(outputs, case.op.outputs, strict=True):
        gradients = torch.autograd.grad(output.sum(), inputs, retain_graph=True, allow_unused=True)
        for gradient, symbol in zip(gradients, case.op.inputs, strict=True):
            points = [t.detach().numpy().ravel() for t in inputs] + [np.full(12, v) for v in case.values]
            expected = accuracy.exact(derivative(expr, symbol), case.op.symbols, points)[0]
            np.testing.assert_allclose(gradient.numpy().ravel(), expected, rtol=1e-12, atol=1e-13)


@every_case
def test_vmap_equals_a_loop(case):
    batch = [torch.randn(5, 3, 4, dtype=torch.float64) for _ in case.op.inputs]
    looped = [as_tuple(case.op(*(t[i] for t in batch), *case.values)) for i in range(5)]
    vmapped = as_tuple(torch.vmap(lambda *t: case.op(*t, *case.values))(*batch))
    for j, output in enumerate(vmapped):
        torch.testing.assert_close(output, torch.stack([one[j] for one in looped]), **LAST_BITS)
    moved = [t.movedim(0, 1) for t in batch]
    vmapped = as_tuple(torch.vmap(lambda *t: case.op(*t, *case.values), in_dims=1, out_dims=1)(*moved))
    for j, output in enumerate(vmapped):
        torch.testing.assert_close(output, torch.stack([one[j] for one in looped], dim=1), **LAST_BITS)


@pytest.mark.parametrize("in_dims", [(0, None), (None, 0), (0, 0), (1, 0), (2, 1)])
@pytest.mark.parametrize("shape", [(), (4,), (3, 1)], ids=str)
def test_vmap_over_inputs_and_parameters(in_dims, shape):
    op = CASES["parameter"].op
    values, slopes = torch.randn(3, 4, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
    if in_dims[0] is not None:
        values = torch.randn(5, 3, 4, dtype=torch.float64).movedim(0, in_dims[0])
    if in_dims[1] is not None:
        dim = min(in_dims[1], len(shape))
        slopes = torch.rand((5, *shape), dtype=torch.float64).movedim(0, dim)
        in_dims = (in_dims[0], dim)
    pick = lambda t, d, i: t if d is None else t.select(d, i)
    looped = torch.stack([op(pick(values, in_dims[0], i), pick(slopes, in_dims[1], i)) for i in range(5)])
    torch.testing.assert_close(torch.vmap(op, in_dims=in_dims)(values, slopes), looped, **LAST_BITS)


def test_nested_vmap_and_per_sample_gradients():
    op = CASES["two inputs"].op
    a, b = (torch.randn(2, 5, 3, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(torch.vmap(torch.vmap(op))(a, b), op(a, b), **LAST_BITS)
    single = torch.func.grad(lambda a, b: op(a, b).sum())
    per_sample = torch.vmap(single)(a[0], b[0])
    torch.testing.assert_close(per_sample, torch.stack([single(p, q) for p, q in zip(a[0], b[0], strict=True)]))


def test_hessian_and_jacobians():
    op, values = CASES["nested"].op, torch.randn(4, dtype=torch.float64)
    expected = accuracy.exact(derivative(op.outputs[0], x, x), [x], [values.numpy()])[0]
    hessian = torch.func.hessian(lambda v: op(v).sum())(values)
    torch.testing.assert_close(hessian, torch.diag(torch.tensor(expected)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.func.jacfwd(op)(values), torch.func.jacrev(op)(values))


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_to_one_graph_with_the_same_results(case, dtype):
    torch.compiler.reset()
    inputs = tensors(case, (3, 5), dtype)
    given = parameters(case, (5,), torch.float32)
    gradients = lambda outputs: torch.autograd.grad(
        sum(o.float().square().sum() for o in as_tuple(outputs)), [*inputs, *given]
    )
    compiled = torch.compile(case.op, fullgraph=True, dynamic=True)(*inputs, *given)
    eager = case.op(*inputs, *given)
    # The compiler may fuse a product and a sum: one float32 rounding less; rounded to bfloat16, one step at most.
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 2**-8}
    for a, b in zip(as_tuple(compiled), as_tuple(eager), strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, **close)
    for a, b in zip(gradients(compiled), gradients(eager), strict=True):
        torch.testing.assert_close(a, b, **close)


def test_compiled_for_one_shape_it_serves_another():
    torch.compiler.reset()
    op = torch.compile(CASES["parameter"].op, fullgraph=True, dynamic=True)
    for shape in [(7,), (3, 5), (0,), ()]:
        values = torch.randn(shape)
        torch.testing.assert_close(op(values, 1.5), CASES["parameter"].op(values, 1.5))


@every_case
def test_autocast_leaves_the_type_alone(case):
    inputs = tensors(case, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = as_tuple(case.op(*inputs, *case.values))
    assert {o.dtype for o in outputs} == {torch.float32}
    for gradient in torch.autograd.grad(sum(o.sum() for o in outputs), inputs):
        assert gradient.dtype == torch.float32


@every_case
def test_checkpointing_changes_nothing(case):
    inputs = tensors(case)
    call = lambda *t: as_tuple(case.op(*t, *case.values))[0].square().sum()
    plain = torch.autograd.grad(call(*inputs), inputs, allow_unused=True, materialize_grads=True)
    output = checkpoint(call, *inputs, use_reentrant=False)
    kept = torch.autograd.grad(output, inputs, allow_unused=True, materialize_grads=True)
    assert all(map(torch.equal, plain, kept))


@pytest.mark.parametrize("name", ["two inputs", "product with a density", "cubic inside", "nested"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_overflow_on_the_way_does_not_reach_the_result(name, dtype, order):
    """Value and slopes at infinity, at the largest number, and where a cube or a square overflows."""
    op = CASES[name].op
    largest = torch.finfo(dtype).max
    ends = [torch.inf, -torch.inf, largest, -largest] + ([1e13, -1e13, 1e20, -1e20] if dtype != torch.float16 else [])
    values = torch.tensor(ends, dtype=dtype, requires_grad=True)
    others = [torch.ones_like(values) for _ in op.inputs[1:]]
    result = op(values, *others)
    for _ in range(order):
        (result,) = torch.autograd.grad(result, values, torch.ones_like(result), create_graph=True)
    expr = derivative(op.outputs[0], *[op.inputs[0]] * order) if order else op.outputs[0]
    expr = expr.subs(dict.fromkeys(op.inputs[1:], 1))
    for value, computed in zip(values.tolist(), result.tolist(), strict=True):
        end = sp.oo if value > 0 else -sp.oo
        limit = cached_limit(expr, op.inputs[0], end)
        # A finite number so large is where the limit is: the value x itself, slope 1 or 0, and nothing beyond.
        expected = value if limit == sp.oo else float(limit)
        assert computed == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_are_rounded_once(dtype):
    op = CASES["nested"].op
    values = torch.randn(1000).to(dtype)
    assert accuracy.ulp_error(op(values), op(values.double()).numpy()).max() <= 0.55


@pytest.mark.parametrize("over", [-1, 0, 1, torch_runner.TILE + 7])
def test_tiles_give_what_the_whole_gives(over):
    op = CASES["parameter"].op
    values = torch.randn(torch_runner.TILE + over).bfloat16()
    parts = torch.cat([op(part, 1.5) for part in values.split(1000)])
    assert torch.equal(op(values, 1.5), parts)


def test_tiles_take_parameters_per_channel():
    op = CASES["parameter"].op
    values, slopes = torch.randn(600, 1000), torch.rand(1000, requires_grad=True)
    assert values.numel() > torch_runner.TILE
    parts = torch.cat([op(part, slopes) for part in values.split(100)])
    assert torch.equal(op(values, slopes), parts)
    (gradient,) = torch.autograd.grad(op(values, slopes).sum(), slopes)
    (summed,) = torch.autograd.grad(parts.sum(), slopes)
    torch.testing.assert_close(gradient, summed, rtol=1e-5, atol=1e-4)


def test_parameters_may_be_numbers_or_tensors():
    op = CASES["two parameters"].op
    values = torch.randn(5, dtype=torch.float64)
    expected = op(values, 0.5, -0.75)
    assert torch.equal(op(values, torch.tensor(0.5, dtype=torch.float64), -0.75), expected)
    assert torch.equal(op(values, np.float64(0.5), torch.full((5,), -0.75, dtype=torch.float64)), expected)


def test_symbols_need_no_assumptions():
    plain = sp.Symbol("x")
    values = torch.randn(5)
    assert torch.equal(
        Elementwise("f", [plain], plain * sigma(plain))(values), Elementwise("f", [x], x * sigma(x))(values)
    )


def test_schoolbook_formula_is_as_good_as_the_primitive():
    op = Elementwise("naive", [x], 1 / (1 + sp.exp(-x)))
    assert op.outputs == (sigma(x),)
    assert accuracy.slope(op, torch.tensor([-100.0])).item() > 0


@every_case
def test_pickles_and_copies(case):
    values = [t.detach() for t in tensors(case)]
    again = pickle.loads(pickle.dumps(case.op))
    for a, b in zip(as_tuple(again(*values, *case.values)), as_tuple(case.op(*values, *case.values)), strict=True):
        assert torch.equal(a, b)
    assert copy.deepcopy(case.op) is case.op
    assert repr(case.op).startswith(f"Elementwise({case.op.name}(")


def test_layer_of_any_formula():
    layer = CASES["two parameters"].op.layer(alpha=0.5, beta=nn.Parameter(torch.full((4,), -0.75)))
    values = torch.randn(3, 4)
    torch.testing.assert_close(layer(values), CASES["two parameters"].op(values, 0.5, -0.75))
    assert list(layer.state_dict()) == ["beta"]
    assert repr(layer) == "Layer(alpha=0.5, beta=tensor(4,))"
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(values), layer(values))
    layer(values).sum().backward()
    assert layer.beta.grad.shape == (4,)
    nn.utils.parametrize.register_parametrization(layer, "beta", nn.Softplus())
    assert torch.equal(layer(values), CASES["two parameters"].op(values, 0.5, layer.beta))


def test_layer_moves_its_buffers():
    layer = CASES["parameter"].op.layer(beta=torch.ones(4)).to(torch.float64)
    assert layer.beta.dtype == torch.float64


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, r"parameters \['alpha', 'beta'\], but \[\] came"), ({"alpha": 1.0, "beta": "x"}, "beta must be a number")],
)
def test_layer_refuses_wrong_parameters(given, message):
    with pytest.raises(TypeError, match=message):
        CASES["two parameters"].op.layer(**given)


ones = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("one input", ([1.0],), TypeError, "x must be a tensor, but list came"),
        ("one input", (ones.int(),), TypeError, "float16, bfloat16, float32 or float64, but one of int32 came"),
        ("one input", (ones.to(torch.complex64),), TypeError, "but one of complex64 came"),
        ("one input", (ones, ones), ValueError, r"wave\(x\) takes 1 arguments, 2 came"),
        ("one input", (), ValueError, "takes 1 arguments, 0 came"),
        ("two inputs", (ones, ones[:2]), ValueError, r"same shape, but x has \(3, 4\) and y has \(2, 4\)"),
        (
            "two inputs",
            (ones, ones.double()),
            ValueError,
            "same dtype, but x has torch.float32 and y has torch.float64",
        ),
        ("two inputs", (ones, ones.to("meta")), ValueError, "same device, but x has cpu and y has meta"),
        ("parameter", (ones, "1"), TypeError, "beta must be a real number or a tensor, but str came"),
        ("parameter", (ones, True), TypeError, "beta must be a real number or a tensor, but bool came"),
        (
            "parameter",
            (ones, torch.ones(3)),
            ValueError,
            r"beta of shape \(3,\) does not broadcast to the input's shape \(3, 4\)",
        ),
        ("parameter", (ones, torch.ones(2, 3, 4)), ValueError, "does not broadcast"),
        ("parameter", (ones, torch.ones(4).int()), TypeError, "a real number or a tensor of float16"),
    ],
)
def test_bad_calls_are_refused_in_words(name, arguments, error, message):
    with pytest.raises(error, match=message):
        CASES[name].op(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2f", [x], x), "identifier, but '2f' came"),
        (("f", [], sp.Integer(1)), "at least one input"),
        (("f", ["x"], x), "must be SymPy symbols"),
        (("f", [x, sp.Symbol("x")], x), "a name of its own"),
        (("f", [x], []), "at least one formula"),
        (("f", [x], x * y + alpha), r"contains \['alpha', 'y'\]"),
        (("f", [x], sp.gamma(x)), "no backend implements gamma"),
        (("f", [x], x * sp.floor(x)), r"floor\(x\) in .* is refused: it is flat between its jumps"),
        (("f", [x], sp.ceiling(x)), r"ceiling\(x\) in .* is refused: it is flat between its jumps"),
    ],
)
def test_bad_definitions_are_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        Elementwise(*arguments)


def test_works_without_data():
    """Shapes alone, as on the meta device and in torch.compile's own planning."""
    op = CASES["parameter"].op
    values = torch.empty(2, 3, device="meta", dtype=torch.bfloat16)
    assert op(values, 1.0).shape == (2, 3)
    assert op(values, 1.0).dtype == torch.bfloat16


@pytest.mark.parametrize("function", [sp.atan, sp.asinh, sp.sinh, sp.cosh])
def test_functions_that_the_registry_does_without_are_as_exact(function):
    op = Elementwise(function.__name__, [x], function(x))
    for dtype in (torch.float16, torch.bfloat16):
        every = accuracy.Reference(op.outputs[0], x, accuracy.every_finite(dtype)[::7])
        assert every.value_errors(op).max() <= 0.55
        assert every.slope_errors(op).max() <= 0.55
    assert op._has_machine_code
    assert max(accuracy.single_errors(op.outputs[0], op.inputs, op, 1 << 14)) <= 1
    ends = torch.tensor([1e-300, -0.3, 1.0, 709.9, -710.2, 1e200, -1e308], dtype=torch.float64)
    few = accuracy.Reference(op.outputs[0], x, ends)
    assert few.value_errors(op).max() <= 2
    assert few.slope_errors(op).max() <= 2
    for dtype in DTYPES:
        points = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0], dtype=dtype)
        expected = getattr(torch, function.__name__)(points)
        torch.testing.assert_close(op(points), expected, rtol=2 * torch.finfo(dtype).eps, atol=0, equal_nan=True)


def test_a_formula_is_all_it_takes():
    """A new activation, from its formula to value, gradients, kernel, layer and ulp report."""
    bump = Elementwise("bump", [x], x * sp.exp(-(x**2) / 2))

    values = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    expected = values.detach() * torch.exp(-(values.detach() ** 2) / 2)
    torch.testing.assert_close(bump(values).detach(), expected)
    assert torch.autograd.gradcheck(bump, values)
    assert torch.autograd.gradgradcheck(bump, values)

    single = values.detach().float()
    (from_kernel,) = bump.run_kernel([single], single.shape, [torch.float32])
    torch.testing.assert_close(from_kernel, bump(single))

    assert torch.equal(nn.Sequential(bump.layer())(single), bump(single))

    inputs = accuracy.every_finite(torch.bfloat16)[::64]
    report = accuracy.Reference(bump.outputs[0], x, inputs)
    assert report.value_errors(bump).max() <= 0.55
    assert report.slope_errors(bump).max() <= 0.55
