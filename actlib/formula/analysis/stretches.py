"""Between the zeros of a derivative it keeps its sign: stretches on which a formula rises, falls or is flat.

A formula that is a multiple of x and a periodic rest is cut on one period only, and what is found there holds for every
other: places then have 2 pi n in them, or the like.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy import Expr, Float, Integer, Rational, Symbol, oo

from actlib.formula.analysis.closed_forms import period, waves
from actlib.formula.analysis.constants import between, compare, generic_sign, sign
from actlib.formula.analysis.equality import decided
from actlib.formula.analysis.formulas import constant, enclosure
from actlib.formula.analysis.identities import smooth_everywhere
from actlib.formula.analysis.limits import derived, difference, is_finite, order_at, value
from actlib.formula.analysis.pieces import LINE, Piece, pieces, resolved, roots_at, sign_at, switching_functions
from actlib.formula.analysis.places import DIGITS, assert_bounded, in_order, named
from actlib.formula.analysis.refusals import NoMethodError, RefusedError, UndecidedSignError
from actlib.formula.analysis.results import Kink, Point
from actlib.formula.analysis.zeros import zeros
from actlib.formula.primitives import elementary

__all__ = ["HIGHEST_ORDER", "Cycle", "N", "Stretch", "cuts", "cycle", "generic", "kinks_within", "point", "split"]

HIGHEST_ORDER = 12
"""Derivatives compared where two pieces meet."""

N = Symbol("n", integer=True)
"""Counts the periods."""


@dataclass(frozen=True)
class Cycle:
    """A formula that is a multiple of x and a periodic rest.

    Attributes:
        length: Of a period.
        start: Where the one begins that is looked at: the formula is smooth there, and it and its slope are not 0,
            nor its curvature, unless it is straight all around.
        drift: By how much the formula rises over one period.
    """

    length: Expr
    start: Expr
    drift: Expr

    @property
    def within(self) -> tuple[Expr, Expr]:
        """The period that is looked at."""
        return self.start, self.start + self.length

    def everywhere(self, place: Expr) -> Expr:
        """A place of this period, and its like in all others; n is 0 for the one next to 0."""
        least = place
        if place.has(Float):
            return self._least(place) + self.length * N
        while compare(least, self.length) >= 0:
            least -= self.length
        while compare(least, Integer(0)) < 0:
            least += self.length
        return sp.expand(least) + self.length * N

    def between(self, low: Expr, high: Expr) -> tuple[Expr, Expr]:
        """The ends of a stretch of this period, and of its like in all others."""
        start, stop = self.everywhere(low), self.everywhere(high)
        return start, stop + self.length if compare(stop.subs(N, 0), start.subs(N, 0)) <= 0 else stop

    def _least(self, place: Expr) -> Float:
        """A number without closed form, less whole periods."""
        ends = (constant(place, DIGITS) / constant(self.length, DIGITS)).rationals()
        periods = {sp.floor(end) for end in ends}
        if len(periods) > 1:
            raise NoMethodError(f"no method to tell {place.n(6)} from the end of a period")
        return _difference(place, periods.pop() * self.length, DIGITS)

    def risen(self, number: Expr, place: Expr) -> Expr:
        """A value at a place of this period, and its like in all others."""
        if self.drift == 0:
            return number
        periods = sp.expand((self.everywhere(place) - place).subs(N, 0) / self.length)
        less = sp.floor(periods + sp.S.Half) * -self.drift
        if number.has(Float) or less.has(Float):
            return _difference(number, less, DIGITS - 6) + self.drift * N
        return sp.expand(number - less) + self.drift * N


def _difference(a: Expr, b: Expr, digits: int) -> Float:
    """Of two numbers, one of which is decimal."""
    found = named(lambda: enclosure(a) - enclosure(b), digits)
    if found is None:
        raise NoMethodError(f"no method to tell {a.n(6)} from {b.n(6)}")
    return found


@lru_cache(maxsize=256)
def cycle(expr: Expr, x: Symbol) -> Cycle | None:
    """The period of a formula that is a multiple of x and a periodic rest; None for any other."""
    if not waves(expr, x) or expr.free_symbols != {x}:
        return None
    terms = sp.Add.make_args(sp.expand(expr)) if not expr.has(sp.Piecewise) else (expr,)
    linear = [t for t in terms if t.has(x) and not (t / x).has(x)]
    rest = sp.expand(expr) - sp.Add(*linear) if linear else expr
    length = period(rest, x)
    if length is None:
        return None
    while any(rest.subs(x, x + length / k) == rest for k in (2, 3)):
        length /= next(k for k in (2, 3) if rest.subs(x, x + length / k) == rest)
    drift = sp.expand(sp.Add(*linear) / x * length)
    starts = [(Rational(k, 7), straight) for straight in (False, True) for k in range(-1, -40, -1)]
    start = next((s for s, straight in starts if _is_plain(expr, x, s, straight)), None)
    if start is None:
        raise NoMethodError(f"no method to find where {expr} is not flat")
    return Cycle(length, start, drift)


def _is_plain(expr: Expr, x: Symbol, at: Rational, straight: bool) -> bool:
    """Whether nothing that is asked for lies at a place: no zero, extremum, inflection, and no cases meet.

    A formula that is straight around the place serves if that is allowed.
    """
    try:
        if any(sign_at(resolved(f, x, at), x, at) == 0 for f in switching_functions(expr, x)):
            return False
        formula = resolved(expr, x, at)
        bends = derived(formula, x, 2)
        if straight and not bends.has(x):
            return bends == 0 and all(sign(derived(formula, x, k).subs(x, at)) for k in (0, 1))
        return all(sign(derived(formula, x, k).subs(x, at)) for k in (0, 1, 2))
    except UndecidedSignError:
        return False


@dataclass(frozen=True)
class Stretch:
    """A part of a piece on which a derivative is positive (1), negative (-1) or 0 throughout."""

    low: Expr
    high: Expr
    piece: Piece
    rises: int


@lru_cache(maxsize=256)
def split(expr: Expr, x: Symbol, k: int, within: tuple[Expr, Expr] = LINE) -> tuple[Stretch, ...]:
    """The line, or an interval, cut where pieces meet and where the k-th derivative is 0."""
    found = []
    for piece in pieces(expr, x, within):
        slope = derived(piece.formula, x, k)
        places = zeros(slope, x, piece.low, piece.high)
        if places is None:
            found.append(Stretch(piece.low, piece.high, piece, 0))
            continue
        for low, high in pairwise(in_order([piece.low, *places, piece.high])):
            found.append(Stretch(low, high, piece, _sign_between(slope, x, low, high)))
    return tuple(found)


def _sign_between(slope: Expr, x: Symbol, low: Expr, high: Expr) -> int:
    """The sign of a formula without zeros in an interval, from any point of it that tells."""
    trouble: RefusedError | None = None
    points = [between(low, high)]
    if low == -oo and high == oo:
        points += [Integer(1), Integer(-1)]
    elif low.has(Float) or high.has(Float):
        pass
    elif high == oo:
        points += [low + 1, *([Integer(0), low / 2] if low.is_negative else [])]
    elif low == -oo:
        points += [high - 1, *([Integer(0), high / 2] if high.is_positive else [])]
    for at in points:
        try:
            return sign(slope.subs(x, at))
        except RefusedError as error:
            trouble = error
    raise trouble


def cuts(stretches: tuple[Stretch, ...]) -> list[Expr]:
    """Where stretches meet."""
    return [stretch.high for stretch in stretches[:-1]]


@lru_cache(maxsize=512)
def point(expr: Expr, x: Symbol, at: Expr) -> Point:
    """The point of the curve at a place."""
    return Point(at, value(resolved(expr, x, at), x, at), not at.has(Float))


@lru_cache(maxsize=256)
def kinks_within(expr: Expr, x: Symbol, within: tuple[Expr, Expr] = LINE) -> tuple[Kink, ...]:
    """Where pieces meet and some derivative jumps."""
    found = []
    for left, right in pairwise(pieces(expr, x, within)):
        order = _contact(expr, x, left, right)
        if order != oo:
            at = left.high
            jumps = [_jump(left, right, k, x, at) for k in (0, 1)]
            found.append(Kink(at, jumps[0], jumps[1], order))
    return tuple(found)


def _jump(left: Piece, right: Piece, k: int, x: Symbol, at: Expr) -> Expr:
    return difference(derived(right.formula, x, k), derived(left.formula, x, k), x, at, ("+", "-"))


@lru_cache(maxsize=512)
def _contact(expr: Expr, x: Symbol, left: Piece, right: Piece) -> Expr:
    """How many derivatives agree where two pieces meet; oo if the pieces are equal there, but for what is flat."""
    at = left.high
    here = resolved(expr, x, at)
    if any(generic(difference(here, p.formula, x, at, ("+", s))) for p, s in ((left, "-"), (right, "+"))):
        return Integer(-1)
    sides = [_without_flat(p.formula, x, at, s) for p, s in ((left, "-"), (right, "+"))]
    if decided(*sides).holds and _analytic_at(sides[0], x, at):
        return oo
    for k in range(HIGHEST_ORDER + 1):
        slopes = [value(derived(f, x, k), x, at, s) for f, s in zip(sides, ("-", "+"), strict=True)]
        jump = difference(derived(sides[1], x, k), derived(sides[0], x, k), x, at, ("+", "-"))
        if not all(map(is_finite, slopes)) or generic(jump):
            return Integer(k - 1)
    order = order_at(sides[1] - sides[0], x, at) if all(_analytic_at(f, x, at) for f in sides) else None
    if order is None:
        raise NoMethodError(f"no method to tell which derivative jumps at {at}: the first {HIGHEST_ORDER} do not")
    return order - 1


def _without_flat(formula: Expr, x: Symbol, at: Expr, side: str) -> Expr:
    """The formula without those terms of which all derivatives go to 0 at a place, as those of exp(-1/x) from above."""
    if at.has(Float):
        return formula
    terms = sp.Add.make_args(sp.expand_mul(formula))
    kept = [t for t in terms if not _is_flat(t, x, at, side)]
    return formula if len(kept) == len(terms) else sp.Add(*kept)


def _is_flat(term: Expr, x: Symbol, at: Expr, side: str) -> bool:
    """Whether a term is a rational function and an exponential of one that goes to -oo: so are its derivatives."""
    powers = [e for e in sp.Mul.make_args(term) if isinstance(e, sp.exp) and e.has(x)]
    u = sp.Add(*(e.exp for e in powers))
    if not powers or not (term / sp.exp(u)).is_rational_function(x) or not u.is_rational_function(x):
        return False
    try:
        return not is_finite(u.subs(x, at)) and value(u, x, at, side) == -oo
    except RefusedError:
        return False


def _analytic_at(formula: Expr, x: Symbol, at: Expr) -> bool:
    """Whether a formula that has a limit at a point is analytic there: it has a value, or is a quotient that has."""
    if any(not _is_even_power(root, x, at) for root in roots_at(formula, x, at)):
        return False
    if at.has(Float):
        assert_bounded(formula, x, at)
        return True
    here = formula.subs(x, at)
    if not here.has(sp.nan, sp.zoo, oo, -oo, sp.AccumBounds):
        return True
    return all(map(smooth_everywhere, sp.fraction(sp.together(elementary(formula)))))


def _is_even_power(root: Expr, x: Symbol, at: Expr) -> bool:
    """Whether a root of what is 0 at a point is there an even power of x - at, times what is not 0."""
    for m in range(1, HIGHEST_ORDER + 1):
        if sign_at(derived(root.base, x, m), x, at):
            return bool((root.exp * m / 2).is_Integer and root.exp.is_positive)
    return False


def generic(jump: Expr) -> bool:
    """Whether a jump is not 0, but for single values of the parameters."""
    if any(power.base == 0 for power in jump.atoms(sp.Pow)):
        raise NoMethodError(f"no method to tell for all values of the parameters whether {jump} is 0")
    return not is_finite(jump) or generic_sign(jump) != 0
