"""Limits, Taylor polynomials, equality and contact that were once told wrongly; whatever breaks is a refusal."""

import pytest
import sympy as sp
from formulas import REFUSED, WRONG, compared, told
from sympy import (
    Abs,
    AccumBounds,
    Integer,
    Interval,
    Ne,
    Piecewise,
    Rational,
    Symbol,
    atan,
    cos,
    exp,
    log,
    oo,
    pi,
    sin,
    sqrt,
)

from actlib.formula import analysis
from actlib.formula.analysis import deadline
from actlib.formula.primitives import Phi, sigma, softplus, tanh

x = Symbol("x", real=True)
a = Symbol("a", real=True)
k = Symbol("k", positive=True)
z = Symbol("z")

SINC = Piecewise((sin(x) / x, Ne(x, 0)), (1, True))
WILD = Piecewise((x * sin(1 / x), Ne(x, 0)), (0, True))
STEEP = Piecewise((sqrt(x), x > 0), (-sqrt(-x), True))
FLAT = Piecewise((exp(-1 / x), x > 0), (0, True))
BUMP = Piecewise((exp(-1 / (1 - x**2)), Abs(x) < 1), (0, True))
WELL = x**6 / 6 - x**2 / 2 - x


def above(formula):
    """The formula for positive x, and 0 elsewhere."""
    return Piecewise((formula, x > 0), (0, True))


SWINGING = AccumBounds(-oo, oo)
LIMITS = [
    (exp(x) * (2 + sin(x)), (0, oo)),
    (-exp(x) * (2 + sin(x)), (0, -oo)),
    (exp(-x) * (3 + cos(x)), (oo, 0)),
    (exp(x) / (2 + sin(x)), (0, oo)),
    (x * (2 + sin(x)), (-oo, oo)),
    (x**2 * (2 + sin(x)), (oo, oo)),
    (x * (1 + sin(x)), REFUSED),
    (x * sin(x), (SWINGING, SWINGING)),
    (x + sin(exp(x)), (-oo, oo)),
    (exp(x) * (3 + sin(x**2)), (0, oo)),
    (sin(x**2), (AccumBounds(-1, 1), AccumBounds(-1, 1))),
    (tanh(x * sin(x)), (AccumBounds(-1, 1), AccumBounds(-1, 1))),
    (sigma(3 * cos(x) + exp(-(x**2))), (AccumBounds(sigma(-3), sigma(3)),) * 2),
    (sin(x) * cos(x) + exp(-(x**2)), (AccumBounds(-Rational(1, 2), Rational(1, 2)),) * 2),
    (sin(x) + sin(sqrt(2) * x), REFUSED),
    (exp(-(x**2)) * sin(exp(x)), (0, 0)),
    (x * exp(exp(x)), (-oo, oo)),
    ((1 + x**2) ** a, REFUSED),
    (a * x, REFUSED),
    (tanh(a * x), REFUSED),
    (exp(a * x), REFUSED),
    (tanh(k * x) + a, (a - 1, a + 1)),
    (a * (exp(k * x) - 1) * sigma(-k * x), (-a, a)),
    (k * x + sin(k * x), (-oo, oo)),
    (k + k**2 * cos(3 * k * x), (AccumBounds(k - k**2, k + k**2),) * 2),
    ((k * x**2 + 1) / (x**2 + k), (k, k)),
]

SATURATION = [
    (exp(-(a**2) * x**2), REFUSED),
    (tanh(a * x), REFUSED),
    (exp(-(k**2) * x**2), (True, -2 * k**2 * x * exp(-(k**2) * x**2))),
    (tanh(k * x), (True, 4 * k * exp(-2 * k * x))),
    (x * sigma(k * x), (False, None)),
    (softplus(-k * x), (True, -k * exp(-k * x))),
    (exp(x) * (2 + sin(x)), (False, None)),
]

RANGES = [
    (exp(x) * (2 + sin(x)), Interval.open(0, oo)),
    (-exp(x) * (2 + sin(x)), Interval.open(-oo, 0)),
    (exp(-x) * (3 + cos(x)), Interval.open(0, oo)),
    (exp(x) / (2 + sin(x)), Interval.open(0, oo)),
    (exp(exp(20)) * WELL, REFUSED),
    (exp(-exp(18)) * WELL, REFUSED),
    (x * exp(-(x**2) / k), Interval(-sqrt(2 * k) * exp(-Rational(1, 2)) / 2, sqrt(2 * k) * exp(-Rational(1, 2)) / 2)),
    ((-2) ** x, REFUSED),
    (Integer(0) ** x, REFUSED),
    (1 / sin(pi * (x + Rational(1, 7))), REFUSED),
    (sp.EulerGamma * x, REFUSED),
    ((2 + tanh(x)) ** x, REFUSED),
]

TAYLOR = [
    (2**x, 3, 1 + log(2) * x + log(2) ** 2 * x**2 / 2 + log(2) ** 3 * x**3 / 6),
    ((2 + x**2) ** x, 3, 1 + log(2) * x + log(2) ** 2 * x**2 / 2 + (log(2) ** 3 / 6 + Rational(1, 2)) * x**3),
    ((2 + sin(x)) ** x, 2, 1 + log(2) * x + (log(2) ** 2 / 2 + Rational(1, 2)) * x**2),
    (k**x, 2, 1 + log(k) * x + log(k) ** 2 * x**2 / 2),
    ((1 + exp(x)) ** 2, 1, 4 + 4 * x),
    (SINC, 6, 1 - x**2 / 6 + x**4 / 120 - x**6 / 5040),
    (Piecewise(((exp(x) - 1) / x, Ne(x, 0)), (1, True)), 3, 1 + x / 2 + x**2 / 6 + x**3 / 24),
    ((exp(x) - 1) / x, 3, WRONG),
    (Piecewise((exp(-1 / x**2), Ne(x, 0)), (0, True)), 4, 0),
    (FLAT, 13, 0),
    (above(x**14), 13, 0),
    (above(x**14), 14, WRONG),
    (Abs(sin(x)), 1, WRONG),
    (Piecewise((x**2 * sin(1 / x), Ne(x, 0)), (0, True)), 1, REFUSED),
    (sqrt(x**4 + x**2), 2, (WRONG, REFUSED)),
]

SMOOTHNESS = [
    (FLAT, oo),
    (BUMP, oo),
    (above(exp(-k / x)), oo),
    (above(exp(-a / x)), REFUSED),
    (above(exp(-1 / x) / x**3), oo),
    (Piecewise((x + exp(-1 / x) / x**3, x > 0), (sin(x), True)), 2),
    (Piecewise((exp(1 / x), x < 0), (x**20, True)), 19),
    (above(x**12), 11),
    (above(x**13), 12),
    (above(x**14), 13),
    (above(sin(x) ** 20), 19),
    (above(1 - 1 / (1 + exp(-1 / x))), REFUSED),
    (SINC, oo),
    (WILD, 0),
    (STEEP, 0),
    (above(x * log(x)), 0),
    (above(x ** Rational(5, 2)), 2),
    (above(x**k), REFUSED),
    (above(x ** (k + 3)), REFUSED),
    (above(x**a), REFUSED),
    (Abs(x) ** k, REFUSED),
    (x * Abs(x) ** k, REFUSED),
    (Abs(x) ** a, REFUSED),
    (a * Abs(x), 0),
    (sp.Max(a, 0) * Abs(x), REFUSED),
    (above(a * x**2 + x * (Abs(a) - a)), REFUSED),
]

CRITICAL = [
    (above(x**k), REFUSED),
    (Abs(x) ** k, REFUSED),
    (above(x ** Rational(5, 2)), [Interval(-oo, 0)]),
]

KINKS = [
    (STEEP, REFUSED),
    (WILD, REFUSED),
    (FLAT, []),
    (above(x**14), [13]),
    (above(x * log(x)), [0]),
    (Abs(x) ** Rational(3, 2), [1]),
    (above(x**k), REFUSED),
    (above(x**a), REFUSED),
    (Abs(x) ** k, REFUSED),
]

EQUALITY = [
    (sp.coth(x) * sp.tanh(x), Integer(1), "wherever"),
    (sp.tan(x) * sp.cos(x), sp.sin(x), "wherever"),
    (x * sp.gamma(x), sp.gamma(x + 1), "wherever"),
    (sigma(log(x)), x / (1 + x), False),
    (tanh(log(x)), (x**2 - 1) / (x**2 + 1), False),
    (sigma(sqrt(x)), sigma(x), False),
    ((x**2 - 1) / (x - 1), x + 1, False),
    (x * (x**2 + 1) / (x**2 + 1), x, True),
    (1 / (x - 1) - 1 / (x + 1), 2 / (x**2 - 1), True),
    ((z**2 - 1) / (z - 1), z + 1, "wherever"),
    (sqrt(exp(2 * z)), exp(z), None),
    (sqrt(exp(z)), exp(z / 2), None),
    (sqrt(sigma(z) ** 2), sigma(z), None),
    (sqrt(exp(2 * x)), exp(x), True),
    (sqrt(sigma(x) ** 2), sigma(x), True),
    (1 / (1 + exp(-z)), sigma(z), True),
    (sigma(-z), 1 - sigma(z), True),
    (tanh(Integer(10) ** 30), Integer(1), None),
    (sigma(Integer(10) ** 9), Integer(1), None),
    (sigma(Integer(10) ** 10), Integer(1), None),
    (sigma(Integer(100)), Integer(1), False),
    (sp.gamma(x), sp.factorial(x), None),
]

SYMMETRY = [
    (log(x + sqrt(x**2 + 1)), REFUSED, REFUSED),
    ((sigma(x) - Rational(1, 2)) * Abs(x) / (x**2 + a), REFUSED, REFUSED),
    (tanh(x), "odd", True),
    (x + x**3 + 1, None, False),
    (x / (1 + Abs(x)) - x + 1, None, False),
    (x * sin(x), "even", False),
]


def agree(found, expected):
    """Whether two formulas, or two sets or pairs of them, are the same."""
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(map(agree, found, expected))
    if isinstance(expected, AccumBounds):
        return isinstance(found, AccumBounds) and agree(found.args, expected.args)
    return found == expected or sp.simplify(found - sp.sympify(expected)) == 0


@pytest.mark.parametrize(("formula", "expected"), LIMITS, ids=lambda v: str(v)[:60])
def test_limits(formula, expected):
    found = told("limits", formula, x)
    assert found == expected or (expected is not REFUSED and agree(found, expected))


@pytest.mark.parametrize(("formula", "expected"), SATURATION, ids=lambda v: str(v)[:60])
def test_saturation_at_infinity(formula, expected):
    found = told("saturation", formula, x)
    if expected is REFUSED:
        assert found is REFUSED
    else:
        assert found[1].saturates == expected[0]
        assert found[1].rate == expected[1] or agree(found[1].rate, expected[1])


@pytest.mark.parametrize(("formula", "expected"), RANGES, ids=lambda v: str(v)[:60])
def test_ranges(formula, expected):
    assert told("value_range", formula, x) == expected


@pytest.mark.parametrize(("formula", "n", "expected"), TAYLOR, ids=lambda v: str(v)[:60])
def test_taylor(formula, n, expected):
    found = told("taylor", formula, x, n)
    if expected in (WRONG, REFUSED) or isinstance(expected, tuple):
        assert found is expected or found in expected
    else:
        assert agree(found, expected)


@pytest.mark.parametrize(("formula", "expected"), SMOOTHNESS, ids=lambda v: str(v)[:60])
def test_smoothness(formula, expected):
    assert told("smoothness", formula, x) == expected


@pytest.mark.parametrize(("formula", "expected"), CRITICAL, ids=lambda v: str(v)[:60])
def test_critical_points(formula, expected):
    assert told("critical_points", formula, x) == expected


def test_a_parameter_that_is_0_for_many_values_is_no_number_that_is_not_0():
    assert told("zeros", sp.Max(a, 0), x) is REFUSED
    assert told("zeros", a, x) == []


@pytest.mark.parametrize(("formula", "orders"), KINKS, ids=lambda v: str(v)[:60])
def test_kinks(formula, orders):
    found = told("kinks", formula, x)
    assert found is orders or [kink.order for kink in found] == orders


@pytest.mark.parametrize(("left", "right", "holds"), EQUALITY, ids=lambda v: str(v)[:40])
def test_equality(left, right, holds):
    assert compared(left, right) == holds
    how = told("equality_of", left, right).how
    assert "differ at x = -" not in how  # where one of them has no value, no point shows anything


@pytest.mark.parametrize(("formula", "parity", "centred"), SYMMETRY, ids=lambda v: str(v)[:40])
def test_symmetry_that_is_not_decided_is_refused(formula, parity, centred):
    assert told("parity", formula, x) == parity
    assert told("zero_centred", formula, x) == centred


@pytest.mark.parametrize(
    ("formula", "constant"), [(1 / (x**2 + k), 3 * sqrt(3) / (8 * k ** Rational(3, 2))), (log(k + x**2), 1 / sqrt(k))]
)
def test_slopes_with_parameters(formula, constant):
    found = told("lipschitz", formula, x)
    assert found.reached
    assert sp.simplify(found.value - constant) == 0


def test_asymptote_with_a_parameter():
    assert told("asymptotes", x * sigma(k * x) + a, x) == (a, x + a)
    assert told("asymptotes", k * softplus(x) + cos(x) / x * (1 - exp(-(x**2))), x) in (WRONG, REFUSED, (0, k * x))


def test_zeros_of_a_polynomial_of_high_degree():
    found = told("zeros", x**20000 - x - 1, x)
    assert [round(float(zero), 6) for zero in found] == [-0.999608, 1.000035]


# Whatever breaks


@pytest.mark.parametrize(
    "error",
    [OverflowError(), RecursionError(), ZeroDivisionError("0"), TypeError("no"), ValueError("odd"), KeyError(1)],
)
def test_what_breaks_is_a_refusal(error):
    @deadline.timed
    def broken(formula):  # noqa: ARG001
        raise error

    with pytest.raises(analysis.NoMethodError, match="no method: on the way to the answer"):
        broken(x)
    with pytest.raises(TypeError, match="argument"):
        broken()


@pytest.mark.parametrize(
    ("question", "args"),
    [
        ("limits", ("x", x)),
        ("limits", (x, k)),
        ("limits", (sp.gamma(x), x)),
        ("limits", (x + sp.oo, x)),
        ("taylor", (x, x, -1)),
        ("certificate", (x, x, -1)),
        ("value_range", (1 / x, x)),
        ("value_range", (log(x), x)),
        ("value_range", (Piecewise((1, x > 0)), x)),
    ],
)
def test_a_wrong_argument_is_named(question, args):
    assert told(question, *args) is WRONG


@pytest.mark.parametrize(
    "formula",
    [exp(exp(exp(5))) * x, x * Rational(1, 10**6000) + tanh(x), sigma(x) ** 10**9, x**10**6, x * Integer(10) ** 5000],
    ids=["tower", "small", "power", "degree", "large"],
)
@pytest.mark.parametrize("question", ["limits", "value_range", "extrema", "lipschitz", "saturation"])
def test_huge_numbers_end_in_time(question, formula):
    found = told(question, formula, x)
    if question == "limits":
        assert found is REFUSED or found == (-oo, oo)


def test_functions_of_limits():
    assert told("limits", atan(x**3) + Phi(-x), x) == (1 - pi / 2, pi / 2)
