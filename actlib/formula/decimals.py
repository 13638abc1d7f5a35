"""Decimal numbers in formulas, as the fractions that they stand for."""

from collections.abc import Collection

from mpmath import libmp
from sympy import Expr, Float, Rational

__all__ = ["exact"]


def exact(expr: Expr, kept: Collection[Float] = ()) -> Expr:
    """The formula with each decimal number, but those that are kept, as a fraction: so no algebra rounds it.

    A number stands for the shortest decimal of which it is the nearest number: 1.702 for 851/500. So different numbers
    of one precision stand for different fractions.
    """
    found = {f: _shortest(f) for f in expr.atoms(Float) if f not in kept and -f not in kept}
    return expr.xreplace(found) if found else expr


def _shortest(number: Float) -> Rational:
    most = int(number._prec * 0.30103) + 3
    texts = (libmp.to_str(number._mpf_, digits) for digits in range(1, most + 1))
    same = (t for t in texts if Float(t, precision=number._prec)._mpf_ == number._mpf_)
    return Rational(next(same, None) or number)
