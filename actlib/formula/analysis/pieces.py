"""Cases: where those of a formula meet, and which one holds between; there the formula is smooth, and has a value.

All of it on the whole line, or within an interval: one period of a formula that has one.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy import Abs, Expr, Float, Heaviside, Integer, Max, Piecewise, Symbol, oo
from sympy.core.relational import Relational

from actlib.formula.analysis.constants import between, compare, ordered, sign
from actlib.formula.analysis.formulas import compiled
from actlib.formula.analysis.identities import SMOOTH, SWITCHES
from actlib.formula.analysis.places import assert_bounded, in_order, sign_at_place
from actlib.formula.analysis.refusals import ArgumentError, NoMethodError, UndecidedSignError
from actlib.formula.analysis.zeros import zeros

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


@lru_cache(maxsize=256)
def _exact(expr: Expr) -> Expr:
    """The formula with the numbers that its decimals are as they are written."""
    return sp.nsimplify(expr, rational=True) if expr.has(Float) else expr


def checked(expr: Expr, x: Symbol) -> Expr:
    """The formula, if x is a real symbol, all parameters are real symbols, and its values are real and finite."""
    if not (isinstance(x, Symbol) and x.is_extended_real and x.is_nonnegative is None and x.is_nonpositive is None):
        raise ArgumentError(f"the variable is {x!r}; expected is a Symbol declared real=True and nothing more")
    expr = _exact(expression(expr))
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
        _assert_defined(formula, x, low, high)
        if low != within[0]:
            _assert_value(resolved(expr, x, low), x, low)
        if found and found[-1].formula == formula and _same_at(expr, x, low, formula) and not roots_at(formula, x, low):
            found[-1] = Piece(found[-1].low, high, formula)
        else:
            found.append(Piece(low, high, formula))
    return tuple(found)


def _assert_defined(formula: Expr, x: Symbol, low: Expr, high: Expr) -> None:
    """Raises a ValueError unless a formula is real and finite inside an interval."""
    for node in sorted(formula.atoms(sp.Pow, sp.log), key=sp.count_ops):
        base = node.args[0]
        if isinstance(node, sp.exp) or not base.has(x) or base.is_positive:
            continue
        divides = node.is_Pow and node.exp.is_negative
        rooted = not node.is_Pow or not node.exp.is_Integer
        if not (divides or rooted) or (base.is_negative and not rooted):
            continue
        places = zeros(base, x, low, high)
        if rooted and (places is None or len(places) == 0 or node.is_Pow):
            ends = [low, *(places or ()), high]
            if any(sign(base.subs(x, between(a, b))) < 0 for a, b in pairwise(ends)):
                raise ArgumentError(
                    f"{formula} has no real value where {base} is negative; expected is a real number everywhere"
                )
        if (places is None or places) and (divides or not node.is_Pow):
            raise ArgumentError(f"{formula} has no value where {base} is 0; expected are real numbers everywhere")
        if places:
            raise NoMethodError(f"no method for {node}, the root of what is 0 inside")
    if not formula.free_symbols - {x}:
        compiled(formula, (x,))


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


def resolved(expr: Expr, x: Symbol, at: Expr) -> Expr:
    """The formula without cases that holds at one point and, between switching points, around it."""
    if not expr.has(*SWITCHES):
        return expr
    if isinstance(expr, Piecewise):
        for value, condition in expr.args:
            if _holds(condition, x, at):
                return resolved(value, x, at)
        raise ArgumentError(f"the cases of {expr} leave a gap at {at}; end with (expression, True)")
    args = [resolved(a, x, at) for a in expr.args]
    if isinstance(expr, (Abs, sp.sign, Heaviside)):
        found = sign_at(args[0], x, at)
        if isinstance(expr, Abs):
            return found * args[0]
        if isinstance(expr, sp.sign):
            return Integer(found)
        return {1: Integer(1), -1: Integer(0), 0: args[1] if len(args) > 1 else sp.S.Half}[found]
    if isinstance(expr, (Max, sp.Min)):
        wanted = 1 if isinstance(expr, Max) else -1
        best = args[0]
        for other in args[1:]:
            if sign_at(other - best, x, at) == wanted:
                best = other
        return best
    return expr.func(*args)


def sign_at(formula: Expr, x: Symbol, at: Expr) -> int:
    """The sign of a formula at a point: 0 at a number that is one of its zeros without closed form, too."""
    return sign_at_place(formula, x, at) if at.has(Float) and formula.has(x) else sign(formula.subs(x, at))


def _holds(condition: sp.Basic, x: Symbol, at: Expr) -> bool:
    if condition in (sp.true, sp.false):
        return bool(condition)
    if isinstance(condition, sp.And):
        return all(_holds(c, x, at) for c in condition.args)
    if isinstance(condition, sp.Or):
        return any(_holds(c, x, at) for c in condition.args)
    if isinstance(condition, sp.Not):
        return not _holds(condition.args[0], x, at)
    if isinstance(condition, Relational):
        found = sign_at(resolved(condition.lhs - condition.rhs, x, at), x, at)
        return bool(condition.func(Integer(found), Integer(0)))
    raise ArgumentError(f"the condition is {condition}; expected are comparisons joined by &, | and ~")


def piece_at(expr: Expr, x: Symbol, at: Expr) -> Piece:
    """The piece in which a point lies, or the one to its left if it lies between two."""
    return next(p for p in pieces(expr, x) if p.high == oo or compare(at, p.high) <= 0)
