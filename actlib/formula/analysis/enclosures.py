"""Enclosures: closed intervals that are certain to hold every value that a formula takes over given intervals.

The ends are rounded outwards, and may be infinite.
"""

from functools import reduce

from sympy import Rational

from actlib.formula.analysis import numbers
from actlib.formula.analysis.refusals import NoMethodError

__all__ = ["Enclosure", "finite", "least", "most", "rounded"]

LARGEST_EXPONENT = 100_000
"""Of two, in a number that becomes a fraction: much larger ones take minutes in which nothing can be interrupted."""


class Enclosure:
    """The real numbers from one end to another; immutable."""

    __slots__ = ("high", "low")

    def __init__(self, low, high):
        self.low, self.high = low, high

    @classmethod
    def of(cls, p: int, q: int = 1) -> "Enclosure":
        """The enclosure of p / q."""
        return rounded(numbers.backend.rational(p, q))

    @classmethod
    def line(cls) -> "Enclosure":
        """All real numbers."""
        return cls(numbers.backend.minus_infinity, numbers.backend.infinity)

    def __repr__(self):
        return f"[{self.low}, {self.high}]"

    def __neg__(self):
        return Enclosure(-self.high, -self.low)

    def __add__(self, other):
        n = numbers.backend
        return Enclosure(n.lower(self.low + other.low), n.upper(self.high + other.high))

    def __sub__(self, other):
        return self + -other

    def __mul__(self, other):
        n, (a, b), (c, d) = numbers.backend, (self.low, self.high), (other.low, other.high)
        if a >= 0:
            pairs = ((a, c), (b, d)) if c >= 0 else ((b, c), (a, d)) if d <= 0 else ((b, c), (b, d))
        elif b <= 0:
            pairs = ((a, d), (b, c)) if c >= 0 else ((b, d), (a, c)) if d <= 0 else ((a, d), (a, c))
        elif c >= 0:
            pairs = (a, d), (b, d)
        elif d <= 0:
            pairs = (b, c), (a, c)
        else:
            one, other_ = n.lower(_times(a, d)), n.lower(_times(b, c))
            three, four = n.upper(_times(a, c)), n.upper(_times(b, d))
            return Enclosure(one if one <= other_ else other_, four if three <= four else three)
        return Enclosure(n.lower(_times(*pairs[0])), n.upper(_times(*pairs[1])))

    def __truediv__(self, other):
        return self * other.inverse()

    def inverse(self) -> "Enclosure":
        """The numbers 1 / t; all of the line where 0 is inside."""
        n = numbers.backend
        if self.low < 0 < self.high or (self.low == 0 and self.high == 0):
            return Enclosure.line()
        one = n.rational(1)
        low = n.minus_infinity if self.high == 0 else n.lower(one / self.high) if finite(self.high) else 0 * one
        high = n.infinity if self.low == 0 else n.upper(one / self.low) if finite(self.low) else 0 * one
        return Enclosure(low, high)

    def power(self, exponent: Rational) -> "Enclosure":
        """The numbers t**exponent; for exponents that are no integers of those t only that are not negative."""
        if exponent < 0:
            return self.power(-exponent).inverse()
        if exponent == 1:
            return self
        n, p, q = numbers.backend, int(exponent.p), int(exponent.q)
        if q > 1 and self.high < 0:
            return Enclosure.line()  # not real
        base = self if q == 1 else Enclosure(_at_least_0(self.low), _at_least_0(self.high))
        if q == 1 and p % 2 == 0:
            base = abs(base)
        ends = (_power(base.low, p, q), _power(base.high, p, q))
        return Enclosure(n.lower(ends[0]), n.upper(ends[1]))

    def __abs__(self):
        if self.low >= 0:
            return self
        if self.high <= 0:
            return -self
        return Enclosure(0 * numbers.backend.rational(1), -self.low if -self.low >= self.high else self.high)

    def __contains__(self, other):
        if isinstance(other, Enclosure):
            return self.low <= other.low and other.high <= self.high
        return self.low <= other <= self.high

    def union(self, other: "Enclosure") -> "Enclosure":
        """The smallest enclosure of both."""
        return Enclosure(*(f([getattr(self, e), getattr(other, e)]) for f, e in ((least, "low"), (most, "high"))))

    def common(self, other: "Enclosure") -> "Enclosure | None":
        """What lies in both, or None."""
        low, high = most([self.low, other.low]), least([self.high, other.high])
        return Enclosure(low, high) if low <= high else None

    def middle(self):
        """An end near the middle of a bounded enclosure."""
        return numbers.backend.lower((self.low + self.high) / 2)

    def width(self):
        """How far the ends are apart, rounded upwards."""
        return numbers.backend.upper(self.high - self.low)

    def halves(self) -> "tuple[Enclosure, Enclosure]":
        """Two enclosures that make up a bounded one."""
        middle = self.middle()
        return Enclosure(self.low, middle), Enclosure(middle, self.high)

    def sign(self) -> int | None:
        """1 or -1 if all numbers have that sign, 0 if there is only 0, else None."""
        if self.low > 0:
            return 1
        if self.high < 0:
            return -1
        return 0 if self.low == 0 and self.high == 0 else None

    def rationals(self) -> tuple[Rational, Rational]:
        """The ends of a bounded enclosure as rational numbers.

        Raises:
            NoMethodError: They are infinite, too large or too near 0 for that.
        """
        if not (finite(self.low) and finite(self.high)):
            raise NoMethodError("no method for a number of which no bounds are known")
        parts = [numbers.backend.parts(end) for end in (self.low, self.high)]
        if any(abs(e) > LARGEST_EXPONENT for _, e in parts):
            raise NoMethodError(f"no method for numbers beyond 2^{LARGEST_EXPONENT}, or as near 0")
        low, high = (Rational(m) * Rational(2) ** e for m, e in parts)
        return low, high


def rounded(ball) -> Enclosure:
    """What holds a ball."""
    return Enclosure(numbers.backend.lower(ball), numbers.backend.upper(ball))


def finite(end) -> bool:
    """Whether an end is no infinity."""
    return end != numbers.backend.infinity and end != numbers.backend.minus_infinity


def _times(a, b):
    """The product, where 0 times infinity is 0: the infinity stands for arbitrarily large numbers."""
    return a if a == 0 else b if b == 0 else a * b


def least(ends):
    """The smallest of some ends."""
    return reduce(lambda a, b: a if a <= b else b, ends)


def most(ends):
    """The largest of some ends."""
    return reduce(lambda a, b: a if a >= b else b, ends)


def _at_least_0(end):
    return end if end >= 0 else 0 * numbers.backend.rational(1)


def _power(end, p: int, q: int):
    if not finite(end) or end == 0:
        return end if p % 2 or end == 0 else numbers.backend.infinity
    if q == 1:
        return end**p
    root = numbers.backend.functions["sqrt"](end**p) if q == 2 else None
    if root is None:
        functions = numbers.backend.functions
        root = functions["exp"](functions["log"](end) * p / q)
    return root
