"""What is asked of a formula: each question in one function, answered exactly, with certainty, or not at all."""

from collections.abc import Callable
from functools import wraps
from itertools import pairwise

import sympy as sp
from sympy import Expr, Integer, Interval, Symbol, oo

from actlib.formula.analysis import equality, extremes
from actlib.formula.analysis import limits as ends
from actlib.formula.analysis.constants import absolute, compare, ordered, sign
from actlib.formula.analysis.deadline import timed
from actlib.formula.analysis.equality import Equality
from actlib.formula.analysis.formulas import KNOWN
from actlib.formula.analysis.limits import difference, one_sided
from actlib.formula.analysis.pieces import LINE, checked, expression, piece_at, pieces, resolved, switching_functions
from actlib.formula.analysis.refusals import ArgumentError, InfinitelyManyError, NoMethodError, NotDecidedError
from actlib.formula.analysis.results import Bound, Extremum, Kink, Point, Saturation
from actlib.formula.analysis.scaling import Scale, scale
from actlib.formula.analysis.stretches import Cycle, N, Stretch, cuts, cycle, generic, kinks_within, point, split
from actlib.formula.analysis.taylor import polynomial
from actlib.formula.decimals import exact

__all__ = [
    "asymptotes",
    "critical_points",
    "equal",
    "equality_of",
    "extrema",
    "inflections",
    "kinks",
    "largest_slope",
    "limits",
    "lipschitz",
    "monotone_intervals",
    "parity",
    "point_symmetry",
    "saturation",
    "smoothness",
    "taylor",
    "value_range",
    "zero_centred",
]


def question(stretched: Callable[[Scale, object, Symbol], object] = lambda _, found, __: found) -> Callable:
    """A question about a formula of x, timed; asked without the parameters that only stretch the curve.

    Args:
        stretched: What the answer about the curve without them says about the one with them.
    """

    def of(ask: Callable) -> Callable:
        @timed
        @wraps(ask)
        def asked(expr: Expr, x: Symbol, *more, **named):
            expr = checked(expr, x)
            if (known := scale(expr, x)) is None:
                return ask(expr, x, *more, **named)
            return stretched(known, ask(known.formula, x, *more, **named), x)

        return asked

    return of


@question(lambda scale, found, _: tuple(map(scale.value, found)))
def limits(expr: Expr, x: Symbol) -> tuple[Expr, Expr]:
    """Exact limits at -oo and oo; where the formula oscillates, an AccumBounds that encloses it."""
    if (turns := cycle(expr, x)) is not None:
        low, _, high, _ = extremes.span(expr, x)
        swing = sp.AccumBounds(low, high)
        return (swing, swing) if turns.drift == 0 else (-turns.drift * oo, turns.drift * oo)
    first, *_, last = [*pieces(expr, x)] * 2
    return ends.limit(first.formula, x, -oo), ends.limit(last.formula, x, oo)


@question(lambda scale, found, x: tuple(None if line is None else scale.curve(line, x) for line in found))
def asymptotes(expr: Expr, x: Symbol) -> tuple[Expr | None, Expr | None]:
    """The lines m x + c that the curve approaches at -oo and oo; None where there is none, or none is found."""
    if cycle(expr, x) is not None:
        return None, None
    first, *_, last = [*pieces(expr, x)] * 2
    return ends.asymptote(first.formula, x, -oo), ends.asymptote(last.formula, x, oo)


def _stretches(expr: Expr, x: Symbol, k: int) -> tuple[tuple[Stretch, ...], Cycle | None]:
    """The line, or one period of it, cut where pieces meet and where the k-th derivative is 0."""
    turns = cycle(expr, x)
    return split(expr, x, k, turns.within if turns else LINE), turns


def _everywhere(place: Expr, turns: Cycle | None) -> Expr:
    return place if turns is None else turns.everywhere(place)


def _found(expr: Expr, x: Symbol, at: Expr, turns: Cycle | None) -> Point:
    here = point(expr, x, at)
    return Point(_everywhere(at, turns), turns.risen(here.value, at) if turns else here.value, here.exact)


@question(lambda scale, found, _: list(map(scale.point, found)))
def critical_points(expr: Expr, x: Symbol) -> list[Point | Interval]:
    """Where the slope is 0, in ascending order: isolated points, and an interval for each constant stretch.

    Of a formula that is periodic but for a multiple of x, each stands for one in every period: with an integer n in it.
    """
    stretches, turns = _stretches(expr, x, 1)
    if turns is not None and any(s.rises == 0 for s in stretches):
        raise InfinitelyManyError("infinitely many intervals on which the formula is constant")
    found: list[Point | Interval] = [Interval.open(s.low, s.high) for s in stretches if s.rises == 0]
    for cut in cuts(stretches):
        if _is_critical(expr, x, cut, turns):
            touching = [i for i in found if isinstance(i, Interval) and cut in (i.start, i.end)]
            found = [i + sp.FiniteSet(cut) if i in touching else i for i in found]
            found += [] if touching else [_found(expr, x, cut, turns)]
    place = lambda p: p.start if isinstance(p, Interval) else p.x.subs(N, 0)
    return sorted(found, key=ordered(place))


def _is_critical(expr: Expr, x: Symbol, cut: Expr, turns: Cycle | None) -> bool:
    """Whether the formula has the slope 0 at a zero of the slope inside a piece, or where two pieces meet."""
    within = turns.within if turns else LINE
    meets = [p for p in pieces(expr, x, within) if cut in (p.low, p.high)]
    if not meets:
        return True
    smooth = cut not in {k.x for k in kinks_within(expr, x, within) if k.order < 1}
    return smooth and not generic(one_sided(meets[0], 1, x, cut, "-"))


@question(lambda scale, found, _: list(map(scale.kink, found)))
def kinks(expr: Expr, x: Symbol) -> list[Kink]:
    """The points where pieces meet and some derivative jumps, with the jumps of value and slope.

    Raises:
        RefusedError: They are not known, or a slope has no jump: it is infinite on both sides, or swings.
    """
    found = _kinks(expr, x)
    for kink in found:
        if kink.jump is sp.nan or kink.slope_jump is sp.nan:
            name = "value" if kink.jump is sp.nan else "slope"
            raise NoMethodError(f"there is no jump of the {name} at {kink.x}: two infinite ones, or one that swings")
    return found


def _kinks(expr: Expr, x: Symbol) -> list[Kink]:
    """The same, with nan for jumps that are none."""
    if not switching_functions(expr, x):
        pieces(expr, x)
        return []
    turns = cycle(expr, x)
    found = kinks_within(expr, x, turns.within if turns else LINE)
    return [Kink(_everywhere(k.x, turns), k.jump, k.slope_jump, k.order) for k in found]


@question()
def smoothness(expr: Expr, x: Symbol) -> Expr:
    """How many derivatives are continuous: -1 if the formula itself is not, 0, 1, ..., oo if it is smooth."""
    return min((Integer(kink.order) for kink in _kinks(expr, x)), default=oo)


@question(lambda scale, found, _: list(map(scale.point, found)))
def extrema(expr: Expr, x: Symbol) -> list[Extremum]:
    """Strict local minima and maxima in ascending order; a flat stretch is none.

    Of a formula that is periodic but for a multiple of x, each stands for one in every period: with an integer n in it.

    Raises:
        InfinitelyManyError: There is one after another, and no period.
    """
    stretches, turns = _stretches(expr, x, 1)
    found = []
    for left, right in pairwise(stretches):
        at = left.high
        here = resolved(expr, x, at)
        above_left = sign(difference(left.piece.formula, here, x, at, ("-", "+"))) or -left.rises
        above_right = sign(difference(right.piece.formula, here, x, at)) or right.rises
        if above_left == above_right != 0:
            kind = "minimum" if above_left > 0 else "maximum"
            p = _found(expr, x, at, turns)
            found.append(Extremum(p.x, p.value, kind, p.exact))
    return sorted(found, key=ordered(lambda e: e.x.subs(N, 0))) if turns else found


@question(lambda scale, found, _: scale.range(found))
def value_range(expr: Expr, x: Symbol) -> sp.Set:
    """The interval between the smallest and the largest value, open at an end that is not attained.

    A constant has the one-point interval, which SymPy writes as a FiniteSet. The set is an interval whether or not the
    formula is continuous.
    """
    low, low_attained, high, high_attained = extremes.span(expr, x)
    found = Interval(low, high, not low_attained, not high_attained)
    if low.has(sp.Float) and high.has(sp.Float) and not isinstance(found, Interval):
        raise NoMethodError(f"no method to tell the smallest value, {low.n(6)}, from the largest")
    return found


@question(lambda scale, found, _: [(scale.place(within), rises) for within, rises in found])
def monotone_intervals(expr: Expr, x: Symbol) -> list[tuple[Interval, int]]:
    """The real line as intervals on which the formula rises strictly (1), falls strictly (-1) or is constant (0).

    Neighbours share their end point where the formula is continuous. Of a formula that is periodic but for a multiple
    of x, each stands for one in every period: with an integer n in its ends.
    """
    stretches, turns = _stretches(expr, x, 1)
    merged: list[list] = []
    for stretch in stretches:
        low_open, high_open = (_is_open(expr, x, stretch, end, turns) for end in (stretch.low, stretch.high))
        if merged and merged[-1][4] == stretch.rises and not merged[-1][3] and not low_open:
            merged[-1][1], merged[-1][3] = stretch.high, high_open
        else:
            merged.append([stretch.low, stretch.high, low_open, high_open, stretch.rises])
    if turns is not None:
        merged = _joined(merged, turns)
    return [(Interval(low, high, low_open, high_open), rises) for low, high, low_open, high_open, rises in merged]


def _is_open(expr: Expr, x: Symbol, stretch: Stretch, end: Expr, turns: Cycle | None) -> bool:
    """Whether a stretch does not go on to its end: that is infinite, or the formula jumps there."""
    if abs(end) == oo:
        return True
    if turns is not None and end in turns.within:
        return False
    side = "+" if end == stretch.low else "-"
    return generic(difference(stretch.piece.formula, resolved(expr, x, end), x, end, (side, "+")))


def _joined(merged: list[list], turns: Cycle) -> list[list]:
    """The stretches of all periods: the last of one is one with the first of the next."""
    first, last = merged[0], merged[-1]
    if len(merged) == 1:
        return [[-oo, oo, True, True, first[4]]]
    if first[4] == last[4]:  # where a period begins, the formula is smooth and not flat
        merged = [*merged[1:-1], [last[0], first[1], last[2], first[3], last[4]]]
    found = []
    for low, high, low_open, high_open, rises in merged:
        found.append([*turns.between(low, high), low_open, high_open, rises])
    return sorted(found, key=ordered(lambda m: m[0].subs(N, 0)))


@question(lambda scale, found, _: list(map(scale.point, found)))
def inflections(expr: Expr, x: Symbol) -> list[Point]:
    """Where the formula has a slope and its curvature changes sign, in ascending order."""
    bends, turns = _stretches(expr, x, 2)
    kinked = {k.x for k in kinks_within(expr, x, turns.within if turns else LINE) if k.order < 1}
    pairs = list(pairwise(bends))
    found = [_found(expr, x, a.high, turns) for a, b in pairs if a.rises * b.rises < 0 and a.high not in kinked]
    return sorted(found, key=ordered(lambda p: p.x.subs(N, 0))) if turns else found


@question(lambda scale, found, _: scale.bound(found))
def lipschitz(expr: Expr, x: Symbol) -> Bound:
    """The smallest Lipschitz constant, that is, the supremum of the absolute slope, and where it lies."""
    return extremes.supremum(expr, x, absolute)


@question(lambda scale, found, _: scale.bound(found))
def largest_slope(expr: Expr, x: Symbol) -> Bound:
    """The supremum of the slope, and where it lies."""
    return extremes.supremum(expr, x, lambda slope: slope)


@question()
def parity(expr: Expr, x: Symbol) -> str | None:
    """The symmetry about 0: "odd", "even" or None; the zero function is called even.

    Raises:
        RefusedError: No symmetry is proved, nor that there is none.
    """
    mirrored = expr.subs(x, -x)
    if _is_equal(expr, mirrored):
        return "even"
    return "odd" if _is_equal(expr, -mirrored) else None


def _is_equal(a: Expr, b: Expr) -> bool:
    """Whether two formulas are equal, proved either way."""
    found = equality_of(a, b)
    if found.holds is None or not found.everywhere:
        raise NoMethodError(f"no method to decide whether {a} and {b} are equal")
    return found.holds


@question(lambda scale, found, _: found and (found[0], scale.value(found[1])))
def point_symmetry(expr: Expr, x: Symbol) -> tuple[Expr, Expr] | None:
    """The centre (0, f(0)) if f(x) + f(-x) = 2 f(0), as for the sigmoid; None if not.

    Raises:
        RefusedError: Neither is proved.
    """
    centre = point(expr, x, Integer(0)).value
    return (Integer(0), centre) if _is_equal(expr + expr.subs(x, -x), 2 * centre) else None


@question()
def zero_centred(expr: Expr, x: Symbol) -> bool:
    """Whether the formula is odd and not constant: inputs symmetric about 0 then have outputs of mean exactly 0.

    That is the sense in which LeCun et al. (1998) prefer sigmoids that are symmetric about the origin. A function that
    merely takes both signs, as Leaky ReLU, brings the mean nearer to 0 but is not zero-centred.
    """
    return parity(expr, x) == "odd"


@question(lambda scale, found, x: scale.curve(found, x))
def taylor(expr: Expr, x: Symbol, n: int) -> Expr:
    """The Taylor polynomial about 0, with powers up to x**n.

    Raises:
        ValueError: The formula does not have n derivatives at 0.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ArgumentError(f"n is {n!r}; expected is an integer that is not negative")
    for kink in _kinks(expr, x):
        if kink.order < n and compare(kink.x.subs(N, 0), Integer(0)) == 0:
            if kink.order >= 0 and cycle(expr, x) is None and _swings(expr, x, Integer(0), kink.order + 1):
                raise NoMethodError(
                    f"no method for derivative {kink.order + 1} of {expr} at 0, next to which it swings"
                )
            raise ArgumentError(f"{expr} has {max(kink.order, 0)} derivatives at 0; expected are n = {n}")
    return polynomial(piece_at(expr, x, Integer(0)).formula, x, n)


def _swings(expr: Expr, x: Symbol, at: Expr, k: int) -> bool:
    """Whether the k-th derivative has no limit on a side of a place, not even an infinite one."""
    sides = [(p, "-" if p.high == at else "+") for p in pieces(expr, x) if at in (p.low, p.high)]
    return any(isinstance(one_sided(p, k, x, at, side), sp.AccumBounds) for p, side in sides)


@question(lambda scale, found, x: tuple(scale.saturation(end, x) for end in found))
def saturation(expr: Expr, x: Symbol) -> tuple[Saturation, Saturation]:
    """How the slope behaves at -oo and at oo: whether it goes to 0, and how fast."""
    if cycle(expr, x) is not None:
        high, low = (extremes.supremum(f, x, lambda slope: slope, jumps=False).value for f in (expr, -expr))
        swing = sp.AccumBounds(-low, high)
        ways = swing == 0, Integer(0) if swing == 0 else None
        return Saturation(-oo, swing, *ways), Saturation(oo, swing, *ways)
    met = pieces(expr, x)
    found = []
    for piece, end in ((met[0], -oo), (met[-1], oo)):
        slope = ends.limit(ends.derived(piece.formula, x, 1), x, end)
        found.append(Saturation(end, slope, slope == 0, ends.rate(piece, x, end) if slope == 0 else None))
    return found[0], found[1]


@timed
def equality_of(a: Expr, b: Expr) -> Equality:
    """Whether two formulas are equal for all values of their symbols, and by which way that is known.

    They are, if their difference vanishes as a rational function of the symbols and of exponentials, or has the
    derivative 0 and the value 0 at 0, or is simplified to 0; cases of one real variable are compared one by one. They
    are not, if at some point the enclosure of the difference does not hold 0, or only one of them has a value. Where it
    is not known whether they have values at the same places, it is said that they are equal wherever both have one.
    Decimal numbers are compared as the fractions that they are, but for those that an answer of these functions names.
    """
    return equality.compared(*(exact(expression(side), KNOWN) for side in (a, b)))


def equal(a: Expr, b: Expr) -> bool:
    """True only if it is proved that the two formulas are equal wherever both have a value; False otherwise.

    False, too, if one is known to have a value where the other has none. Whether they are proved to differ, and by
    which way, is what `equality_of` says.
    """
    try:
        return equality_of(a, b).holds is True
    except NotDecidedError:
        return False
