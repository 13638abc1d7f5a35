"""Whether two formulas are equal for all values of their symbols, and by which way that is known."""

from dataclasses import dataclass
from itertools import pairwise

import sympy as sp
from sympy import Expr, Piecewise, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.closed_forms import simplified
from actlib.formula.analysis.constants import between
from actlib.formula.analysis.domains import WHEREVER, has_value, where_one_has_none
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.identities import LONGEST, SWITCHES, constant_in, vanishes_as_rational
from actlib.formula.analysis.pieces import resolved, switching_points
from actlib.formula.analysis.places import vanishes_at
from actlib.formula.analysis.refusals import ArgumentError, RefusedError
from actlib.formula.analysis.results import Shown
from actlib.formula.primitives import elementary

__all__ = ["Equality", "compared", "decided"]


@dataclass(frozen=True, repr=False)
class Equality(Shown):
    """Whether two formulas are equal.

    Attributes:
        holds: True or False where that is proved, else None.
        how: By which way it is known, or why not.
        everywhere: Whether it is known that both have a value at the same places, if they are equal wherever both have.
    """

    holds: bool | None
    how: str
    everywhere: bool = True

    def _pieces(self):
        words = {True: "equal: ", False: "not equal: ", None: "not decided: "}
        return [words[self.holds] + self.how]


def decided(a: Expr, b: Expr) -> Equality:
    """Whether two formulas are equal where both have a value, by proof or counterexample."""
    if a == b:
        return Equality(True, "they are the same formula")
    difference = a - b
    if difference.has(sp.nan, sp.zoo, oo):
        finite = [not side.has(sp.nan, sp.zoo, oo, -oo) for side in (a, b)]
        if finite[0] != finite[1]:
            return Equality(False, "one of them is infinite")
        return Equality(None, "there are infinities in them")
    point = _counterexample(a, b)
    if point is not None:
        return Equality(False, point)
    way = _vanishing(difference)
    if way:
        return Equality(True, way)
    return Equality(None, "no proof was found, and no point at which they differ")


def compared(a: Expr, b: Expr) -> Equality:
    """Whether two formulas are equal, and have values at the same places; where that is not known, it says so."""
    found = decided(a, b)
    if not found.holds or a == b:
        return found
    try:
        place = where_one_has_none(a, b)
    except (RefusedError, ArgumentError):
        return Equality(True, f"{found.how}, {WHEREVER}", everywhere=False)
    return found if place is None else Equality(False, place)


def _counterexample(a: Expr, b: Expr) -> str | None:
    """A point at which both have a value, and the enclosure of the difference does not hold 0; in words."""
    difference = a - b
    symbols = tuple(sorted(a.free_symbols | b.free_symbols, key=lambda s: s.name))
    if any(s.is_integer or s.is_extended_real is False for s in symbols):
        return None
    try:
        function = compiled(difference, symbols)
    except ValueError:
        return None
    for values in _points(difference, symbols):
        point = [-v if (s.is_nonnegative and v < 0) or (s.is_nonpositive and v > 0) else v
                 for s, v in zip(symbols, values, strict=True)]  # fmt: skip
        if any(v == 0 and (s.is_positive or s.is_negative) for s, v in zip(symbols, point, strict=True)):
            continue
        with numbers.backend.precision(200):
            value: Enclosure = function(*map(enclosure, point))
            finite = abs(value).high < numbers.backend.infinity
        values = dict(zip(symbols, point, strict=True))
        if finite and value.sign() and has_value(a, values) and has_value(b, values):
            where = ", ".join(f"{s} = {v}" for s, v in zip(symbols, point, strict=True))
            return f"they differ at {where}" if symbols else "they are different numbers"
    return None


def _points(difference: Expr, symbols: tuple[Symbol, ...]) -> list[list[Rational]]:
    """Rational points to try; of one variable with cases, those between and at the numbers that decide, too."""
    rows = (-2.625, 0.8125, 3.4375), (0.34375, -1.1875, -4.25), (5.5625, 2.375, -0.28125)
    points = [[Rational(row[i % 3]) * (1 + i // 3) for i in range(len(symbols))] for row in rows]
    if len(symbols) == 1 and difference.has(*SWITCHES):
        named = sorted({n for node in difference.atoms(*SWITCHES) for n in node.atoms(sp.Rational)})
        points += [[v] for n in named for v in (n, n + Rational(1, 8), n - Rational(1, 8))]
    return points


def _vanishing(expr: Expr) -> str | None:
    """How a formula is proved to be 0, if it is."""
    expr = sp.sympify(expr)
    if expr.has(*SWITCHES):
        return _by_cases(expr)
    # Of a decimal number that stands for another, algebra may use no digit: what is proved holds whatever it is.
    expr = expr.xreplace({f: sp.Dummy(real=True) for f in expr.atoms(sp.Float)})
    if vanishes_as_rational(expr):
        return "the difference is 0 as a rational function of its symbols, of exponentials and of other functions"
    variable = constant_in(expr)
    if variable is not None:
        return f"the difference has the derivative 0 in {variable}, and is 0 where {variable} is"
    plain = elementary(expr)
    if sp.count_ops(plain) < LONGEST and simplified(plain) == 0:
        return "SymPy simplifies the difference to 0"
    return None


def _by_cases(expr: Expr) -> str | None:
    """How each case is proved to be 0, where the conditions are on one real variable."""
    deciding = {s for node in expr.atoms(*SWITCHES) for s in _decided_by(node)}
    if len(deciding) == 1 and (v := deciding.pop()).is_extended_real and v.is_nonnegative is v.is_nonpositive is None:
        try:
            meets = switching_points(expr, v)
            inner = [resolved(expr, v, between(a, b)) for a, b in pairwise([-oo, *meets, oo])]
            exact = [(resolved(expr, v, m), m) for m in meets]
            at_meets = [f.subs(v, m) for f, m in exact if not m.has(sp.Float)]
            there = all(vanishes_at(f, v, m) or _vanishing(f) for f, m in exact if m.has(sp.Float))
            if there and all(_vanishing(part) for part in [*inner, *at_meets]):
                return f"the difference is 0 in each of {len(inner)} cases, and where they meet"
        except ValueError:
            pass
    if sp.count_ops(expr) < LONGEST and simplified(sp.piecewise_fold(expr)) == 0:
        return "SymPy simplifies the difference to 0"
    return None


def _decided_by(node: Expr) -> set[Symbol]:
    """The symbols on which it depends which case of a node holds."""
    if isinstance(node, Piecewise):
        return {s for _, condition in node.args for s in condition.free_symbols}
    return node.free_symbols if isinstance(node, (sp.Max, sp.Min)) else node.args[0].free_symbols
