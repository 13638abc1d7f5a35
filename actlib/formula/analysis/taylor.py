"""Taylor polynomials about 0, from those of the parts: much faster than SymPy's series."""

from functools import reduce

import sympy as sp
from sympy import Expr, Integer, Symbol

from actlib.formula.analysis.closed_forms import tidy
from actlib.formula.analysis.limits import derived

__all__ = ["polynomial"]


def polynomial(formula: Expr, x: Symbol, n: int) -> Expr:
    """The Taylor polynomial about 0 of a formula without cases, with powers up to x**n."""
    return sp.Add(*(tidy(c) * x**k for k, c in enumerate(_coefficients(formula, x, n))))


def _coefficients(formula: Expr, x: Symbol, n: int) -> list[Expr]:
    """Taylor coefficients about 0 up to x**n."""
    zeros = [Integer(0)] * (n + 1)
    if not formula.has(x):
        return [formula, *zeros[1:]]
    if formula == x:
        return [Integer(0), Integer(1), *zeros[1:]][: n + 1]
    if formula.is_Add:
        return [sp.Add(*c) for c in zip(*(_coefficients(a, x, n) for a in formula.args), strict=True)]
    if formula.is_Mul:
        parts = [_coefficients(a, x, n) for a in formula.args]
        return reduce(_product, parts)
    y = sp.Dummy("y", real=True)
    inner, *others = formula.args
    start, *slopes = _coefficients(inner, x, n)
    outer = formula.func(y, *others)
    result = zeros
    for k in range(n, -1, -1):  # Horner's scheme
        factor = tidy(derived(outer, y, k).subs(y, start)) / sp.factorial(k)
        result = _product(result, [Integer(0), *slopes])
        result[0] += factor
    return result


def _product(a: list[Expr], b: list[Expr]) -> list[Expr]:
    """Coefficients of the product of two truncated power series."""
    return [sp.expand(sum(a[i] * b[k - i] for i in range(k + 1))) for k in range(len(a))]
