"""Derivatives of pieces, their values and limits, and what they are asymptotically equal to.

No limit is SymPy's: each comes of an expansion here, or from those of the parts.
"""

from functools import lru_cache

import sympy as sp
from sympy import AccumBounds, Expr, Float, Integer, Symbol, oo

from actlib.formula.analysis import tails
from actlib.formula.analysis.closed_forms import tidy
from actlib.formula.analysis.constants import absolute, extreme
from actlib.formula.analysis.continuity import is_finite, of_parts
from actlib.formula.analysis.identities import SMOOTH, vanishes_as_rational
from actlib.formula.analysis.pieces import Piece
from actlib.formula.analysis.places import DIGITS, constant_at, enclosed_at, named
from actlib.formula.analysis.refusals import InfinitelyManyError, NoMethodError, RefusedError, UndecidedSignError
from actlib.formula.analysis.zeros import repeated
from actlib.formula.primitives import derivative

__all__ = [
    "asymptote",
    "beside",
    "derived",
    "difference",
    "ends_of",
    "is_finite",
    "limit",
    "one_sided",
    "order_at",
    "rate",
    "value",
]


@lru_cache(maxsize=512)
def derived(formula: Expr, x: Symbol, k: int) -> Expr:
    """The k-th derivative of a formula without cases."""
    return formula if k == 0 else derivative(derived(formula, x, k - 1), x)


@lru_cache(maxsize=2048)
def value(formula: Expr, x: Symbol, at: Expr, side: str = "+") -> Expr:
    """The value of a formula without cases at a point, or its limit where it has no value there; or at an infinity."""
    if at in (oo, -oo):
        return limit(formula, x, at)
    if not formula.has(x):
        return tidy(formula)
    if at.has(Float):
        return _rounded(formula, x, at)
    here = formula.subs(x, at)
    if not is_finite(here) or not _has_value(formula, x, at):
        return limit(beside(formula, x, at, side), x, oo)
    return tidy(here)


def _has_value(formula: Expr, x: Symbol, at: Expr) -> bool:
    """Whether no part of a formula is infinite at a place: 0 times that would be taken for 0."""
    parts = (e for e in formula.atoms(sp.Pow, sp.log) if e.has(x) and not isinstance(e, sp.exp))
    return all(is_finite(part.subs(x, at)) for part in parts)


def _rounded(formula: Expr, x: Symbol, at: Float) -> Expr:
    exact = constant_at(formula, x, at)
    if exact is not None:
        return tidy(exact)
    number = named(enclosed_at(formula, x, at), DIGITS)
    if number is None:
        raise NoMethodError(f"no method to tell the value of {formula} at {at.n(6)} from 0")
    return number


def one_sided(piece: Piece, k: int, x: Symbol, at: Expr, side: str = "+") -> Expr:
    """The value of the k-th derivative of a piece at a point of it, or its limit at an end."""
    return value(derived(piece.formula, x, k), x, at, side)


def difference(a: Expr, b: Expr, x: Symbol, at: Expr, sides: tuple[str, str] = ("+", "+")) -> Expr:
    """The value of a less that of b at a point: exactly 0 where both are one, by what they are; nan if it has none."""
    if a == b and sides[0] == sides[1]:
        return Integer(0)
    if at.has(Float):
        return value(a - b, x, at)
    found = [value(f, x, at, side) for f, side in zip((a, b), sides, strict=True)]
    return sp.nan if any(isinstance(f, AccumBounds) for f in found) else tidy(found[0] - found[1])


def ends_of(found: Expr) -> tuple[Expr, ...]:
    """A limit, or both ends of an oscillation, which it comes near to again and again."""
    return (found.min, found.max) if isinstance(found, AccumBounds) else (found,)


@lru_cache(maxsize=512)
def limit(formula: Expr, x: Symbol, end: Expr) -> Expr:
    """Limit at -oo or oo: by the expansion there, whose remainder is enclosed; else from the limits of the parts.

    What oscillates has an AccumBounds: from the lowest to the highest number that it comes near to again and again.

    Raises:
        RefusedError: It is not known, or depends on the parameters.
    """
    if not formula.has(x):
        return tidy(formula)
    if formula == x:
        return end
    try:
        terms = tails.shape(formula, x, end)
    except UndecidedSignError:
        raise
    except (NoMethodError, InfinitelyManyError):
        return _by_parts(formula, x, end)
    if not terms or terms[0][0].sign < 0:
        return Integer(0)
    growth, c = terms[0]
    if growth != tails.ONE:
        sides = tails.unbounded(formula, x, end)
        return AccumBounds(-oo, oo) if len(sides) > 1 else Integer(*sides) * oo
    return _swing(c) if c.has(tails.y) else tidy(c)


def _by_parts(formula: Expr, x: Symbol, end: Expr) -> Expr:
    if formula.is_Pow and not formula.exp.is_Rational and not isinstance(formula, sp.exp):
        return _by_parts(sp.exp(formula.exp * sp.log(formula.base)), x, end)
    known = (sp.Add, sp.Mul, sp.Pow, *SMOOTH)
    if not isinstance(formula, known):
        raise NoMethodError(f"no method for the limit of {formula} as {x} goes to {end}")
    parts = formula.args if not isinstance(formula, sp.exp) else (formula.exp,)
    return of_parts(formula, [limit(part, x, end) for part in parts])


def _swing(c: Expr) -> Expr:
    """All values of a coefficient that oscillates: between those where its slope is 0, in one period."""
    t = sp.Dummy("t", real=True)
    wave = c.xreplace({tails.y: t})
    if wave.free_symbols != {t}:
        return _swing_for_all(wave, t)
    found = repeated(derived(wave, t, 1), t)
    turns = found and found[2]
    if not turns:
        raise NoMethodError("no method for the values between which it oscillates towards infinity")
    values = [value(wave, t, at) for at in turns]
    return AccumBounds(extreme(values, -1), extreme(values, 1))


def _swing_for_all(wave: Expr, t: Symbol) -> Expr:
    """All values of a multiple of a sine or cosine, and a constant, for all values of the parameters."""
    centre, rest = sp.expand(wave).as_independent(t, as_Add=True)
    size, swing = rest.as_independent(t, as_Add=False)
    if not isinstance(swing, (sp.sin, sp.cos)):
        raise NoMethodError(f"no method for the values of {wave} for all values of its parameters")
    size = absolute(size)
    return AccumBounds(centre - size, centre + size)


def beside(formula: Expr, x: Symbol, at: Expr, side: str) -> Expr:
    """The formula in 1 / |x - at| on one side of a place: its limit there is one at infinity."""
    return formula.subs(x, at + (1 if side == "+" else -1) / x)


def order_at(formula: Expr, x: Symbol, at: Expr) -> Expr | None:
    """The order of the first derivative that is not 0, of a formula that is analytic at a place; None if unknown."""
    try:
        (growth, c), *_ = tails.shape(beside(formula, x, at, "+"), x, oo) or [(tails.ONE, None)]
    except RefusedError:
        return None
    plain = c is not None and not growth.rate and growth.logs == 0 and not c.has(tails.y)
    return -growth.power if plain and (-growth.power).is_Integer else None


def asymptote(formula: Expr, x: Symbol, end: Expr) -> Expr | None:
    """The line that the curve approaches at an end; None where there is none, or none is found."""
    if not formula.has(x):
        return tidy(formula)
    try:
        growing = [(g, c) for g, c in tails.shape(formula, x, end) if g.sign >= 0]
    except RefusedError:
        return None
    line = {tails.Growth(power=Integer(1)): x if end == oo else -x, tails.ONE: Integer(1)}
    if any(c.has(tails.y) or g not in line for g, c in growing):
        return None
    return tidy(sp.Add(*(c * line[g] for g, c in growing)))


def rate(piece: Piece, x: Symbol, end: Expr) -> Expr | None:
    """What a slope that goes to 0 is asymptotically equal to; None if that is not known."""
    slope = derived(piece.formula, x, 1)
    if slope == 0 or vanishes_as_rational(slope):
        return Integer(0)
    try:
        if not slope.free_symbols - {x}:
            return tails.closed(slope, x, end).leading
        (growth, c), *_ = tails.shape(slope, x, end) or [(None, None)]
    except RefusedError:
        return None
    return c * growth.expr(x if end == oo else -x) if growth is not None and not c.has(tails.y) else None
