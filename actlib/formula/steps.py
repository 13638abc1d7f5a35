"""How a derivative is found by the rules of school, a step for each part of a formula: inner parts come first."""

from dataclasses import dataclass

import sympy as sp
from sympy import Expr, Piecewise, Symbol

from actlib.formula.primitives import stable

__all__ = ["Step", "steps"]

MOST = 40
"""Steps; a formula that takes more is not explained so."""


@dataclass(frozen=True)
class Step:
    """That the slope of a part of the formula is what a rule says, given the slopes of its own parts."""

    rule: str
    part: Expr
    slope: Expr


def steps(formula: Expr, x: Symbol) -> list[Step]:
    """The steps to the derivative of a formula, of which the last is about the whole; none if they are too many.

    Args:
        formula: The formula; what `primitives.stable` makes of it is differentiated, so that maximum and minimum are
            cases. Where a case ends, the slope is that of the case that holds there; where a sign jumps, it is 0.
        x: The variable.
    """
    slopes: dict[Expr, Expr] = {x: sp.Integer(1)}
    found: list[Step] = []

    def slope(part: Expr) -> Expr:
        if not part.has(x):
            return sp.Integer(0)
        if part not in slopes:
            rule, value = _step(part, x, slope)
            slopes[part] = value
            found.append(Step(rule, part, value))
        return slopes[part]

    slope(stable(formula))
    return found if len(found) <= MOST else []


def _step(part: Expr, x: Symbol, slope) -> tuple[str, Expr]:
    if part.is_Add:
        return "sum rule", sp.Add(*(slope(term) for term in part.args))
    if part.is_Mul:
        constant, rest = part.as_independent(x, as_Add=False)
        if constant != 1:
            return "constant factor", constant * slope(rest)
        above, below = sp.fraction(part)
        if below.has(x):
            return "quotient rule", (slope(above) * below - above * slope(below)) / below**2
        factors = part.args
        others = (sp.Mul(*(f for j, f in enumerate(factors) if j != i)) for i in range(len(factors)))
        return "product rule", sp.Add(*(slope(f) * other for f, other in zip(factors, others, strict=True)))
    if isinstance(part, Piecewise):
        cases = [(slope(value), condition) for value, condition in part.args]
        return "case by case", Piecewise(*cases)
    if part.is_Pow and not isinstance(part, sp.exp):
        base, exponent = part.args
        return _chained("power rule", base, x, exponent * base ** (exponent - 1) * slope(base))
    (inner,) = part.args
    name = part.func.__name__.lower() if isinstance(part, sp.Abs) else part.func.__name__
    outer = sp.Integer(0) if isinstance(part, sp.sign) else part.fdiff()
    return _chained(f"slope of {name}", inner, x, outer * slope(inner))


def _chained(rule: str, inner: Expr, x: Symbol, value: Expr) -> tuple[str, Expr]:
    return (rule if inner == x else f"{rule}, chain rule"), value
