"""The generated Triton kernels: run in Triton's interpreter where there is no GPU, and compiled for GPUs all the same.

What only a GPU can show (that its own exponential and division are as good as NumPy's) is tested where there is one.
Machines of continuous integration have none, so that is no reason to fail there.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
import torch
from formulas import CASES, ELEMENTWISE, applied, every_elementwise, values, x
from rounding import mixed_errors

if sys.platform != "linux":
    pytest.skip("Triton is made for Linux", allow_module_level=True)

import triton

from actlib import ACTIVATIONS, accuracy, elementwise, optional, sigmoid, swish
from actlib.backends import calls, torch_runner, triton_runner
from actlib.formula import source
from actlib.formula.primitives import Phi, Primitive, sigma, softplus

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TESTS = pathlib.Path(__file__).parent

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())

# Two ulp of float32: what the exponential and the logarithm of two libraries may differ by. Where terms as large as the
# largest result cancel, the same of that. The tails, where nothing cancels, are tested by accuracy.
CLOSE = 2**-22


@pytest.fixture
def by_torch(monkeypatch):
    """Calls a function with every Elementwise run by its torch function, on whatever device."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(elementwise, "runs_kernels", lambda _: False)
            patch.setattr(elementwise.Elementwise, "_has_machine_code", property(lambda _: False))
            patch.setitem(calls._NAMES, "UNHEARD", frozenset())  # nothing goes straight to it
            return function(*arguments)

    return call


def derivatives(op, arguments, upstream=torch.randn_like):
    """Value, gradient and gradient of the gradient, as one flat list of tensors."""
    torch.manual_seed(1)
    arguments = [a.detach().requires_grad_() if isinstance(a, torch.Tensor) else a for a in arguments]
    moving = [a for a in arguments if isinstance(a, torch.Tensor)]
    outputs = op(*arguments)
    orders = [outputs if isinstance(outputs, tuple) else (outputs,)]
    for _ in range(2):
        results = [r for r in orders[-1] if r.requires_grad]
        if not results:
            break
        sent = [upstream(r) for r in results]
        orders.append(torch.autograd.grad(results, moving, sent, create_graph=True, materialize_grads=True))
    return [tensor.detach() for order in orders for tensor in order]


def inputs(case, shape, dtype=torch.float32):
    return [torch.randn(shape, device=DEVICE).to(dtype) for _ in case.op.inputs]


def assert_same(ours, theirs, close=CLOSE):
    assert len(ours) == len(theirs) > 0
    largest = max(1, *(float(t.abs().max()) for t in theirs))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        torch.testing.assert_close(a, b, rtol=close, atol=2 * close * largest)


@every_case
@pytest.mark.parametrize("size", [1, 1023, 1024, 1025])
def test_all_orders_equal_the_torch_function(case, size, by_kernel, by_torch):
    arguments = [*inputs(case, size), *case.values]
    assert_same(by_kernel(derivatives, case.op, arguments), by_torch(derivatives, case.op, arguments))


@every_elementwise
@pytest.mark.parametrize("size", [1, 1025])
def test_all_orders_of_the_registry_equal_the_torch_function(activation, size, by_kernel, by_torch):
    arguments = [*(torch.randn(size, device=DEVICE) for _ in activation.inputs), *values(activation)]
    assert_same(by_kernel(derivatives, activation.op, arguments), by_torch(derivatives, activation.op, arguments))


@every_case
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 1), (2, 1, 1), (3, 5), (2, 3, 5)], ids=str)
def test_parameters_of_any_shape(case, shape, by_kernel, by_torch):
    arguments = [*inputs(case, (2, 3, 5)), *(v + torch.rand(shape, device=DEVICE) / 8 for v in case.values)]
    # Gradients of parameters are sums of up to 30 terms, in another order.
    assert_same(by_kernel(derivatives, case.op, arguments), by_torch(derivatives, case.op, arguments), close=1e-5)


def test_awkward_size(by_kernel, by_torch):
    points = torch.randn(1823, 781, device=DEVICE)
    slopes = torch.rand(781, device=DEVICE)
    op = CASES["parameter"].op
    assert_same([by_kernel(op, points, slopes)], [by_torch(op, points, slopes)])


@pytest.mark.parametrize("power", [-5, -4, -2, 4, 5, 6, 7])
def test_integer_powers_of_negative_numbers(power, by_kernel, by_torch):
    op = elementwise.Elementwise("power", [x], x**power)
    points = torch.tensor([-2.5, -1.0, 1.5], device=DEVICE)
    assert_same([by_kernel(op, points)], [by_torch(op, points)])
    torch.testing.assert_close(by_kernel(op, points), points**power)


LAYOUTS = {
    "transposed": lambda t: t.mT,
    "channels last": lambda t: t.to(memory_format=torch.channels_last),
    "every second": lambda t: t[..., ::2],
    "a window": lambda t: t[:, 1:3, 1:, 2:],
    "expanded": lambda t: t[:, :1].expand(-1, 4, -1, -1),
    "one number": lambda t: t[0, 0, 0, 0].expand(2, 4, 3, 6),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("name", ["two inputs", "parameter", "several outputs"])
def test_memory_order(layout, name, by_kernel, by_torch):
    case = CASES[name]
    arguments = [layout(t) for t in inputs(case, (2, 4, 3, 6))]
    channels = (arguments[0].shape[1], 1, 1)
    arguments += [v + torch.rand(channels, device=DEVICE) / 8 for v in case.values]
    assert_same(by_kernel(derivatives, case.op, arguments), by_torch(derivatives, case.op, arguments), close=1e-5)


def test_inputs_of_different_memory_order(by_kernel, by_torch):
    op = CASES["two inputs"].op
    a, b = torch.randn(4, 6, device=DEVICE), torch.randn(6, 4, device=DEVICE).mT
    assert_same(by_kernel(derivatives, op, [a, b]), by_torch(derivatives, op, [a, b]))


@pytest.mark.parametrize("sent", [torch.ones(()), torch.randn(5), torch.randn(3, 1)], ids=lambda t: str(tuple(t.shape)))
def test_expanded_gradient(sent, by_kernel, by_torch):
    op = CASES["two inputs"].op
    upstream = lambda result: sent.to(DEVICE).expand(result.shape)
    arguments = inputs(CASES["two inputs"], (3, 5))
    assert_same(by_kernel(derivatives, op, arguments, upstream), by_torch(derivatives, op, arguments, upstream))


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_rounded_once(case, dtype, by_kernel, by_torch):
    arguments = [*inputs(case, 1000, dtype), *case.values]
    # A float32 result next to the middle of two numbers may be rounded to either: one step of the type.
    step = torch.finfo(dtype).eps
    for a, b in zip(by_kernel(derivatives, case.op, arguments), by_torch(derivatives, case.op, arguments), strict=True):
        assert a.dtype == b.dtype == dtype
        torch.testing.assert_close(a, b, rtol=step, atol=step / 8)
        # Triton's interpreter cuts bfloat16 off; that a GPU rounds is seen in what is compiled.
        if dtype == torch.float16 or DEVICE == "cuda":
            assert (a == b).float().mean() > 0.98


@every_case
def test_nothing_gives_nothing(case, by_kernel):
    results = by_kernel(derivatives, case.op, [*inputs(case, (0, 3)), *case.values])
    assert {r.shape for r in results} == {(0, 3)}


@every_elementwise
@pytest.mark.parametrize("mode", ["in_float32", "in_double"])
def test_ends_of_the_number_line(activation, mode, by_kernel, by_torch, request):
    request.getfixturevalue(mode)
    # Triton's interpreter gets the smallest bfloat16 numbers wrong.
    for dtype in (torch.float16, torch.float32, *([torch.bfloat16] if DEVICE == "cuda" else [])):
        info = torch.finfo(dtype)
        ends = [torch.nan, torch.inf, info.max, 100.0, 1.0, info.smallest_normal, 0.0]
        points = torch.tensor([*ends, *(-e for e in ends[1:])], dtype=dtype, device=DEVICE)
        for others in ([points] * (len(activation.inputs) - 1), [points.flip(0)] * (len(activation.inputs) - 1)):
            for order in ("value", "slope"):
                call = applied(activation) if order == "value" else lambda *t: accuracy.slope(applied(activation), *t)
                ours = by_kernel(call, points, *others)
                wide = mode == "in_double" and dtype == torch.float32
                theirs = by_torch(call, *(t.double() if wide else t for t in (points, *others))).to(dtype)
                # Two ulp; among the subnormal numbers, where an ulp no longer shrinks, two of the smallest. A clamp
                # makes 10 of the largest numbers, and the product with a slope next to 0 is rounded once more.
                ulps = 3 if activation.name == "clamped_swiglu" else 2
                torch.testing.assert_close(
                    ours, theirs, rtol=ulps * info.eps, atol=2 * info.smallest_normal * info.eps, equal_nan=True
                )


on_device = lambda function: lambda *tensors: function(*(t.to(DEVICE) for t in tensors)).cpu()
count = 1 << (22 if DEVICE == "cuda" else 15)


@every_elementwise
def test_accuracy_of_the_kernel(activation, by_kernel, in_double):  # noqa: ARG001
    judged = activation.default_formula, activation.inputs, on_device(applied(activation)), count
    assert max(by_kernel(accuracy.single_errors, *judged)) <= accuracy.SINGLE_BAR


@every_elementwise
def test_accuracy_of_the_kernel_in_float32(activation, by_kernel, in_float32):  # noqa: ARG001
    inputs = accuracy.paired(accuracy.random_finite(torch.float32, 1 << 13), len(activation.inputs))
    judged = activation.default_formula, activation.inputs, on_device(applied(activation)), inputs
    # A GPU's exponential and division are each off by up to 2 ulp, not half of one.
    assert max(by_kernel(mixed_errors, *judged)) <= (8 if DEVICE == "cuda" else 6)


OTHERS = {
    "atan": sp.atan(x),
    "asinh": sp.asinh(x),
    "sinh": sp.sinh(x),
    "cosh": sp.cosh(x),
    "expm1": sp.exp(x) - 1,
    "tail": x * Phi(x),
    "power of a number": sp.Rational(1, 10) ** x,
    "root": sp.Abs(x) ** sp.Rational(1, 3),
    "thresholds": sp.Piecewise((3 * x, x > sp.Rational(1, 10)), (x / 7, True)),
    "cases": sp.Piecewise((sp.Rational(1, 3), x > sp.Rational(7, 10)), (sp.pi / 10, x > -1), (x / 3, True)),
}


@pytest.mark.parametrize("formula", OTHERS.values(), ids=OTHERS.keys())
def test_accuracy_of_functions_that_the_registry_does_without(formula, by_kernel, in_double):  # noqa: ARG001
    op = elementwise.Elementwise("made", [x], formula)
    judged = op.outputs[0], op.inputs, on_device(op), count
    assert max(by_kernel(accuracy.single_errors, *judged)) <= accuracy.SINGLE_BAR
    near = torch.cat([torch.linspace(-30, 30, 1001), torch.tensor([0.1, 0.7, 1 / 3])])  # numbers among constants, too
    assert max(by_kernel(accuracy.single_errors_at, *judged[:3], [near])) <= accuracy.SINGLE_BAR


@pytest.mark.parametrize("formula", OTHERS.values(), ids=OTHERS.keys())
def test_accuracy_of_others_in_float32(formula, by_kernel, in_float32):  # noqa: ARG001
    op = elementwise.Elementwise("made", [x], formula)
    judged = op.outputs[0], op.inputs, on_device(op), [accuracy.random_finite(torch.float32, 1 << 12)]
    assert max(by_kernel(mixed_errors, *judged)) <= (8 if DEVICE == "cuda" else 6)


@pytest.mark.parametrize(
    "wrong",
    [lambda t: sigmoid(t) * (1 + 1e-6), lambda t: torch.where(t == t[1234], torch.nan, sigmoid(t))],
    ids=["a millionth", "one number"],
)
def test_mixed_error_catches(wrong):
    at = torch.linspace(-80, 80, 3001)
    assert max(mixed_errors(sigma(x), (x,), sigmoid, [at])) <= 1
    assert max(mixed_errors(sigma(x), (x,), wrong, [at])) > 4


@pytest.mark.parametrize("beta", [1 / 3, -1.7, 1e-3])
def test_numbers_as_parameters_keep_their_digits(beta, by_kernel, in_double):  # noqa: ARG001
    formula = ACTIVATIONS["swish"].op.outputs[0].subs(ACTIVATIONS["swish"].op.parameters[0], sp.Rational(beta))
    judged = formula, ACTIVATIONS["swish"].inputs, on_device(lambda t: swish(t, beta)), 1 << 13
    assert max(by_kernel(accuracy.single_errors, *judged)) <= accuracy.SINGLE_BAR


@pytest.mark.parametrize("number", [0.1, -1 / 3, 3e38, 1e-30, 0.0, torch.inf, -torch.inf])
def test_parts_of_a_number_make_it_up(number):
    parts = triton_runner.parts(number)
    assert parts == tuple(float(np.float32(p)) for p in parts)
    assert sum(parts) == number or abs(sum(parts) - number) <= 2**-48 * abs(number)


@pytest.mark.parametrize(
    ("capability", "hip", "fast"),
    [((9, 0), None, True), ((8, 0), None, True), ((7, 5), None, False), ((8, 9), None, False), ((12, 0), None, False)]
    + [((9, 4), "6.2", True), ((11, 0), "6.2", False)],
)
def test_which_gpus_are_fast_in_float64(capability, hip, fast, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert triton_runner.computes_in_double.__wrapped__(torch.device("cuda", 0)) is fast


@pytest.mark.parametrize(("n", "function"), [(3, sigma), (8, sigma), (8, Phi), (16, softplus)])
def test_powers_that_need_double(n, function, by_kernel):
    op = elementwise.Elementwise("product", [x], x**n * function(x))
    # Of float32: Triton's interpreter rounds subnormal bfloat16 numbers wrong.
    at = torch.arange(-200.0, -5.0, 0.37, device=DEVICE)
    reference = accuracy.Reference(op.outputs[0], x, at.cpu())
    for made, truth in (
        (by_kernel(op, at), reference.value),
        (by_kernel(op.backward, torch.ones_like(at), at), reference.slopes[0]),
    ):
        assert made.dtype == torch.float32
        assert accuracy.ulp_error(made.cpu(), *truth).max() <= 1


def test_kinds_of_arguments():
    shape = torch.Size((2, 3, 5))
    arguments = {
        "full": [torch.randn(shape), torch.randn(3, 5), torch.randn(5, 3, 2).permute(2, 1, 0)],
        "one": [torch.tensor(1.0), torch.ones(1, 1), torch.ones(()).expand(shape)],
        "channel": [torch.randn(5), torch.randn(3, 1), torch.randn(2, 1, 1), torch.randn(3, 1).expand(shape)],
        "number": [1.0, 2, np.float32(3)],
    }
    for kind, examples in arguments.items():
        assert triton_runner.kinds(examples, shape) == (kind,) * len(examples)


def test_every_primitive_of_generated_code_has_a_kernel_function():
    missing = set(torch_runner.PRIMITIVES) - set(triton_runner.PRIMITIVES)
    assert not missing


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Of every kernel what it is compiled to. That needs no GPU, only that the interpreter is off: another process."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    command = [sys.executable, TESTS / "compile_kernels.py"]
    run = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_kernel_compiles_for_both_generations(compiled):
    assert {kernel["capability"] for kernel in compiled} == {80, 90}
    assert {kernel["order"] for kernel in compiled} == {0, 1, 2}
    assert all(kernel["bytes"] > 0 for kernel in compiled)


def test_registers_suffice(compiled):
    # Kernels are tuned with Triton 3.7, where all fit. Others keep a few numbers of softmax's backward in memory.
    few = 0 if optional._numbers(triton.__version__)[:2] == (3, 7) else 64
    # So does the gradient of the gradient in gate, value and three parameters, all at once.
    # And one number, where the place in a packed tensor is found by 64-bit division.
    many = {"clamped_swiglu_backward_backward": 96, "glu_backward": 8}
    room = lambda k: few if "softmax" in k["name"] and k["order"] == 1 else many.get(k["name"], 0)
    spilled = [k["name"] for k in compiled if k["local"] or (k["stack"] > room(k) and not k["trigonometric"])]
    assert not spilled


def test_compiled_kernels_round_to_nearest_and_keep_subnormal_numbers(compiled):
    assert not [k["name"] for k in compiled if k["cuts"] or k["flushes"]]
    assert {k["name"] for k in compiled if k["rounds"]} >= {
        a.name for a in ELEMENTWISE if a.op.outputs[0].has(Primitive)
    }


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU, which machines of continuous integration lack")
@every_elementwise
def test_on_a_gpu_the_kernel_is_what_runs(activation, monkeypatch):
    monkeypatch.setattr(torch_runner, "run", None)
    points = [torch.randn(1000, device=DEVICE, requires_grad=True) for _ in activation.inputs]
    activation.op(*points, *values(activation)).sum().backward()
    assert all(p.grad.isfinite().all() for p in points)


@pytest.mark.parametrize("function", [*source.PRIMITIVES, *source.ELEMENTARY], ids=lambda f: f.__name__)
def test_nan_stays_nan(function, by_kernel):
    made = elementwise.Elementwise("made", [x], function(x))
    assert by_kernel(made, torch.tensor([torch.nan, 0.5])).isnan().tolist() == [True, False]
