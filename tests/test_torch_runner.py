"""Generated torch functions."""

import pytest
import torch
from formulas import alpha, x
from sympy import Piecewise

from actlib import Elementwise
from actlib.backends import llvm_runner, torch_runner


def test_a_choice_may_be_by_tensors_of_other_shapes():
    op = Elementwise("bent", [x], Piecewise((x, x > alpha), (alpha * x, True)), [alpha])
    points, bounds = torch.randn(3, 4), torch.randn(4)
    expected = torch.where(points > bounds, points, bounds * points)
    assert torch.equal(op(points, bounds), expected)
    assert torch.equal(op(points, 0.25), torch.where(points > 0.25, points, 0.25 * points))


SIGMAS = {"sigma", "paired_sigma", "mirrored_sigma", "sigma_slope"}
GATES = {  # and what they become, where sigma(a) and sigma(-a) share their steps
    "g*sigma(-t0)*sigma(t0) + sigma(-x)": (
        lambda g, x: g * (-2 * x).sigmoid() * (2 * x).sigmoid() + (-x).sigmoid(),
        {"sigma_slope", "sigma"},
    ),
    "sigma(x)*sigma(-x)": (lambda g, x: x.sigmoid() * (-x).sigmoid(), {"sigma_slope"}),  # noqa: ARG005
    "sigma(x)*g*sigma(-x)": (lambda g, x: x.sigmoid() * g * (-x).sigmoid(), {"paired_sigma", "mirrored_sigma"}),
    "sigma(x)/g*sigma(-x)": (lambda g, x: x.sigmoid() / g * (-x).sigmoid(), {"paired_sigma", "mirrored_sigma"}),
    "g/sigma(x)*sigma(-x)": (lambda g, x: g / x.sigmoid() * (-x).sigmoid(), {"paired_sigma", "mirrored_sigma"}),
    "sigma(-3*x*g)*sigma(3*x*g)": (lambda g, x: (-3 * x * g).sigmoid() * (3 * x * g).sigmoid(), {"sigma_slope"}),
    "sigma(-x)*sigma(-x)*sigma(x)": (
        lambda g, x: (-x).sigmoid() ** 2 * x.sigmoid(),  # noqa: ARG005
        {"mirrored_sigma", "sigma_slope"},
    ),
    # in which nothing is mirrored, though it looks like it
    "sigma(-x + 1)*sigma(x + 1)": (lambda g, x: (-x + 1).sigmoid() * (x + 1).sigmoid(), {"sigma"}),  # noqa: ARG005
    "sigma(-x*g + 1)*sigma(x*g + 1)": (lambda g, x: (-x * g + 1).sigmoid() * (x * g + 1).sigmoid(), {"sigma"}),
    "g*sigma(x)*sigma(x)": (lambda g, x: g * x.sigmoid() ** 2, {"sigma"}),
}


@pytest.mark.parametrize("text", GATES)
def test_gates_that_mirror_each_other_take_one_exponential(text):
    source = f"def f(g, x):\n    t0 = 2*x\n    return {text}\n"
    f, (reference, names) = torch_runner.load("f", source), GATES[text]
    points = torch.linspace(-30, 30, 201)
    factor = torch.linspace(-2, 1, 201)
    expected = reference(factor.double(), points.double())
    torch.testing.assert_close(f(factor, points).double(), expected, rtol=1e-5, atol=1e-38)
    assert SIGMAS & set(f.__code__.co_names) == names
    (made,) = llvm_runner.run("f", source, [factor, points], points.shape, [torch.float32])
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-38)


@pytest.mark.parametrize("over", [-1, 0, 1, torch_runner.TILE + 7])
def test_tiles_of_float64_give_what_the_whole_gives(over):
    """What has no machine code runs tile by tile, in its memory order, with parameters of any shape."""
    op = Elementwise("bent", [x], [Piecewise((x, x > alpha), (alpha * x, True)), x**2], [alpha])
    values = torch.randn(torch_runner.TILE + over, dtype=torch.float64)
    parameters = [0.25, torch.tensor(0.25, dtype=torch.float64), torch.rand(values.shape, dtype=torch.float64)]
    for parameter in parameters:
        bent = torch.where(values > parameter, values, parameter * values)
        for ours, theirs in zip(op(values, parameter), (bent, values**2), strict=True):
            assert torch.equal(ours, theirs)
    columns = torch.randn(500, 300, dtype=torch.float64).T
    bound = torch.rand(500, dtype=torch.float64)
    bent, _ = op(columns, bound)
    assert torch.equal(bent, torch.where(columns > bound, columns, bound * columns))
    assert bent.stride() == columns.stride()


def test_lazy_tensors_are_brought_into_memory():
    t = torch.randn(3)
    negated, zeros = torch.complex(t, -t).conj().imag, torch._efficientzerotensor(3)
    for lazy in (negated, zeros):
        made, number, plain = torch_runner.resolved([lazy, 0.5, t])
        assert torch_runner.is_plain(made)
        assert made.tolist() == lazy.clone().tolist()
        assert (number, plain is t) == (0.5, True)
    assert torch_runner.resolved([t, 0.5]) is None
