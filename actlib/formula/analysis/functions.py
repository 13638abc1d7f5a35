"""Functions of enclosures.

A function that rises or falls throughout, as most primitives do, is enclosed by its values at the two ends, rounded
outwards; phi, cosh, sech and cosatan turn once, at 0; sine and cosine turn where their ball may hold a multiple of
pi / 2.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import sympy as sp
from sympy import Abs, Heaviside, Max, Min, Rational

from actlib.formula.analysis import numbers
from actlib.formula.analysis.enclosures import Enclosure, finite, least, most, rounded
from actlib.formula.primitives import Phi, asinh, atan, cosatan, cosh, expm1, phi, sigma, sinh, softplus, tanh

__all__ = ["FUNCTIONS"]


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


def _cosine_of_arctangent(end):
    return 1 / numbers.backend.functions["sqrt"](1 + end * end)


def _named(name: str) -> Callable:
    def taken(end):
        return numbers.backend.functions[name](end)  # of the backend that there is by then

    return taken


RISING: dict[type, tuple[Callable, tuple]] = {
    sp.exp: (_named("exp"), (0, sp.oo)),
    sp.erf: (_named("erf"), (-1, 1)),
    sp.atan: (_named("atan"), (-sp.pi / 2, sp.pi / 2)),
    sp.sinh: (_named("sinh"), (-sp.oo, sp.oo)),
    sp.asinh: (_named("asinh"), (-sp.oo, sp.oo)),
    sp.tanh: (_named("tanh"), (-1, 1)),
    tanh: (_named("tanh"), (-1, 1)),
    expm1: (_named("expm1"), (-1, sp.oo)),
    atan: (_named("atan"), (-sp.pi / 2, sp.pi / 2)),
    sinh: (_named("sinh"), (-sp.oo, sp.oo)),
    asinh: (_named("asinh"), (-sp.oo, sp.oo)),
    sigma: (_sigma, (0, 1)),
    softplus: (_softplus, (0, sp.oo)),
    Phi: (_normal, (0, 1)),
}
"""Increasing functions: at an end, and at both infinities."""

TURNING: dict[type, tuple[Callable, bool, object]] = {
    phi: (_density, False, 0),
    sp.sech: (_named("sech"), False, 0),
    sp.cosh: (_named("cosh"), True, sp.oo),
    cosh: (_named("cosh"), True, sp.oo),
    cosatan: (_cosine_of_arctangent, False, 0),
}
"""Even functions that turn at 0: at an end, whether they rise from there, at infinity."""


LIMITS: dict[object, Callable] = {
    **{n: (lambda n=n: numbers.backend.rational(n)) for n in (-1, 0, 1, 2)},
    sp.pi / 2: lambda: numbers.backend.pi() / 2,
    -sp.pi / 2: lambda: -numbers.backend.pi() / 2,
}


def _at(function: Callable, end, limits: Sequence) -> Enclosure:
    n = numbers.backend
    if finite(end):
        return rounded(function(end))
    limit = limits[0] if end == n.minus_infinity else limits[1]
    if limit in (sp.oo, -sp.oo):
        return Enclosure(*[n.infinity if limit == sp.oo else n.minus_infinity] * 2)
    return rounded(LIMITS[limit]())


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
        if not (finite(t.low) and finite(t.high)) or t.width() >= Enclosure.of(8).low:
            return whole
        pi = rounded(numbers.backend.pi())
        turns = (t / pi - Enclosure.of(int(shift.p), int(shift.q))).rationals()
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
    Max: lambda *ts: reduce(lambda a, b: Enclosure(most([a.low, b.low]), most([a.high, b.high])), ts),
    Min: lambda *ts: reduce(lambda a, b: Enclosure(least([a.low, b.low]), least([a.high, b.high])), ts),
    sp.sign: lambda t: _step(t, Enclosure.of(0), -1),
    Heaviside: lambda t, at_0: _step(t, at_0, 0),
}
"""How each function is enclosed."""
