"""Formulas of which something false was once said: now it is right, or refused."""

import mpmath
import pytest
import sympy as sp
from formulas import REFUSED, compared, told
from mpmath import mp
from sympy import (
    Abs,
    Eq,
    Heaviside,
    Integer,
    Interval,
    Max,
    Min,
    Ne,
    Piecewise,
    Rational,
    Symbol,
    cos,
    exp,
    log,
    oo,
    pi,
    sin,
    sqrt,
    tanh,
)

from actlib.formula import analysis, primitives
from actlib.formula.analysis import closed_forms, numbers, places
from actlib.formula.analysis.constants import compare
from actlib.formula.analysis.limits import value

x = Symbol("x", real=True)
R = Rational
p = x**5 - x - 1
q = x**5 - 3 * x + 1
s = sin(pi * (x + R(1, 7)))
TINY = R(1, 10**70)

with mp.workdps(150):
    ROOT = mpmath.findroot(lambda t: t**5 - t - 1, 1.167)
    DIP = ROOT**6 / 6 - ROOT**2 / 2 - ROOT


def shown(question, formula):
    """What is told of a formula, as a text: numbers to six digits."""
    found = told(question, formula, x)
    return found if found is REFUSED else str(analysis.results.short(sp.sympify(found)))


def lifted(digits, up):
    """p's integral, lifted by so many digits of its depth, so that its minimum is next to 0; and the true minimum."""
    with mp.workdps(150):
        lift = int(mpmath.floor(-DIP * mpmath.mpf(10) ** digits)) + up
        return x**6 / 6 - x**2 / 2 - x + R(lift, 10**digits), DIP + mpmath.mpf(lift) / mpmath.mpf(10) ** digits


# Places without closed form

SMOOTHNESS = {
    "exp": (exp(Max(p, 0)), 0),
    "tanh": (tanh(Max(p, 0)), 0),
    "primitive": (primitives.tanh(Max(p, 0)), 0),
    "cosine": (exp(-Abs(cos(x) - x)), 0),
    "log": (log(1 + Max(p, 0)), 0),
    "cubic": (tanh(Max(x**3 - x - 1, 0)), 0),
    "once": (exp(Max(p, 0) ** 2), 1),
    "cubed": (Abs(p) ** 3, 2),
    "even": (cos(Abs(p)), oo),
    "never both": (Max(p, 0) * Max(-p, 0), oo),
    "isolated value": (Piecewise((5, Eq(p, 0)), (0, True)), -1),
    "isolated value of a cosine": (Piecewise((5, Eq(cos(x) - x, 0)), (0, True)), -1),
    "tiny jump": (Piecewise((x, p < 0), (x + TINY, True)), -1),
    "root": (sqrt(x**4 + x**2), 0),
    "root of sines": (sqrt(x**2 + sin(x) ** 2), 0),
    "third power of a root": ((x**2 + x**4) ** R(3, 2), 2),
    "fourth root": ((x**4 + x**2) ** R(1, 4), 0),
    "root of an even power": (sqrt(x**6 + x**4), oo),
    "periodic root": (sqrt(sin(x) ** 4 + sin(x) ** 2), 0),
    "root that is never 0": (sqrt(sin(x) ** 2 + cos(x) ** 4), oo),
    "pole at a place": (Piecewise((1 / p, p > 0), (0, True)), REFUSED),
    "flat at a place": (Piecewise((exp(-1 / p), p > 0), (0, True)), REFUSED),
    "quotient at a place": (Piecewise((sin(p) / p, Ne(p, 0)), (1, True)), REFUSED),
}


@pytest.mark.parametrize("name", SMOOTHNESS)
def test_smoothness(name):
    formula, order = SMOOTHNESS[name]
    assert told("smoothness", formula, x) == order


RANGES = {
    "tanh": (tanh(Max(p, 0)), "Interval.Ropen(0, 1)"),
    "absolute": (Abs(exp(cos(x) - x) - 1), "Interval(0, oo)"),
    "isolated value": (Piecewise((5, Eq(p, 0)), (0, True)), "Interval(0, 5)"),
    "isolated value of a cosine": (Piecewise((5, Eq(cos(x) - x, 0)), (0, True)), "Interval(0, 5)"),
    "step": (Heaviside(p, 7), "Interval(0, 7)"),
    "not attained": (Piecewise((x - 5, p >= 0), (-x - 9, True)), "Interval.open(-10.1673, oo)"),
    "attained": (Piecewise((x - 5, p > 0), (-x - 9, True)), "Interval(-10.1673, oo)"),
    "near 1": (1 - exp(-200) / (1 + q**2), "Interval.Ropen(1 - exp(-200), 1)"),
    "never below": (Max(p, TINY), f"Interval({TINY}, oo)"),
    "half": (primitives.Phi(Max(p, 0)) - R(1, 2), "Interval.Ropen(0, 1/2)"),
    "peak far out": (Max(0, 1 - Abs(x + 30)) + sin(x) / (1 + x**2), "Interval(-0.437414, 1 - sin(30)/901)"),
    "peak farther out": (sin(x) / (1 + x**2) + 5 * Max(0, 1 - Abs(x - 100)), "Interval(-0.437414, sin(100)/10001 + 5)"),
    "plateau far out": (
        Piecewise((sin(x) * exp(-(x**2)), x < 20), (3, x < 30), (0, True)),
        "Interval(-0.396653, 3)",
    ),
    "narrow plateau": (
        Piecewise((sin(x) * exp(-(x**2)), x < 64), (3, x < 64 + R(1, 10**9)), (0, True)),
        "Interval(-0.396653, 3)",
    ),
    "peak too far out": (sin(x) / (1 + x**2) + 5 * Max(0, 1 - Abs(x - 10**5)), REFUSED),
    "ends of a period": (
        Piecewise((sin(pi * (x + R(1, 7)) + pi / 2 + R(1, 10)), s > 0), (s / 3, True)),
        "Interval.Ropen(-1, cos(1/10))",
    ),
    "periodic root": (sqrt(sin(x) ** 4 + sin(x) ** 2), "Interval(0, sqrt(2))"),
    "touching one that is open": (
        Min(Piecewise((x, p < 0), (-x, True)), Piecewise((x, p < 0), (x - TINY, True))),
        "Interval.open(-oo, 1.16730)",
    ),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges(name):
    formula, wanted = RANGES[name]
    assert shown("value_range", formula) == wanted


@pytest.mark.parametrize(
    "formula", [1 - exp(-130) * (1 + p**2) * exp(-(x**2)), 1 - exp(-200) * exp(-sp.cosh(x) - x / 3)]
)
def test_what_is_next_to_constant_is_not_constant(formula, monkeypatch):
    monkeypatch.setattr(closed_forms, "PATIENCE_FOR_NUMBERS", 15)  # on a machine that is busy, too
    found = told("value_range", formula, x)
    assert isinstance(found, Interval)
    assert found.end == 1
    assert found.right_open
    assert compare(found.start, Integer(1)) == -1


@pytest.mark.parametrize(("digits", "up"), [(40, 0), (60, 1), (60, 0), (62, 0), (62, 1), (90, 0), (90, 1)])
def test_minima_next_to_0_have_the_digits_shown(digits, up):
    formula, true = lifted(digits, up)
    (found,) = told("extrema", formula, x)
    with mp.workdps(150):
        assert abs(mpmath.mpf(found.value) / true - 1) < mpmath.mpf(10) ** -48
    assert told("value_range", formula, x).start == found.value
    zeros = told("zeros", formula, x)
    assert zeros is REFUSED or len(zeros) == (2 if true < 0 else 0)


ZEROS = {
    "sign": (sign_p := sp.sign(p), ["1.16730"]),
    "half line": (Max(p, 0), ["Interval.open(-oo, 1.16730)", "1.16730"]),
    "absolute": (Abs(p), ["1.16730"]),
    "cosine": (Abs(x - cos(x)), ["0.739085"]),
    "exponential": (exp(p) - 1, ["1.16730"]),
    "hyperbolic": (p * tanh(p), ["1.16730"]),
    "arctangent": (sp.atan(p) * sp.erf(p), ["1.16730"]),
    "half line of a product": (Max(p, 0) * sp.atan(p), ["Interval.open(-oo, 1.16730)", "1.16730"]),
    "next to each other": (p * (p + TINY), ["1.16730", "1.16730"]),
    "start of a period": (sin(x + R(1, 7)), ["2*pi*n - 1/7 + pi", "2*pi*n - 1/7 + 2*pi"]),
    "start of a rational period": (s, ["2*n + 6/7", "2*n + 13/7"]),
}


@pytest.mark.parametrize("name", ZEROS)
def test_zeros(name):
    formula, wanted = ZEROS[name]
    assert [str(analysis.results.short(zero)) for zero in told("zeros", formula, x)] == wanted


def test_zeros_next_to_each_other_are_told_apart():
    near = p * (p + TINY)
    low, high = told("zeros", near, x)
    assert low < high
    formula = sp.integrate(sp.expand(near), x)
    assert [(e.kind, e.x) for e in told("extrema", formula, x)] == [("maximum", low), ("minimum", high)]
    intervals = told("monotone_intervals", formula, x)
    assert [rises for _, rises in intervals] == [1, -1, 1]
    assert intervals[1][0] == Interval(low, high)
    kinks = told("kinks", Max(p, 0) + Max(p + TINY, 0), x)
    assert len(kinks) == 2
    assert kinks[0].x < kinks[1].x


OTHERS = {
    "step up": ("extrema", Piecewise((x, p < 0), (x + 3, True)), "[]"),
    "square": (
        "extrema",
        tanh(q) ** 2,
        "minimum 0 at ≈ -1.38879, maximum tanh(1 + 12*3**(1/4)*5**(3/4)/25)**2 at -3**(1/4)*5**(3/4)/5, minimum 0 at ≈ "
        "0.334734, maximum tanh(-12*3**(1/4)*5**(3/4)/25 + 1)**2 at 3**(1/4)*5**(3/4)/5, minimum 0 at ≈ 1.21465",
    ),
    "isolated value": ("kinks", Piecewise((5, Eq(p, 0)), (0, True)), "at ≈ 1.16730: the value jumps by 0"),
    "finite": ("lipschitz", tanh(Max(p, 0)), "maximum ≈ 8.68878, reached at ≈ 1.19133"),
    "inflections": ("inflections", sin(x + R(1, 7)), "(2*pi*n - 1/7 + pi, 0), (2*pi*n - 1/7 + 2*pi, 0)"),
    "inflections that drift": (
        "inflections",
        x + 2 * sin(x + R(1, 7)),
        "(2*pi*n - 1/7 + pi, 2*pi*n - 1/7 + pi), (2*pi*n - 1/7 + 2*pi, 2*pi*n - 1/7 + 2*pi)",
    ),
    "steepest": (
        "lipschitz",
        sin(x + R(1, 7)),
        "maximum 1, reached at 2*pi*n - 1/7 + 2*pi, for every integer n and at 2*pi*n - 1/7 + pi, for every integer n",
    ),
    "largest slope": (
        "largest_slope",
        sin(x + R(1, 7)),
        "maximum 1, reached at 2*pi*n - 1/7 + 2*pi, for every integer n",
    ),
    "jumps where the period began": (
        "kinks",
        Piecewise((2 + sin(2 * pi * x) / 4, s >= 0), (-sin(2 * pi * x) / 5, True)),
        "at 2*n + 13/7, for every integer n: the value jumps by 2 - 9*sin(2*pi/7)/20, the slope by "
        "9*pi*cos(2*pi/7)/10, at 2*n + 6/7, for every integer n: the value jumps by -2 + 9*sin(2*pi/7)/20, the slope "
        "by -9*pi*cos(2*pi/7)/10",
    ),
    "kinks where the period began": (
        "kinks",
        Piecewise((sin(pi * x), s >= 0), (sin(pi * x) + s, True)),
        "at 2*n + 13/7, for every integer n: the slope jumps by -pi, at 2*n + 6/7, for every integer n: the slope "
        "jumps by -pi",
    ),
    "flat everywhere": ("value_range", Heaviside(sin(x + R(1, 7)), 7), REFUSED),
    "straight": (
        "lipschitz",
        x + sp.sign(sin(x)),
        "supremum oo, not reached, approached at 2*pi*n, for every integer n and at 2*pi*n + pi, for every integer n",
    ),
    "steep far out": (
        "largest_slope",
        sin(x) / (1 + x**2) + 5 * Max(0, 1 - Abs(x - 100)),
        "supremum -200*sin(100)/100020001 + cos(100)/10001 + 5, not reached, approached at 100",
    ),
    "jumps far out": (
        "lipschitz",
        Piecewise((sin(x) * exp(-(x**2)), x < 20), (3, x < 30), (0, True)),
        "supremum oo, not reached, approached at 20 and at 30",
    ),
    "kink of a root": ("critical_points", sqrt(x**4 + x**2), "[]"),
    "slope of a root": ("largest_slope", sqrt(x**2 + sin(x) ** 2), "supremum sqrt(2), not reached, approached at 0"),
    "cusp": ("lipschitz", (x**4 + x**2) ** R(1, 4), "supremum oo, not reached, approached at 0"),
    "third derivative": ("kinks", (x**4 + x**2) ** R(3, 2), "at 0: the third derivative jumps"),
    "parameters at a place": ("smoothness", Symbol("a", positive=True) * Max(p, 0), REFUSED),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_questions(name):
    question, formula, wanted = OTHERS[name]
    found = told(question, formula, x)
    text = ", ".join(map(str, found)) or "[]" if isinstance(found, list) else str(found)
    assert wanted in (found, text)


def test_jumps_are_ends_of_monotone_intervals():
    found = told("monotone_intervals", Piecewise((2 + sin(2 * pi * x) / 4, s >= 0), (-sin(2 * pi * x) / 5, True)), x)
    n = analysis.stretches.N
    jumps = {2 * n + R(6, 7), 2 * n + R(13, 7)}
    assert jumps == {end for i, _ in found for end in (i.start, i.end) if end in jumps}


@pytest.mark.parametrize("question", ["limits", "kinks", "smoothness", "lipschitz"])
def test_a_power_without_value_at_0_is_none(question):
    with pytest.raises(ValueError, match="has the value zoo at 0"):
        getattr(analysis, question)((x**4 + x**2) ** (x - 1), x)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Piecewise((1, Eq(p, 0)), (0, True)), Integer(0)),
        (sign_p**2, Integer(1)),
        (Heaviside(p), Heaviside(p) ** 2),
        (Piecewise((1, p >= 0), (0, True)), Piecewise((1, p > 0), (0, True))),
        (Piecewise((1, Eq(cos(x) - x, 0)), (0, True)), Integer(0)),
    ],
)
def test_cases_that_differ_at_one_place_are_not_equal(one, other):
    assert compared(one, other) is not True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Abs(p), sign_p * p),
        (Max(p, 0), p * Heaviside(p, 7)),
        (tanh(Max(p, 0)), tanh(p) * Heaviside(p)),
        (sqrt(x**4 + x**2), Abs(x) * sqrt(x**2 + 1)),
    ],
)
def test_cases_that_are_0_where_they_meet_are_equal(one, other):
    assert compared(one, other) is True


# Names


def test_a_name_is_as_narrow_as_is_asked():
    (zero,) = told("zeros", p, x)
    for bits in (100, 300, 1000):
        with numbers.backend.precision(bits), mp.workprec(2 * bits):
            low, high = (mpmath.mpf(e.p) / e.q for e in places.ZEROS[zero]().rationals())
            true = mpmath.findroot(lambda t: t**5 - t - 1, 1.167)
            assert low <= true <= high
            assert high - low < mpmath.ldexp(1, 2 - bits)


@pytest.mark.parametrize("exact", [sp.root(2, 3), Integer(1)])
def test_a_name_is_on_the_right_side_of_an_exact_zero(exact):
    near = (x**3 - exact**3) * (x**3 - exact**3 + exp(-(x**2)) / 10**68)
    low, high = told("zeros", near, x)
    assert high == exact
    assert compare(R(low), exact) == -1


def test_a_place_has_one_name():
    names = {told("zeros", f, x)[0] for f in (p, tanh(p), -p, exp(p) - 1, sp.atan(3 * p), sp.erf(p), p.subs(x, -x))}
    assert len(names) == 2
    assert sum(names) == 0


def test_values_next_to_each_other_have_names_of_their_own():
    sums = (primitives.sigma(p + x) + e for e in (0, TINY))
    (zero,) = told("zeros", p, x)
    first, second = (value(f, x, zero) for f in sums)
    assert first != second
    assert compare(first, second) == -1


@pytest.mark.parametrize("backend", numbers.BACKENDS)
def test_either_kind_of_numbers_finds_the_same(backend, monkeypatch):
    monkeypatch.setattr(numbers, "backend", backend())
    formula = x**7 - x - R(3, 2)
    assert told("smoothness", tanh(Max(formula, 0)), x) == 0
    assert [str(z.n(6)) for z in told("zeros", Abs(formula), x)] == ["1.14934"]
