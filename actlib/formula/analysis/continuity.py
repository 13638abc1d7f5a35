"""The limit of a formula from those of its parts, by the rules for sums, products and continuous functions.

Where a part oscillates, its limit is an AccumBounds of all that it comes near to, again and again. A sum or a product
with such a part has a limit only where the rules give one number; a rising function of it oscillates between limits.
"""

import sympy as sp
from sympy import AccumBounds, Expr, Integer, oo

from actlib.formula.analysis.closed_forms import tidy
from actlib.formula.analysis.constants import compare, sign
from actlib.formula.analysis.functions import RISING
from actlib.formula.analysis.refusals import NoMethodError

__all__ = ["is_finite", "of_parts"]

SWING = AccumBounds(-1, 1)


def is_finite(number: Expr) -> bool:
    """Whether a limit is a number: a power of 0 that hangs on parameters need not be one."""
    if number.has(oo, -oo, sp.zoo, sp.nan, AccumBounds):
        return False
    return not any(power.base == 0 for power in number.atoms(sp.Pow))


def of_parts(formula: Expr, parts: list[Expr]) -> Expr:
    """The limit of a formula whose parts have these.

    Raises:
        RefusedError: The rules do not decide it.
    """
    if formula.is_Add:
        found = _sum(parts)
    elif formula.is_Mul:
        found = _product(parts)
    elif formula.is_Pow and not isinstance(formula, sp.exp):
        found = _power(parts[0], parts[1])
    else:
        found = _function(formula.func, parts[0])
    if found is None or found.has(sp.nan, sp.zoo):
        raise NoMethodError(f"no method for the limit of {formula}, whose parts have the limits {parts}")
    return tidy(found)


def _sum(parts: list[Expr]) -> Expr | None:
    infinite = {p for p in parts if p in (oo, -oo)}
    swinging = [p for p in parts if isinstance(p, AccumBounds)]
    if infinite:
        bounded = all(is_finite(p.min) and is_finite(p.max) for p in swinging)
        return infinite.pop() if len(infinite) == 1 and bounded else None
    rest = sp.Add(*(p for p in parts if p not in swinging))
    if len(swinging) > 1:
        return None
    return AccumBounds(swinging[0].min + rest, swinging[0].max + rest) if swinging else rest


def _product(parts: list[Expr]) -> Expr | None:
    swinging = [p for p in parts if isinstance(p, AccumBounds)]
    bounded = all(is_finite(p.min) and is_finite(p.max) for p in swinging)
    if any(p in (oo, -oo) for p in parts):
        return sp.Mul(*map(_certain_sign, parts)) * oo
    if any(is_finite(p) and p == 0 for p in parts):
        return Integer(0) if bounded else None
    return sp.Mul(*parts) if not swinging else None


def _certain_sign(part: Expr) -> Expr:
    """The sign of a factor that does not come near 0."""
    if isinstance(part, AccumBounds):
        signs = {sign(end) for end in (part.min, part.max)}
        found = signs.pop() if len(signs) == 1 else 0
    else:
        found = sign(part)
    return Integer(found) if found else sp.nan


def _power(base: Expr, exponent: Expr) -> Expr | None:
    if not exponent.is_Rational or isinstance(base, AccumBounds):
        return None
    if base == oo:
        return oo if exponent > 0 else Integer(0)
    if base == -oo:
        return (-oo) ** exponent if exponent.is_Integer else None
    if sign(base) == 0:
        return Integer(0) if exponent > 0 else None
    return base**exponent


def _function(function: type, part: Expr) -> Expr | None:
    if isinstance(part, AccumBounds):
        rises = function in RISING and compare(part.min, part.max) < 0
        return AccumBounds(*(_function(function, end) for end in (part.min, part.max))) if rises else None
    if function in (sp.sin, sp.cos) and part in (oo, -oo):
        return SWING
    if function is sp.log and is_finite(part) and sign(part) == 0:
        return -oo
    return function(part)
