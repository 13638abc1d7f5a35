"""Cases: where those of a formula meet, and which one holds between; there the formula is smooth, and has a value.

All of it on the whole line, or within an interval: one period of a formula that has one.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy import Expr, Float, Max, Piecewise, Symbol, oo
from sympy.core.relational import Relational

from actlib.formula.analysis.cases import assert_part, assert_parts, parts, resolved, sign_at
from actlib.formula.analysis.constants import between, compare, ordered, sign
from actlib.formula.analysis.formulas import compiled
from actlib.formula.analysis.identities import SMOOTH, SWITCHES
from actlib.formula.analysis.places import assert_bounded, in_order, sign_at_place
from actlib.formula.analysis.refusals import ArgumentError, NoMethodError, UndecidedSignError
from actlib.formula.analysis.zeros import zeros
from actlib.formula.decimals import exact

__all__ = [
    "LINE",
    "Piece",
    "between",
    "checked",
    "expression",
    "piece_at",
    "pieces",
    "resolved",
    "roots_at",
    "switching_functions",
    "switching_points",
]

LINE = (-oo, oo)

LARGEST_NUMBER = 10**1000
LARGEST_EXPONENT = 10**5


@dataclass(frozen=True)
class Piece:
    """A smooth formula on an open interval."""

    low: Expr
    high: Expr
    formula: Expr


def expression(expr: Expr) -> Expr:
    """What came, as a formula.

    Raises:
        ValueError: It is none.
        NoMethodError: The numbers in it are so large that to work with them cannot be interrupted.
    """
    try:
        result = sp.sympify(expr)
    except (sp.SympifyError, TypeError) as error:
        raise ArgumentError(f"got {expr!r}; expected is a SymPy formula") from error
    if isinstance(expr, (bool, str)) or not isinstance(result, Expr) or result.is_Matrix:
        raise ArgumentError(f"got {expr!r}; expected is a SymPy formula")
    if any(max(abs(n.p), n.q) > LARGEST_NUMBER for n in result.atoms(sp.Rational)):
        raise NoMethodError("no method for numbers of more than a thousand digits")
    if any(e.exp.is_Rational and max(abs(e.exp.p), e.exp.q) > LARGEST_EXPONENT for e in result.atoms(sp.Pow)):
        raise NoMethodError(f"no method for powers beyond {LARGEST_EXPONENT}")
    return result


def checked(expr: Expr, x: Symbol) -> Expr:
    """The formula, if x is a real symbol, all parameters are real symbols, and its values are real and finite."""
    if not (isinstance(x, Symbol) and x.is_extended_real and x.is_nonnegative is None and x.is_nonpositive is None):
        raise ArgumentError(f"the variable is {x!r}; expected is a Symbol declared real=True and nothing more")
    expr = exact(expression(expr))
    if expr.has(sp.nan, sp.zoo, oo, -oo, sp.I):
        raise ArgumentError(f"got {expr}; expected is a formula with real, finite values")
    known = SWITCHES + SMOOTH
    unknown = {f.func.__name__ for f in expr.atoms(sp.Function) if f.has(x) and not isinstance(f, known)}
    if unknown:
        expected = ", ".join(f.__name__ for f in SMOOTH + SWITCHES)
        raise ArgumentError(f"{expr} has {', '.join(sorted(unknown))}; expected are {expected}")
    vague = [s.name for s in expr.free_symbols if not s.is_extended_real]
    if vague:
        raise ArgumentError(f"{expr} has symbols not known to be real: {', '.join(sorted(vague))}; substitute a number")
    return expr


@lru_cache(maxsize=512)
def pieces(expr: Expr, x: Symbol, within: tuple[Expr, Expr] = LINE) -> tuple[Piece, ...]:
    """The formula without cases, between the points where its cases meet."""
    cuts = [within[0], *switching_points(expr, x, within), within[1]]
    found: list[Piece] = []
    for low, high in pairwise(cuts):
        formula = resolved(expr, x, between(low, high))
        _assert_defined(expr, x, low, high)
        if not formula.free_symbols - {x}:
            compiled(formula, (x,))
        if low != within[0]:
            _assert_value(resolved(expr, x, low), x, low)
        if low != -oo:
            assert_parts(expr, x, low)
        if found and found[-1].formula == formula and _same_at(expr, x, low, formula) and not roots_at(formula, x, low):
            found[-1] = Piece(found[-1].low, high, formula)
        else:
            found.append(Piece(low, high, formula))
    return tuple(found)


def _assert_defined(expr: Expr, x: Symbol, low: Expr, high: Expr) -> None:
    """Raises a ValueError unless each part of a formula that counts there is real and finite inside an interval."""
    for part in parts(expr, x, between(low, high)):
        base, power = part.base, part.exponent
        if part.is_evident:
            continue
        if not base.has(x):
            assert_part(part, expr, x, between(low, high))
            continue
        divides = power is not None and power.is_negative
        rooted = power is None or not power.is_Integer
        if not (divides or rooted) or (base.is_negative and not rooted):
            continue
        places = zeros(base, x, low, high)
        if rooted and (places is None or len(places) == 0 or power is not None):
            ends = [low, *(places or ()), high]
            if any(sign(base.subs(x, between(a, b))) < 0 for a, b in pairwise(ends)):
                raise ArgumentError(
                    f"{expr} has no real value where {base} is negative; expected is a real number everywhere"
                )
        if (places is None or places) and (divides or power is None):
            raise ArgumentError(f"{expr} has no value where {base} is 0; expected are real numbers everywhere")
        if places:
            raise NoMethodError(f"no method for {part}, the root of what is 0 inside")


def _roots(expr: Expr, x: Symbol) -> list[Expr]:
    """The roots in a formula, and the powers that hang on x, of what may be 0."""
    found = [node for node in expr.atoms(sp.Pow) if not isinstance(node, sp.exp) and not node.exp.is_Integer]
    return sorted((n for n in found if n.base.has(x) and not n.base.is_positive), key=sp.default_sort_key)


def roots_at(formula: Expr, x: Symbol, at: Expr) -> list[Expr]:
    """The roots in a formula without cases of what is 0 at a point: there it is not smooth, or has to be looked at."""
    return [node for node in _roots(formula, x) if sign_at(node.base, x, at) == 0]


def _assert_value(formula: Expr, x: Symbol, at: Expr) -> None:
    """Raises a ValueError unless a formula is real and finite at a point."""
    if at.has(Float):
        assert_bounded(formula, x, at)
        return
    value = formula.subs(x, at)
    if value.has(sp.nan, sp.zoo, oo, -oo, sp.AccumBounds) or value.is_extended_real is False:
        raise ArgumentError(f"{formula} has the value {value} at {at}; expected is a real number")


def _same_at(expr: Expr, x: Symbol, at: Expr, formula: Expr) -> bool:
    here = resolved(expr, x, at)
    if here == formula:
        return True
    if at.has(Float):
        return sign_at_place(here - formula, x, at) == 0
    values = here.subs(x, at), formula.subs(x, at)
    if any(value.has(sp.nan, sp.zoo, oo, -oo, sp.AccumBounds) for value in values):
        return False
    try:
        return compare(*values) == 0
    except UndecidedSignError:
        return False


def switching_points(expr: Expr, x: Symbol, within: tuple[Expr, Expr] = LINE) -> list[Expr]:
    """Where the cases of a formula may meet, in ascending order."""
    points: list[Expr] = []
    for switch in switching_functions(expr, x):
        for piece in pieces(switch, x, within):
            ends = [end for end in (piece.low, piece.high) if end not in within]
            found = zeros(piece.formula, x, piece.low, piece.high) or ()
            points += [p for p in (*ends, *found) if all(_apart(p, q) for q in points)]
    return in_order(sorted(points, key=ordered(lambda p: p)))


def _apart(p: Expr, q: Expr) -> bool:
    try:
        return compare(p, q) != 0
    except UndecidedSignError:
        if p.has(Float) or q.has(Float):
            raise NoMethodError("no method to tell whether two places where cases meet are one") from None
        raise


def switching_functions(expr: Expr, x: Symbol) -> list[Expr]:
    """The functions of x whose sign decides which case holds, and those that are never negative under a root."""
    found = {node.base for node in _roots(expr, x) if node.base.is_nonnegative}
    for node in expr.atoms(*SWITCHES):
        if isinstance(node, Piecewise):
            relations = {r for _, condition in node.args for r in condition.atoms(Relational)}
            found |= {r.lhs - r.rhs for r in relations}
        elif isinstance(node, (Max, sp.Min)):
            found |= {a - b for i, a in enumerate(node.args) for b in node.args[:i]}
        else:
            found.add(node.args[0])
    return sorted((f for f in found if f.has(x)), key=sp.default_sort_key)


def piece_at(expr: Expr, x: Symbol, at: Expr) -> Piece:
    """The piece in which a point lies, or the one to its left if it lies between two."""
    return next(p for p in pieces(expr, x) if p.high == oo or compare(at, p.high) <= 0)
