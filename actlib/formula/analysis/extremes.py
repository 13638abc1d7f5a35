"""The smallest and the largest value of a formula or of its slope, whether they are reached, and where.

They are among the values at the cuts of the line into stretches, those flat stretches have, and the limits at both ends
of each. Where the cuts are infinitely many, and no family, it is enough to know those of a bounded part of the line if
all values beyond it are proved to be less extreme.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy import Expr, Float, Integer, Interval, Symbol, oo

from actlib.formula.analysis import tails
from actlib.formula.analysis.constants import between, compare, extreme, sign
from actlib.formula.analysis.equality import decided
from actlib.formula.analysis.limits import derived, difference, ends_of, one_sided
from actlib.formula.analysis.pieces import LINE, pieces, resolved
from actlib.formula.analysis.refusals import NoMethodError, NotDecidedError, RefusedError
from actlib.formula.analysis.results import Bound
from actlib.formula.analysis.stretches import Cycle, Stretch, cuts, cycle, generic, kinks_within, point, split

__all__ = ["span", "supremum"]

WINDOWS = tuple(Integer(4) ** k for k in range(1, 7))
"""How far from 0 a bounded part of the line may go."""


@dataclass(frozen=True)
class _Region:
    """A part of the line that decides, cut into stretches; all of it, one period, or a bounded part."""

    within: tuple[Expr, Expr]
    stretches: tuple[Stretch, ...]
    cycle: Cycle | None = None
    bounded: bool = False


def _regions(expr: Expr, x: Symbol, k: int):
    """The part of the line whose k-th derivative's zeros decide; larger and larger ones if there is none that must."""
    turns = cycle(expr, x)
    if turns is not None:
        yield _Region(turns.within, split(expr, x, k, turns.within), turns)
        return
    try:
        yield _Region(LINE, split(expr, x, k))
        return
    except NotDecidedError:
        raise
    except RefusedError as error:
        trouble = error
    if not (expr.free_symbols == {x} and expr.has(sp.sin, sp.cos)):
        raise trouble
    for reach in WINDOWS:
        try:
            yield _Region((-reach, reach), split(expr, x, k, (-reach, reach)), None, True)
        except NotDecidedError:
            raise
        except RefusedError:
            continue
    raise trouble


def _beyond(expr: Expr, x: Symbol, k: int, region: _Region) -> list[Expr]:
    """Numbers between which all values of the k-th derivative lie beyond a bounded region; -oo and oo if not known."""
    found: list[Expr] = []
    for piece, end, start in zip((pieces(expr, x)[0], pieces(expr, x)[-1]), (-oo, oo), region.within, strict=True):
        if end == -oo and piece.high <= start or end == oo and piece.low >= start:
            return [-oo, oo]
        found += tails.values_beyond(derived(piece.formula, x, k), x, end, abs(start))
    return found


@lru_cache(maxsize=256)
def span(expr: Expr, x: Symbol) -> tuple[Expr, bool, Expr, bool]:
    """The infimum, whether it is a minimum, the supremum, and whether that is a maximum."""
    for region in _regions(expr, x, 1):
        attained = [point(expr, x, cut).value for cut in cuts(region.stretches)]
        attained += [one_sided(s.piece, 0, x, between(s.low, s.high)) for s in region.stretches if s.rises == 0]
        approached = []
        for s in region.stretches:
            for end, side in ((s.low, "+"), (s.high, "-")):
                values = list(ends_of(one_sided(s.piece, 0, x, end, side)))
                inside = end in region.within and abs(end) != oo
                (attained if inside else approached).extend(values)
        if region.cycle is not None and region.cycle.drift != 0:
            approached += [-oo, oo]
        low, high = extreme(attained + approached, -1), extreme(attained + approached, 1)
        if region.bounded:
            outside = _beyond(expr, x, 0, region)
            if not all(compare(low, value) < 0 < compare(high, value) for value in outside):
                continue
        return low, any(_same(low, value) for value in attained), high, any(_same(high, value) for value in attained)
    raise NoMethodError(f"infinitely many places where {expr} turns, and no method to tell which is the highest or the lowest")


def _same(a: Expr, b: Expr) -> bool:
    """Whether two values are equal.

    Raises:
        RefusedError: They agree in all digits that are certain.
    """
    return a == b or compare(a, b) == 0


def supremum(expr: Expr, x: Symbol, of: Callable[[Expr], Expr]) -> Bound:
    """The supremum of the slope, or of a function of it."""
    for region in _regions(expr, x, 2):
        values = _slopes(expr, x, of, region)
        best = extreme([value for value, _, _ in values], 1)
        if region.bounded:
            outside = [of(value) for value in _beyond(expr, x, 1, region)]
            if not all(compare(best, value) > 0 for value in outside):
                continue
        return _bound(expr, x, best, values, region)
    raise NoMethodError(f"infinitely many places where {expr} bends, and no method to tell which is the steepest")


Value = tuple[Expr, Expr | Interval, bool]


def _slopes(expr: Expr, x: Symbol, of: Callable[[Expr], Expr], region: _Region) -> list[Value]:
    """Values of the slope, where, and whether they are reached there."""
    found: list[Value] = []
    met = kinks_within(expr, x, region.within)
    jumps = {k.x for k in met if k.order < 0}
    kinked = {k.x for k in met if k.order < 1}
    for bend in region.stretches:
        if bend.rises == 0:
            slope = one_sided(bend.piece, 1, x, between(bend.low, bend.high))
            found.append((of(slope), Interval.open(bend.low, bend.high), True))
        for end, side in ((bend.low, "+"), (bend.high, "-")):
            for slope in ends_of(one_sided(bend.piece, 1, x, end, side)):
                found.append((of(slope), end, abs(end) != oo and end not in kinked))
    found += [(of(oo if sign(k.jump) >= 0 else -oo), k.x, False) for k in met if k.x in jumps]
    return found


def _bound(expr: Expr, x: Symbol, best: Expr, values: list[Value], region: _Region) -> Bound:
    ties = [(at, reached) for value, at, reached in values if _ties(expr, x, best, value, at, values)]
    reached = any(r for _, r in ties)
    places = list(dict.fromkeys(at for at, r in ties if r == reached))
    intervals = [p for p in places if isinstance(p, Interval)]
    places = [p for p in places if p in intervals or not any(p in (i.start, i.end) for i in intervals)]
    if region.cycle is not None:
        inner = [p for p in places if p not in region.within]
        places = [p if isinstance(p, Interval) else region.cycle.everywhere(p) for p in inner] or places
    return Bound(best, tuple(places), reached, not best.has(Float))


def _ties(expr: Expr, x: Symbol, best: Expr, value: Expr, at: Expr, values: list[Value]) -> bool:
    """Whether a value is the best one; of two that agree in all certain digits, by symmetry."""
    if value == best:
        others = [a for v, a, _ in values if v == best and a != at and v.has(Float)]
        if not others or _mirrored(expr, x, at, others):
            return True
    try:
        return compare(value, best) == 0
    except RefusedError:
        others = [a for v, a, _ in values if v == best and a != at]
        if _mirrored(expr, x, at, others):
            return True
        raise NoMethodError(f"no method to tell whether {expr} is as steep in several places") from None


def _mirrored(expr: Expr, x: Symbol, at: Expr, others: list[Expr]) -> bool:
    """Whether a formula is odd or even, and a place is the mirror image of all others or the same."""
    if not all(isinstance(a, Expr) and a in (at, -at) for a in others):
        return False
    return any(decided(expr.subs(x, -x), s * expr).holds for s in (1, -1))


