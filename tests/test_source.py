"""Generated source: how it reads, and that it means what the formula means."""

import keyword
import pathlib
import re

import pytest
import sympy as sp
import torch
from sympy import Piecewise, symbols

from actlib import Elementwise
from actlib.backends import torch_runner
from actlib.formula.primitives import Phi, expm1, phi, sigma, softplus, tanh
from actlib.formula.source import (
    FUNCTIONS,
    half_precision,
    javascript_source,
    legal_names,
    needs_double,
    single_precision,
    torch_source,
    triton_source,
)

x, g, beta = symbols("x g beta", real=True)


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (sigma(x), "return sigma(x)"),
        (x * sigma(x), "return damped(x, sigma(x))"),
        (x * sigma(beta * x), "return damped(x, sigma(beta*x))"),
        (x * Phi(x), "return damped(x, Phi(x))"),
        (Piecewise((x, x > 0), (0, True)), "return where(x <= 0, 0, x)"),
        (Piecewise((x, x > 0), (expm1(x), True)), "return where(x > 0, x, expm1(x))"),
        (x**3 + beta**2, "return square(beta) + cube(x)"),
        (x**2 + x**3, "return square(x)*(x + 1)"),
        (x**-2 * beta**-3, "return cube(1/beta)*square(1/x)"),
        (x / 2 + sp.Rational(1, 4), "return 0.5*x + 0.25"),
        (1 / (1 + x**2), "return 1/(square(x) + 1)"),
        (sp.sqrt(2 / sp.pi) * x, "return 0.7978845608028654*x"),
    ],
    ids=str,
)
def test_source_reads_like_the_formula(formula, line):
    assert torch_source("f", [x, beta], [formula]).splitlines()[-1].strip() == line


def test_common_subexpressions_are_named():
    source = torch_source("gate_backward", [g, x], [g * sigma(x), g * x * sp.diff(sigma(x), x)])
    assert source == ("def gate_backward(g, x):\n    t0 = sigma(x)\n    return g*t0, g*damped(x, t0*sigma(-x))\n")


def test_common_factors_stand_before_a_sum():
    """Their rounding would cancel badly where the sum is near 0."""
    source = torch_source("f", [g, x], [g * x + g * x * Phi(x) + g * x**2])
    assert source == "def f(g, x):\n    return g*x*(x + 1 + Phi(x))\n"


def test_a_sum_next_to_its_zero_cancels_little():
    """1 + x sigma(-x) is 0 where sigma(x) + (1 + x) sigma(-x) adds terms of 0.22."""
    source = torch_source("silu_backward", [g, x], [g * sp.diff(x * sigma(x), x)])
    assert source.splitlines()[1:] == ["    t0 = sigma(x)", "    return g*damped(t0 + damped(x + 1, sigma(-x)), t0)"]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (x**3 + x + 1 + Phi(x), "cube(x) + 1 + x + Phi(x)"),
        (x - 3, "x - 3"),
        (x**2 - x - 3, "square(x) - 3 - x"),
        (-x - sp.exp(x), "-x - exp(x)"),
    ],
)
def test_the_constant_of_a_long_sum_comes_second(formula, expected):
    """Last, it could cancel digits of a sum that has been rounded."""
    assert torch_source("f", [x], [formula]) == f"def f(x):\n    return {expected}\n"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (3 * x * (1 + x**2 / 2), "x*(1.5*square(x) + 3)"),
        (3 * x * (1 + x / 2), "3*x*(0.5*x + 1)"),  # near -2 a rounded product would cancel
        (-x * (1 + x**2), "-x*(square(x) + 1)"),
    ],
)
def test_a_constant_enters_a_sum_that_cannot_cancel(formula, expected):
    assert torch_source("f", [x], [formula]) == f"def f(x):\n    return {expected}\n"


def test_kernel_source_loads_computes_and_stores():
    source = triton_source("swish_kernel", [x, beta], [x * sigma(beta * x)], ["full", "number"])
    assert source == (
        "@triton.jit\n"
        "def swish_kernel(x_ptr, beta, out_ptr, n, BLOCK: tl.constexpr):\n"
        "    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)\n"
        "    inside = at < n\n"
        "    x = tl.load(x_ptr + at, inside).to(tl.float32)\n"
        "    tl.store(out_ptr + at, damped(x, sigma(beta*x)), inside)\n"
    )


@pytest.mark.parametrize(
    "name", ["t0", "n", "at", "inside", "sigma", "lambda", "damped", "out_ptr", "BLOCK", "tl", r"\alpha_1", "2x"]
)
def test_names_that_mean_something_are_changed(name):
    (legal,) = legal_names([sp.Symbol(name)])
    assert legal.isidentifier()
    assert not keyword.iskeyword(legal)
    assert legal not in {*FUNCTIONS, "n", "at", "inside", "BLOCK", "tl", "t0", "out_ptr"}
    symbol = sp.Symbol(name, real=True)
    op = Elementwise("f", [symbol], symbol * sigma(symbol) + sigma(symbol))
    values = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(op(values), values * values.sigmoid() + values.sigmoid())


def test_names_stay_distinct():
    names = legal_names(symbols(r"sigma sigma_ \sigma"))
    assert len(set(names)) == 3


@pytest.mark.parametrize("end", [-torch.inf, torch.inf])
def test_damping_gives_the_limit_where_infinity_meets_zero(end):
    f = torch_runner.load("f", torch_source("f", [x], [x**3 * sigma(x) * sigma(-x)]))
    assert f(torch.tensor([end])).item() == 0


def test_damping_lets_nan_through():
    f = torch_runner.load("f", torch_source("f", [x], [x * sigma(x)]))
    assert f(torch.tensor([torch.nan])).isnan()


def test_damping_ties_only_factors_of_the_same_variables():
    assert "return g*damped(x, sigma(x))" in torch_source("f", [g, x], [g * x * sigma(x)])
    f = torch_runner.load("f", torch_source("f", [g, x], [g * x * sigma(x)]))
    assert f(torch.tensor([torch.nan]), torch.tensor([-torch.inf])).isnan()


@pytest.mark.parametrize(
    ("formula", "wide"),
    [
        (x**2 * sigma(x), False),
        (x**3 * sigma(x), True),
        (x * (1 + x) * (2 - x) * sigma(-x), True),
        (x**2 * sigma(beta * x) * sigma(-beta * x), False),
        (x**2 * softplus(x), True),
        (x**3 * phi(x), False),
        (x**3 * Phi(x), False),
        (x**4 * Phi(x), True),
        (x**3 * (4 * Phi(x) + x * phi(x)), True),
        (x**3 * sigma(x**3), False),
        (x**9 * tanh(x), False),
        (x**8, False),
        (beta**4 * x * sigma(x), False),
    ],
    ids=str,
)
def test_a_power_that_is_large_where_the_decay_loses_digits_needs_double(formula, wide):
    assert needs_double([formula]) == wide


@pytest.mark.parametrize(
    ("formula", "numbers"),
    [
        (sigma(x), ("single", "single")),
        (x * sigma(x), ("single", "single")),
        (1000 * x * sigma(x), ("single", "double")),
        (g * sigma(x), ("single", "near")),
        (x * sigma(beta * x), ("single", "near")),
        (g * x, ("single", "single")),
        (g * x * beta, ("single", "near")),
        (g * Piecewise((2 * x + 3, x < 1), (0, True)), ("single", "near")),
        ((x * sigma(beta * x)).diff(x), ("rough", "rough")),
        (g * (x * sigma(x)).diff(x), ("rough", "near")),
        (1000 * g * (x * sigma(x)).diff(x), ("double", "double")),
    ],
    ids=str,
)
def test_a_partner_of_other_variables_needs_range_in_half_precision(formula, numbers):
    assert half_precision([formula]) == numbers


def test_a_sum_of_what_decays_on_one_side_decays():
    assert "damped(square(x), 3*Phi(x) + damped(x, phi(x)))" in torch_source("f", [x], [(x**3 * Phi(x)).diff(x)])
    assert "damped" not in torch_source("f", [x], [x * (sigma(x) - sigma(-x))])


def test_bounded_factors_need_no_damping():
    assert "damped" not in torch_source("f", [x], [sigma(x) * sigma(-x) * tanh(x)])


def test_slowly_vanishing_factors_are_not_taken_for_decay():
    assert "damped" not in torch_source("f", [x], [x * tanh(1 / x)])
    assert "damped" not in torch_source("f", [x], [x * sp.exp(-sp.log(1 + x**2))])


@pytest.mark.parametrize(
    "cases",
    [
        Piecewise((x, x > 0), (0, True)),
        Piecewise((0, x < 0), (x, True)),
        Piecewise((1, x > 0), (0, True)),
        Piecewise((0, x < -1), (x, x < 1), (1, True)),
        Piecewise((expm1(x), x < 0), (1, True)),
    ],
    ids=str,
)
def test_nan_passes_through_cases(cases):
    f = torch_runner.load("f", torch_source("f", [x], [cases]))
    values = torch.tensor([torch.nan, -2.0, 0.5, 2.0])
    result = f(values)
    assert result[0].isnan()
    expected = [float(cases.subs(x, v)) for v in values[1:].tolist()]
    torch.testing.assert_close(result[1:], torch.tensor(expected))


def test_cases_with_a_gap_are_refused():
    with pytest.raises(ValueError, match="leave a gap"):
        torch_source("f", [x], [Piecewise((x, x > 1), (0, x < 0))])


def test_cases_that_cover_everything_need_no_last_word():
    assert "where" in torch_source("f", [x], [Piecewise((x, x > 0), (0, x <= 0))])


def test_a_function_without_implementation_is_refused_by_name():
    with pytest.raises(ValueError, match="no backend implements gamma"):
        torch_source("f", [x], [sp.gamma(x)])


def test_javascript_reads_like_the_formula_too():
    formula = Piecewise((sigma(x), (x > -1) & (x < 1)), (beta * x, True))
    assert javascript_source("f", [x, beta], [formula, sp.diff(formula, beta)]) == (
        "function f(x, beta) {\n"
        "    const t0 = (x > -1) && (x < 1);\n"
        "    return [where(t0, sigma(x), beta*x), where(t0, 0, x)];\n"
        "}\n"
    )


def test_javascript_names_are_legal():
    new = sp.Symbol("new", real=True)
    assert javascript_source("tanh", [new], [tanh(new)]) == "function tanh_(new_) {\n    return tanh(new_);\n}\n"


def test_javascript_has_every_primitive():
    text = (pathlib.Path(torch_runner.__file__).parent / "primitives.js").read_text(encoding="utf-8")
    first, *others = re.findall(r"export (?:const \{(.*?)\}|function (\w+))", text)
    defined = {name.split(":")[-1].strip() for name in first[0].split(",")} | {name for _, name in others}
    assert defined >= set(FUNCTIONS)


QUOTIENTS = {
    "one power": sp.exp(x) / (2 + sp.exp(x)),
    "two powers": sp.exp(2 * x) / (1 + sp.exp(x) + sp.exp(2 * x)),
    "powers below alone": 1 / (3 + sp.exp(x) + sp.exp(3 * x)),
    "powers in all terms": (sp.exp(x) + 3 * sp.exp(2 * x)) / (1 + sp.exp(3 * x)),
    "falling powers": x * sp.exp(-x) / (2 + sp.exp(-2 * x)),
    "a number on both sides": (1 + sp.exp(x)) / (2 + 5 * sp.exp(x)),
}


@pytest.mark.parametrize("name", QUOTIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_quotients_of_powers_of_an_exponential(name, dtype):
    points = [-3.0, -0.5, 0.0, 1.25, 4.0]
    exact = torch.tensor([float(QUOTIENTS[name].subs(x, sp.Rational(p))) for p in points], dtype=dtype)
    made = Elementwise("made", [x], QUOTIENTS[name])(torch.tensor(points, dtype=dtype))
    torch.testing.assert_close(made, exact, rtol=8 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("power", ["-3/2", "-1/2", "-5/3", "-2", "-1", "1/2", "7/3"])
def test_powers_that_are_no_whole_number_or_negative(power):
    points = torch.tensor([0.25, 1.0, 3.0], dtype=torch.float64)
    made = Elementwise("made", [x], x ** sp.Rational(power))(points)
    torch.testing.assert_close(made, points ** float(sp.Rational(power)), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("formula", "numbers"),
    [
        (x, "single"),
        (x * g, "single"),
        (x + g, "single"),
        (2 * x, "single"),
        (sp.Abs(x), "single"),
        (sp.Piecewise((x, x > 0), (x / 4, True)), "single"),
        (sp.Piecewise((x, x < 6), (6, True)), "single"),
        (2 * x * g, "rough"),  # the first product may overflow
        (x / 3, "rough"),
        (sp.Rational(2**24 + 1, 2**30) * x, "rough"),
        (beta * x, "rough"),
        (x * g + 1, "rough"),
        (sp.Piecewise((x, x > sp.Rational(1, 3)), (0, True)), "rough"),
        (sigma(x), "rough"),
        (100 * sigma(x), "double"),
    ],
    ids=str,
)
def test_numbers_of_results_in_float32(formula, numbers):
    assert single_precision([formula], [beta]) == numbers
