"""What a formula does beyond some point: expansions at infinity whose remainders are enclosed, not neglected.

From a start R on, with y = x or y = -x, the formula is a finite sum of terms c y^p log(y)^l exp(q(y)). A coefficient c is
exact, or an enclosure that holds for all y >= R: of what was cut off. A term is bounded by another from R on where their
ratio is proved to fall. So that one term outweighs all others is a proof that there is no zero beyond R; its sign is
that of the formula, and what it is, is asymptotically equal to the formula.

Exact coefficients may also oscillate: they hold y within sine and cosine of a multiple of y. If one that leads takes
both signs for certain, there are infinitely many zeros.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key, lru_cache, reduce

import sympy as sp
from sympy import Expr, Integer, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.deadline import check
from actlib.formula.analysis.enclosures import Enclosure, compiled, enclosure, sign_of
from actlib.formula.analysis.refusals import InfinitelyManyError, NoMethodError
from actlib.formula.primitives import Phi, derivative, expm1, phi, sigma, softplus, tanh

__all__ = ["Expansion", "Tail", "closed", "expanded"]

ORDERS = (3, 6, 10)
"""How many terms are kept of each series, one try after another."""

STARTS = tuple(Integer(4) ** k for k in range(1, 34))
"""Where a tail may begin, one try after another."""

BITS = 120

y = sp.Dummy("y", positive=True)


class _LaterError(Exception):
    """The tail must begin farther out."""


class _DeeperError(Exception):
    """More terms are needed."""


@dataclass(frozen=True)
class Growth:
    """y**power * log(y)**logs * exp(sum of c y**r), the pairs (r, c) in ``rate`` from the largest r down."""

    rate: tuple[tuple[Rational, Expr], ...] = ()
    power: Expr = Integer(0)
    logs: Expr = Integer(0)

    def __mul__(self, other: "Growth") -> "Growth":
        return Growth(_sum(self.rate, other.rate), _plain(self.power + other.power), self.logs + other.logs)

    def raised(self, n: Expr) -> "Growth":
        """The n-th power."""
        return Growth(tuple((r, _plain(c * n)) for r, c in self.rate), _plain(self.power * n), self.logs * n)

    def over(self, other: "Growth") -> "Growth":
        """The quotient."""
        return self * other.raised(Integer(-1))

    @property
    def sign(self) -> int:
        """1 if it grows without bound, -1 if it goes to 0, 0 if it is 1."""
        for value in (*(c for _, c in self.rate[:1]), self.power, self.logs):
            if value != 0:
                return _sign(value)
        return 0

    def expr(self, at: Expr) -> Expr:
        """As a formula."""
        rate = sp.Add(*(c * at**r for r, c in self.rate))
        return at**self.power * sp.log(at) ** self.logs * sp.exp(rate)


ONE = Growth()


def _sum(a: tuple, b: tuple) -> tuple:
    total = dict(a)
    for r, c in b:
        total[r] = _plain(total.get(r, Integer(0)) + c)
    return tuple(sorted(((r, c) for r, c in total.items() if c != 0), reverse=True, key=lambda pair: pair[0]))


@lru_cache(maxsize=4096)
def _plain(value: Expr) -> Expr:
    """A constant, as 0 if it is; whether it is, must be proved either way."""
    if value.is_Rational or value.has(y) or sign_of(value) is not None:
        return value
    if sp.simplify(value) == 0:
        return Integer(0)
    raise NoMethodError(f"no method to decide whether {value} is 0")


def _sign(value: Expr) -> int:
    found = sign_of(value)
    if found is None:
        raise NoMethodError(f"no method to find the sign of {value}")
    return found


Coefficient = Expr | Enclosure


class _Workshop:
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
            raise _LaterError

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
        total: dict[Growth, Coefficient] = {}
        for part in parts:
            for growth, c in part.terms:
                total[growth] = self._added(total[growth], c) if growth in total else c
        return self._cut(total)

    def _added(self, a: Coefficient, b: Coefficient) -> Coefficient:
        if isinstance(a, Enclosure) or isinstance(b, Enclosure):
            return self.values(a) + self.values(b)
        total = a + b
        return sp.expand(total) if total.has(y) else _plain(total)

    def product(self, a: "Expansion", b: "Expansion") -> "Expansion":
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
        return self.product(a, Expansion(((ONE, factor),)))

    def integer_power(self, a: "Expansion", n: int) -> "Expansion":
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
                    _DeeperError
                    if isinstance(c, Enclosure)
                    else NoMethodError(f"no method for {_shown(c)} inside of another function")
                )
            return growth, c, sign
        return growth, c, _sign(c)

    def beside(self, a: "Expansion", growth: Growth, c: Coefficient) -> "Expansion":
        """All terms but the first, divided by the first."""
        inverse = Enclosure.inverse(c) if isinstance(c, Enclosure) else 1 / c
        return self.product(Expansion(a.terms[1:]), Expansion(((growth.raised(Integer(-1)), inverse),)))

    def power(self, a: "Expansion", exponent: Rational) -> "Expansion":
        if exponent.is_Integer and 0 <= exponent <= 4:
            return self.integer_power(a, int(exponent))
        growth, c, sign = self.leading(a)
        if sign < 0 and not exponent.is_Integer:
            raise NoMethodError("no method for a root of what is negative towards infinity")
        delta = self.beside(a, growth, c)
        n = self.order
        around = self.small(delta).union(Enclosure.of(0)) + Enclosure.of(1)
        if around.sign() != 1:
            raise _LaterError
        binomials = [sp.ff(exponent, k) / sp.factorial(k) for k in range(n + 1)]
        remainder = enclosure(binomials[n]) * around.power(exponent - n)
        factor = c.power(exponent) if isinstance(c, Enclosure) else c**exponent
        return self.product(
            Expansion(((growth.raised(exponent), factor),)), self.series(delta, binomials[:n], remainder)
        )

    def exp(self, a: "Expansion") -> "Expansion":
        grows, constant, delta = self.split(a)
        growth = ONE
        for g, c in grows:
            if isinstance(c, Enclosure):
                raise _DeeperError
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
        growth, c, sign = self.leading(a)
        if sign < 0 or growth.logs != 0:
            raise NoMethodError("no method for a logarithm of a logarithm, or of what is negative towards infinity")
        delta = self.beside(a, growth, c)
        n = self.order
        around = self.small(delta).union(Enclosure.of(0)) + Enclosure.of(1)
        if around.sign() != 1:
            raise _LaterError
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
            return self._cut({ONE: _plain(expr)})
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
        inner = self.of(u)
        grows, constant, delta = self.split(inner)
        if not grows:
            return self.smooth(function, inner)
        exact = [c for _, c in grows] + [constant]
        linear = len(grows) == 1 and grows[0][0] == Growth(power=Integer(1))
        if not linear or any(isinstance(c, Enclosure) or c.has(y) for c in exact):
            if any(isinstance(c, Enclosure) for c in exact):
                raise _DeeperError
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
}
"""Other forms of a function where its argument grows without bound, upwards or downwards."""


@lru_cache(maxsize=256)
def _slopes(function: type, n: int) -> list[Callable[[Expr], Expr]]:
    t = sp.Dummy("t", real=True)
    found = [function(t)]
    for _ in range(n):
        found.append(derivative(found[-1], t))
    return [lambda at, f=f: f.subs(t, at) for f in found]


def _settled(value: Expr) -> Expr:
    return value if value.has(y) else _plain(value)


@dataclass(frozen=True)
class Expansion:
    """Terms in descending order of growth; their sum is the formula from the start on."""

    terms: tuple[tuple[Growth, Coefficient], ...]


@dataclass(frozen=True)
class Tail:
    """Proof that there is no zero beyond a point.

    Attributes:
        start: The point; the tail goes from here to +oo, or to -oo.
        sign: Of the formula there.
        leading: What the formula is asymptotically equal to, in its own variable; None if that is not exact.
    """

    start: Expr
    sign: int
    leading: Expr | None


def expanded(formula: Expr, x: Symbol, end: Expr, order: int, start: Rational) -> tuple[_Workshop, Expansion]:
    """The expansion of a formula without cases towards an end, in y = x or -x, from a start on."""
    workshop = _Workshop(start, order)
    return workshop, workshop.of(formula.xreplace({x: y if end == oo else -y}))


def tried(formula: Expr, x: Symbol, end: Expr, found: Callable[[_Workshop, Expansion], object]) -> object:
    """What is found of an expansion at the first start and order that serve.

    Raises:
        NoMethodError: There is none.
    """
    if formula.free_symbols - {x}:
        raise NoMethodError(f"no method for the tail of {formula}, which has parameters")
    with numbers.backend.precision(BITS):
        for order in ORDERS:
            try:
                for start in STARTS:
                    check()
                    try:
                        return found(*expanded(formula, x, end, order, start))
                    except _LaterError:
                        continue
            except _DeeperError:
                continue
    raise NoMethodError(f"no method for {formula} towards {end}")


@lru_cache(maxsize=512)
def closed(formula: Expr, x: Symbol, end: Expr) -> Tail:
    """From where on a formula without cases has one sign, up to an end of the line.

    Raises:
        InfinitelyManyError: It is proved to change its sign again and again.
        NoMethodError: It is not known how it goes on.
    """

    def decided(workshop: _Workshop, expansion: Expansion) -> Tail:
        if not expansion.terms:
            raise NoMethodError(f"no method to tell {formula} from 0 towards {end}")
        growth, c = expansion.terms[0]
        exact = not isinstance(c, Enclosure)
        values = _swing(c) if exact and c.has(y) else workshop.values(c)
        others = [workshop.values(d) * workshop.bound(g.over(growth)) for g, d in expansion.terms[1:]]
        sign = reduce(Enclosure.__add__, others, values).sign()
        if not sign:
            if not exact:
                raise _DeeperError
            if not values.sign():
                raise NoMethodError(
                    f"no method for the zeros of {formula} towards {end}, where it comes near 0 again and again"
                )
            raise _LaterError
        at = x if end == oo else -x
        start = workshop.start if end == oo else -workshop.start
        leading = c * growth.expr(at) if exact and not c.has(y) else None
        return Tail(start, sign, leading)

    return tried(formula, x, end, decided)


def _swing(c: Expr) -> Enclosure:
    """All values of a coefficient that oscillates."""
    rates = [sp.diff(wave.args[0], y) for wave in c.atoms(sp.sin, sp.cos)]
    if not all((rate / rates[0]).is_Rational for rate in rates):
        return compiled(c, (y,))(Enclosure.line())
    period = 2 * sp.pi / abs(rates[0]) * sp.ilcm(1, *((rate / rates[0]).q for rate in rates))
    pieces = 64
    ends = [enclosure(period * Rational(i, pieces)) for i in range(pieces + 1)]
    function = compiled(c, (y,))
    points = {function(end).sign() for end in ends}
    if {1, -1} <= points:
        raise InfinitelyManyError("infinitely many: the sign changes again and again towards infinity")
    parts = [function(ends[i].union(ends[i + 1])) for i in range(pieces)]
    return reduce(Enclosure.union, parts)


def shape(formula: Expr, x: Symbol, end: Expr) -> list[tuple[Growth, Expr]]:
    """The exact terms of a formula towards an end that do not go to 0, in y = x or -x; and the first that does.

    Raises:
        NoMethodError: They are not known exactly.
    """

    def found(workshop: _Workshop, expansion: Expansion) -> list[tuple[Growth, Expr]]:  # noqa: ARG001
        terms = []
        for growth, c in expansion.terms:
            if isinstance(c, Enclosure):
                if growth.sign >= 0:
                    raise _DeeperError
                break
            terms.append((growth, c))
            if growth.sign < 0:
                break
        return terms

    return tried(formula, x, end, found)


def unbounded(formula: Expr, x: Symbol, end: Expr) -> set[int]:
    """1 if a formula exceeds all bounds towards an end, -1 if it goes below all; both if it swings.

    Raises:
        RefusedError: It is not known.
    """
    terms = shape(formula, x, end)
    if not terms or terms[0][0].sign <= 0:
        return set()
    c = terms[0][1]
    if not c.has(y):
        return {_sign(c)}
    with numbers.backend.precision(BITS):
        try:
            found = _swing(c).sign()
        except InfinitelyManyError:
            return {1, -1}
    if not found:
        raise NoMethodError(f"no method to tell how far {formula} goes towards {end}")
    return {found}
