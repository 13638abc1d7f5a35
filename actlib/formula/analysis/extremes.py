"""The smallest and the largest value of a formula or of its slope, whether they are reached, and where.

They are among the values at the cuts of the line into stretches, those flat stretches have, and the limits at both ends
of each. Where the cuts are infinitely many, and no family, it is enough to know those of a bounded part of the line if
all values beyond it are proved to be less extreme.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy import Expr, Float, Integer, Interval, Rational, Symbol, oo

from actlib.formula.analysis import tails
from actlib.formula.analysis.closed_forms import waves
from actlib.formula.analysis.constants import between, compare, extreme, sign
from actlib.formula.analysis.deadline import limit
from actlib.formula.analysis.equality import decided
from actlib.formula.analysis.formulas import constant
from actlib.formula.analysis.limits import derived, difference, ends_of, one_sided
from actlib.formula.analysis.pieces import LINE, pieces, resolved, sign_at, switching_points
from actlib.formula.analysis.refusals import NoMethodError, NotDecidedError, RefusedError, UndecidedSignError
from actlib.formula.analysis.results import Bound
from actlib.formula.analysis.stretches import Cycle, Stretch, cuts, cycle, kinks_within, point, split

__all__ = ["span", "supremum"]

NEAR = (Integer(4), Integer(16), Integer(64))
"""How far from 0 a bounded part of the line goes, to begin with."""

PATIENCE = 2
"""Seconds for a proof of symmetry."""

FARTHEST = 4096
"""How far it may go."""


@dataclass(frozen=True)
class _Region:
    """A part of the line that decides, cut into stretches; all of it, one period, or a bounded part."""

    within: tuple[Expr, Expr]
    stretches: tuple[Stretch, ...]
    cycle: Cycle | None = None
    beyond: tuple[int, ...] = ()


def _decided(expr: Expr, x: Symbol, k: int, bounds: Callable[[_Region], tuple[Expr | None, Expr | None]]) -> _Region:
    """The part of the line in which the smallest and the largest value of the derivative of order k - 1 lie.

    Args:
        expr: The formula.
        x: Its variable.
        k: Order of the derivative by whose zeros the line is cut.
        bounds: Smallest and largest value on a part of the line; None for one that is not asked for.

    Raises:
        RefusedError: There is none of which this is proved.
    """
    turns = cycle(expr, x)
    if turns is not None:
        return _Region(turns.within, split(expr, x, k, turns.within), turns)
    try:
        return _Region(LINE, split(expr, x, k))
    except NotDecidedError:
        raise
    except RefusedError as error:
        trouble = error
    if expr.free_symbols != {x} or not waves(expr, x):
        raise trouble
    first, *_, last = [*pieces(expr, x)] * 2
    outer = [(derived(p.formula, x, k - 1), end) for p, end in ((first, -oo), (last, oo))]
    beyond = tuple(sorted(set().union(*(tails.unbounded(formula, x, end) for formula, end in outer))))
    if beyond == (-1, 1):
        return _Region((-oo, oo), (), None, beyond)
    farthest = max((sp.ceiling(abs(p)) + 1 for p in switching_points(expr, x)), default=Integer(0))
    if farthest > FARTHEST:
        raise trouble
    for reach in NEAR:
        reach = max(reach, farthest)  # pieces beyond it would not be looked at
        for _ in range(2):
            region = _Region((-reach, reach), split(expr, x, k, (-reach, reach)), None, beyond)
            need = _reach(outer, x, bounds(region), beyond)
            if need is None or need > FARTHEST:
                break
            if need <= reach:
                return region
            reach = need
    raise trouble


def _reach(outer: list[tuple[Expr, Expr]], x: Symbol, found: tuple, beyond: tuple[int, ...]) -> Expr | None:
    """From where on all values are proved to lie strictly between those found, but for a side that has no bound."""
    need = Integer(0)
    for bound, side in zip(found, (-1, 1), strict=True):
        if bound is None or side in beyond or bound == side * oo:
            continue
        inner = constant(bound, 20).rationals()[0 if side > 0 else 1]
        for formula, end in outer:
            try:
                tail = tails.closed(side * (inner - formula), x, end)
            except RefusedError:
                return None
            if tail.sign < 0:
                return None
            need = max(need, abs(tail.start))
    return need


def _values(expr: Expr, x: Symbol, region: _Region) -> tuple[list[Expr], list[Expr]]:
    """Values among which are the extreme ones: those that are attained, and those that are approached."""
    attained = [point(expr, x, cut).value for cut in cuts(region.stretches)]
    attained += [one_sided(s.piece, 0, x, between(s.low, s.high)) for s in region.stretches if s.rises == 0]
    approached: list[Expr] = [side * oo for side in region.beyond]
    for s in region.stretches:
        for end, side in ((s.low, "+"), (s.high, "-")):
            if abs(end) != oo and (end in region.within or _goes_on(expr, x, s, end)):
                if end in region.within:
                    attained.append(one_sided(s.piece, 0, x, end, side))
                continue
            approached.extend(ends_of(one_sided(s.piece, 0, x, end, side)))
    if region.cycle is not None and region.cycle.drift != 0:
        approached += [-oo, oo]
    return attained, approached


def _goes_on(expr: Expr, x: Symbol, stretch: Stretch, end: Expr) -> bool:
    """Whether the value at an end without closed form is that which the stretch approaches."""
    return end.has(Float) and sign_at(stretch.piece.formula - resolved(expr, x, end), x, end) == 0


@lru_cache(maxsize=256)
def span(expr: Expr, x: Symbol) -> tuple[Expr, bool, Expr, bool]:
    """The infimum, whether it is a minimum, the supremum, and whether that is a maximum."""

    def ends(region: _Region) -> tuple[Expr, Expr]:
        values = _values(expr, x, region)[0]
        return extreme(values, -1), extreme(values, 1)

    attained, approached = _values(expr, x, _decided(expr, x, 1, ends))
    low, high = (_best(attained, approached, side) for side in (-1, 1))
    return *low, *high


def _best(attained: list[Expr], approached: list[Expr], side: int) -> tuple[Expr, bool]:
    """The largest (1) or smallest (-1) value, and whether it is attained.

    Raises:
        RefusedError: One that is attained and one that is approached agree in all digits that are certain.
    """
    best = extreme(attained, side) if attained else None
    beyond = extreme(approached, side) if approached else best
    if best is None:
        return beyond, False
    if best == beyond and best.has(Float) and approached:
        raise NoMethodError(f"no method to tell whether {best.n(6)} is attained: it is approached elsewhere")
    order = compare(beyond, best) * side
    if order > 0:
        return beyond, False
    return (beyond if order == 0 and best.has(Float) else best), True


def supremum(expr: Expr, x: Symbol, of: Callable[[Expr], Expr], jumps: bool = True) -> Bound:
    """The supremum of the slope, or of a function of it; jumps are infinite slopes, or not looked at."""
    absolute = of(Integer(-1)) == 1

    def ends(region: _Region) -> tuple[Expr | None, Expr]:
        best = extreme([value for value, _, _ in _slopes(expr, x, of, region, jumps)], 1)
        return -best if absolute else None, best

    region = _decided(expr, x, 2, ends)
    values = _slopes(expr, x, of, region, jumps)
    sizes = [value for value, _, _ in values]
    try:
        return _bound(expr, x, extreme(sizes, 1), values, region)
    except UndecidedSignError:
        if expr.free_symbols == {x} or any(size.has(Float) for size in sizes):
            raise
        return Bound(sp.Max(*sizes), (), False)  # which of them it is, and so where, depends on the parameters


Value = tuple[Expr, Expr | Interval, bool]


def _slopes(expr: Expr, x: Symbol, of: Callable[[Expr], Expr], region: _Region, jumps: bool) -> list[Value]:
    """Values of the slope, where, and whether they are reached there."""
    found: list[Value] = [(of(side * oo), Integer(1) * oo, False) for side in region.beyond]
    met = kinks_within(expr, x, region.within)
    kinked = {k.x for k in met if k.order < 1}
    for bend in region.stretches:
        if bend.rises == 0:
            slope = one_sided(bend.piece, 1, x, between(bend.low, bend.high))
            found.append((of(slope), Interval.open(bend.low, bend.high), True))
        for end, side in ((bend.low, "+"), (bend.high, "-")):
            for slope in ends_of(one_sided(bend.piece, 1, x, end, side)):
                found.append((of(slope), end, abs(end) != oo and end not in kinked))
    for at in (k.x for k in met if k.order < 0 and jumps):
        found += [(of(way * oo), at, False) for way in sorted(_ways(expr, x, at, region.within)) if way]
    return found


def _ways(expr: Expr, x: Symbol, at: Expr, within: tuple[Expr, Expr]) -> set[int]:
    """Whether the formula jumps up (1) or down (-1) at a place, from one side to its value there or on from that."""
    here = resolved(expr, x, at)
    met = pieces(expr, x, within)
    left, right = next(p for p in met if p.high == at), next(p for p in met if p.low == at)
    steps = difference(here, left.formula, x, at, ("+", "-")), difference(right.formula, here, x, at)
    if sp.nan in steps:
        raise NoMethodError(f"no method for the slope at {at}, next to which the formula swings")
    return {sign(step) for step in steps}


def _bound(expr: Expr, x: Symbol, best: Expr, values: list[Value], region: _Region) -> Bound:
    ties = [(at, reached) for value, at, reached in values if _ties(expr, x, best, value, at, values)]
    reached = any(r for _, r in ties)
    places = list(dict.fromkeys(at for at, r in ties if r == reached))
    intervals = [p for p in places if isinstance(p, Interval)]
    places = [p for p in places if p in intervals or not any(p in (i.start, i.end) for i in intervals)]
    if region.cycle is not None:
        inner = [p for p in places if p not in region.within and not isinstance(p, Interval)]
        places = [*map(region.cycle.everywhere, inner), *_everywhere(intervals, region.cycle)]
    return Bound(best, tuple(places), reached, not best.has(Float))


def _everywhere(intervals: list[Interval], turns: Cycle) -> list[Interval]:
    """Intervals of all periods; those that meet where a period begins are one."""
    start, stop = turns.within
    ends = {i.start: i.end for i in intervals}
    if start in ends and stop in ends.values():
        last = next(low for low, high in ends.items() if high == stop)
        if last == start:
            return [Interval(-oo, oo)]
        ends[last] = ends.pop(start)
    return [Interval.open(*turns.between(low, high)) for low, high in ends.items()]


def _ties(expr: Expr, x: Symbol, best: Expr, value: Expr, at: Expr, values: list[Value]) -> bool:
    """Whether a value is the best one; of two that agree in all certain digits, and so have one name, by symmetry."""
    others = [a for v, a, _ in values if v == best and a != at and v.has(Float)]
    if value == best and not others:
        return True
    try:
        if value != best and not (compare(value, best) == 0 and others):
            return compare(value, best) == 0
    except RefusedError:
        pass
    if _mirrored(expr, x, at, others):
        return True
    raise NoMethodError(f"no method to tell whether {expr} is as steep in several places")


def _mirrored(expr: Expr, x: Symbol, at: Expr, others: list[Expr]) -> bool:
    """Whether a place is the mirror image of the others, or the same, in a symmetry of the curve."""
    for other in others:
        if not isinstance(other, Expr) or not isinstance(at, Expr):
            return False
        if other == at:
            continue
        centre = sp.nsimplify((at + other) / 2, rational=True, tolerance=Rational(1, 10**40))
        image = expr.subs(x, 2 * centre - x)
        try:
            with limit(PATIENCE):
                if not any(decided(image + s * expr, (image + s * expr).subs(x, 0)).holds for s in (1, -1)):
                    return False
        except NotDecidedError:
            return False
    return True
