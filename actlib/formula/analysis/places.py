"""Numbers without closed form: a decimal number is their name, and how to enclose them to any digits is kept.

SymPy rounds as soon as a decimal number is put into a formula or added to another. So that is never done: formulas are
enclosed over an enclosure of the place, as narrow as is needed; and that one is 0 there, or another constant, follows
from what the place is the zero of.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy import Expr, Float, Integer, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.closed_forms import factors
from actlib.formula.analysis.deadline import check, limit
from actlib.formula.analysis.enclosures import Enclosure, finite, most
from actlib.formula.analysis.formulas import KNOWN, compiled, enclosure, sign_of
from actlib.formula.analysis.identities import LONGEST, in_exponentials, is_zero, vanishes_as_rational
from actlib.formula.analysis.refusals import NoMethodError, NotDecidedError, UndecidedSignError
from actlib.formula.primitives import asinh, atan, derivative, expm1, sinh, tanh

__all__ = [
    "DIGITS",
    "PLACE_DIGITS",
    "Zero",
    "assert_bounded",
    "constant_at",
    "decimal",
    "enclosed_at",
    "in_order",
    "named",
    "order",
    "sign_at_place",
    "vanishes_at",
]

DIGITS = 50
"""Of a value that has no closed form."""

PLACE_DIGITS = 60
"""Of a place that has none."""

MOST_DIGITS = 400
"""Of a place that is near another."""

BITS = (120, 300, 800, 2400)
"""Of precision, one try after another, to tell a number from another."""

PATIENCE = 2
"""Seconds for the proof that a formula is constant at a place."""

ZEROS: dict[Float, "Zero"] = {}
"""What each place without closed form is."""


class Zero:
    """The one zero of a formula in an interval on which it is monotone."""

    def __init__(self, formula: Expr, x: Symbol, low: Rational, high: Rational, below: int):
        self.formula, self.x = formula, x
        self.also: list[Expr] = []  # other formulas that are proved to be 0 there
        self.isolated = self.narrow = low, high
        self.below = below  # the sign at the lower end
        self.value = compiled(formula, (x,))
        self.slope = compiled(derivative(formula, x), (x,))

    @property
    def vanishing(self) -> list[Expr]:
        """The formulas that are known to be 0 there."""
        return [self.formula, *self.also]

    def __call__(self) -> Enclosure:
        """An enclosure, about as narrow as the precision; of more than is kept here, as narrow as that."""
        bits = min(numbers.backend.bits, BITS[-1])
        with numbers.backend.precision(bits + 60):
            around = _box(*self.narrow)
            unit = numbers.backend.power_of_two(-bits)
            while around.width() > most([abs(around.low), abs(around.high)]) * unit:
                check()
                if 0 in around and around.width() < numbers.backend.power_of_two(-400):
                    break
                closer = self._closer(around)
                if closer is None or not closer.width() < around.width():
                    break
                around = closer
            self.narrow = around.rationals()
        return around

    def _closer(self, around: Enclosure) -> Enclosure | None:
        """One step of the interval Newton method, or half of the interval; None if the precision is too low."""
        middle = Enclosure(around.middle(), around.middle())
        value = self.value(middle)
        closer = around.common(middle - value / self.slope(around)) or around
        if closer.width() * 2 <= around.width():
            return closer
        sign = value.sign()
        if sign is None:
            return closer
        if sign == 0:
            return middle
        return Enclosure(middle.low, around.high) if sign == self.below else Enclosure(around.low, middle.high)

    def same(self, other: "Zero") -> bool:
        """Whether it is proved to be the same number."""
        return self is other or self._is_that_of(other) or other._is_that_of(self)

    def _is_that_of(self, other: "Zero") -> bool:
        formula = other.formula.xreplace({other.x: self.x})
        inside = other.isolated[0] <= self.narrow[0] and self.narrow[1] <= other.isolated[1]
        return inside and any(_constant_at(formula, self.x, known) == 0 for known in self.vanishing)

    def name(self, least: int = PLACE_DIGITS) -> Expr:
        """The decimal number that stands for it from now on; or the zero itself, if it turns out to be rational."""
        for digits in (d for d in (PLACE_DIGITS, 90, 140, 220, MOST_DIGITS) if d >= least):
            with numbers.backend.precision(digits * 4 + 60):
                around = self()
            if self.narrow[0] == self.narrow[1]:
                return self.narrow[0]
            number = decimal(around, digits)
            if number is None:
                break
            if number not in KNOWN:
                ZEROS[number] = KNOWN[number] = self
                return number
            if number in ZEROS and self.same(ZEROS[number]):
                formula = self.formula.xreplace({self.x: ZEROS[number].x})
                if formula not in ZEROS[number].vanishing:
                    ZEROS[number].also.append(formula)
                return number
        raise NoMethodError(f"no method to find enough digits of a zero of {self.formula}")


def _box(low: Rational, high: Rational) -> Enclosure:
    return Enclosure(enclosure(low).low, enclosure(high).high)


def in_order(places: list[Expr]) -> list[Expr]:
    """Different places in ascending order, with as many digits as tell them apart."""
    digits = PLACE_DIGITS
    while any(_crossed(a, b) for a, b in pairwise(places)):
        digits *= 2
        if digits > MOST_DIGITS:
            raise NoMethodError(
                f"no method to find enough digits to tell apart places of which two are near {places[0]}"
            )
        places = [ZEROS[place].name(digits) if place in ZEROS else place for place in places]
    return places


def _crossed(a: Expr, b: Expr) -> bool:
    """Whether a number that is less than another does not look so, as both are written."""
    if not (a.has(Float) or b.has(Float)) or -oo in (a, b) or oo in (a, b):
        return False
    return sign_of((Rational(b) if b.is_Float else b) - (Rational(a) if a.is_Float else a)) != 1


def decimal(t: Enclosure, digits: int) -> Float | None:
    """A number of so many digits, all but the last certain; None if the enclosure is too wide for that."""
    if not (finite(t.low) and finite(t.high)):
        return None
    low, high = t.rationals()
    if low <= 0 <= high:
        return Integer(0) if low == high else None
    if high - low > min(abs(low), abs(high)) / Integer(10) ** (digits + 3):
        return None
    return Float((low + high) / 2, digits)


def named(number: Callable[[], Enclosure], digits: int) -> Expr | None:
    """A decimal number that stands for another from now on; None if it is not told from 0 or has no bound.

    Two numbers have one name only if they agree in all digits that are tried; and none has that of a number with few
    digits, such as 1.
    """
    first = None
    for wanted in (digits, 2 * digits, 4 * digits):
        for bits in BITS:
            with numbers.backend.precision(bits):
                found = decimal(number(), wanted)
            if found is not None:
                break
        else:
            return first
        if found.is_Rational:
            return found
        if found not in KNOWN or not _gap_sign(number, KNOWN[found]):
            if found._mpf_[3] > found._prec * 3 // 4:
                KNOWN.setdefault(found, number)
                return found
            first = first or found
    return first


def _gap_sign(a: Callable[[], Enclosure], b: Callable[[], Enclosure]) -> int | None:
    """The sign of a - b; None if no precision here tells them apart."""
    if a is b:
        return None
    for bits in BITS:
        check()
        with numbers.backend.precision(bits):
            sign = (a() - b()).sign()
        if sign is not None:
            return sign
    return None


def order(a: Expr, b: Expr) -> int:
    """The sign of a - b, where decimal numbers stand for others.

    Raises:
        UndecidedSignError: It is not known.
    """
    if not (a.free_symbols or b.free_symbols):
        sign = _gap_sign(lambda: enclosure(a), lambda: enclosure(b))
        if sign is not None:
            return sign
        if _is_same(a, b) or _is_same(b, a):
            return 0
    raise UndecidedSignError(f"{a} and {b} are not told apart: they agree in all digits that are certain")


def _is_same(a: Expr, b: Expr) -> bool:
    """Whether the place a is the number b, for certain."""
    zero = ZEROS.get(a)
    if zero is None:
        return False
    if b in ZEROS:
        return zero.same(ZEROS[b])
    if b.has(Float):
        return False
    within = sign_of(b - zero.isolated[0]) == 1 and sign_of(zero.isolated[1] - b) == 1
    return within and is_zero(zero.formula.subs(zero.x, b))


def enclosed_at(formula: Expr, x: Symbol, at: Expr) -> Callable[[], Enclosure]:
    """The values of a formula at a place, as narrow as the precision."""
    if formula.free_symbols - {x}:
        raise NoMethodError(f"no method for {formula}, which has parameters, at a place without closed form")
    function = compiled(formula, (x,))
    return lambda: function(enclosure(at))


def assert_bounded(formula: Expr, x: Symbol, at: Expr) -> None:
    """Raises a NoMethodError unless it is shown that a formula has a value at a place without closed form."""
    values = enclosed_at(formula, x, at)
    with numbers.backend.precision(BITS[1]):
        found = values()
    if not (finite(found.low) and finite(found.high)):
        raise NoMethodError(f"no method to show that {formula} has a value at {at.n(6)}")


def sign_at_place(formula: Expr, x: Symbol, at: Expr) -> int:
    """The sign of a formula without cases at a place without closed form.

    Raises:
        UndecidedSignError: It cannot be told from 0.
    """
    values = enclosed_at(formula, x, at)
    for i, bits in enumerate(BITS):
        check()
        with numbers.backend.precision(bits):
            sign = values().sign()
        if sign is not None:
            return sign
        if i == 0 and vanishes_at(formula, x, at):
            return 0
    raise UndecidedSignError(f"the sign of {formula} at {at.n(6)} is not decided: no enclosure tells it from 0")


def vanishes_at(formula: Expr, x: Symbol, at: Expr) -> bool:
    """Whether a formula is 0 at a place by what that is the zero of."""
    return constant_at(formula, x, at) == 0


def constant_at(formula: Expr, x: Symbol, at: Expr) -> Expr | None:
    """The value of a formula at a place without closed form, if that follows from what the place is the zero of."""
    zero = ZEROS.get(at)
    if zero is not None:
        found = (_constant_at(formula, x, known.xreplace({zero.x: x})) for known in zero.vanishing)
        return next((value for value in found if value is not None), None)
    return Integer(0) if vanishes_as_rational(formula) else None


@lru_cache(maxsize=1024)
def _constant_at(formula: Expr, x: Symbol, vanishing: Expr) -> Expr | None:
    """The value of a formula where another one is 0; None if it may have several, or that is not known."""
    if not formula.has(x):
        return formula
    for form in dict.fromkeys((formula, in_exponentials(formula))):
        if any(_same_zero(f.formula, vanishing, x) for f in factors(form, x) if f.formula.has(x)):
            return Integer(0)
    if sp.count_ops(formula) <= LONGEST:
        try:
            with limit(PATIENCE):
                found = _remainder(formula, x, vanishing)
        except (NotDecidedError, sp.PolynomialError, NotImplementedError):
            found = formula
        if not found.has(x) and not found.has(sp.nan, sp.zoo, oo, -oo):
            return Integer(0) if is_zero(found) else found
    return Integer(0) if vanishes_as_rational(formula) else None


def _same_zero(a: Expr, b: Expr, x: Symbol) -> bool:
    a, b = _core(a, x), _core(b, x)
    return a == b or a == -b or not sp.cancel(sp.together(a / b)).has(x)


ODD = (sp.tanh, sp.sinh, sp.asinh, sp.atan, sp.erf, tanh, sinh, asinh, atan, expm1)
"""Functions that are 0 where their argument is, and nowhere else."""


def _core(formula: Expr, x: Symbol) -> Expr:
    """A simpler formula with the same zeros: an argument, or instead of exponentials the difference of exponents."""
    formula = formula.as_independent(x, as_Add=False)[1]
    if isinstance(formula, ODD):
        return _core(formula.args[0], x)
    if not (formula.is_Add and len(formula.args) == 2 and formula.has(sp.exp)):
        return formula
    one, other = formula.args
    found = Integer(0)
    for part in sp.Mul.make_args(-one / other):
        base, power = part.as_base_exp()
        if base is sp.E:
            found += power
        elif isinstance(base, sp.exp):
            found += base.exp * power
        elif not part.has(x) and part.is_positive:
            found += sp.log(part)
        else:
            return formula
    return sp.expand(found)


def _remainder(node: Expr, x: Symbol, vanishing: Expr) -> Expr:
    """The formula with the sums in it less multiples of one that is 0."""
    if not node.has(x) or not node.args:
        return node
    made = node.func(*(_remainder(part, x, vanishing) for part in node.args))
    if made.is_Add and made.has(x):
        rest = sp.reduced(made, [vanishing])[1]
        return rest if sp.count_ops(rest) < sp.count_ops(made) else made
    return made
