"""All zeros of a smooth formula on an interval, with the proof that these are all: a cover of the interval.

Each part of the cover is one of these: a tail, beyond which one term outweighs the others; an interval on which the
enclosure of the values has one sign; one on which that of the slope has, with signs at both ends, and so no zero or
just one; and the neighbourhood of a known zero, on which the first derivative that is not 0 there keeps its sign.
Bisection goes on until each part is one of them. Zeros without closed form are enclosed by interval Newton steps.
"""

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy import Expr, Integer, Rational, Symbol, oo

from actlib.formula.analysis import numbers, tails
from actlib.formula.analysis.closed_forms import factors, is_real, period, wave_candidates, waves
from actlib.formula.analysis.constants import (
    boxes,
    compare,
    generic_sign,
    names,
    ordered,
)
from actlib.formula.analysis.deadline import check
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, constant, enclosure, sign_of
from actlib.formula.analysis.identities import is_zero, vanishes_as_rational
from actlib.formula.analysis.places import Zero, in_order, sign_at_place
from actlib.formula.analysis.refusals import InfinitelyManyError, NoMethodError, RefusedError, UndecidedSignError
from actlib.formula.primitives import derivative

__all__ = ["Cover", "Part", "cover", "covers", "repeated", "zeros"]

BITS = 80
"""Of precision, to begin with."""

DEEPEST = 200
"""Times that an interval is halved before a zero in it counts as one that cannot be isolated."""

HIGHEST_MULTIPLICITY = 12


@dataclass(frozen=True)
class Part:
    """An interval, and what is proved of a factor of the formula there.

    Attributes:
        low, high: The ends, rational numbers or infinite; or those of the interval that is covered.
        sign: Of the factor; 0 if there is one zero, on both sides of which it is not 0.
        how: The reason: "tail", "values", "monotone", "zero" or "end".
        zero: The zero, in closed form or as a number all digits of which but the last are certain.
        multiplicity: Of the zero.
    """

    low: Expr
    high: Expr
    sign: int
    how: str
    zero: Expr | None = None
    multiplicity: int = 0


@dataclass(frozen=True)
class Cover:
    """The parts that prove where a factor is 0 on an interval, in ascending order."""

    factor: Expr
    x: Symbol
    low: Expr
    high: Expr
    parts: tuple[Part, ...]

    @property
    def zeros(self) -> tuple[Expr, ...]:
        """The zeros inside."""
        return tuple(part.zero for part in self.parts if part.how == "zero")


@lru_cache(maxsize=512)
def zeros(formula: Expr, x: Symbol, low: Expr, high: Expr) -> tuple[Expr, ...] | None:
    """All zeros of a formula without cases inside an interval, in ascending order; None if it is 0 throughout.

    Raises:
        RefusedError: They are infinitely many, or not decided.
    """
    if not formula.has(x):
        return None if formula == 0 or generic_sign(formula) == 0 else ()
    if vanishes_as_rational(formula):
        return None
    if (formula.free_symbols | low.free_symbols | high.free_symbols) - {x}:
        return _zeros_for_all(formula, x, low, high)
    found = [zero for part in covers(formula, x, low, high) for zero in part.zeros]
    try:
        ranked = sorted(sorted(dict.fromkeys(found), key=_has_decimals), key=ordered(lambda zero: zero))
        return tuple(in_order([z for i, z in enumerate(ranked) if i == 0 or compare(ranked[i - 1], z) != 0]))
    except UndecidedSignError:
        raise NoMethodError(f"no method to tell apart all zeros of {formula}") from None


def _has_decimals(number: Expr) -> bool:
    return number.has(sp.Float)


@lru_cache(maxsize=512)
def covers(formula: Expr, x: Symbol, low: Expr, high: Expr) -> tuple[Cover, ...]:
    """The proof: a cover for each factor."""
    return tuple(cover(f.formula, x, low, high, tuple(f.candidates)) for f in factors(formula, x) if f.formula.has(x))


def _zeros_for_all(formula: Expr, x: Symbol, low: Expr, high: Expr) -> tuple[Expr, ...]:
    """The zeros for all values of the parameters: none, as enclosures show, or those in closed form."""
    parameters = tuple(
        sorted((formula.free_symbols | low.free_symbols | high.free_symbols) - {x}, key=lambda s: s.name)
    )
    parts = factors(formula, x)
    found: list[Expr] = []
    try:
        for factor in parts:
            if not factor.formula.has(x) or _excluded(factor.formula, x, parameters, low, high):
                continue
            if not factor.complete:
                raise NoMethodError
            for zero in factor.candidates:
                real = zero.is_extended_real if zero.free_symbols else is_real(zero)
                if real is None:
                    raise NoMethodError
                if real and compare(low, zero) < 0 < compare(high, zero):
                    found.append(zero)
        return tuple(sorted(dict.fromkeys(found), key=ordered(lambda zero: zero)))
    except (NoMethodError, UndecidedSignError):
        words = f"the zeros of {formula} have no one closed form in {names(parameters)}; substitute a number"
        raise NoMethodError(words) from None


def _excluded(factor: Expr, x: Symbol, parameters: tuple[Symbol, ...], low: Expr, high: Expr) -> bool:
    """Whether a factor has no zero for any value of its parameters, as an enclosure over all of them shows."""
    try:
        with numbers.backend.precision(BITS):
            n = numbers.backend
            ends = [Enclosure(e, e) for e in (n.minus_infinity, n.infinity)]
            bounds = [
                ends[0] if low == -oo or low.free_symbols else enclosure(low),
                ends[1] if high == oo or high.free_symbols else enclosure(high),
            ]
            wide = [Enclosure(parts[0].low, parts[-1].high) for parts in map(boxes, parameters)]
            values = compiled(factor, (x, *parameters))(Enclosure(bounds[0].low, bounds[1].high), *wide)
    except ValueError:
        return False
    return values.sign() is not None


# One factor, without parameters


@lru_cache(maxsize=512)
def cover(factor: Expr, x: Symbol, low: Expr, high: Expr, candidates: tuple[Expr, ...] = ()) -> Cover:
    """The zeros of one formula without parameters.

    Args:
        factor: The formula, smooth on the interval.
        x: Its variable.
        low: One end of the interval, which is open.
        high: The other.
        candidates: Numbers that are zeros, if they are real.

    Raises:
        RefusedError: They are infinitely many, or not decided.
    """
    parts = []
    start, stop = low, high
    ends = _tails(factor, x, [end for end in (low, high) if end in (oo, -oo)])
    if oo in ends:
        stop = ends[oo].start if low == -oo or compare(ends[oo].start, low) > 0 else low
        parts.append(Part(stop, oo, ends[oo].sign, "tail"))
    if -oo in ends:
        start = ends[-oo].start if compare(ends[-oo].start, stop) < 0 else stop
        parts.append(Part(-oo, start, ends[-oo].sign, "tail"))
    if compare(start, stop) < 0:
        parts += _Search(factor, x).between(start, stop, candidates, (start == low, stop == high))
    return Cover(factor, x, low, high, tuple(sorted(parts, key=ordered(lambda p: p.low))))


def _tails(factor: Expr, x: Symbol, ends: list[Expr]) -> dict[Expr, tails.Tail]:
    """The tails; if one of them has infinitely many zeros, that is what is said, whatever the other has."""
    found, trouble = {}, []
    for end in ends:
        try:
            found[end] = tails.closed(factor, x, end)
        except RefusedError as error:
            trouble.append(error)
    if trouble:
        raise next((e for e in trouble if isinstance(e, InfinitelyManyError)), trouble[0])
    return found


class _Search:
    """Isolates the zeros of a formula on bounded intervals."""

    def __init__(self, formula: Expr, x: Symbol):
        self.formula, self.x = formula, x
        self.slopes = [formula]
        self.value = compiled(formula, (x,))
        self.slope = compiled(self.derived(1), (x,))

    def derived(self, k: int) -> Expr:
        while len(self.slopes) <= k:
            self.slopes.append(derivative(self.slopes[-1], self.x))
        return self.slopes[k]

    def between(
        self, start: Expr, stop: Expr, candidates: tuple[Expr, ...], open_ends: tuple[bool, bool]
    ) -> list[Part]:
        """Parts from start to stop; an end that is open may be a zero itself, and is none of those inside."""
        outer = Enclosure(constant(start, 30).low, constant(stop, 30).high)
        with numbers.backend.precision(BITS):
            known = self._known(start, stop, outer, candidates, open_ends)
            parts = [part for part, _ in known]
            free, at = [], outer.low
            for _, around in sorted(known, key=ordered(lambda pair: pair[0].low)):
                if at < around.low:
                    free.append(Enclosure(at, around.low))
                at = around.high if around.high >= at else at
            if at < outer.high:
                free.append(Enclosure(at, outer.high))
            for box in free:
                parts += self._bisected(box, start, stop)
        return parts

    def _known(self, start, stop, outer, candidates, open_ends) -> list[tuple[Part, Enclosure]]:
        """Zeros in closed form and zeros at the ends, with neighbourhoods in which there is no other."""
        places: list[tuple[Expr, str]] = []
        for end, is_open in ((start, open_ends[0]), (stop, open_ends[1])):
            if is_open and self._is_zero_at(end):
                places.append((end, "end"))
        width = [float(e) for e in outer.rationals()]
        guesses = wave_candidates(self.formula, self.x, *width) if waves(self.formula, self.x) else []
        for at in (*candidates, Integer(0), *guesses):
            if not is_real(at):
                continue
            inside = compare(start, at) < 0 < compare(stop, at)
            if inside and all(at != p for p, _ in places) and (at in candidates or self._is_zero_at(at)):
                places.append((at, "zero"))
        ends = sorted((constant(p, 30) for p, _ in places), key=lambda t: t.rationals()[0])
        found = []
        for at, how in places:
            m = self._multiplicity(at)
            around = self._neighbourhood(at, m, outer, ends)
            low, high = around.rationals()
            found.append((Part(low, high, 0, how, at, m), around))
        return found

    def _is_zero_at(self, at: Expr) -> bool:
        if at.has(sp.Float):
            try:
                return sign_at_place(self.formula, self.x, at) == 0
            except UndecidedSignError:
                raise NoMethodError(f"no method to tell whether {self.formula} is 0 at {at.n(6)}") from None
        try:
            value = self.formula.subs(self.x, at)
            if value.has(sp.nan, sp.zoo, oo, -oo, sp.AccumBounds):
                return False
            if value.is_Rational:
                return value == 0
            if enclosure(value).sign():
                return False
        except (ValueError, TypeError):
            return False
        return is_zero(value)

    def _multiplicity(self, at: Expr) -> int:
        for m in range(1, HIGHEST_MULTIPLICITY + 1):
            if at.has(sp.Float):
                if sign_at_place(self.derived(m), self.x, at):
                    return m
                continue
            value = self.derived(m).subs(self.x, at)
            if enclosure(value).sign():
                return m
            if not is_zero(value):
                if sign_of(value):
                    return m
                break
        raise NoMethodError(f"no method to tell how {self.formula} comes to be 0 at {at}")

    def _neighbourhood(self, at: Expr, m: int, outer: Enclosure, others: list[Enclosure]) -> Enclosure:
        """An interval around a zero of multiplicity m on which the m-th derivative is not 0."""
        n = numbers.backend
        here = constant(at, 30)
        function = compiled(self.derived(m), (self.x,))
        gaps = [abs(o - here).low for o in others if o.common(here) is None]
        size = [n.lower(gap / 2) for gap in gaps] + [n.lower(outer.width() / 4)]
        width = min(size, key=lambda w: Enclosure(w, w).rationals()[0])
        for _ in range(DEEPEST):
            around = Enclosure(n.lower(here.low - width), n.upper(here.high + width))
            if function(around).sign():
                return around
            width = n.lower(width / 2)
            check()
        raise NoMethodError(f"no method to show that the zero of {self.formula} at {at} is isolated")

    def _bisected(self, box: Enclosure, start: Expr, stop: Expr) -> list[Part]:
        parts = []
        waiting = [(box, 0)]
        while waiting:
            check()
            box, depth = waiting.pop()
            with numbers.backend.precision(BITS + 2 * depth):
                part = self._decided(box, start, stop)
            if part is not None:
                parts.append(part)
            elif depth == DEEPEST:
                near = sp.Float(box.rationals()[0], 6)
                raise NoMethodError(
                    f"no method to decide whether {self.formula} is 0 near {near}, where it comes close to 0"
                )
            else:
                cut = numbers.backend.lower(box.low + (box.high - box.low) * numbers.backend.rational(61, 125))
                waiting += [(Enclosure(cut, box.high), depth + 1), (Enclosure(box.low, cut), depth + 1)]
        return parts

    def _decided(self, box: Enclosure, start: Expr, stop: Expr) -> Part | None:
        low, high = box.rationals()
        sign = self.value(box).sign()
        if sign:
            return Part(low, high, sign, "values")
        slope = self.slope(box)
        if not slope.sign():
            middle = box.middle()
            centre = Enclosure(middle, middle)
            sign = (self.value(centre) + slope * (box - centre)).sign()
            return Part(low, high, sign, "values") if sign else None
        signs = [self._sign_at(end) for end in (low, high)]
        if None in signs or 0 in signs:
            return None
        if signs[0] == signs[1]:
            return Part(low, high, signs[0], "monotone")
        return self._enclosed(box, signs, start, stop)

    def _sign_at(self, end: Rational) -> int | None:
        for bits in (BITS, 4 * BITS, 16 * BITS):
            with numbers.backend.precision(bits):
                sign = self.value(enclosure(end)).sign()
                if sign is not None:
                    return sign
        return None

    def _enclosed(self, box: Enclosure, signs: list[int], start: Expr, stop: Expr) -> Part:
        """The one zero in an interval on which the formula is monotone."""
        low, high = box.rationals()
        found = Zero(self.formula, self.x, low, high, signs[0])
        zero = found.name()
        if compare(zero, start) > 0 > compare(zero, stop):
            return Part(low, high, 0, "zero", zero, 1)
        raise NoMethodError(f"no method to decide on which side of an end the zero of {self.formula} near {zero} is")


def repeated(formula: Expr, x: Symbol) -> tuple[Expr, Expr, tuple[Expr, ...] | None] | None:
    """A period of a formula, a start, and the zeros from there on for one period; None if no period is known."""
    length = period(formula, x)
    if length is None:
        return None
    start = next(
        (s for s in (Rational(k, 7) for k in range(-1, -12, -1)) if sign_of(formula.subs(x, s))),
        None,
    )
    if start is None:
        raise NoMethodError(f"no method to find where {formula} is not 0")
    return length, start, zeros(formula, x, start, start + length)
