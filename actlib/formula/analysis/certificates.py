"""Zeros on request, and the certificate: the intervals that cover the line, and what is proved on each."""

from dataclasses import dataclass, replace
from itertools import pairwise

import sympy as sp
from sympy import Expr, Interval, Symbol, oo
from sympy.printing.latex import LatexPrinter

from actlib.formula.analysis import numbers, tails
from actlib.formula.analysis.constants import compare, ordered, sign
from actlib.formula.analysis.deadline import timed
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.limits import derived
from actlib.formula.analysis.pieces import LINE, checked, pieces
from actlib.formula.analysis.refusals import ArgumentError, InfinitelyManyError, RefusedError
from actlib.formula.analysis.results import Shown, short, typeset
from actlib.formula.analysis.stretches import cycle, point
from actlib.formula.analysis.zeros import Cover, Part, covers
from actlib.formula.analysis.zeros import zeros as zeros_of
from actlib.formula.primitives import derivative

__all__ = ["Certificate", "certificate", "zeros"]

CHECK_BITS = 160
"""Of precision at which a certificate is checked again: twice that of the search."""


@timed
def zeros(expr: Expr, x: Symbol) -> list[Expr | Interval]:
    """Where a formula is 0, in ascending order: points, and an interval for each stretch where it is 0 throughout.

    Points have a closed form, or are numbers of which all digits but the last are certain. Of a periodic formula, each
    stands for one in every period: with an integer n in it.

    Raises:
        RefusedError: They are infinitely many and no family, or not decided.
    """
    expr = checked(expr, x)
    turns = cycle(expr, x)
    if turns is not None and turns.drift != 0:
        turns = None
    within = turns.within if turns else LINE
    found: list[Expr | Interval] = []
    met = pieces(expr, x, within)
    for piece in met:
        places = zeros_of(piece.formula, x, piece.low, piece.high)
        found += [Interval.open(piece.low, piece.high)] if places is None else list(places)
    for left in met[:-1]:
        if sign(point(expr, x, left.high).value) == 0:
            found.append(left.high)
    if turns is not None:
        if any(isinstance(f, Interval) for f in found):
            raise InfinitelyManyError("infinitely many intervals on which the formula is 0")
        found = [turns.everywhere(f) for f in found]
    order = {f: (f.start if isinstance(f, Interval) else f).subs(dict.fromkeys(f.free_symbols, 0)) for f in found}
    return sorted(found, key=ordered(lambda f: order[f]))


@dataclass(frozen=True, repr=False)
class Certificate(Shown):
    """The proof of where a derivative of a formula is 0.

    Attributes:
        expr: The formula.
        x: Its variable.
        order: Of the derivative: 0 for the formula itself.
        covers: For each factor of the derivative, in each piece of the formula, intervals that cover the piece.
        period: Of the formula, if only one period is covered.
    """

    expr: Expr
    x: Symbol
    order: int
    covers: tuple[Cover, ...]
    period: Expr | None = None

    def rows(self) -> list[tuple[str, sp.Basic, str]]:
        """For the table: a factor, or an interval and what holds there; neighbours of one kind are one row."""
        found: list[tuple[str, sp.Basic, str]] = []
        for cover in self.covers:
            found.append(("factor", cover.factor, ""))
            for part in _joined(cover.parts):
                found.append(("", Interval(_shown(part.low), _shown(part.high)), _words(part)))
        return found

    def check(self) -> list[str]:
        """What is wrong with it: nothing, if it is a proof. Everything is computed anew, at twice the precision.

        Gaps between the intervals, a sign that does not hold, signs that change without a zero between them or do not
        where there is one.
        """
        with numbers.backend.precision(CHECK_BITS):
            return [fault for cover in self.covers for fault in _faults(cover)]

    def __repr__(self):
        if not self.covers:
            return f"{_name(self.order)} has no factor that depends on {self.x}"
        rows = [
            (str(short(what)), words) if not kind else (f"{kind} {short(what)}", "")
            for kind, what, words in self.rows()
        ]
        width = max(len(left) for left, words in rows if words)
        return "\n".join(f"  {left:{width}}  {words}" if words else left for left, words in rows)

    def _latex(self, printer: LatexPrinter) -> str:
        lines = []
        for kind, what, words in self.rows():
            shown = typeset([what], printer)
            lines.append(rf"\text{{{kind} }} {shown} & " if kind else rf"\quad {shown} & \text{{{words}}}")
        return r"\begin{array}{ll} " + r" \\ ".join(lines) + r" \end{array}"


@timed
def certificate(expr: Expr, x: Symbol, order: int = 1) -> Certificate:
    """The proof of where a formula rises and falls, or with another order of where that derivative is 0.

    Raises:
        RefusedError: There is no proof.
    """
    expr = checked(expr, x)
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise ArgumentError(f"the order is {order!r}; expected is an integer that is not negative")
    if expr.free_symbols - {x}:
        raise RefusedError(f"no certificate for {expr}, which has parameters; substitute numbers")
    turns = cycle(expr, x)
    if turns is not None and turns.drift != 0 and order == 0:
        turns = None
    within = turns.within if turns else LINE
    found: list[Cover] = []
    for piece in pieces(expr, x, within):
        slope = derived(piece.formula, x, order)
        if zeros_of(slope, x, piece.low, piece.high) is not None:
            found += covers(slope, x, piece.low, piece.high)
    return Certificate(expr, x, order, tuple(found), turns.length if turns else None)


def _shown(end: Expr) -> Expr:
    """An end of an interval; as a decimal number where its fraction is long."""
    return sp.Float(end, 15) if end.is_Rational and end.q > 1000 else end


def _name(order: int) -> str:
    return {0: "the formula", 1: "the slope", 2: "the curvature"}.get(order, f"derivative {order}")


def _words(part: Part) -> str:
    if part.how in ("zero", "end"):
        return f"0 at {short(part.zero)} alone{', the end' if part.how == 'end' else ''}"
    side = "positive" if part.sign > 0 else "negative"
    return {"tail": f"{side}: one term outweighs all others", "values": side, "monotone": f"{side}: monotone"}[part.how]


def _joined(parts: tuple[Part, ...]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        plain = part.how in ("values", "monotone") and found and found[-1].how in ("values", "monotone")
        if plain and found[-1].sign == part.sign:
            found[-1] = replace(found[-1], high=part.high, how="values")
        else:
            found.append(part)
    return found


def _faults(cover: Cover) -> list[str]:
    function = compiled(cover.factor, (cover.x,))
    found = []
    parts = cover.parts
    if compare(parts[0].low, cover.low) > 0:
        found.append(f"nothing is said next to {cover.low}")
    if compare(cover.high, parts[-1].high) > 0:
        found.append(f"nothing is said next to {cover.high}")
    found += [f"nothing is said from {a.high} to {b.low}" for a, b in pairwise(parts) if compare(b.low, a.high) > 0]
    for part in parts:
        if part.how == "tail":
            end = oo if part.high == oo else -oo
            here = tails.closed(cover.factor, cover.x, end)
            beyond = part.low >= here.start if end == oo else part.high <= here.start
            if here.sign != part.sign or not beyond:
                found.append(f"the sign from {part.low} to {part.high} is not proved to be {part.sign}")
            continue
        around = Enclosure(enclosure(part.low).low, enclosure(part.high).high)
        if part.how == "values" and function(around).sign() == part.sign:
            continue
        order = max(part.multiplicity, 1)
        slope = compiled(derivative(cover.factor, *[cover.x] * order), (cover.x,))
        if part.sign == 0:
            if not slope(around).sign():
                found.append(f"there may be more than one zero between {part.low} and {part.high}")
        elif part.how == "monotone" and slope(around).sign():
            if {function(enclosure(end)).sign() for end in (part.low, part.high)} != {part.sign}:
                found.append(f"the sign from {part.low} to {part.high} is not {part.sign}")
        else:
            centre = Enclosure(around.middle(), around.middle())
            if (function(centre) + slope(around) * (around - centre)).sign() != part.sign:
                found.append(f"the sign from {part.low} to {part.high} is not {part.sign}")
    for a, b in pairwise(p for p in parts if p.how != "end"):
        if a.sign and b.sign and a.sign != b.sign:
            found.append(f"the sign changes at {a.high} without a zero")
    signed = [p for p in parts if p.how != "end"]
    for before, zero, after in zip(signed, signed[1:], signed[2:], strict=False):
        changes = bool(before.sign and after.sign) and before.sign != after.sign
        if zero.sign == 0 and before.sign and after.sign and changes != bool(zero.multiplicity % 2):
            found.append(f"the signs on both sides of {zero.zero} do not fit")
    return found
