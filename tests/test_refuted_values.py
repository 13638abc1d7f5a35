"""Where a formula has a value, and what its jumps are: once told wrongly, now right or refused."""

import pytest
import sympy as sp
from formulas import REFUSED, compared, told
from sympy import Abs, Eq, Heaviside, Integer, Max, Piecewise, Rational, Symbol, cos, exp, log, sin, sqrt, tanh

from actlib.formula import analysis

x = Symbol("x", real=True)
a = Symbol("a", real=True)
R = Rational
p = x**5 - x - 1


# Parts without value, in a case that is 0

ABSENT = [
    Abs(x) / x,
    sp.sign(x) / x,
    Heaviside(x) / (x + 1),
    Max(x, 0) / (x + 1),
    (x + 1) ** 2 * Max(x, 0) / (x**2 + 2 * x + 1),
    Max(x, 0) * log(x),
    Heaviside(x, 0) * sqrt(x),
    Abs(x) * sin(1 / x),
    1 / Max(x, 0),
    Max(p, 0) / p,
    Abs(p) / p,
    Piecewise((1, Max(x, 0) / x >= 0), (0, True)),
    x + Heaviside(sin(x)) / sin(x + R(1, 7)),
]


@pytest.mark.parametrize("formula", ABSENT, ids=str)
@pytest.mark.parametrize("question", ["value_range", "smoothness", "summary"])
def test_a_formula_without_value_somewhere_is_a_wrong_argument(question, formula):
    with pytest.raises(analysis.refusals.ArgumentError, match="value"):
        getattr(analysis, question)(formula, x)


@pytest.mark.parametrize(
    "formula", [log(a) + x, sqrt(a) * x, a**x, x / Max(a, 0), sp.acos(a) + x, sp.gamma(a) * x], ids=str
)
@pytest.mark.parametrize("question", ["value_range", "lipschitz", "smoothness"])
def test_parameters_for_which_there_is_no_value_are_refused(question, formula):
    assert told(question, formula, x) is REFUSED


PRESENCE = [
    (Abs(x) / x, sp.sign(x), False),
    (Max(x, 0) / x, Heaviside(x, 0), False),
    ((x + 1) ** 2 * Max(x, 0) / (x**2 + 2 * x + 1), Max(x, 0), False),
    (x / Abs(x), Abs(x) / x, True),
    (x / (1 + Abs(x)) + 1, x / (1 + Abs(x)), False),
    (p / Abs(p), Abs(p) / p, True),
    (Max(x, 0) * log(x), Piecewise((x * log(x), x > 0), (0, True)), False),
    (Max(p, 0) / p, Heaviside(p, 0), False),
    (sp.coth(x) * tanh(x), Integer(1), "wherever"),
    (sp.csch(x) * sp.sinh(x), Integer(1), "wherever"),
    (sp.sec(x) * cos(x), Integer(1), "wherever"),
    (sp.tan(x) * cos(x), sin(x), "wherever"),
    (sp.tan(x) * sp.cot(x), Integer(1), "wherever"),
    (sp.sec(x) ** 2 - sp.tan(x) ** 2, Integer(1), "wherever"),
    (x * sp.gamma(x), sp.gamma(x + 1), "wherever"),
    (sp.factorial(x + 1), (x + 1) * sp.factorial(x), "wherever"),
    (tanh(x) * sp.coth(x) * Max(0, x), Max(0, x), "wherever"),
    (tanh(Symbol("z")) * sp.cosh(Symbol("z")), sp.sinh(Symbol("z")), "wherever"),
]


@pytest.mark.parametrize(("one", "other", "holds"), PRESENCE, ids=str)
def test_equal_formulas_have_values_at_the_same_places(one, other, holds):
    assert compared(one, other) == holds


# Values of one name, and jumps

HILL = x**2 * exp(-(x**4) / 4 + x / 5)


@pytest.mark.parametrize(
    ("taller", "expected"),
    [
        (R(1, 10**900), REFUSED),
        (R(1, 10**700), "maximum ≈ 1.83076, reached at ≈ -1.63687"),
        (0, "maximum ≈ 1.83076, reached at ≈ -1.63687 and at ≈ 1.63687"),
    ],
    ids=["not told apart", "told apart", "mirrored"],
)
def test_two_slopes_are_one_only_if_that_is_proved(taller, expected):
    formula = Piecewise((-(1 + taller) * HILL.subs(x, -x), x < 0), (HILL, True))
    found = told("lipschitz", formula, x)
    assert found is expected or str(found) == expected


UPWARDS = "supremum oo, not reached, approached at 0"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (Piecewise((0, x < 0), (5, Eq(x, 0)), (-3, True)), UPWARDS),
        (Piecewise((5, Eq(x, 0)), (0, True)), UPWARDS),
        (Piecewise((-5, Eq(x, 0)), (0, True)), UPWARDS),
        (Heaviside(x), UPWARDS),
        (-Heaviside(x), "maximum 0, reached on Interval.open(-oo, 0) and on Interval.open(0, oo)"),
        (x + sp.sign(sin(x)), "supremum oo, not reached, approached at 2*pi*n, for every integer n"),
    ],
    ids=str,
)
def test_a_jump_up_to_the_value_or_from_it_is_an_infinite_slope(formula, expected):
    assert str(told("largest_slope", formula, x)) == expected


def test_jumps_do_not_count_for_the_slope_towards_infinity():
    assert [(s.slope, s.saturates) for s in told("saturation", x + sp.sign(sin(x)), x)] == [(1, False)] * 2
