"""Primitives: what they mean, how they differentiate, what is recognised as one, and how exact each backend is."""

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from sympy import oo

from actlib import accuracy
from actlib.backends import PHI_SCALE, PHI_TAIL, torch_runner
from actlib.formula import primitives
from actlib.formula.primitives import (
    Phi,
    Primitive,
    asinh,
    atan,
    cosatan,
    cosh,
    derivative,
    elementary,
    expm1,
    phi,
    sigma,
    sinh,
    softplus,
    stable,
    tanh,
)

x, u = sp.symbols("x u", real=True)
PRIMITIVES = [p for p in vars(primitives).values() if isinstance(p, type) and issubclass(p, Primitive)]
PRIMITIVES.remove(Primitive)

every_primitive = pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.__name__)


def test_there_are_primitives():
    assert {sigma, softplus, Phi, phi, tanh, expm1, sinh, cosh, atan, asinh, cosatan} == set(PRIMITIVES)


@every_primitive
@pytest.mark.parametrize("point", [-30, -1, sp.Rational(1, 3), 2, 30])
def test_derivative_is_that_of_the_definition(primitive, point):
    ours = elementary(primitive(x).diff(x)).subs(x, point)
    theirs = primitive.definition(x).diff(x).subs(x, point)
    assert abs(sp.N(ours - theirs, 60, maxn=500)) <= abs(sp.N(theirs, 60, maxn=500)) * sp.Float("1e-50")


@every_primitive
@pytest.mark.parametrize("at", [0, oo, -oo])
def test_exact_values_are_limits_of_the_definition(primitive, at):
    assert sp.simplify(primitive(sp.sympify(at)) - sp.limit(primitive.definition(x), x, at)) in (0, sp.nan)
    assert primitive(sp.sympify(at)) == sp.limit(primitive.definition(x), x, at)


@every_primitive
def test_decay_is_declared_where_it_is(primitive):
    assert primitive.decays == (sp.limit(x**9 * primitive.definition(x), x, -oo) == 0)


@every_primitive
def test_nan_stays_nan(primitive):
    assert primitive(sp.nan) is sp.nan


@every_primitive
def test_rewriting_gives_the_definition(primitive):
    assert primitive(x).rewrite(sp.exp) == primitive.definition(x)
    assert not elementary(primitive(x) * x + 1).has(Primitive)


def test_limits_of_formulas_in_primitives():
    assert sp.limit(x * sigma(x), x, -oo) == 0
    assert sp.limit(x * Phi(x), x, oo) == oo


@pytest.mark.parametrize(
    ("schoolbook", "expected"),
    [
        (1 / (1 + sp.exp(-x)), sigma(x)),
        (x / (1 + sp.exp(-u * x)), x * sigma(u * x)),
        (sp.exp(x) / (1 + sp.exp(x)), sigma(x)),
        (sp.exp(x) / (1 + sp.exp(x)) ** 2, sigma(x) * sigma(-x)),
        (sp.log(1 + sp.exp(x)), softplus(x)),
        (x * sp.tanh(sp.log(1 + sp.exp(x))), x * tanh(softplus(x))),
        (x * (1 + sp.erf(x / sp.sqrt(2))) / 2, x * Phi(x)),
        (sp.erfc(x), 2 * Phi(-sp.sqrt(2) * x)),
        (1 - sigma(x) + u, sigma(-x) + u),
        (3 - 3 / (1 + sp.exp(-x)), 3 * sigma(-x)),
        (1 - 2 * sigma(x), -tanh(x / 2)),
        (x * (1 + sp.tanh(u * x)) / 2, x * sigma(2 * u * x)),
        (2 - 2 * sp.tanh(x), 4 * sigma(-2 * x)),
        (1 - Phi(x), Phi(-x)),
        (1 / (1 + 4**-x), sigma(2 * x * sp.log(2))),
        (sp.log(1 + 2**x), softplus(x * sp.log(2))),
        (2**x - 1, expm1(x * sp.log(2))),
        (sp.exp(x) - 1, expm1(x)),
        (2 * sp.exp(x) - 2 + x, 2 * expm1(x) + x),
        (sp.sinh(x) + x * sp.cosh(x), sinh(x) + x * cosh(x)),
        (sp.atan(sp.asinh(x)), atan(asinh(x))),
        (sp.Max(x, 0), sp.Piecewise((x, x > 0), (0, True))),
        (sp.Min(x, 1), sp.Piecewise((x, x < 1), (1, True))),
    ],
    ids=str,
)
def test_schoolbook_forms_are_recognised(schoolbook, expected):
    assert stable(schoolbook) == expected


def test_what_is_no_schoolbook_form_is_left_alone():
    for expr in (sp.exp(x) + 1, 1 / (2 + sp.exp(x)), sp.log(2 + sp.exp(x)), sp.exp(x) - 2, x**2):
        assert stable(expr) == expr


def test_slope_at_kink_is_that_of_the_case_which_holds_there():
    assert derivative(sp.Max(x, 0), x).subs(x, 0) == 0
    assert derivative(abs(x), x).subs(x, 0) == 0
    assert derivative(sp.Piecewise((x, x >= 0), (0, True)), x).subs(x, 0) == 1


def test_no_delta_is_left_at_kinks():
    assert derivative(sp.Max(x, 0), x, x) == 0
    assert derivative(abs(x), x, x) == 0


@every_primitive
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "branch-free"])
def test_torch_implementation_is_exact_over_the_whole_range(primitive, dtype, traced, monkeypatch):
    if traced:
        monkeypatch.setattr(torch_runner, "is_plain", lambda _: False)
    inputs = torch.cat([accuracy.random_finite(dtype, 2000), torch.linspace(-100, 20, 2000, dtype=dtype)])
    points = inputs.double().numpy()
    truth, low = accuracy.exact(primitive(x), [x], [points])
    slopes, _ = accuracy.exact(primitive(x).diff(x), [x], [points])
    computed = torch_runner.PRIMITIVES[primitive.__name__](inputs).double().numpy()
    with np.errstate(all="ignore"):
        effect = np.abs(np.nan_to_num(slopes)) * accuracy.ulp(points, dtype)
        errors = np.abs(computed - truth - low) / (accuracy.ulp(truth, dtype) + effect)
    errors[np.isinf(computed) & (np.abs(truth) > torch.finfo(dtype).max)] = 0
    errors[np.abs(truth) < torch.finfo(dtype).smallest_normal] = 0
    # Four: one rounding each for an exponential, a sum and a quotient, and one to spare.
    assert errors.max() <= 4


def test_polynomial_of_the_normal_tail():
    with mpmath.workdps(50):
        for t in map(mpmath.mpf, np.concatenate([np.linspace(0, 15, 3001), np.geomspace(15, 1e6, 200)])):
            u = 1 / (1 + mpmath.mpf(PHI_SCALE) * t)
            tail = u * mpmath.polyval(PHI_TAIL[::-1], u)
            assert abs(tail / (mpmath.exp(t**2 / 2) * mpmath.ncdf(-t)) - 1) <= 1.2e-8
