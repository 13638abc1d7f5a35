"""Formulas as people type them: what the grammar reads, what it refuses, and what is reported of them."""

import json
import re

import mpmath
import pytest
import random_formulas
import sympy as sp
import torch
from sympy import Abs, Max, Piecewise, Rational, Symbol

from actlib import Elementwise
from actlib.formula import parser
from actlib.formula.parser import FormulaError, parse, x
from actlib.formula.primitives import (
    Phi,
    asinh,
    atan,
    cosh,
    derivative,
    expm1,
    phi,
    sigma,
    sinh,
    softplus,
    stable,
    tanh,
)
from actlib.formula.report import report
from actlib.formula.steps import steps

alpha, beta = (Symbol(name, real=True) for name in ("alpha", "beta"))

HOSTILE = {
    "import": "__import__('os')",
    "call of the system": "os.system('rm -rf /')",
    "markup": "<script>alert(1)</script>",
    "image": '<img src=x onerror="alert(1)">',
    "closing tag": "x</div><script>x",
    "lambda": "lambda: x",
    "comprehension": "[x for x in (1, 2)]",
    "class": "().__class__.__bases__[0].__subclasses__()",
    "attribute": "x.__class__",
    "eval": "eval(x)",
    "exec": "exec(x)",
    "getattr": "getattr(x, x)",
    "open": "open(x)",
    "globals": "globals()",
    "sympify": "sympify(x)",
    "assignment": "x = 1",
    "walrus": "(x := 1)",
    "two statements": "x; x",
    "string": "'x'",
    "bytes": 'b"x"',
    "format": "{x}",
    "template": "${x}",
    "TeX": r"\input{/etc/passwd}",
    "TeX link": r"\href{javascript:alert(1)}{x}",
    "comment": "x # x",
    "escape": r"\x41",
    "null": "x\x00",
    "backwards": "x\u202ex",
    "wide letter": "ｘ",
    "foreign digit": "٣*x",
    "emoji": "😀",
    "empty": "",
    "blank": " \n\t ",
    "unclosed": "((x)",
    "unopened": "x)",
    "unclosed call": "sigma(x",
    "crossed": "(x]",
    "deep brackets": "(" * 190 + "x" + ")" * 190,
    "deep calls": "tanh(" * 60 + "x" + ")" * 60,
    "deep signs": "-" * 390 + "x",
    "deep powers": "x" + "**1" * 100,
    "a megabyte": "x" * 2**20,
    "a megabyte of sums": "x+" * 2**19 + "x",
    "tower": "10^10^10",
    "tower by brackets": "((9^20)^20)^20",
    "powers of powers": "((x^20)^20)^20",
    "exponentials of exponentials": "exp(exp(exp(exp(x))))",
    "large constant": "exp(exp(exp(100)))",
    "long number": "9" * 200,
    "large exponent": "1e999999999",
    "fine number": "1e-999999999",
    "division by zero": "x/(1 - 1)",
    "no real value": "sqrt(-1)",
    "pole": "log(0)",
    "many parameters": "a + b + c + d + f",
    "long name": "a" * 50,
    "function alone": "sigma",
    "too few arguments": "max(x)",
    "too many arguments": "sigma(x, x)",
    "no condition": "where(x, x, x)",
    "condition outside": "x > 0",
    "implicit product": "2x",
    "steps": "floor(x)",
    "hyperbolic sines of hyperbolic sines": "sinh(cosh(sinh(x)))",
    "variable exponent": "x^x",
}


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("x*sigma(1.702*x)", x * sigma(Rational("1.702") * x)),
        ("max(0, x)**2", Max(0, x) ** 2),
        ("x*Phi(x) + phi(x)", x * Phi(x) + phi(x)),
        ("x*tanh(softplus(x))", x * tanh(softplus(x))),
        ("where(x > 0, x, alpha*expm1(x))", Piecewise((x, x > 0), (alpha * expm1(x), True))),
        ("x/(1 + abs(x))", x / (1 + Abs(x))),
        ("-x^2", -(x**2)),
        ("2**-x", sp.exp(-x * sp.log(2))),
        ("x**2**3", x**8),
        ("1 - x - 2", -x - 1),
        ("x/2/beta", x / (2 * beta)),
        ("e^x - e", sp.exp(x) - sp.E),
        ("sigma(x)^beta", sp.exp(beta * sp.log(sigma(x)))),
        ("σ(x)·π − 0.1", sigma(x) * sp.pi - Rational(1, 10)),
        ("1.5e-3", Rational(3, 2000)),
        ("arctan(x)*asinh(x)", atan(x) * asinh(x)),
        ("sinh(x) + cosh(2*x)", sinh(x) + cosh(2 * x)),
        (" \n3\t", sp.Integer(3)),
    ],
    ids=str,
)
def test_reads_what_is_meant(text, formula):
    assert parse(text) == formula


def test_every_function_can_be_read():
    for name, (count, _) in parser.FUNCTIONS.items():
        assert parse(f"{name}({', '.join(['x', '2'][:count])})").has(x)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_refuses_what_is_hostile_or_wrong(text):
    with pytest.raises(FormulaError) as error:
        parse(text)
    assert 10 < len(str(error.value)) < 400
    assert error.value.at is None or 0 <= error.value.at <= len(text)


def test_says_where_it_stumbles():
    with pytest.raises(FormulaError, match=r"a product is written 2\*x \(at character 6\)"):
        parse("1 + 2x")
    with pytest.raises(FormulaError, match=r"“\)” should follow"):
        parse("tanh(x")
    with pytest.raises(FormulaError, match="floor is refused: it is flat between its jumps"):
        parse("floor(x)")
    with pytest.raises(TypeError, match="a formula is a str, but int came"):
        parse(3)


def parts(text, **values):
    found = list(report(text, values))
    assert json.loads(json.dumps(found)) is not None
    return found


def rows(text, **values):
    """What is said of each property and principle, as one text."""
    told = {}
    for part in parts(text, **values):
        if part["part"] in ("row", "principle"):
            told[part["label"]] = " ".join([part.get("verdict", ""), *(shown for _, shown in part["value"])]).strip()
    return told


def test_report_of_silu_is_that_of_its_chapter():
    told = rows("x*sigma(x)")
    assert told["range"] == r"\left[- W\left(e^{-1}\right), \infty\right)"
    assert r"-1.27846" in told["extrema"]
    assert told["Lipschitz constant"].startswith("1.09984")
    assert told["monotone"].startswith("holds in part falls for 10.1%")
    assert told["nonlinear"].startswith("holds neither")
    assert told["good gradients"].startswith("holds in part the slope vanishes towards −∞")


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("x", ("holds", "does not hold", "holds")),
        ("3", ("holds", "does not hold", "does not hold")),
        ("x^2", ("does not hold", "holds in part", "holds in part")),
        ("relu(x)", ("holds", "holds", "holds in part")),
        ("sigma(x)", ("holds", "holds", "does not hold")),
        ("sign(x)", ("holds", "holds", "does not hold")),
        ("x + sin(x)", ("holds", "holds", "holds")),
    ],
)
def test_principles(text, verdicts):
    found = {p["label"]: p["verdict"] for p in parts(text) if p["part"] == "principle"}
    assert tuple(found[name] for name in ("monotone", "nonlinear", "good gradients")) == verdicts


def test_report_takes_the_values_of_parameters():
    assert "1.09984" in rows("x*sigma(beta*x)", beta=2)["Lipschitz constant"]
    assert rows("where(x > 0, x, alpha*expm1(x))", alpha=2.5)["Lipschitz constant"].startswith(r"\frac{5}{2}")


def test_report_says_what_has_no_closed_form():
    assert "no closed form found" in rows("x*tanh(softplus(x))")["extrema"]


def known(text):
    return {part["label"]: part["known"] for part in parts(text) if part["part"] == "row"}


def test_report_says_how_each_property_is_known():
    assert known("x*sigma(x)") | {"Lipschitz constant": "", "mean square of the slope": ""} == {
        "limits": "exact",
        "range": "exact",
        "extrema": "exact",
        "monotone": "exact",
        "Lipschitz constant": "",
        "smoothness": "exact",
        "symmetry": "exact",
        "mean square of the slope": "",
    }
    assert known("x*sigma(x)")["Lipschitz constant"] == known("x*Phi(x)")["range"] == "certified"
    assert known("x*sigma(x)")["mean square of the slope"] == "computed"
    assert known("x*sin(x)")["extrema"] == "refused"


@pytest.mark.parametrize("text", ["sin(x)", "x + sin(1000*x)/100"])
def test_report_of_a_wave_speaks_of_every_period(text):
    told = rows(text)
    assert re.search(r"for every integer +n", told["extrema"])
    assert "falls for" in told["monotone"]


STEPPED = (
    *("x*sigma(1.702*x)", "max(0, x)**2", "x*tanh(softplus(x))", "where(x > 0, x, alpha*(exp(x) - 1))", "3", "x"),
    *("x/(1 + abs(x))", "sin(x)*cos(x)*x", "2^x", "sign(x)*x", "1/(x^2 + 1)", "sqrt(x^2 + 1)*erf(x)/beta"),
)


@pytest.mark.parametrize(
    "texts", [lambda: STEPPED, lambda: random_formulas.formulas(20, seed=5)], ids=["few", "random"]
)
def test_every_step_is_right(texts):
    for text in texts():
        formula = parse(text).subs({alpha: Rational(3, 4), beta: Rational(5, 4)})
        found = steps(formula, x)
        assert bool(found) == (stable(formula).has(x) and stable(formula) != x)
        assert not found or found[-1].part == stable(formula)
        for step in found:
            expected = derivative(step.part, x)
            slopes = [sp.lambdify(x, f, [random_formulas.ACCURATE, "mpmath"]) for f in (step.slope, expected)]
            for at in (-1.3, 0.4, 2.7):
                said, right = (slope(mpmath.mpf(at)) for slope in slopes)
                assert abs(said - right) <= 1e-9 * (1 + abs(right)), step


def test_steps_name_their_rules():
    assert [s.rule for s in steps(x * sigma(2 * x), x)] == [
        "constant factor",
        "slope of sigma, chain rule",
        "product rule",
    ]
    assert [s.rule for s in steps(x / (1 + Abs(x)), x)] == ["slope of abs", "sum rule", "quotient rule"]
    assert [s.rule for s in steps(stable(Max(x, 0) ** 2), x)] == ["power rule", "case by case"]
    assert steps(sp.Add(*(sp.sin(n * x) for n in range(1, 41))), x) == []


def test_report_gives_both_derivatives_and_the_way():
    (part,) = (p for p in parts("x^2 + tanh(x)") if p["part"] == "formula")
    assert part["steps"][-1]["rule"] == "sum rule"
    assert part["steps"][0]["latex"] == r"\frac{d}{dx} \left(x^{2}\right) = 2 x"
    assert part["second"].startswith("8 ")


def test_report_ends_where_the_formula_has_no_value():
    assert [p["part"] for p in parts("log(x)")] == ["formula", "code", "problem"]


def test_slopes_are_typeset_as_in_school():
    (latex,) = {p["slope"] for text in ("atan(x)",) for p in parts(text) if p["part"] == "formula"}
    assert latex == r"\frac{1}{x^{2} + 1}"
    assert rows("asinh(x)")["good gradients"].startswith("does not hold the slope vanishes at both ends")


@pytest.mark.parametrize(
    "text", ["x*sigma(beta*x)", "tanh(x)", "x*atan(asinh(x))", "where(x > alpha, x, alpha*exp(x - 1))", "3"]
)
def test_reported_code_runs_as_it_is(text):
    code = next(p["code"] for p in report(text) if p["part"] == "code")  # what comes after it takes longer
    formula = parse(text)
    parameters = sorted(formula.free_symbols - {x}, key=str)
    points = torch.linspace(-3, 3, 13, dtype=torch.float64)
    op = Elementwise("own", [x], formula, parameters)
    values = [1.5] * len(parameters)
    typed, generated = {}, {}
    exec(code["actlib"], typed)
    torch.testing.assert_close(typed["own"](points, *values), op(points, *values), rtol=0, atol=0)
    exec(code["torch"], generated)
    expected = op.backward(torch.ones_like(points), points, *map(torch.tensor, values))
    expected = expected[0] if parameters else expected
    slope = generated["own_backward"](1.0, points, *values)
    slope = slope[0] if parameters else slope
    torch.testing.assert_close(torch.as_tensor(slope, dtype=torch.float64).expand(13), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("text", ["atan(x)", "x*atan(x)", "exp(x)*atan(x)", "asinh(x)", "x/(1 + x**2)"])
def test_what_divides_stands_below_a_line(text):
    """A product with 1/(...) is one fraction, as one writes it by hand."""
    part = next(report(text))
    for name in ("latex", "slope", "second"):
        assert not re.search(r"[^\s+-] \\frac\{1\}", part[name].replace(" - ", " + ")), part[name]
