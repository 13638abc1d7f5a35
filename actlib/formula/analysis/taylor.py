"""Taylor polynomials about 0, from those of the parts: much faster than SymPy's series."""

from functools import reduce

import sympy as sp
from sympy import AccumBounds, Expr, Integer, Symbol

from actlib.formula.analysis.closed_forms import tidy
from actlib.formula.analysis.constants import sign
from actlib.formula.analysis.limits import derived, difference, is_finite, value
from actlib.formula.analysis.refusals import ArgumentError, NoMethodError

__all__ = ["polynomial"]


def polynomial(formula: Expr, x: Symbol, n: int) -> Expr:
    """The Taylor polynomial about 0 of a formula without cases, with powers up to x**n.

    Raises:
        ArgumentError: The formula does not have n derivatives at 0.
    """
    found = [tidy(c) for c in _coefficients(formula, x, n)]
    if not all(map(is_finite, found)):
        found = [_slope(formula, x, k) / sp.factorial(k) for k in range(n + 1)]
    return sp.Add(*(c * x**k for k, c in enumerate(found)))


def _slope(formula: Expr, x: Symbol, k: int) -> Expr:
    """The k-th derivative at 0 of a formula that is continuous there, as those before it are: its limit."""
    slope = derived(formula, x, k)
    found = value(slope, x, Integer(0))
    if isinstance(found, AccumBounds):
        raise NoMethodError(f"no method for derivative {k} of {formula} at 0, next to which it swings")
    if not is_finite(found) or sign(difference(slope, slope, x, Integer(0), ("+", "-"))) != 0:
        raise ArgumentError(f"{formula} has {max(k - 1, 0)} derivatives at 0; expected are more")
    return found


def _coefficients(formula: Expr, x: Symbol, n: int) -> list[Expr]:
    """Taylor coefficients about 0 up to x**n; those that are not finite mean that a part has no expansion there."""
    zeros = [Integer(0)] * (n + 1)
    if not formula.has(x):
        return [formula, *zeros[1:]]
    if formula == x:
        return [Integer(0), Integer(1), *zeros[1:]][: n + 1]
    if formula.is_Add:
        return [sp.Add(*c) for c in zip(*(_coefficients(a, x, n) for a in formula.args), strict=True)]
    if formula.is_Mul:
        parts = [_coefficients(a, x, n) for a in formula.args]
        return reduce(_product, parts) if all(is_finite(c) for part in parts for c in part) else [sp.nan] * (n + 1)
    y = sp.Dummy("y", real=True)
    if formula.is_Pow and not isinstance(formula, sp.exp) and formula.exp.has(x):
        inner, outer = formula.exp * sp.log(formula.base), sp.exp(y)
    elif isinstance(formula, sp.exp):
        inner, outer = formula.exp, sp.exp(y)
    else:
        inner, *others = formula.args
        outer = formula.func(y, *others)
    start, *slopes = _coefficients(inner, x, n)
    if not all(map(is_finite, (start, *slopes))):
        return [sp.nan] * (n + 1)
    result = zeros
    for k in range(n, -1, -1):  # Horner's scheme
        factor = tidy(derived(outer, y, k).subs(y, start)) / sp.factorial(k)
        if not is_finite(factor):
            return [sp.nan] * (n + 1)
        result = _product(result, [Integer(0), *slopes])
        result[0] += factor
    return result


def _product(a: list[Expr], b: list[Expr]) -> list[Expr]:
    """Coefficients of the product of two truncated power series."""
    return [sp.expand(sum(a[i] * b[k - i] for i in range(k + 1))) for k in range(len(a))]
