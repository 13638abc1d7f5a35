"""Numbers right to some 100 bits, each the sum of two float64 numbers, of which one holds what the other lacks.

Sources: Dekker (1971); Knuth, for the sum of two; Ogita, Rump and Oishi (2005), for the product by a fused step.
"""

import math
from fractions import Fraction

from actlib.backends.doubles import moved_up
from actlib.backends.rough import polynomial
from actlib.backends.vectors import DOUBLES, LANES, LONGS, Code, Double, Mask, bits_of, repeated, text, where

LOG2 = 0.6931471805598903, 5.49792301870721e-14, 1.1612227229362532e-26
"""log 2 in three parts, the first two of 42 bits: their multiples by an exponent are exact."""

LOWEST = -700.0
"""An exponent of e below which nothing is told apart."""

HALVINGS = 8
"""So often an exponent is halved, and its power squared."""

FACTORIALS = 10
"""Terms of expm1."""


class Pair:
    """The sum of two float64 numbers in each lane.

    Args:
        high: It, rounded.
        low: The rest; 0, if none is given.
    """

    def __init__(self, high: Double, low: Double | float = 0.0):
        self.high = high
        self.low = low if isinstance(low, Double) else Double(high.code, text(low, Double))

    def __add__(self, other: "Pair") -> "Pair":
        high, low = sum_of(self.high, other.high), sum_of(self.low, other.low)
        held = _renewed(high.high, _step("fadd", high.low, low.high))
        return _renewed(held.high, _step("fadd", low.low, held.low))

    def __neg__(self) -> "Pair":
        return Pair(-self.high, -self.low)

    def __sub__(self, other: "Pair") -> "Pair":
        return self + -other

    def __mul__(self, other: "Pair") -> "Pair":
        product = _product(self.high, other.high)
        rest = _fused(self.high, other.low, _fused(self.low, other.high, product.low))
        return _renewed(product.high, rest)

    def __truediv__(self, other: "Pair") -> "Pair":
        first = _step("fdiv", self.high, other.high)
        rest = self - Pair(first) * other
        return _renewed(first, _step("fdiv", rest.high, other.high))

    def scaled(self, power: Double | float) -> "Pair":
        """Times a power of two."""
        return Pair(_step("fmul", self.high, power), _step("fmul", self.low, power))

    def total(self) -> "Pair":
        """The sum over all lanes, in each."""
        value, by = self, LANES // 2
        while by:
            lanes = ", ".join(f"i32 {i ^ by}" for i in range(LANES))
            value += Pair(*(_turned(v, lanes) for v in (value.high, value.low)))
            by //= 2
        return value


def chosen(condition: Mask, value: Pair, other: Pair) -> Pair:
    """`where` of pairs."""
    return Pair(where(condition, value.high, other.high), where(condition, value.low, other.low))


def constant(code: Code, value: Fraction | float) -> Pair:
    """A number in all lanes."""
    high = float(value)
    return Pair(Double(code, text(high, Double)), float(Fraction(value) - Fraction(high)))


def sum_of(a: Double, b: Double) -> Pair:
    """a + b, exactly."""
    total = _step("fadd", a, b)
    of_b = _step("fsub", total, a)
    of_a = _step("fsub", total, of_b)
    return Pair(total, _step("fadd", _step("fsub", a, of_a), _step("fsub", b, of_b)))


def decay(x: Pair) -> Pair:
    """exp(x) for x <= 0; of less than `LOWEST` that of `LOWEST`."""
    code, below = x.high.code, x.high < LOWEST
    high, low = where(below, LOWEST, x.high), where(below, 0.0, x.low)
    shift = 1.5 * 2**52 + 1023  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = _fused(high, 1 / math.log(2), shift)
    n = _step("fsub", shifted, shift)
    rest = sum_of(_fused(n, -LOG2[0], high), _step("fmul", n, -LOG2[1]))
    r = _renewed(rest.high, _fused(n, -LOG2[2], _step("fadd", rest.low, low))).scaled(2.0**-HALVINGS)
    # expm1(r) = r (1 + r (1/2 + r (1/6 + ...))): the last terms are too small to need a pair.
    last = [1 / math.factorial(k) for k in range(5, FACTORIALS)]
    m = Pair(polynomial(r.high, last))
    for k in (4, 3, 2, 1):
        m = r * m + constant(code, Fraction(1, math.factorial(k)))
    m = r * m
    for _ in range(HALVINGS):
        m = m * m + m.scaled(2.0)
    power = Double(code, code.add(f"bitcast {LONGS} {moved_up(code, bits_of(shifted))} to {DOUBLES}"))
    return (m + constant(code, 1)).scaled(power)


def _step(operation: str, a: Double, b: Double | float) -> Double:
    """A step that is rounded by itself, never made one with another."""
    return Double(a.code, a.code.add(f"{operation} {DOUBLES} {a.name}, {text(b, Double)}"))


def _fused(a: Double, b: Double | float, c: Double | float) -> Double:
    """a*b + c, rounded once."""
    arguments = [(DOUBLES, text(v, Double)) for v in (a, b, c)]
    return Double(a.code, a.code.call(f"fma.v{LANES}f64", DOUBLES, *arguments))


def _renewed(high: Double, low: Double) -> Pair:
    """The sum of two of which the first is the larger, exactly."""
    total = _step("fadd", high, low)
    return Pair(total, _step("fsub", low, _step("fsub", total, high)))


def _product(a: Double, b: Double) -> Pair:
    product = _step("fmul", a, b)
    return Pair(product, _fused(a, b, -product))


def _turned(value: Double, lanes: str) -> Double:
    code, both = value.code, f"{DOUBLES} {value.name}, {DOUBLES} poison"
    return Double(code, code.add(f"shufflevector {both}, <{LANES} x i32> <{lanes}>"))


def rooms(code: Code, names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Room for sums in pairs, which loops change: the addresses of both parts."""
    return {name: tuple(code.variable(DOUBLES, repeated("double", "0.0")) for _ in range(2)) for name in names}


def loaded(code: Code, places: tuple[str, str]) -> Pair:
    """What is in such room."""
    return Pair(*(Double(code, code.add(f"load {DOUBLES}, ptr {place}")) for place in places))


def kept(code: Code, value: Pair, places: tuple[str, str]) -> None:
    """Writes a pair into such room."""
    for part, place in zip((value.high, value.low), places, strict=True):
        code.lines.append(f"store {DOUBLES} {part.name}, ptr {place}")
