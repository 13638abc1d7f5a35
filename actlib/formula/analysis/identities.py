"""Formulas that are 0 identically: by algebra, where there are no cases."""

from functools import lru_cache

import sympy as sp
from sympy import Expr, Piecewise, Symbol

from actlib.formula.analysis import numbers
from actlib.formula.analysis.closed_forms import in_powers, simplified, tidy, without_towers
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled
from actlib.formula.primitives import Primitive, derivative, elementary

__all__ = [
    "LONGEST",
    "SMOOTH",
    "SWITCHES",
    "WAVES",
    "constant_in",
    "in_exponentials",
    "is_zero",
    "smooth_everywhere",
    "vanishes_as_rational",
]

SWITCHES = (Piecewise, sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside)
WAVES = (sp.sin, sp.cos)
HYPERBOLIC = (sp.sinh, sp.cosh, sp.tanh, sp.sech, sp.asinh)
SMOOTH = (Primitive, sp.exp, sp.log, sp.erf, sp.erfc, sp.atan, *WAVES, *HYPERBOLIC)

LONGEST = 150
"""Operations of a formula that SymPy is asked to simplify."""


@lru_cache(maxsize=1024)
def vanishes_as_rational(expr: Expr) -> bool:
    """Whether a formula is 0 as a rational function of its symbols, of exponentials and of other functions."""
    plain = without_towers(elementary(expr)).rewrite(sp.erf)
    rational, exponents = in_powers(in_exponentials(plain))
    if rational == 0:
        return True
    if _is_not_0(rational, tuple(exponents)):
        return False
    try:
        vanishes = sp.cancel(sp.together(rational)) == 0
    except (sp.PolynomialError, NotImplementedError):
        return False
    return vanishes or (not exponents and sp.expand(rational) == 0)


def in_exponentials(expr: Expr) -> Expr:
    """The formula without hyperbolic functions."""
    kinds = (sp.sinh, sp.cosh, sp.tanh, sp.coth, sp.sech, sp.csch)
    return expr.replace(lambda e: isinstance(e, kinds), lambda e: e.rewrite(sp.exp))


def _is_not_0(rational: Expr, exponents: tuple[Symbol, ...]) -> bool:
    """Whether one point shows that a rational function is not 0: quicker than to cancel."""
    symbols = tuple(sorted(rational.free_symbols, key=lambda s: (s.name, s.sort_key())))
    if not set(exponents) or any(s.is_extended_real is None or s.is_integer for s in symbols):
        return False
    try:
        with numbers.backend.precision(200):
            point = [Enclosure.of((-1 if s.is_nonpositive else 1) * (5 + 3 * i), 7) for i, s in enumerate(symbols)]
            value = compiled(rational, symbols)(*point)
    except ValueError:
        return False
    return bool(value.sign()) and bool(abs(value).high < numbers.backend.infinity)


def constant_in(expr: Expr) -> Symbol | None:
    """A variable in which the derivative is 0, and the value at 0, of a formula smooth on the whole line."""
    for v in sorted(expr.free_symbols, key=lambda s: s.name):
        if v.is_extended_real and v.is_nonnegative is None and v.is_nonpositive is None and smooth_everywhere(expr):
            start = expr.subs(v, 0)
            if vanishes_as_rational(derivative(expr, v)) and (start == 0 or simplified(elementary(start)) == 0):
                return v
    return None


def smooth_everywhere(expr: Expr) -> bool:
    """Whether a formula is evidently analytic for all real values of its symbols."""
    if not expr.free_symbols or expr.is_Symbol:
        return True
    if isinstance(expr, sp.log):
        return bool(expr.args[0].is_positive) and smooth_everywhere(expr.args[0])
    if expr.is_Pow and not isinstance(expr, sp.exp):
        powers = expr.exp.is_Integer and (expr.exp.is_nonnegative or expr.base.is_positive)
        return bool(powers or (expr.base.is_positive and expr.exp.is_number)) and smooth_everywhere(expr.base)
    return isinstance(expr, (sp.Add, sp.Mul, *SMOOTH)) and all(smooth_everywhere(a) for a in expr.args)


def is_zero(value: Expr) -> bool:
    """Whether a constant without decimal numbers is proved to be 0."""
    return vanishes_as_rational(value) or tidy(value) == 0
