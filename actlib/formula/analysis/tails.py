"""What a formula does beyond some point, by its expansion there.

That one term outweighs all others from a start on is a proof that there is no zero beyond it; the sign of the term is
that of the formula, and what it is, is asymptotically equal to the formula. If a coefficient that leads oscillates and
takes both signs for certain, there are infinitely many zeros.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial, reduce

import sympy as sp
from sympy import Expr, Integer, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.deadline import check
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.expansions import DeeperError, Expansion, LaterError, Workshop
from actlib.formula.analysis.formal import Formal
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.analysis.growth import ONE, Growth, certain_sign, y
from actlib.formula.analysis.refusals import InfinitelyManyError, NoMethodError

__all__ = ["ONE", "Growth", "Tail", "closed", "shape", "unbounded", "y"]

ORDERS = (3, 6, 10)
"""How many terms are kept of each series, one try after another."""

STARTS = tuple(Integer(4) ** k for k in range(1, 34))
"""Where a tail may begin, one try after another."""

BITS = 120


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


def tried(formula: Expr, x: Symbol, end: Expr, found: Callable[[Workshop, Expansion], object]) -> object:
    """What is found of an expansion at the first start and order that serve.

    Raises:
        NoMethodError: There is none.
    """
    shops = [Formal] if formula.free_symbols - {x} else [partial(Workshop, start) for start in STARTS]
    at = formula.xreplace({x: y if end == oo else -y})
    with numbers.backend.precision(BITS):
        for order in ORDERS:
            try:
                for shop in shops:
                    check()
                    try:
                        workshop = shop(order)
                        return found(workshop, workshop.of(at))
                    except LaterError:
                        continue
            except DeeperError:
                continue
    raise NoMethodError(f"no method for {formula} towards {end}")


@lru_cache(maxsize=512)
def closed(formula: Expr, x: Symbol, end: Expr) -> Tail:
    """From where on a formula without cases has one sign, up to an end of the line.

    Raises:
        InfinitelyManyError: It is proved to change its sign again and again.
        NoMethodError: It is not known how it goes on.
    """
    if formula.free_symbols - {x}:
        raise NoMethodError(f"no method for the tail of {formula}, which has parameters")

    def decided(workshop: Workshop, expansion: Expansion) -> Tail:
        if not expansion.terms:
            raise NoMethodError(f"no method to tell {formula} from 0 towards {end}")
        growth, c = expansion.terms[0]
        exact = not isinstance(c, Enclosure)
        values = _swing(c) if exact and c.has(y) else workshop.values(c)
        others = [workshop.values(d) * workshop.bound(g.over(growth)) for g, d in expansion.terms[1:]]
        sign = reduce(Enclosure.__add__, others, values).sign()
        if not sign:
            if not exact:
                raise DeeperError
            if not values.sign():
                raise NoMethodError(
                    f"no method for the zeros of {formula} towards {end}, where it comes near 0 again and again"
                )
            raise LaterError
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


@lru_cache(maxsize=512)
def shape(formula: Expr, x: Symbol, end: Expr) -> list[tuple[Growth, Expr]]:
    """The exact terms of a formula towards an end that do not go to 0, in y = x or -x; and the first that does.

    Raises:
        NoMethodError: They are not known exactly.
    """

    def found(workshop: Workshop, expansion: Expansion) -> list[tuple[Growth, Expr]]:  # noqa: ARG001
        terms = []
        for growth, c in expansion.terms:
            if isinstance(c, Enclosure):
                if growth.sign >= 0:
                    raise DeeperError
                break
            terms.append((growth, c))
            if growth.sign < 0:
                break
        return terms

    return tried(formula, x, end, found)


@lru_cache(maxsize=512)
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
        return {certain_sign(c)}
    with numbers.backend.precision(BITS):
        try:
            found = _swing(c).sign()
        except InfinitelyManyError:
            return {1, -1}
    if not found:
        raise NoMethodError(f"no method to tell how far {formula} goes towards {end}")
    return {found}
