"""Where a formula has a real value: at a point, and whether two formulas have one at the same points."""

from itertools import pairwise, product

import sympy as sp
from sympy import Expr, Piecewise, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.closed_forms import in_powers
from actlib.formula.analysis.constants import between
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.identities import SMOOTH, SWITCHES
from actlib.formula.analysis.pieces import resolved, switching_points
from actlib.formula.analysis.refusals import RefusedError
from actlib.formula.analysis.zeros import zeros
from actlib.formula.primitives import elementary

__all__ = ["WHEREVER", "has_value", "where_one_has_none"]

BITS = 200

KNOWN = (*SMOOTH, *SWITCHES, sp.exp, sp.log, sp.LambertW)
"""Functions of which it is known where they have values."""

WHEREVER = "wherever both have a value; whether they have one at the same places is not decided"


def has_value(expr: Expr, point: dict[Symbol, Rational]) -> bool:
    """Whether a formula is proved to have a real value at a point: each part of it that counts there has one."""
    if not expr.args:
        return True
    if isinstance(expr, Piecewise):
        for value, condition in expr.args:
            holds = _enclosed(condition, point) if has_value(condition, point) else None
            if holds is not False:
                return holds is True and has_value(value, point)
        return False
    if not all(has_value(part, point) for part in expr.args):
        return False
    needed = _needs(expr)
    return needed is None or _holds(needed[1], _enclosed(needed[0], point))


def _enclosed(expr: sp.Basic, point: dict[Symbol, Rational]) -> Enclosure | bool | None:
    with numbers.backend.precision(BITS):
        return compiled(expr, tuple(point))(*map(enclosure, point.values()))


def _needs(node: Expr) -> tuple[Expr, str] | None:
    """What part of a power or a logarithm must not be 0, not be negative, or be positive; None for all others."""
    if isinstance(node, sp.log):
        return node.args[0], "positive"
    if isinstance(node, sp.LambertW):
        return node.args[0] + sp.exp(-1), "positive"
    if not node.is_Pow or isinstance(node, sp.exp):
        return None
    base, exponent = node.args
    if exponent.is_Integer:
        return None if exponent >= 0 else (base, "not 0")
    return base, "not negative" if exponent.is_Rational and exponent > 0 else "positive"


def _holds(need: str, values: Enclosure) -> bool:
    if need == "not 0":
        return values.sign() in (1, -1)
    return bool(values.low >= 0) if need == "not negative" else values.sign() == 1


def _risks(expr: Expr) -> set[tuple[Expr, str]]:
    """What a formula needs that is not evident."""
    found = {needed for node in expr.atoms(sp.Pow, sp.log, sp.LambertW) if (needed := _needs(node))}
    return {(base, need) for base, need in found if not _is_evident(base, need)}


def _is_evident(base: Expr, need: str) -> bool:
    if base.is_positive or (need == "not 0" and base.is_negative) or (need == "not negative" and base.is_nonnegative):
        return True
    symbols = tuple(base.free_symbols)
    if not all(s.is_extended_real for s in symbols):
        return False
    line = Enclosure.line()
    halves = {s: Enclosure(Enclosure.of(0).low, line.high) for s in symbols if s.is_nonnegative}
    try:
        with numbers.backend.precision(BITS):
            return _holds(need, compiled(base, symbols)(*(halves.get(s, line) for s in symbols)))
    except RefusedError:
        return False


def _unshared(a: Expr, b: Expr) -> set[tuple[Expr, str]]:
    """What one of two formulas needs and the other not, but for divisors that are 0 at the same places."""
    ours, theirs = _risks(a) - _risks(b), _risks(b) - _risks(a)
    alike = {pair for pair in product(ours, theirs) if all(n == "not 0" for _, n in pair) and _are_0_together(*pair)}
    return (ours | theirs) - {risk for pair in alike for risk in pair}


def _are_0_together(first: tuple[Expr, str], second: tuple[Expr, str]) -> bool:
    """Whether the quotient of two divisors is a number times exponentials."""
    quotient, powers = in_powers(first[0] / second[0])
    try:
        parts = [f.as_base_exp()[0] for f in sp.Mul.make_args(sp.cancel(sp.together(quotient)))]
    except (sp.PolynomialError, NotImplementedError):
        return False
    return all(base in powers or base.is_number or isinstance(base, sp.exp) for base in parts)


def where_one_has_none(a: Expr, b: Expr) -> str | None:
    """A place, in words, at which one of two formulas has a value and the other none; None if there is no such place.

    Raises:
        RefusedError: It is not known.
    """
    if not all(isinstance(f, KNOWN) for side in (a, b) for f in side.atoms(sp.Function)):
        raise RefusedError(WHEREVER)
    symbols = (a - b).free_symbols | a.free_symbols | b.free_symbols
    if not all(s.is_extended_real for s in symbols):
        a, b = elementary(a), elementary(b)
    if not _unshared(a, b) and (not _risks(a) or not (a - b).has(*SWITCHES)):
        return None
    if len(symbols) != 1:
        raise RefusedError(WHEREVER)
    (v,) = symbols
    if not v.is_extended_real or v.is_nonnegative is not None or v.is_nonpositive is not None or v.is_integer:
        raise RefusedError(WHEREVER)
    meets = switching_points(sp.Tuple(a, b), v)
    for m in meets:
        if (place := _differs(resolved(a, v, m), resolved(b, v, m), v, m)) is not None:
            return place
    for low, high in pairwise([-oo, *meets, oo]):
        cases = [resolved(f, v, between(low, high)) for f in (a, b)]
        for base, need in _unshared(*cases):
            if (place := _fails(base, need, cases, v, low, high)) is not None:
                return place
    return None


def _fails(base: Expr, need: str, cases: list[Expr], v: Symbol, low: Expr, high: Expr) -> str | None:
    """A place inside an interval where a need does not hold, and one of two formulas has a value but not the other."""
    places = zeros(base, v, low, high) if base.has(v) else ()
    if places is None:
        raise RefusedError(WHEREVER)
    if need != "not 0":
        for start, end in pairwise([low, *places, high]):
            at = between(start, end)
            if base.subs(v, at).is_nonnegative is not True:
                place = _differs(*cases, v, at)
                if place is not None:
                    return place
                if not _same_at(cases, v, at):
                    raise RefusedError(WHEREVER)
    for at in places if need != "not negative" else ():
        if (place := _differs(*cases, v, at)) is not None:
            return place
    return None


def _same_at(cases: list[Expr], v: Symbol, at: Expr) -> bool:
    """Whether two formulas both have a value at a place, which is then one of an interval of those that do."""
    return at.is_Rational and all(has_value(f, {v: at}) for f in cases)


def _differs(a: Expr, b: Expr, v: Symbol, at: Expr) -> str | None:
    """Words, if one of two formulas has a value at a place and the other has none."""
    if at.has(sp.Float):
        raise RefusedError(WHEREVER)
    known = [f.subs(v, at) for f in (a, b)]
    real = [not k.has(sp.nan, sp.zoo, oo, -oo, sp.AccumBounds) and k.is_extended_real for k in known]
    if None in real:
        raise RefusedError(WHEREVER)
    return f"at {v} = {at} only one of them has a value" if real[0] != real[1] else None
