"""Where a formula has a real value: at a point, and whether two formulas have one at the same points."""

from itertools import pairwise, product

import sympy as sp
from sympy import Expr, Piecewise, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.cases import has_value_at, is_known, parts
from actlib.formula.analysis.closed_forms import in_powers
from actlib.formula.analysis.constants import between
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.identities import SWITCHES, in_exponentials
from actlib.formula.analysis.pieces import switching_points
from actlib.formula.analysis.refusals import ArgumentError, RefusedError
from actlib.formula.analysis.zeros import zeros
from actlib.formula.primitives import elementary

__all__ = ["WHEREVER", "has_value", "where_one_has_none"]

BITS = 200

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
    if isinstance(expr, sp.Function) and expr.free_symbols and not _is_total(expr):
        return False
    needed = _needs(expr)
    return needed is None or _holds(needed[1], _enclosed(needed[0], point))


def _is_total(node: sp.Basic) -> bool:
    """Whether it is known where a function has a value: for all real arguments, or where what it needs holds."""
    return is_known(node) or isinstance(node, sp.LambertW)


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
    return _need(*node.args)


def _need(base: Expr, exponent: Expr | None) -> tuple[Expr, str] | None:
    """The same of a power; or of a logarithm, which has no exponent."""
    if exponent is None:
        return base, "positive"
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


def _unshared(ours: set[tuple[Expr, str]], theirs: set[tuple[Expr, str]]) -> set[tuple[Expr, str]]:
    """What one of two formulas needs and the other not, but for divisors that are 0 at the same places."""
    ours, theirs = ours - theirs, theirs - ours
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
    symbols = a.free_symbols | b.free_symbols
    if not all(s.is_extended_real for s in symbols):
        a, b = (in_exponentials(elementary(f)) for f in (a, b))
    if not all(_is_total(f) for side in (a, b) for f in side.atoms(sp.Function) if f.free_symbols):
        raise RefusedError(WHEREVER)
    risks = _risks(a), _risks(b)
    leaves_gaps = any(cases.args[-1].cond != sp.true for side in (a, b) for cases in side.atoms(Piecewise))
    if not leaves_gaps and not _unshared(*risks) and (not any(risks) or not (a.has(*SWITCHES) or b.has(*SWITCHES))):
        return None
    if len(symbols) != 1 or a.has(sp.LambertW) or b.has(sp.LambertW):
        raise RefusedError(WHEREVER)
    (v,) = symbols
    if not v.is_extended_real or v.is_nonnegative is not None or v.is_nonpositive is not None or v.is_integer:
        raise RefusedError(WHEREVER)
    meets = switching_points(sp.Tuple(a, b), v)
    for m in meets:
        if (place := _differs(a, b, v, m)) is not None:
            return place
    for low, high in pairwise([-oo, *meets, oo]):
        inside = between(low, high)
        if leaves_gaps and (place := _differs(a, b, v, inside)) is not None:
            return place
        for base, need in _unshared(*(_risks_at(f, v, inside) for f in (a, b))):
            if (place := _fails(base, need, (a, b), v, low, high)) is not None:
                return place
    return None


def _risks_at(expr: Expr, v: Symbol, at: Expr) -> set[tuple[Expr, str]]:
    """What those parts of a formula need that count at a place."""
    found = {_need(part.base, part.exponent) for part in parts(expr, v, at)} - {None}
    return {(base, need) for base, need in found if not _is_evident(base, need)}


def _fails(base: Expr, need: str, sides: tuple[Expr, Expr], v: Symbol, low: Expr, high: Expr) -> str | None:
    """A place inside an interval where a need does not hold, and one of two formulas has a value but not the other."""
    if not base.has(v):
        return _differs(*sides, v, between(low, high))
    places = zeros(base, v, low, high)
    if places is None:
        return _differs(*sides, v, between(low, high))
    if need != "not 0":
        for start, end in pairwise([low, *places, high]):
            at = between(start, end)
            if base.subs(v, at).is_nonnegative is not True:
                tried = at, between(at, end)  # at the first, both may have none for another reason
                if (place := next(filter(None, (_differs(*sides, v, at) for at in tried)), None)) is not None:
                    return place
                if not _same_at(sides, v, at):
                    raise RefusedError(WHEREVER)
    for at in places if need != "not negative" else ():
        if (place := _differs(*sides, v, at)) is not None:
            return place
    return None


def _same_at(sides: tuple[Expr, Expr], v: Symbol, at: Expr) -> bool:
    """Whether two formulas both have a value at a place, which is then one of an interval of those that do."""
    return at.is_Rational and all(has_value(f, {v: at}) for f in sides)


def _has_one_at(expr: Expr, v: Symbol, at: Expr) -> bool:
    try:
        return has_value_at(expr, v, at)
    except ArgumentError:  # its cases leave a gap there
        return False


def _differs(a: Expr, b: Expr, v: Symbol, at: Expr) -> str | None:
    """Words, if one of two formulas has a value at a place and the other has none."""
    if _has_one_at(a, v, at) == _has_one_at(b, v, at):
        return None
    return f"at {v} = {at.n(6) if at.has(sp.Float) else at} only one of them has a value"
