"""Expansions at infinity of formulas with parameters: each for fixed values of these, from some point on.

Where that is depends on the parameters, and so do the bounds of what was cut off: of a coefficient that is not exact
nothing is said but that it is bounded. That is enough for limits, and for what a formula is asymptotically equal to.
"""

from actlib.formula.analysis import numbers
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.expansions import Coefficient, Expansion, Workshop
from actlib.formula.analysis.growth import ONE, Growth
from actlib.formula.analysis.refusals import NoMethodError

__all__ = ["Formal"]


class Formal(Workshop):
    """Expansions of one order, each from a start on that is far enough."""

    def __init__(self, order: int):
        self.order = order
        self.known: dict = {}
        tiny = numbers.backend.power_of_two(-10)
        self.tiny = Enclosure(-tiny, tiny)

    def bound(self, growth: Growth) -> Enclosure:
        """From 0 to the largest value of something that falls: as small as need be, if it is not 1."""
        if growth == ONE:
            return Enclosure.of(1)
        if growth.sign > 0:
            raise NoMethodError("a term that grows has no bound")
        return Enclosure(Enclosure.of(0).low, self.tiny.high)

    def values(self, coefficient: Coefficient) -> Enclosure:
        """All that a coefficient may be."""
        return coefficient if isinstance(coefficient, Enclosure) else Enclosure.line()

    def small(self, a: Expansion) -> Enclosure:
        """All values of an expansion without terms that grow."""
        return self.tiny if all(g.sign < 0 for g, _ in a.terms) else Enclosure.line()
