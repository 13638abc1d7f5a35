"""Parameters that only stretch a curve: f(x) = h g(c x), with h and c powers of positive parameters that g has not.

So Swish with the dial beta is that with 1, all of it beta times as small. What is asked of f is asked of g, and the
answer is stretched.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import sympy as sp
from sympy import Expr, Integer, Interval, Symbol, oo
from sympy.core.relational import Relational

from actlib.formula.analysis.results import Bound, Extremum, Kink, Point, Saturation

__all__ = ["Scale", "scale"]


@dataclass(frozen=True)
class Scale:
    """A formula as h g(c x).

    Attributes:
        formula: g.
        height: h, positive.
        stretch: c, positive.
    """

    formula: Expr
    height: Expr
    stretch: Expr

    def place(self, at: Expr | Interval) -> Expr | Interval:
        """Where a place of g lies for f."""
        if isinstance(at, Interval):
            return Interval(self.place(at.start), self.place(at.end), at.left_open, at.right_open)
        return at if at in (oo, -oo) else at / self.stretch

    def value(self, of: Expr) -> Expr:
        """A value of g, as one of f."""
        return _times(self.height, of)

    def slope(self, of: Expr) -> Expr:
        """A slope of g, as one of f."""
        return _times(self.height * self.stretch, of)

    def curve(self, of: Expr, x: Symbol) -> Expr:
        """What is said of g as a formula in x, as one of f."""
        return sp.expand(_times(self.height, of.subs(x, self.stretch * x)))

    def range(self, of: sp.Set) -> sp.Set:
        """Values of g, as those of f."""
        if isinstance(of, sp.FiniteSet):
            return sp.FiniteSet(*map(self.value, of))
        return Interval(self.value(of.start), self.value(of.end), of.left_open, of.right_open)

    def point(self, of: Point | Extremum | Interval) -> Point | Extremum | Interval:
        """A point or a stretch of g, as one of f."""
        return (
            self.place(of) if isinstance(of, Interval) else replace(of, x=self.place(of.x), value=self.value(of.value))
        )

    def kink(self, of: Kink) -> Kink:
        """A kink of g, as one of f."""
        jumps = {"jump": self.value(of.jump), "slope_jump": self.slope(of.slope_jump)}
        return replace(of, x=self.place(of.x), **jumps)

    def bound(self, of: Bound) -> Bound:
        """A largest slope of g, as one of f."""
        return replace(of, value=self.slope(of.value), at=tuple(map(self.place, of.at)))

    def saturation(self, of: Saturation, x: Symbol) -> Saturation:
        """How the slope of g ends, as that of f."""
        rate = None if of.rate is None else self.slope(of.rate.subs(x, self.stretch * x))
        return replace(of, slope=self.slope(of.slope), rate=rate)


def _times(factor: Expr, value: Expr) -> Expr:
    if isinstance(value, sp.AccumBounds):
        return sp.AccumBounds(factor * value.min, factor * value.max)
    return value if value in (oo, -oo) else factor * value


@lru_cache(maxsize=256)
def scale(expr: Expr, x: Symbol) -> Scale | None:
    """The formula without the parameters that only stretch it; None if there are none."""
    found = Scale(expr, Integer(1), Integer(1))
    for p in sorted(expr.free_symbols - {x}, key=lambda s: s.name):
        if p.is_positive:
            found = next(filter(None, (_without(found, x, p, c) for c in (p, 1 / p))), found)
    return None if found.formula == expr else found


def _without(scale: Scale, x: Symbol, p: Symbol, stretch: Expr) -> Scale | None:
    """The formula without a parameter that stretches it so, if it does."""
    stretched = scale.formula.subs(x, x / stretch)
    for height in (1 / stretch, Integer(1), stretch):
        formula = _shortened(stretched, height, p)
        if p not in formula.free_symbols:
            return Scale(formula, scale.height * height, scale.stretch * stretch)
    return None


def _shortened(expr: Expr, height: Expr, p: Symbol) -> Expr:
    """A formula divided by a power of a parameter, which cancels if it is a factor."""
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*((_shortened(e, height, p), _condition(c, p)) for e, c in expr.args))
    return sp.factor_terms(expr / height)


def _condition(condition: sp.Basic, p: Symbol) -> sp.Basic:
    """A condition without a positive factor of both sides."""
    if not isinstance(condition, Relational):
        return condition
    difference = sp.factor_terms(condition.lhs - condition.rhs)
    rest = sp.Mul(*(f for f in sp.Mul.make_args(difference) if f.as_base_exp()[0] != p))
    return condition if rest == difference else condition.func(rest, 0)
