"""Expansions at infinity whose remainders are enclosed, not neglected.

From a start R on, with y = x or y = -x, a formula is a finite sum of terms c y^p log(y)^l exp(q(y)). A coefficient c is
exact, or an enclosure that holds for all y >= R: of what was cut off. A term is bounded by another from R on where
their ratio is proved to fall. Exact coefficients may also oscillate: they hold y within sine and cosine of a multiple.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key, lru_cache, reduce

import sympy as sp
from sympy import Expr, Integer, Rational, Symbol

from actlib.formula.analysis import numbers
from actlib.formula.analysis.deadline import check
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.growth import ONE, Growth, certain_sign, plain, y
from actlib.formula.analysis.refusals import NoMethodError
from actlib.formula.primitives import (
    Phi,
    asinh,
    atan,
    cosatan,
    cosh,
    derivative,
    expm1,
    phi,
    sigma,
    sinh,
    softplus,
    tanh,
)

__all__ = ["Coefficient", "DeeperError", "Expansion", "LaterError", "Workshop"]


class LaterError(Exception):
    """The tail must begin farther out."""


class DeeperError(Exception):
    """More terms are needed."""


Coefficient = Expr | Enclosure


class Workshop:
    """Expansions of one order, from one start on."""

    def __init__(self, start: Rational, order: int):
        self.start, self.order = start, order
        self.beyond = Enclosure(enclosure(start).low, numbers.backend.infinity)
        self.log_of_start = enclosure(sp.log(start))
        self.highest: dict[Growth, Enclosure] = {}
        self.known: dict[Expr, Expansion] = {}

    def bound(self, growth: Growth) -> Enclosure:
        """From 0 to the largest value of something that falls from the start on: its value there."""
        if growth == ONE:
            return Enclosure.of(1)
        if growth not in self.highest:
            if growth.sign > 0:
                raise NoMethodError("a term that grows has no bound")
            if growth.rate or growth.power != 0:
                self._assert_falling(growth)  # a power of the logarithm falls as soon as there is one
            here = enclosure(growth.expr(self.start))
            self.highest[growth] = Enclosure(Enclosure.of(0).low, here.high)
        return self.highest[growth]

    def _assert_falling(self, growth: Growth) -> None:
        """Whether y times the logarithmic derivative, divided by the largest power in it, is negative throughout."""
        leading = growth.rate[0][0] if growth.rate else Integer(0)
        slopes = [enclosure(r * c) * self._below(leading - r) for r, c in growth.rate]
        slopes.append(enclosure(growth.power) * self._below(leading))
        inverse = Enclosure(Enclosure.of(0).low, self.log_of_start.inverse().high)
        slopes.append(enclosure(growth.logs) * self._below(leading) * inverse)
        if reduce(Enclosure.__add__, slopes).sign() != -1:
            raise LaterError

    def _below(self, power: Rational) -> Enclosure:
        """The numbers t**-power from the start on."""
        if power == 0:
            return Enclosure.of(1)
        return Enclosure(Enclosure.of(0).low, enclosure(self.start**-power).high)

    def values(self, coefficient: Coefficient) -> Enclosure:
        """All that a coefficient may be from the start on."""
        if isinstance(coefficient, Enclosure):
            return coefficient
        return compiled(coefficient, (y,))(self.beyond) if coefficient.has(y) else enclosure(coefficient)

    # Sums and products

    def sum(self, *parts: "Expansion") -> "Expansion":
        """The sum of some expansions."""
        total: dict[Growth, Coefficient] = {}
        for part in parts:
            for growth, c in part.terms:
                total[growth] = self._added(total[growth], c) if growth in total else c
        return self._cut(total)

    def _added(self, a: Coefficient, b: Coefficient) -> Coefficient:
        if isinstance(a, Enclosure) or isinstance(b, Enclosure):
            return self.values(a) + self.values(b)
        total = a + b
        return sp.expand(total) if total.has(y) else plain(total)

    def product(self, a: "Expansion", b: "Expansion") -> "Expansion":
        """The product of two."""
        total: dict[Growth, Coefficient] = {}
        for g, c in a.terms:
            for h, d in b.terms:
                exact = not isinstance(c, Enclosure) and not isinstance(d, Enclosure)
                made, growth = (c * d if exact else self.values(c) * self.values(d)), g * h
                total[growth] = self._added(total[growth], made) if growth in total else made
        return self._cut(total)

    def _cut(self, total: dict[Growth, Coefficient]) -> "Expansion":
        """In order; what is beyond the number of terms goes into the last one as an enclosure."""
        check()
        order = cmp_to_key(lambda a, b: b.over(a).sign)
        kept = sorted((g for g, c in total.items() if isinstance(c, Enclosure) or c != 0), key=order)
        terms = [(g, total[g]) for g in kept]
        most = 3 * self.order
        if len(terms) > most:
            last, c = terms[most - 1]
            rest = [self.values(d) * self.bound(g.over(last)) for g, d in terms[most:]]
            terms = [*terms[: most - 1], (last, reduce(Enclosure.__add__, rest, self.values(c)))]
        return Expansion(tuple(terms))

    def scaled(self, a: "Expansion", factor: Coefficient) -> "Expansion":
        """An expansion times a coefficient."""
        return self.product(a, Expansion(((ONE, factor),)))

    def integer_power(self, a: "Expansion", n: int) -> "Expansion":
        """An expansion times itself."""
        return reduce(self.product, [a] * n, Expansion(((ONE, Integer(1)),)))

    # Series

    def small(self, a: "Expansion") -> Enclosure:
        """All values of an expansion without terms that grow."""
        return reduce(Enclosure.__add__, [self.values(c) * self.bound(g) for g, c in a.terms], Enclosure.of(0))

    def series(self, delta: "Expansion", coefficients: list[Expr], remainder: Enclosure) -> "Expansion":
        """Sum of c_k delta^k, and the remainder times the next power."""
        powers = [Expansion(((ONE, Integer(1)),))]
        for _ in coefficients:
            powers.append(self.product(powers[-1], delta))
        last = self.scaled(powers.pop(), remainder)
        return self.sum(*(self.scaled(p, c) for p, c in zip(powers, coefficients, strict=True)), last)

    def split(self, a: "Expansion") -> tuple[list[tuple[Growth, Coefficient]], Coefficient, "Expansion"]:
        """What grows, the constant, and what goes to 0."""
        grows = [(g, c) for g, c in a.terms if g.sign > 0]
        constant = next((c for g, c in a.terms if g == ONE), Integer(0))
        return grows, constant, Expansion(tuple((g, c) for g, c in a.terms if g.sign < 0))

    def leading(self, a: "Expansion") -> tuple[Growth, Coefficient, int]:
        """The first term and the sign of its coefficient."""
        if not a.terms:
            raise NoMethodError("no method for a quotient whose divisor goes to 0 faster than can be told")
        growth, c = a.terms[0]
        if isinstance(c, Enclosure) or c.has(y):
            sign = self.values(c).sign()
            if not sign:
                raise (
                    DeeperError
                    if isinstance(c, Enclosure)
                    else NoMethodError(f"no method for {_shown(c)} inside of another function")
                )
            return growth, c, sign
        return growth, c, certain_sign(c)

    def beside(self, a: "Expansion", growth: Growth, c: Coefficient) -> "Expansion":
        """All terms but the first, divided by the first."""
        inverse = Enclosure.inverse(c) if isinstance(c, Enclosure) else 1 / c
        return self.product(Expansion(a.terms[1:]), Expansion(((growth.raised(Integer(-1)), inverse),)))

    def power(self, a: "Expansion", exponent: Rational) -> "Expansion":
        """A power with a rational exponent, by the binomial series."""
        if exponent.is_Integer and 0 <= exponent <= 4:
            return self.integer_power(a, int(exponent))
        growth, c, sign = self.leading(a)
        if sign < 0 and not exponent.is_Integer:
            raise NoMethodError("no method for a root of what is negative towards infinity")
        delta = self.beside(a, growth, c)
        n = self.order
        around = self.small(delta).union(Enclosure.of(0)) + Enclosure.of(1)
        if around.sign() != 1:
            raise LaterError
        binomials = [sp.ff(exponent, k) / sp.factorial(k) for k in range(n + 1)]
        remainder = enclosure(binomials[n]) * around.power(exponent - n)
        factor = c.power(exponent) if isinstance(c, Enclosure) else c**exponent
        return self.product(
            Expansion(((growth.raised(exponent), factor),)), self.series(delta, binomials[:n], remainder)
        )

    def exp(self, a: "Expansion") -> "Expansion":
        """The exponential: what grows goes into its rate."""
        grows, constant, delta = self.split(a)
        growth = ONE
        for g, c in grows:
            if isinstance(c, Enclosure):
                raise DeeperError
            if g.rate or c.has(y) or (g.logs != 0 and g != Growth(logs=Integer(1))):
                raise NoMethodError(f"no method for an exponential of {_shown(c * g.expr(y))}")
            growth *= Growth(power=c) if g.logs == 1 else Growth(rate=((g.power, c),))
        n = self.order
        reach = self.small(delta).union(Enclosure.of(0))
        remainder = compiled(sp.exp(y), (y,))(reach) / enclosure(sp.factorial(n))
        first = compiled(sp.exp(y), (y,))(constant) if isinstance(constant, Enclosure) else sp.exp(constant)
        series = self.series(delta, [1 / sp.factorial(k) for k in range(n)], remainder)
        return self.product(Expansion(((growth, first),)), series)

    def log(self, a: "Expansion") -> "Expansion":
        """The logarithm."""
        growth, c, sign = self.leading(a)
        if sign < 0 or growth.logs != 0:
            raise NoMethodError("no method for a logarithm of a logarithm, or of what is negative towards infinity")
        delta = self.beside(a, growth, c)
        n = self.order
        around = self.small(delta).union(Enclosure.of(0)) + Enclosure.of(1)
        if around.sign() != 1:
            raise LaterError
        first = compiled(sp.log(y), (y,))(c) if isinstance(c, Enclosure) else sp.log(c)
        terms = [(Growth(power=r), k) for r, k in growth.rate]
        terms += [(Growth(logs=Integer(1)), growth.power)] if growth.power != 0 else []
        terms += [(ONE, first)] if isinstance(first, Enclosure) or first != 0 else []
        coefficients = [Integer(0), *(Rational((-1) ** (k + 1), k) for k in range(1, n))]
        remainder = enclosure(Rational((-1) ** (n + 1), n)) * around.power(Integer(-n))
        return self.sum(Expansion(tuple(terms)), self.series(delta, coefficients, remainder))

    def smooth(self, function: type, a: "Expansion") -> "Expansion":
        """A function near the limit of its argument, by Taylor's series with its remainder."""
        _, constant, delta = self.split(a)
        if isinstance(constant, Enclosure):
            return Expansion(((ONE, compiled(function(y), (y,))(self.small(a))),))
        n = self.order
        t = sp.Dummy("t", real=True)
        slopes = _slopes(function, n)
        reach = self.values(constant) + self.small(delta).union(Enclosure.of(0))
        remainder = compiled(slopes[n](t), (t,))(reach) / enclosure(sp.factorial(n))
        coefficients = [_settled(slopes[k](constant)) / sp.factorial(k) for k in range(n)]
        return self.series(delta, coefficients, remainder)

    # Formulas

    def of(self, expr: Expr) -> "Expansion":
        """The expansion of a formula in y."""
        if expr not in self.known:
            self.known[expr] = self._of(expr)
        return self.known[expr]

    def _of(self, expr: Expr) -> "Expansion":
        if not expr.has(y):
            return self._cut({ONE: plain(expr)})
        if expr == y:
            return Expansion(((Growth(power=Integer(1)), Integer(1)),))
        if expr.is_Add:
            return self.sum(*map(self.of, expr.args))
        if expr.is_Mul:
            return reduce(self.product, map(self.of, expr.args))
        if isinstance(expr, sp.exp):
            return self.exp(self.of(expr.exp))
        if expr.is_Pow:
            if expr.exp.is_Rational:
                return self.power(self.of(expr.base), expr.exp)
            return self.exp(self.product(self.of(expr.exp), self.log(self.of(expr.base))))
        if len(expr.args) != 1:
            raise NoMethodError(f"no method for {_shown(expr)} towards infinity")
        (u,) = expr.args
        if isinstance(expr, sp.log):
            return self.log(self.of(u))
        if isinstance(expr, (sp.sin, sp.cos)):
            return self.wave(expr.func, u)
        inner = self.of(u)
        grows = self.split(inner)[0]
        if not grows:
            return self.smooth(expr.func, inner)
        upwards = self.leading(inner)[2] > 0
        if expr.func not in _FAR:
            raise NoMethodError(f"no method for {expr.func.__name__} towards infinity")
        return self.of(_FAR[expr.func](u, upwards)) if expr.func not in (Phi,) else self.normal(u, inner, upwards)

    def wave(self, function: type, u: Expr) -> "Expansion":
        """Sine or cosine: exact for a phase that is a multiple of y, but for what goes to 0."""
        inner = self.of(u)
        grows, constant, delta = self.split(inner)
        if not grows:
            return self.smooth(function, inner)
        exact = [c for _, c in grows] + [constant]
        linear = len(grows) == 1 and grows[0][0] == Growth(power=Integer(1))
        if not linear or any(isinstance(c, Enclosure) or c.has(y) for c in exact):
            if any(isinstance(c, Enclosure) for c in exact):
                raise DeeperError
            return Expansion(((ONE, Enclosure(Enclosure.of(-1).low, Enclosure.of(1).high)),))
        phase = grows[0][1] * y + constant
        if not delta.terms:
            return Expansion(((ONE, function(phase)),))
        sine, cosine = self.smooth(sp.sin, delta), self.smooth(sp.cos, delta)
        parts = (sp.sin(phase), cosine), (sp.cos(phase), sine)
        if function is sp.cos:
            parts = (sp.cos(phase), cosine), (-sp.sin(phase), sine)
        return self.sum(*(self.scaled(e, c) for c, e in parts))

    def normal(self, u: Expr, inner: "Expansion", upwards: bool) -> "Expansion":
        """Phi far out: its asymptotic series, each partial sum of which is on the other side of the last one."""
        if upwards:
            return self.sum(Expansion(((ONE, Integer(1)),)), self.scaled(self.of(Phi(-u)), Integer(-1)))
        n = self.order
        inverse = self.power(self.scaled(inner, Integer(-1)), Integer(-1))
        terms = [Integer((-1) ** k) * sp.factorial2(2 * k - 1) for k in range(n + 1)]
        bound = enclosure(terms[n])
        square = self.product(inverse, inverse)
        mills = self.series(square, terms[:n], bound.union(Enclosure.of(0)))
        return self.product(self.of(phi(u)), self.product(inverse, mills))


def _shown(expr: Expr) -> str:
    return str(expr.subs(y, Symbol("x")))


_FAR: dict[type, Callable[[Expr, bool], Expr]] = {
    sigma: lambda u, up: 1 / (1 + sp.exp(-u)) if up else sp.exp(u) / (1 + sp.exp(u)),
    softplus: lambda u, up: u + sp.log(1 + sp.exp(-u)) if up else sp.log(1 + sp.exp(u)),
    tanh: lambda u, up: (1 if up else -1) * (1 - 2 / (1 + sp.exp(2 * u if up else -2 * u))),
    expm1: lambda u, up: sp.exp(u) - 1,  # noqa: ARG005
    phi: lambda u, up: sp.exp(-sp.expand(u**2) / 2) / sp.sqrt(2 * sp.pi),  # noqa: ARG005
    Phi: lambda u, up: Phi(u),  # noqa: ARG005
    sp.erf: lambda u, up: 2 * Phi(sp.sqrt(2) * u) - 1,  # noqa: ARG005
    sp.erfc: lambda u, up: 2 * Phi(-sp.sqrt(2) * u),  # noqa: ARG005
    sp.tanh: lambda u, up: tanh(u),  # noqa: ARG005
    sp.sinh: lambda u, up: (sp.exp(u) - sp.exp(-u)) / 2,  # noqa: ARG005
    sp.cosh: lambda u, up: (sp.exp(u) + sp.exp(-u)) / 2,  # noqa: ARG005
    sp.sech: lambda u, up: 2 / (sp.exp(u) + sp.exp(-u)),  # noqa: ARG005
    sp.asinh: lambda u, up: sp.log(u + sp.sqrt(u**2 + 1)) if up else -sp.log(-u + sp.sqrt(u**2 + 1)),
    sp.atan: lambda u, up: (1 if up else -1) * sp.pi / 2 - sp.atan(1 / u),
    cosatan: lambda u, up: 1 / sp.sqrt(1 + u**2),  # noqa: ARG005
}
_FAR.update({sinh: _FAR[sp.sinh], cosh: _FAR[sp.cosh], asinh: _FAR[sp.asinh], atan: _FAR[sp.atan]})
"""Other forms of a function where its argument grows without bound, upwards or downwards."""


@lru_cache(maxsize=256)
def _slopes(function: type, n: int) -> list[Callable[[Expr], Expr]]:
    t = sp.Dummy("t", real=True)
    found = [function(t)]
    for _ in range(n):
        found.append(derivative(found[-1], t))
    return [lambda at, f=f: f.subs(t, at) for f in found]


def _settled(value: Expr) -> Expr:
    return value if value.has(y) else plain(value)


@dataclass(frozen=True)
class Expansion:
    """Terms in descending order of growth; their sum is the formula from the start on."""

    terms: tuple[tuple[Growth, Coefficient], ...]
