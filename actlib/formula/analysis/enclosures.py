"""Enclosures: closed intervals that are certain to hold every value that a formula takes over given intervals.

A function that rises or falls throughout, as most primitives do, is enclosed by its values at the two ends, rounded
outwards; phi, cosh and sech turn once, at 0; sine and cosine turn where their ball may hold a multiple of pi / 2. The
ends may be infinite. `compiled` makes of a formula a function of enclosures.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce

import sympy as sp
from sympy import Abs, Expr, Float, Heaviside, Max, Min, Piecewise, Rational, Symbol
from sympy.core.relational import Relational

from actlib.formula.analysis import numbers
from actlib.formula.primitives import Phi, expm1, phi, sigma, softplus, tanh

__all__ = ["Enclosure", "compiled", "constant", "enclosure", "sign_of"]

MOST_BITS = 20_000
"""Of precision, before a constant counts as one that cannot be told from 0."""


class Enclosure:
    """The real numbers from one end to another; immutable."""

    __slots__ = ("high", "low")

    def __init__(self, low, high):
        self.low, self.high = low, high

    @classmethod
    def of(cls, p: int, q: int = 1) -> "Enclosure":
        """The enclosure of p / q."""
        return _rounded(numbers.backend.rational(p, q))

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
        low = n.minus_infinity if self.high == 0 else n.lower(one / self.high) if _finite(self.high) else 0 * one
        high = n.infinity if self.low == 0 else n.upper(one / self.low) if _finite(self.low) else 0 * one
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
        return Enclosure(*(f([getattr(self, e), getattr(other, e)]) for f, e in ((_least, "low"), (_most, "high"))))

    def common(self, other: "Enclosure") -> "Enclosure | None":
        """What lies in both, or None."""
        low, high = _most([self.low, other.low]), _least([self.high, other.high])
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
        """The ends of a bounded enclosure as rational numbers."""
        parts = [numbers.backend.parts(end) for end in (self.low, self.high)]
        low, high = (Rational(m) * Rational(2) ** e for m, e in parts)
        return low, high


def _rounded(ball) -> Enclosure:
    return Enclosure(numbers.backend.lower(ball), numbers.backend.upper(ball))


def _finite(end) -> bool:
    return end != numbers.backend.infinity and end != numbers.backend.minus_infinity


def _times(a, b):
    """The product, where 0 times infinity is 0: the infinity stands for arbitrarily large numbers."""
    return a if a == 0 else b if b == 0 else a * b


def _least(ends):
    return reduce(lambda a, b: a if a <= b else b, ends)


def _most(ends):
    return reduce(lambda a, b: a if a >= b else b, ends)


def _at_least_0(end):
    return end if end >= 0 else 0 * numbers.backend.rational(1)


def _power(end, p: int, q: int):
    if not _finite(end) or end == 0:
        return end if p % 2 or end == 0 else numbers.backend.infinity
    if q == 1:
        return end**p
    root = numbers.backend.functions["sqrt"](end**p) if q == 2 else None
    if root is None:
        functions = numbers.backend.functions
        root = functions["exp"](functions["log"](end) * p / q)
    return root


# Functions


def _log(end):
    return numbers.backend.minus_infinity if end <= 0 else numbers.backend.functions["log"](end)


def _sigma(end):
    exp = numbers.backend.functions["exp"]
    if end >= 0:
        return 1 / (1 + exp(-end))
    power = exp(end)
    return power / (1 + power)


def _softplus(end):
    tail = numbers.backend.functions["log1p"](numbers.backend.functions["exp"](-abs(end)))
    return end + tail if end > 0 else tail


def _normal(end):
    functions = numbers.backend.functions
    return functions["erfc"](-end / functions["sqrt"](numbers.backend.rational(2))) / 2


def _density(end):
    functions = numbers.backend.functions
    return functions["exp"](-end * end / 2) / functions["sqrt"](2 * numbers.backend.pi())


def _named(name: str) -> Callable:
    return lambda end: numbers.backend.functions[name](end)


RISING: dict[type, tuple[Callable, tuple]] = {
    sp.exp: (_named("exp"), (0, sp.oo)),
    sp.erf: (_named("erf"), (-1, 1)),
    sp.atan: (_named("atan"), (-sp.pi / 2, sp.pi / 2)),
    sp.sinh: (_named("sinh"), (-sp.oo, sp.oo)),
    sp.asinh: (_named("asinh"), (-sp.oo, sp.oo)),
    sp.tanh: (_named("tanh"), (-1, 1)),
    tanh: (_named("tanh"), (-1, 1)),
    expm1: (_named("expm1"), (-1, sp.oo)),
    sigma: (_sigma, (0, 1)),
    softplus: (_softplus, (0, sp.oo)),
    Phi: (_normal, (0, 1)),
}
"""Increasing functions: at an end, and at both infinities."""

TURNING: dict[type, tuple[Callable, bool, object]] = {
    phi: (_density, False, 0),
    sp.sech: (_named("sech"), False, 0),
    sp.cosh: (_named("cosh"), True, sp.oo),
}
"""Even functions that turn at 0: at an end, whether they rise from there, at infinity."""


def _at(function: Callable, end, limits: Sequence) -> Enclosure:
    n = numbers.backend
    if _finite(end):
        return _rounded(function(end))
    limit = limits[0] if end == n.minus_infinity else limits[1]
    if limit in (sp.oo, -sp.oo):
        return Enclosure(*[n.infinity if limit == sp.oo else n.minus_infinity] * 2)
    return enclosure(limit)


def _logarithm(t: Enclosure) -> Enclosure:
    """Of those numbers in t that have one."""
    return _rising(_log, (-sp.oo, sp.oo))(t) if t.high > 0 else Enclosure.line()


def _rising(function: Callable, limits: tuple) -> Callable:
    return lambda t: Enclosure(_at(function, t.low, limits).low, _at(function, t.high, limits).high)


def _turning(function: Callable, rises: bool, limit) -> Callable:
    def taken(t: Enclosure) -> Enclosure:
        t = abs(t)
        low, high = (t.low, t.high) if rises else (t.high, t.low)
        return Enclosure(_at(function, low, (limit, limit)).low, _at(function, high, (limit, limit)).high)

    return taken


def _wave(name: str, shift: Rational) -> Callable:
    """Cosine of t, or of t - pi / 2: 1 where t / pi less the shift may be an even number, -1 where it may be odd."""

    def taken(t: Enclosure) -> Enclosure:
        whole = Enclosure(Enclosure.of(-1).low, Enclosure.of(1).high)
        if not (_finite(t.low) and _finite(t.high)):
            return whole
        pi = _rounded(numbers.backend.pi())
        turns = [bound for bound in (t / pi - enclosure(shift)).rationals()]
        first, last = sp.ceiling(turns[0]), sp.floor(turns[1])
        if last > first:
            return whole
        ends = _at(_named(name), t.low, ()).union(_at(_named(name), t.high, ())).common(whole)
        if last == first:
            ends = Enclosure(ends.low, whole.high) if first % 2 == 0 else Enclosure(whole.low, ends.high)
        return ends

    return taken


def _erfc(t: Enclosure) -> Enclosure:
    return Enclosure(_at(_named("erfc"), t.high, (2, 0)).low, _at(_named("erfc"), t.low, (2, 0)).high)


def _step(t: Enclosure, at_0: Enclosure, below: int) -> Enclosure:
    """1 above 0, something else at 0, and a third thing below."""
    parts = [Enclosure.of(1)] if t.high > 0 else []
    parts += [Enclosure.of(below)] if t.low < 0 else []
    parts += [at_0] if 0 in t else []
    return reduce(Enclosure.union, parts)


FUNCTIONS: dict[type, Callable[..., Enclosure]] = {
    **{kind: _rising(*how) for kind, how in RISING.items()},
    **{kind: _turning(*how) for kind, how in TURNING.items()},
    sp.cos: _wave("cos", Rational(0)),
    sp.sin: _wave("sin", Rational(1, 2)),
    sp.log: _logarithm,
    sp.erfc: _erfc,
    Abs: abs,
    Max: lambda *ts: reduce(lambda a, b: Enclosure(_most([a.low, b.low]), _most([a.high, b.high])), ts),
    Min: lambda *ts: reduce(lambda a, b: Enclosure(_least([a.low, b.low]), _least([a.high, b.high])), ts),
    sp.sign: lambda t: _step(t, Enclosure.of(0), -1),
    Heaviside: lambda t, at_0: _step(t, at_0, 0),
}
"""How each function is enclosed."""


# Formulas


@lru_cache(maxsize=1024)
def compiled(expr: Expr, variables: tuple[Symbol, ...]) -> Callable[..., Enclosure]:
    """A formula as a function of enclosures of its variables, each part of it computed once.

    Raises:
        ValueError: There is a part for which no enclosure is known.
    """
    steps: list[tuple[Callable, tuple[int, ...]]] = []
    fixed: list[Callable | None] = [None] * len(variables)  # constants: they are kept for each precision
    places: dict[sp.Basic, int] = {v: i for i, v in enumerate(variables)}

    def place(function: Callable, parts: tuple[int, ...], constant: bool) -> int:
        fixed.append(function if constant else None)
        steps.append((function, parts))
        return len(fixed) - 1

    def visit(node: sp.Basic) -> int:
        if node in places:
            return places[node]
        function, parts = _step_of(node)
        at = tuple(visit(part) for part in parts)
        places[node] = place(function, at, all(fixed[i] is not None for i in at))
        return places[node]

    visit(expr)
    kept: dict[tuple, list[Enclosure | None]] = {}

    def run(*boxes: Enclosure) -> Enclosure:
        how = numbers.backend, numbers.backend.bits
        if how not in kept:
            constants: list[Enclosure | None] = [None] * len(fixed)
            for i, (function, parts) in enumerate(steps, len(variables)):
                if fixed[i] is not None:
                    constants[i] = function(*(constants[p] for p in parts))
            kept[how] = constants
        values = [*boxes, *kept[how][len(variables) :]]
        for i, (function, parts) in enumerate(steps, len(variables)):
            if fixed[i] is None:
                values[i] = function(*[values[p] for p in parts])
        return values[places[expr]]

    return run


def _step_of(node: sp.Basic) -> tuple[Callable, tuple[sp.Basic, ...]]:
    """What is to be done with the enclosures of which parts of a formula."""
    if node.is_Rational:
        return (lambda: Enclosure.of(int(node.p), int(node.q))), ()
    if isinstance(node, Float):
        return (lambda: _around(node)), ()
    if node == sp.pi:
        return (lambda: _rounded(numbers.backend.pi())), ()
    if node == sp.E:
        return FUNCTIONS[sp.exp], (sp.Integer(1),)
    if node.is_Add:
        return (lambda *parts: reduce(Enclosure.__add__, parts)), node.args
    if node.is_Mul:
        return (lambda *parts: reduce(Enclosure.__mul__, parts)), node.args
    if isinstance(node, sp.exp):
        return FUNCTIONS[sp.exp], (node.exp,)
    if node.is_Pow:
        if node.exp.is_Rational:
            return (lambda base: base.power(node.exp)), (node.base,)
        return FUNCTIONS[sp.exp], (node.exp * sp.log(node.base),)
    if isinstance(node, sp.LambertW):
        branch = int(node.args[1]) if len(node.args) > 1 else 0
        return (lambda z: _lambert(z, branch)), node.args[:1]
    if isinstance(node, Piecewise):
        conditions = tuple(condition for _, condition in node.args)
        values = tuple(value for value, _ in node.args)
        return _cases, (*conditions, *values)
    if isinstance(node, Relational):
        return (lambda difference: _holds(difference, node.rel_op)), (node.lhs - node.rhs,)
    if node in (sp.true, sp.false):
        return (lambda: bool(node)), ()
    for kind, joined in ((sp.And, _every), (sp.Or, _any), (sp.Not, _not)):
        if isinstance(node, kind):
            return joined, node.args
    if node.func in FUNCTIONS:
        return FUNCTIONS[node.func], node.args
    raise ValueError(f"no method to enclose {node}")


def _around(number: Float) -> Enclosure:
    """What a decimal number stands for here: all its digits but the last are right, and that one to one unit."""
    exact = Rational(number)
    radius = abs(exact) / Rational(10) ** (number._prec * 3 // 10 - 1)
    low, high = enclosure(exact - radius), enclosure(exact + radius)
    return Enclosure(low.low, high.high)


def _lambert(z: Enclosure, branch: int) -> Enclosure:
    n = numbers.backend
    ends = [_rounded(n.lambertw(end, branch)) for end in (z.low, z.high)]
    return ends[0].union(ends[1])


def _holds(difference: Enclosure, relation: str) -> bool | None:
    """Whether a - b is as a relation between a and b says; None where it may or may not be."""
    low, high = difference.low, difference.high
    holds = {
        "<": high < 0,
        "<=": high <= 0,
        ">": low > 0,
        ">=": low >= 0,
        "==": low == 0 == high,
        "!=": 0 not in difference,
    }
    fails = {
        "<": low >= 0,
        "<=": low > 0,
        ">": high <= 0,
        ">=": high < 0,
        "==": 0 not in difference,
        "!=": low == 0 == high,
    }
    return True if holds[relation] else False if fails[relation] else None


def _every(*conditions: bool | None) -> bool | None:
    return False if False in conditions else None if None in conditions else True


def _any(*conditions: bool | None) -> bool | None:
    return True if True in conditions else None if None in conditions else False


def _not(condition: bool | None) -> bool | None:
    return None if condition is None else not condition


def _cases(*parts) -> Enclosure:
    """All values of those cases that may hold."""
    count = len(parts) // 2
    possible = []
    for condition, value in zip(parts[:count], parts[count:], strict=True):
        if condition is not False:
            possible.append(value)
        if condition is True:
            break
    return reduce(Enclosure.union, possible) if possible else Enclosure.line()


def enclosure(number: Expr) -> Enclosure:
    """A constant, enclosed at the precision that is set."""
    number = sp.sympify(number)
    if number.is_Rational:
        return Enclosure.of(int(number.p), int(number.q))
    return compiled(number, ())()


def constant(number: Expr, digits: int = 50) -> Enclosure:
    """A constant, enclosed to so many digits beside its size, or as well as its decimal numbers allow."""
    bits = digits * 10 // 3 + 40
    result = None
    while bits <= MOST_BITS:
        with numbers.backend.precision(bits):
            last, result = result, enclosure(number)
            if _fine(result, digits) or (last and not _narrower(result, last)):
                return result
        bits *= 2
    return result


def _fine(t: Enclosure, digits: int) -> bool:
    if not (_finite(t.low) and _finite(t.high)):
        return False
    size = _most([abs(t.low), abs(t.high)])
    return t.low == t.high or t.width() * numbers.backend.rational(10**digits) <= size


def _narrower(t: Enclosure, last: Enclosure) -> bool:
    """Whether a higher precision still helps: not where decimal numbers with few digits set the limit."""
    if not (_finite(last.low) and _finite(last.high)):
        return True
    return bool(t.width() * 2 <= last.width()) and last.low != last.high


def sign_of(number: Expr) -> int | None:
    """The certain sign of a constant; None if no precision tells it from 0, or its decimal numbers do not."""
    number = sp.sympify(number)
    if number.is_Rational:
        return int(sp.sign(number))
    bits, last = 80, None
    while bits <= MOST_BITS:
        with numbers.backend.precision(bits):
            result = enclosure(number)
            if result.sign() is not None:
                return result.sign()
            if last and not _narrower(result, last):
                return None
        last, bits = result, 4 * bits
    return None
