"""Derivatives of pieces, their values and limits, and what they are asymptotically equal to."""

from functools import lru_cache

import sympy as sp
from mpmath import mp, mpf
from sympy import AccumBounds, Expr, Float, Integer, Symbol, oo

from actlib.formula.analysis import tails
from actlib.formula.analysis.closed_forms import tidy
from actlib.formula.analysis.constants import sign, trials
from actlib.formula.analysis.formulas import constant
from actlib.formula.analysis.identities import vanishes_as_rational
from actlib.formula.analysis.pieces import Piece
from actlib.formula.analysis.places import DIGITS, constant_at, enclosed_at, named
from actlib.formula.analysis.refusals import NoMethodError, RefusedError
from actlib.formula.primitives import Primitive, derivative, elementary

__all__ = ["asymptote", "derived", "difference", "ends_of", "is_finite", "limit", "one_sided", "rate", "value"]


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
    if here.has(sp.nan, sp.zoo, oo, -oo, AccumBounds):
        here = sp.limit(elementary(formula), x, at, side)
    return tidy(here)


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
    """The value of a less that of b at a point: exactly 0 where both are one, by what they are."""
    if a == b and sides[0] == sides[1]:
        return Integer(0)
    if at.has(Float):
        return value(a - b, x, at)
    return tidy(value(a, x, at, sides[0]) - value(b, x, at, sides[1]))


def is_finite(number: Expr) -> bool:
    """Whether a limit is a number."""
    return not number.has(oo, -oo, sp.zoo, sp.nan, AccumBounds)


def ends_of(found: Expr) -> tuple[Expr, ...]:
    """A limit, or the infinite ends of an oscillation; its finite ends are not always sharp."""
    return tuple(e for e in (found.min, found.max) if e.is_infinite) if isinstance(found, AccumBounds) else (found,)


@lru_cache(maxsize=512)
def limit(formula: Expr, x: Symbol, end: Expr) -> Expr:
    """Limit at -oo or oo: by the expansion there, whose remainder is enclosed; else by SymPy, term by term."""
    if not formula.has(x):
        return tidy(formula)
    if not formula.free_symbols - {x}:
        try:
            terms = tails.shape(formula, x, end)
        except RefusedError:
            terms = None
        if terms is not None:
            if not terms or terms[0][0].sign < 0:
                return Integer(0)
            growth, c = terms[0]
            if not any(d.has(tails.y) for _, d in terms):
                return tidy(c) if growth.sign == 0 else sign(c) * oo
    return _limit_by_sympy(formula, x, end)


def _limit_by_sympy(formula: Expr, x: Symbol, end: Expr) -> Expr:
    terms = sp.Add.make_args(sp.expand_mul(formula))
    if len(terms) > 1:
        found = []
        for term in terms:
            found.append(_limit_of(term, x, end))
            if found[-1] is None or not is_finite(found[-1]):
                break
        else:
            return tidy(sp.Add(*found))
    result = _limit_of(formula, x, end)
    if result is None:
        result = _limit_by_parts(formula, x, end)
    if result.has(sp.nan, sp.zoo):
        raise ValueError(f"SymPy finds no limit of {formula} as {x} goes to {end}; expected is a formula that has one")
    return result


def _limit_by_parts(formula: Expr, x: Symbol, end: Expr) -> Expr:
    """The limit from those of the parts, by continuity; nan if they do not decide it."""
    if isinstance(formula, (sp.Add, sp.Mul, sp.exp, sp.erf, sp.erfc, Primitive)):
        return formula.func(*(limit(part, x, end) for part in formula.args))
    return sp.nan


def _limit_of(formula: Expr, x: Symbol, end: Expr) -> Expr | None:
    try:
        found = sp.limit(elementary(formula), x, end)
    except (NotImplementedError, ValueError, TypeError, sp.PoleError):
        return None
    if found.has(AccumBounds):
        return found if isinstance(found, AccumBounds) else AccumBounds(-oo, oo)
    return None if found.has(sp.Limit, sp.nan, sp.zoo, x) else tidy(found)


def asymptote(formula: Expr, x: Symbol, end: Expr) -> Expr | None:
    """The line that the curve approaches at an end; None where there is none, or none is found."""
    if not formula.free_symbols - {x}:
        try:
            terms = tails.shape(formula, x, end)
        except RefusedError:
            terms = None
        if terms is not None and not any(c.has(tails.y) for _, c in terms):
            line = {tails.Growth(power=Integer(1)): x if end == oo else -x, tails.ONE: Integer(1)}
            growing = [(g, c) for g, c in terms if g.sign >= 0]
            return tidy(sp.Add(*(c * line[g] for g, c in growing))) if all(g in line for g, _ in growing) else None
    slope = _limit_of(formula / x, x, end)
    if slope is None or not is_finite(slope):
        return None
    offset = _limit_of(formula - slope * x, x, end)
    if offset is None or not is_finite(offset):
        return None
    return slope * x + offset


def rate(piece: Piece, x: Symbol, end: Expr) -> Expr | None:
    """What a slope that goes to 0 is asymptotically equal to; None if that is not known."""
    slope = derived(piece.formula, x, 1)
    if slope == 0 or vanishes_as_rational(slope):
        return Integer(0)
    if slope.free_symbols - {x}:
        return _rate_for_all(slope, x, end)
    try:
        return tails.closed(slope, x, end).leading
    except RefusedError:
        return None


def _rate_for_all(slope: Expr, x: Symbol, end: Expr) -> Expr | None:
    """A shape c x**p exp(u), guessed from two values at one set of values of the parameters, then proved for all."""
    trial = trials(slope.free_symbols - {x})[0]
    sides = [300 if end == oo else -300, 600 if end == oo else -600]
    exponents = {e.exp for e in elementary(slope).atoms(sp.exp) if e.exp.is_polynomial(x) and e.exp.has(x)}
    for u in sorted({Integer(0)}.union(*({n * e for n in (-2, -1, 1, 2)} for e in exponents)), key=sp.count_ops):
        growth = []
        for at in sides:
            number = constant(slope.subs(trial).subs(x, at), 20)
            size = abs(sp.Float(number.rationals()[0], 30))
            growth.append(mpf(sp.log(size).evalf(25)) - mpf(u.subs(trial).subs(x, at).evalf(25)) if size else mp.inf)
        power = (growth[1] - growth[0]) / mp.log(2)
        if not mp.isfinite(power) or abs(power) > 12 or abs(power - mp.nint(power)) > mpf("0.05"):
            continue
        shape = x ** int(mp.nint(power)) * sp.exp(u)
        try:
            factor = _limit_by_sympy(sp.expand_mul(slope) / shape, x, end)
        except ValueError:
            continue
        if is_finite(factor) and factor != 0:
            return factor * shape
    return None
