"""What is known of the functions from mathematics, against what `actlib.formula.analysis` finds."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import mpmath
import pytest
import sympy as sp
from mpmath import mp
from sympy import (
    Abs,
    Eq,
    FiniteSet,
    Float,
    Function,
    Heaviside,
    I,
    Integer,
    Interval,
    LambertW,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    exp,
    log,
    oo,
    pi,
    sin,
    sqrt,
)

from actlib.formula import analysis
from actlib.formula.analysis import Bound, Extremum, Kink, Point, Saturation, equal
from actlib.formula.primitives import Phi, derivative, elementary, expm1, phi, sigma, softplus, tanh

x = Symbol("x", real=True)
alpha, beta = sp.symbols("alpha beta", positive=True)
W = LambertW(exp(-1))
CUBIC = 2 * sqrt(2 / pi) * (x + Rational(44715, 10**6) * x**3)

FORMULAS = {
    "sigmoid": sigma(x),
    "tanh": tanh(x),
    "relu": Piecewise((x, x > 0), (0, True)),
    "leaky_relu": Piecewise((x, x > 0), (x / 100, True)),
    "elu": Piecewise((x, x > 0), (expm1(x), True)),
    "elu_2": Piecewise((x, x > 0), (2 * expm1(x), True)),
    "swish": x * sigma(x),
    "gelu": x * Phi(x),
    "gelu_tanh": x * sigma(CUBIC),
    "gelu_sigmoid": x * sigma(Rational(1702, 1000) * x),
    "softplus": softplus(x),
    "mish": x * tanh(softplus(x)),
    "softsign": x / (1 + Abs(x)),
    "relu6": Min(Max(x, 0), 6),
    "hard_swish": Piecewise((0, x <= -3), (x, x >= 3), (x * (x + 3) / 6, True)),
    "constant": Integer(3),
    "squared_relu": Max(x, 0) ** 2,
    "unsolvable": sin(x) * exp(-(x**2)) + x,
    "sine": sin(x),
    "step": Heaviside(x),
    "schoolbook_tanh": (exp(x) - exp(-x)) / (exp(x) + exp(-x)),
}

LIMITS = {
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, oo),
    "leaky_relu": (-oo, oo),
    "elu": (-1, oo),
    "elu_2": (-2, oo),
    "swish": (0, oo),
    "gelu": (0, oo),
    "gelu_tanh": (0, oo),
    "gelu_sigmoid": (0, oo),
    "softplus": (0, oo),
    "mish": (0, oo),
    "softsign": (-1, 1),
    "relu6": (0, 6),
    "hard_swish": (0, oo),
    "constant": (3, 3),
    "squared_relu": (0, oo),
    "unsolvable": (-oo, oo),
    "sine": (sp.AccumBounds(-1, 1), sp.AccumBounds(-1, 1)),
    "step": (0, 1),
}

ASYMPTOTES = {
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, x),
    "leaky_relu": (x / 100, x),
    "elu": (-1, x),
    "swish": (0, x),
    "gelu": (0, x),
    "gelu_tanh": (0, x),
    "softplus": (0, x),
    "mish": (0, x),
    "squared_relu": (0, None),
    "unsolvable": (x, x),
    "sine": (None, None),
}

RANGES = {
    "sigmoid": Interval.open(0, 1),
    "tanh": Interval.open(-1, 1),
    "relu": Interval(0, oo),
    "leaky_relu": Interval(-oo, oo),
    "elu": Interval.open(-1, oo),
    "elu_2": Interval.open(-2, oo),
    "swish": Interval(-W, oo),
    "gelu_sigmoid": Interval(-W * Rational(500, 851), oo),
    "softplus": Interval.open(0, oo),
    "softsign": Interval.open(-1, 1),
    "relu6": Interval(0, 6),
    "hard_swish": Interval(Rational(-3, 8), oo),
    "constant": FiniteSet(3),
    "squared_relu": Interval(0, oo),
    "unsolvable": Interval(-oo, oo),
    "sine": Interval(-1, 1),
    "step": Interval(0, 1),
    "schoolbook_tanh": Interval.open(-1, 1),
}

MONOTONE = {
    "sigmoid": [(Interval(-oo, oo), 1)],
    "tanh": [(Interval(-oo, oo), 1)],
    "relu": [(Interval(-oo, 0), 0), (Interval(0, oo), 1)],
    "leaky_relu": [(Interval(-oo, oo), 1)],
    "elu": [(Interval(-oo, oo), 1)],
    "swish": [(Interval(-oo, -1 - W), -1), (Interval(-1 - W, oo), 1)],
    "softplus": [(Interval(-oo, oo), 1)],
    "relu6": [(Interval(-oo, 0), 0), (Interval(0, 6), 1), (Interval(6, oo), 0)],
    "hard_swish": [
        (Interval(-oo, -3), 0),
        (Interval(-3, Rational(-3, 2)), -1),
        (Interval(Rational(-3, 2), oo), 1),
    ],
    "constant": [(Interval(-oo, oo), 0)],
    "squared_relu": [(Interval(-oo, 0), 0), (Interval(0, oo), 1)],
    "unsolvable": [(Interval(-oo, oo), 1)],
    "step": [(Interval.open(-oo, 0), 0), (Interval.open(0, oo), 0)],
}

EXACT_INFLECTIONS = {
    "sigmoid": [Point(Integer(0), Rational(1, 2))],
    "tanh": [Point(Integer(0), Integer(0))],
    "relu": [],
    "leaky_relu": [],
    "elu": [],
    "gelu": [Point(-sqrt(2), -sqrt(2) * Phi(-sqrt(2))), Point(sqrt(2), sqrt(2) * Phi(sqrt(2)))],
    "softplus": [],
    "softsign": [Point(Integer(0), Integer(0))],
    "hard_swish": [],
    "constant": [],
}

# Largest slope: value, where, whether it is reached; and the Lipschitz constant.
SLOPES = {
    "sigmoid": (Rational(1, 4), (0,), True, Rational(1, 4)),
    "tanh": (1, (0,), True, 1),
    "relu": (1, (Interval.open(0, oo),), True, 1),
    "leaky_relu": (1, (Interval.open(0, oo),), True, 1),
    "elu": (1, (Interval.open(0, oo),), True, 1),
    "elu_2": (2, (0,), False, 2),
    "gelu": (Phi(sqrt(2)) + sqrt(2) * phi(sqrt(2)), (sqrt(2),), True, Phi(sqrt(2)) + sqrt(2) * phi(sqrt(2))),
    "softplus": (1, (oo,), False, 1),
    "softsign": (1, (0,), True, 1),
    "relu6": (1, (Interval.open(0, 6),), True, 1),
    "hard_swish": (Rational(3, 2), (3,), False, Rational(3, 2)),
    "constant": (0, (Interval(-oo, oo),), True, 0),
    "squared_relu": (oo, (oo,), False, oo),
    "unsolvable": (2, (0,), True, 2),
    "step": (oo, (0,), False, oo),
}

SMOOTHNESS = {
    "sigmoid": oo,
    "tanh": oo,
    "relu": 0,
    "leaky_relu": 0,
    "elu": 1,
    "elu_2": 0,
    "swish": oo,
    "softsign": 1,
    "relu6": 0,
    "hard_swish": 0,
    "squared_relu": 1,
    "step": -1,
}

PARITY = {
    "sigmoid": None,
    "tanh": "odd",
    "relu": None,
    "swish": None,
    "gelu": None,
    "softsign": "odd",
    "constant": "even",
    "unsolvable": "odd",
    "schoolbook_tanh": "odd",
}

RATES = {
    "sigmoid": (exp(x), exp(-x)),
    "tanh": (4 * exp(2 * x), 4 * exp(-2 * x)),
    "relu": (0, None),
    "leaky_relu": (None, None),
    "elu": (exp(x), None),
    "swish": (x * exp(x), None),
    "gelu": (x * exp(-(x**2) / 2) / sqrt(2 * pi), None),
    "gelu_tanh": (6 * sqrt(2 / pi) * Rational(44715, 10**6) * x**3 * exp(CUBIC), None),
    "softplus": (exp(x), None),
    "mish": (x * exp(x), None),
    "softsign": (x**-2, x**-2),
    "relu6": (0, 0),
}

# Minima known from the literature, to the digits given: place and value.
NUMERIC_MINIMA = {
    "gelu": ("-0.7517915246935645", "-0.16997120747990366"),
    "gelu_tanh": ("-0.752461", "-0.170041"),
    "mish": ("-1.19243", "-0.308843"),
}


def facts(table):
    return pytest.mark.parametrize(("name", "expected"), table.items(), ids=table)


def near(got, expected):
    digits = len(expected.split(".")[1])
    return abs(sp.N(got, 40) - Float(expected, 40)) < Float(10) ** -digits


@facts(LIMITS)
def test_limits(name, expected):
    assert analysis.limits(FORMULAS[name], x) == expected


@facts(ASYMPTOTES)
def test_asymptotes(name, expected):
    assert analysis.asymptotes(FORMULAS[name], x) == expected


@facts(RANGES)
def test_range_and_whether_its_ends_are_attained(name, expected):
    assert analysis.value_range(FORMULAS[name], x) == expected


@facts(MONOTONE)
def test_monotone_intervals(name, expected):
    assert analysis.monotone_intervals(FORMULAS[name], x) == expected


@facts(EXACT_INFLECTIONS)
def test_inflections(name, expected):
    assert analysis.inflections(FORMULAS[name], x) == expected


@facts(SLOPES)
def test_largest_slope_and_lipschitz_constant(name, expected):
    value, at, reached, constant = expected
    bound = analysis.largest_slope(FORMULAS[name], x)
    assert (bound.value, bound.at, bound.reached, bound.exact) == (value, at, reached, True)
    assert analysis.lipschitz(FORMULAS[name], x).value == constant


@facts(SMOOTHNESS)
def test_smoothness(name, expected):
    assert analysis.smoothness(FORMULAS[name], x) == expected


@facts(PARITY)
def test_parity(name, expected):
    assert analysis.parity(FORMULAS[name], x) == expected
    assert analysis.zero_centred(FORMULAS[name], x) == (expected == "odd")


@facts(RATES)
def test_saturation_and_its_rate(name, expected):
    found = analysis.saturation(FORMULAS[name], x)
    for end, rate in zip(found, expected, strict=True):
        assert end.saturates == (end.slope == 0) == (rate is not None)
        assert rate is None or equal(end.rate, rate)


def test_minimum_of_swish_is_exact():
    (minimum,) = analysis.extrema(FORMULAS["swish"], x)
    assert (minimum.x, minimum.value, minimum.kind, minimum.exact) == (-1 - W, -W, "minimum", True)


def test_minimum_of_hard_swish_is_exact():
    (minimum,) = analysis.extrema(FORMULAS["hard_swish"], x)
    assert (minimum.x, minimum.value, minimum.kind) == (Rational(-3, 2), Rational(-3, 8), "minimum")


@facts(NUMERIC_MINIMA)
def test_minimum_without_closed_form_is_a_marked_number(name, expected):
    (minimum,) = analysis.extrema(FORMULAS[name], x)
    assert near(minimum.x, expected[0])
    assert near(minimum.value, expected[1])
    assert (minimum.kind, minimum.exact) == ("minimum", False)
    assert analysis.value_range(FORMULAS[name], x) == Interval(minimum.value, oo)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "mish"])
def test_numbers_have_fifty_digits(name):
    plain = sp.lambdify(x, elementary(FORMULAS[name]), "mpmath")
    (minimum,) = analysis.extrema(FORMULAS[name], x)
    with mp.workdps(90):
        place = mpmath.findroot(lambda at: mp.diff(plain, at), mpmath.mpf(-1))
        assert abs(sp.N(minimum.x, 60) - Float(place, 60)) < Float(10) ** -49
        assert abs(sp.N(minimum.value, 60) - Float(plain(place), 60)) < Float(10) ** -49


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "relu6", "squared_relu"])
def test_monotone_functions_have_no_strict_extremum(name):
    assert analysis.extrema(FORMULAS[name], x) == []


def test_largest_slope_of_swish():
    bound = analysis.largest_slope(FORMULAS["swish"], x)
    assert near(bound.value, "1.0998393201")
    assert near(bound.at[0], "2.3993572805")
    assert bound.reached
    assert not bound.exact


def test_inflections_of_swish_solve_x_tanh_half_x_equals_2():
    left, right = analysis.inflections(FORMULAS["swish"], x)
    with mp.workdps(60):
        root = mpmath.findroot(lambda t: t * mp.tanh(t / 2) - 2, 2.4)
        assert abs(right.x - Float(root, 50)) < Float(10) ** -48
    assert left.x == -right.x


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [Interval.open(-oo, 0)]),
        ("relu6", [Interval.open(-oo, 0), Interval.open(6, oo)]),
        ("squared_relu", [Interval(-oo, 0)]),
        ("constant", [Interval(-oo, oo)]),
        ("sigmoid", []),
        ("swish", [Point(-1 - W, -W)]),
        ("hard_swish", [Interval.open(-oo, -3), Point(Rational(-3, 2), Rational(-3, 8))]),
    ],
)
def test_critical_points_and_constant_stretches(name, expected):
    assert analysis.critical_points(FORMULAS[name], x) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [(0, 0, 1, 0)]),
        ("leaky_relu", [(0, 0, Rational(99, 100), 0)]),
        ("elu", [(0, 0, 0, 1)]),
        ("elu_2", [(0, 0, -1, 0)]),
        ("softsign", [(0, 0, 0, 1)]),
        ("relu6", [(0, 0, 1, 0), (6, 0, -1, 0)]),
        ("hard_swish", [(-3, 0, Rational(-1, 2), 0), (3, 0, Rational(-1, 2), 0)]),
        ("step", [(0, 1, 0, -1)]),
        ("sigmoid", []),
    ],
)
def test_kinks_and_what_jumps(name, expected):
    assert [(k.x, k.jump, k.slope_jump, k.order) for k in analysis.kinks(FORMULAS[name], x)] == expected


def test_equal_pieces_make_no_kink():
    assert analysis.smoothness(Piecewise((sigma(x), x > 1), (1 - sigma(-x), True)), x) == oo


def test_single_point_out_of_line():
    formula = Piecewise((1, Eq(x, 0)), (x, True))
    assert analysis.smoothness(formula, x) == -1
    (top,) = analysis.extrema(formula, x)
    assert (top.x, top.value, top.kind) == (0, 1, "maximum")


def test_extremum_at_a_kink():
    (minimum,) = analysis.extrema(Abs(Abs(x) - 1), x)[:1]
    assert (minimum.x, minimum.value, minimum.kind) == (-1, 0, "minimum")
    assert [e.kind for e in analysis.extrema(Abs(Abs(x) - 1), x)] == ["minimum", "maximum", "minimum"]


def test_zero_of_the_slope_without_change_of_sign():
    formula = x - tanh(x)
    assert analysis.critical_points(formula, x) == [Point(Integer(0), Integer(0))]
    assert analysis.extrema(formula, x) == []
    assert analysis.monotone_intervals(formula, x) == [(Interval(-oo, oo), 1)]


def test_numerical_zero_of_the_slope_without_change_of_sign():
    slope = (x * exp(x) - 2 - sin(x)) ** 2  # touches 0 where no closed form is known
    zeros = analysis.zeros(slope, x)
    assert len([z for z in zeros if z > 0]) == 1
    assert all(abs(sp.N((x * exp(x) - 2 - sin(x)).subs(x, z), 30)) < 1e-20 for z in zeros)


def test_exact_zero_beyond_the_grid():
    (minimum,) = analysis.extrema((x - 5000) ** 2, x)
    assert (minimum.x, minimum.value) == (5000, 0)


def test_sigmoid_is_symmetric_about_its_centre():
    assert analysis.point_symmetry(FORMULAS["sigmoid"], x) == (0, Rational(1, 2))
    assert analysis.point_symmetry(Min(Max(x + 3, 0), 6) / 6, x) == (0, Rational(1, 2))
    assert analysis.point_symmetry(FORMULAS["swish"], x) is None


def test_taylor_polynomials():
    assert analysis.taylor(FORMULAS["sigmoid"], x, 5) == Rational(1, 2) + x / 4 - x**3 / 48 + x**5 / 480
    assert analysis.taylor(FORMULAS["tanh"], x, 7) == x - x**3 / 3 + 2 * x**5 / 15 - 17 * x**7 / 315
    assert analysis.taylor(FORMULAS["mish"], x, 2) == 3 * x / 5 + 8 * x**2 / 25
    assert analysis.taylor(FORMULAS["softplus"], x, 2) == log(2) + x / 2 + x**2 / 8
    assert equal(analysis.taylor(FORMULAS["gelu"], x, 4), x / 2 + (x**2 - x**4 / 6) / sqrt(2 * pi))
    assert analysis.taylor(FORMULAS["sine"], x, 0) == 0
    assert analysis.taylor(FORMULAS["elu"], x, 1) == x


def test_taylor_polynomial_at_a_kink():
    with pytest.raises(ValueError, match="has 0 derivatives at 0"):
        analysis.taylor(FORMULAS["relu"], x, 1)


def test_elu_with_symbolic_alpha():
    formula = Piecewise((x, x > 0), (alpha * expm1(x), True))
    assert analysis.limits(formula, x) == (-alpha, oo)
    assert analysis.value_range(formula, x) == Interval.open(-alpha, oo)
    (kink,) = analysis.kinks(formula, x)
    assert equal(kink.slope_jump, 1 - alpha)
    assert analysis.smoothness(formula, x) == 0
    assert analysis.smoothness(formula.subs(alpha, 1), x) == 1
    steepest = analysis.lipschitz(formula, x)
    assert steepest == Bound(Max(1, alpha), (), False)
    assert repr(steepest) == "supremum Max(1, alpha); where depends on alpha"
    sharp = Piecewise((x, x > 0), (Symbol("a", real=True) * expm1(x), True))
    with pytest.raises(ValueError, match=r"the sign of .* depends on a; substitute a number"):
        analysis.lipschitz(sharp, x)


def test_swish_with_symbolic_beta():
    formula = x * sigma(beta * x)
    assert analysis.asymptotes(formula, x) == (0, x)
    (minimum,) = analysis.extrema(formula, x)
    assert equal(minimum.x, -(1 + W) / beta)
    assert equal(minimum.value, -W / beta)
    left, right = analysis.inflections(formula, x)
    assert [str((beta * p.x).n(6)) for p in (left, right)] == ["-2.39936", "2.39936"]
    assert analysis.largest_slope(formula, x).value == analysis.largest_slope(FORMULAS["swish"], x).value
    with pytest.raises(ValueError, match=r"no one closed form in beta; substitute a number"):
        analysis.extrema(sigma(x) * sigma(beta - x) + x, x)


def _registry():
    """Formulas of the library with free parameters, all of them positive."""
    import actlib

    for name, activation in actlib.ACTIVATIONS.items():
        free = activation.formula.free_symbols - set(activation.inputs) if len(activation.inputs) == 1 else ()
        if free:
            positive = {p: Symbol(p.name, positive=True) for p in free}
            yield name, activation.formula.subs(positive), activation.inputs[0], sorted(positive.values(), key=str)


REGISTRY = list(_registry())


def test_formulas_with_parameters_are_known_for_all_their_values():
    assert {name for name, *_ in REGISTRY} >= {"celu", "elu", "swish", "leaky_relu", "softplus"}
    for name, formula, variable, _ in REGISTRY:
        card = analysis.summary(formula, variable)
        refused = [f.name for f in dataclasses.fields(card) if analysis.known(getattr(card, f.name)) == "refused"]
        assert not refused, name


@pytest.mark.parametrize("values", [(Rational(1, 3), Integer(7)), (Integer(3), Rational(2, 5))], ids=str)
@pytest.mark.parametrize("case", REGISTRY, ids=lambda case: case[0])
def test_what_is_said_of_all_values_is_so_for_each(case, values):
    """An answer with a parameter in it, and a number put in, is the answer for that number."""
    _, formula, variable, parameters = case
    numbers = dict(zip(parameters, values, strict=False))
    general, single = analysis.summary(formula, variable), analysis.summary(formula.subs(numbers), variable)
    for field in dataclasses.fields(general):
        if field.name in ("expr", "x"):
            continue
        said, found = getattr(general, field.name), getattr(single, field.name)
        assert _same(said, found, numbers), (field.name, said, found)


def _same(said, found, numbers) -> bool:
    """Whether two results agree once numbers stand for the parameters; places that are left open may be any."""
    if isinstance(said, Bound) and not said.at:
        return _same(said.value, found.value, numbers)
    if dataclasses.is_dataclass(said):
        names = [f.name for f in dataclasses.fields(said)]
        return type(said) is type(found) and all(_same(getattr(said, n), getattr(found, n), numbers) for n in names)
    if isinstance(said, (list, tuple)):
        return len(said) == len(found) and all(_same(a, b, numbers) for a, b in zip(said, found, strict=True))
    if isinstance(said, sp.Set):
        ends = [(said.start, found.start), (said.end, found.end)]
        same_kind = (said.left_open, said.right_open) == (found.left_open, found.right_open)
        return same_kind and all(_same(a, b, numbers) for a, b in ends)
    if not isinstance(said, sp.Expr):
        return said == found
    said = said.subs(numbers)
    if said == found or said in (oo, -oo) or found in (oo, -oo):
        return said == found
    difference = sp.expand_func(said - found)
    return bool(equal(said, found)) or (not difference.free_symbols and abs(difference.n(30)) < 1e-20)


def test_extrema_of_a_wave_are_families():
    n = Symbol("n", integer=True)
    top, bottom = analysis.extrema(FORMULAS["sine"], x)
    assert (top.x, top.value, top.kind) == (2 * pi * n + pi / 2, 1, "maximum")
    assert (bottom.x, bottom.value, bottom.kind) == (2 * pi * n + 3 * pi / 2, -1, "minimum")
    falls, rises = analysis.monotone_intervals(FORMULAS["sine"], x)
    assert falls == (Interval(2 * pi * n + pi / 2, 2 * pi * n + 3 * pi / 2), -1)
    assert rises == (Interval(2 * pi * n + 3 * pi / 2, 2 * pi * n + 5 * pi / 2), 1)
    assert analysis.largest_slope(x + sin(x) ** 2, x).value == 2


EQUAL = {
    "reflection of sigma": (sigma(-x), 1 - sigma(x)),
    "tanh from sigma": (tanh(x), 2 * sigma(2 * x) - 1),
    "slope of sigma": (derivative(sigma(x), x), sigma(x) * (1 - sigma(x))),
    "slope of tanh": (derivative(tanh(x), x), 1 - tanh(x) ** 2),
    "difference of softplus": (softplus(x) - softplus(-x), x),
    "softplus in beta": (softplus(beta * x) / beta, x + softplus(-beta * x) / beta),
    "swish minus its reflection": (x * sigma(x) - (-x) * sigma(-x), x),
    "curvature of gelu": (derivative(x * Phi(x), x, x), phi(x) * (2 - x**2)),
    "Phi and erf": (Phi(x), (1 + sp.erf(x / sqrt(2))) / 2),
    "mish without log": (tanh(softplus(x)), 1 - 2 / ((1 + exp(x)) ** 2 + 1)),
    "relu by modulus": (FORMULAS["relu"], (x + Abs(x)) / 2),
    "relu by step": (FORMULAS["relu"], x * Heaviside(x)),
    "swish beside relu": (x * sigma(x) - FORMULAS["relu"], -Abs(x) * sigma(-Abs(x))),
    "order of clipping": (Min(Max(x, 0), 6), Max(Min(x, 6), 0)),
    "hard swish by clipping": (x * Min(Max(x + 3, 0), 6) / 6, FORMULAS["hard_swish"]),
    "cases that an exponential decides": (FORMULAS["elu"], Max(x, 0) + Min(expm1(x), 0)),
    "Lambert's equation": (W * exp(W), exp(-1)),
    "infinity": (oo, oo),
}

UNEQUAL = {
    "sigma and tanh": (sigma(x), tanh(x)),
    "gelu and its approximation": (FORMULAS["gelu"], FORMULAS["gelu_tanh"]),
    "a slope of 1e-30": (FORMULAS["relu"], Piecewise((x, x > 0), (x / 10**30, True))),
    "a single point": (FORMULAS["relu"], Piecewise((1, Eq(x, 0)), (Max(x, 0), True))),
    "a far case": (Piecewise((1, x > 10**6), (0, True)), Integer(0)),
    "a narrow case": (Piecewise((1, sin(x) > Rational(9999, 10000)), (0, True)), Integer(0)),
    "a pole between": (sp.atan(x) + sp.atan(1 / x), pi / 2),
    "finite and infinite": (oo, Integer(1)),
    "cases that leave a half-line out": (Piecewise((x, x > 0)), x),
    "cases that leave a point out": (Piecewise((x, x > 0), (x, x < 0)), x),
    "cases that leave out more": (Piecewise((x, x > 1)), Piecewise((x, x > 0))),
}


@pytest.mark.parametrize(("a", "b"), EQUAL.values(), ids=EQUAL)
def test_equality_is_proved(a, b):
    assert equal(a, b) is True


@pytest.mark.parametrize(("a", "b"), UNEQUAL.values(), ids=UNEQUAL)
def test_inequality_is_not_proved_equal(a, b):
    assert equal(a, b) is False


TINY, NEAR = Float("1e-17"), Float(0.1) + Float(0.2)  # which is not 0.3

DECIMALS = {
    "a product": ("equal", ((x + 1.0) * (x + TINY), x**2 + 1.0 * x + TINY), False),
    "a product that is right": ("equal", ((x + 0.5) * (x + 0.25), x**2 + 0.75 * x + 0.125), True),
    "a fraction as it is written": ("equal", (1.702 * x, Rational(851, 500) * x), True),
    "cases": ("equal", (Max(x, TINY), Max(x, 0.0)), False),
    "neighbours": ("equal", (sigma(NEAR * x), sigma(0.3 * x)), False),
    "of many digits": ("equal", (x * Float("0.1" + "0" * 30 + "1", 40), x / 10), False),
    "a value": ("value_range", ((NEAR - 0.3) * x**2, x), Interval(0, oo)),
    "neighbours that differ": ("parity", (tanh(NEAR * x) - tanh(0.3 * x), x), "odd"),  # 0 would be even
    "an even part": ("parity", (x**3 + TINY * x**2, x), None),
    "odd but for a constant": ("parity", (x + TINY, x), None),
    "a limit": ("limits", (TINY * tanh(x), x), (-Rational(1, 10**17), Rational(1, 10**17))),
    "a double zero": ("kinks", (Abs((x - NEAR) * (x - 0.3)), x), 2),
    "turns": ("extrema", ((x - NEAR) ** 3 - (x - NEAR) * Float("1e-34"), x), 2),
    "a bend": ("inflections", (x**3 + TINY * x**2, x), 1),
    "a centre": ("point_symmetry", (x**3 + TINY * x**2, x), None),
}
"""What would come out of algebra in which decimal numbers are rounded is otherwise."""


@pytest.mark.parametrize(("question", "arguments", "expected"), DECIMALS.values(), ids=DECIMALS)
def test_decimals_are_not_rounded(question, arguments, expected):
    found = getattr(analysis, question)(*arguments)
    assert (len(found) if question in ("kinks", "extrema", "inflections") else found) == expected


WRONG = {
    "text": ("x", x, "got 'x'"),
    "nothing": (None, x, "got None"),
    "a relation": (x > 0, x, "expected is a SymPy formula"),
    "a matrix": (sp.Matrix([x]), x, "expected is a SymPy formula"),
    "a complex value": (I * x, x, "real, finite values"),
    "a root of negative numbers": (sqrt(x), x, "expected is a real number"),
    "a pole": (1 / (x - 1), x, "x - 1 is 0"),
    "a logarithm of zero": (log(x), x, "x is 0"),
    "an unknown function": (Function("f")(x), x, "has f; expected are"),
    "a function with jumps": (sp.floor(x), x, "has floor; expected are"),
    "a gap": (Piecewise((x, x > 0)), x, "leave a gap"),
    "a complex parameter": (Symbol("z") * x, x, "not known to be real: z"),
    "a variable that is text": (sigma(x), "x", "expected is a Symbol"),
    "a complex variable": (Symbol("z"), Symbol("z"), "declared real=True"),
}


@pytest.mark.parametrize(("formula", "variable", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_refused(formula, variable, message):
    with pytest.raises(ValueError, match=message):
        analysis.limits(formula, variable)


@pytest.mark.parametrize("n", [-1, 1.5, True, "2"])
def test_wrong_degree_is_refused(n):
    with pytest.raises(ValueError, match="n is"):
        analysis.taylor(x, x, n)


@pytest.mark.parametrize("name", FORMULAS)
def test_summary_is_complete(name):
    card = analysis.summary(FORMULAS[name], x)
    assert all(isinstance(value, (sp.Basic, str)) for _, value in card.rows())
    assert card._repr_latex_().count("&") == str(card).count("\n") + 1 == len(card.rows())
    assert not re.search(r"\d{8}", card._repr_latex_() + str(card))


SHOWN = {
    "(0, 1/2)": (Point(Integer(0), Rational(1, 2)), r"{\left( 0, \  \frac{1}{2}\right)}"),
    "≈ (0.333333, 1)": (Point(Rational(1, 3).n(50), Integer(1), False), r" \approx {\left( 0.333333, \  1\right)}"),
    "minimum -3/8 at -3/2": (
        Extremum(Rational(-3, 2), Rational(-3, 8), "minimum"),
        r"\text{minimum }{- \frac{3}{8}}\text{ at }{- \frac{3}{2}}",
    ),
    "maximum ≈ 0.250000 at ≈ 1.50000": (
        Extremum(Float("1.5", 50), Float("0.25", 50), "maximum", False),
        r"\text{maximum } \approx {0.25}\text{ at } \approx {1.5}",
    ),
    "at 0: the value jumps by 1": (
        Kink(Integer(0), Integer(1), Integer(0), -1),
        r"\text{at }{0}\text{: the value jumps by }{1}",
    ),
    "at 0: the value jumps by 1, the slope by -2": (
        Kink(Integer(0), Integer(1), Integer(-2), -1),
        r"\text{at }{0}\text{: the value jumps by }{1}\text{, the slope by }{-2}",
    ),
    "at 3: the slope jumps by alpha": (
        Kink(Integer(3), Integer(0), Symbol("alpha"), 0),
        r"\text{at }{3}\text{: the slope jumps by }{\alpha}",
    ),
    "at 0: the second derivative jumps": (
        Kink(Integer(0), Integer(0), Integer(0), 1),
        r"\text{at }{0}\text{: the second derivative jumps}",
    ),
    "at 0: derivative 4 jumps": (
        Kink(Integer(0), Integer(0), Integer(0), 3),
        r"\text{at }{0}\text{: derivative 4 jumps}",
    ),
    "maximum 1/4, reached at 0": (
        Bound(Rational(1, 4), (Integer(0),), True),
        r"\text{maximum }{\frac{1}{4}}\text{, reached at }{0}",
    ),
    "maximum ≈ 1.50000, reached at ≈ -2.50000 and on Interval(1, 2)": (
        Bound(Float("1.5", 50), (Float("-2.5", 50), Interval(1, 2)), True, False),
        r"\text{maximum } \approx {1.5}\text{, reached at } \approx {-2.5}\text{ and on }{\left[1, 2\right]}",
    ),
    "supremum 1, not reached, approached towards oo": (
        Bound(Integer(1), (oo,), False),
        r"\text{supremum }{1}\text{, not reached, approached towards }{\infty}",
    ),
    "minimum 0 at pi*n, for every integer n": (
        Extremum(pi * Symbol("n", integer=True), Integer(0), "minimum"),
        r"\text{minimum }{0}\text{ at }{\pi n}\text{, for every integer }{n}",
    ),
    "infinitely many": (analysis.Refusal("infinitely many", "infinitely many"), r"\text{infinitely many}"),
    "equal: they are the same formula": (
        analysis.equality_of(x, x),
        r"\text{equal: they are the same formula}",
    ),
    "towards -oo: saturates, slope ~ exp(x)": (
        Saturation(-oo, Integer(0), True, sp.exp(x)),
        r"\text{towards }{-\infty}\text{: saturates, slope} \sim {e^{x}}",
    ),
    "towards oo: saturates, slope → 0": (
        Saturation(oo, Integer(0), True, None),
        r"\text{towards }{\infty}\text{: saturates, slope} \to {0}",
    ),
    "towards -oo: saturates, slope 0 from some point on": (
        Saturation(-oo, Integer(0), True, Integer(0)),
        r"\text{towards }{-\infty}\text{: saturates, slope }{0}\text{ from some point on}",
    ),
    "towards oo: does not saturate, slope → 1": (
        Saturation(oo, Integer(1), False, None),
        r"\text{towards }{\infty}\text{: does not saturate, slope} \to {1}",
    ),
}


@pytest.mark.parametrize("text", SHOWN)
def test_result_is_shown_as_mathematics(text):
    result, latex = SHOWN[text]
    assert str(result) == text
    assert result._repr_latex_() == rf"$\displaystyle {latex}$"
    assert sp.latex([result]) == rf"\left[ {latex}\right]"


def test_every_kind_of_result_is_shown():
    kinds = {kind for kind in vars(analysis).values() if dataclasses.is_dataclass(kind) and kind.__name__[0] != "_"}
    assert kinds == {type(result) for result, _ in SHOWN.values()} | {analysis.Summary, analysis.Certificate}


def test_rows_of_the_card():
    rows = dict(analysis.summary(FORMULAS["sigmoid"], x).rows())
    assert rows["range"] == Interval.open(0, 1)
    assert rows["monotone"] == "strictly increasing"
    assert rows["zero-centred"] == "no"
    assert rows["symmetric about"] == sp.Tuple(0, Rational(1, 2))
    assert rows["smoothness"] == "smooth"
    assert (rows["largest slope"], rows["where"]) == (Rational(1, 4), 0)
    rows = dict(analysis.summary(FORMULAS["softplus"], x).rows())
    assert (rows["largest slope"], rows["approached at"]) == (1, oo)
    assert dict(analysis.summary(FORMULAS["swish"], x).rows())["monotone"] == "no"
    assert dict(analysis.summary(FORMULAS["relu"], x).rows())["monotone"] == "increasing"


def test_saturation_of_relu():
    assert analysis.saturation(FORMULAS["relu"], x) == (
        Saturation(-oo, Integer(0), True, Integer(0)),
        Saturation(oo, Integer(1), False, None),
    )


def test_only_sympy_and_mpmath_are_imported():
    folder = str(Path(analysis.__file__).parents[1])
    code = (
        "import sys, types; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'matplotlib', 'scipy')))\n"
        f"package = sys.modules['actlib'] = types.ModuleType('actlib'); package.__path__ = [{folder!r}]\n"
        "import sympy; from actlib.formula import analysis; x = sympy.Symbol('x', real=True)\n"
        "assert analysis.summary(1 / (1 + sympy.exp(-x)), x).lipschitz.value == sympy.Rational(1, 4)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
