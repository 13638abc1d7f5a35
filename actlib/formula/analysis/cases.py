"""Which case of a formula holds at a place, and the parts of it that must have a value there.

To take one case may erase a part: 0 times 1/x is 0 to SymPy. So what must have a value is asked of the formula as it
was given, part by part, the innermost first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from sympy import Abs, Expr, Float, Heaviside, Integer, Max, Piecewise, Symbol
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from actlib.formula.analysis.constants import generic_sign, names, sign
from actlib.formula.analysis.identities import SMOOTH, SWITCHES
from actlib.formula.analysis.places import sign_at_place
from actlib.formula.analysis.refusals import ArgumentError, NoMethodError, UndecidedSignError

__all__ = ["Part", "assert_part", "assert_parts", "has_value_at", "is_known", "parts", "resolved", "sign_at"]


@dataclass(frozen=True)
class Part:
    """A power or a logarithm, without cases.

    Attributes:
        base: What is raised or what the logarithm is of.
        exponent: None for a logarithm.
    """

    base: Expr
    exponent: Expr | None

    @property
    def is_evident(self) -> bool:
        """Whether it has a value for all values of its symbols, evidently."""
        if self.base.is_positive:
            return True
        return self.exponent is not None and bool(self.exponent.is_Integer and self.exponent >= 0)

    def has_value(self, x: Symbol, at: Expr) -> bool:
        """Whether it has a real value at a place where all parts of it have one.

        A divisor that hangs on parameters alone may be 0 for single values of them.

        Raises:
            RefusedError: It is not known, or depends on the parameters.
        """
        if self.is_evident:
            return True
        divides = self.exponent is not None and self.exponent.is_Integer
        try:
            found = generic_sign(self.base) if divides and not self.base.has(x) else sign_at(self.base, x, at)
            if found > 0 or self.exponent is None:
                return found > 0
            if divides:
                return found != 0
            if at.has(Float) and self.exponent.has(x):
                raise NoMethodError(f"no method to tell whether {self} has a value at {at.n(6)}")
            power = self.exponent.subs(x, at)
            if found == 0:
                return sign(power) >= 0
        except UndecidedSignError:
            raise self._undecided(x, at) from None
        if power.is_number and not power.is_Float:
            return bool(power.is_Integer)
        raise self._undecided(x, at)

    def _undecided(self, x: Symbol, at: Expr) -> NoMethodError:
        free = sp.Tuple(self.base, self.exponent or 1).free_symbols - {x}
        hint = f" for all values of {names(free)}; substitute a number" if free else ""
        return NoMethodError(f"no method to show that {self} has a real value at {at}{hint}")

    def __str__(self):
        return f"log({self.base})" if self.exponent is None else f"({self.base})**({self.exponent})"


def is_known(node: sp.Basic) -> bool:
    """Whether a function has a real value for all real values of its arguments, or is a logarithm."""
    return isinstance(node, (*SMOOTH, *SWITCHES, AppliedUndef))


def parts(expr: sp.Basic, x: Symbol, at: Expr) -> Iterator[Part]:
    """The powers and logarithms that count at a place, and between switching points around it; innermost first.

    Raises:
        RefusedError: There is a function of which it is not known where it has a value.
    """
    yield from _parts(expr, x, at, set())


def _parts(expr: sp.Basic, x: Symbol, at: Expr, seen: set[sp.Basic]) -> Iterator[Part]:
    if not expr.args or expr in seen:
        return
    seen.add(expr)
    if isinstance(expr, Piecewise):
        for value, condition in expr.args:
            yield from _parts(condition, x, at, seen)
            if _holds(condition, x, at):
                yield from _parts(value, x, at, seen)
                return
        raise ArgumentError(f"the cases of {expr} leave a gap at {at}; end with (expression, True)")
    for arg in expr.args:
        yield from _parts(arg, x, at, seen)
    if isinstance(expr, sp.log):
        yield Part(resolved(expr.args[0], x, at), None)
    elif expr.is_Pow and not isinstance(expr, sp.exp):
        yield Part(*(resolved(arg, x, at) for arg in expr.args))
    elif isinstance(expr, sp.Function) and not is_known(expr) and (expr.free_symbols or expr.is_real is False):
        raise NoMethodError(f"no method to show that {expr} has a real value")


def has_value_at(expr: Expr, x: Symbol, at: Expr) -> bool:
    """Whether a formula has a real value at a place.

    Raises:
        RefusedError: It is not known.
    """
    return all(part.has_value(x, at) for part in parts(expr, x, at))


def assert_parts(expr: Expr, x: Symbol, at: Expr) -> None:
    """Raises a ValueError unless a formula has a real value at a place."""
    for part in parts(expr, x, at):
        assert_part(part, expr, x, at)


def assert_part(part: Part, expr: Expr, x: Symbol, at: Expr) -> None:
    """Raises a ValueError unless a part of a formula has a real value at a place."""
    if not part.has_value(x, at):
        where = at.n(6) if at.has(Float) else at
        raise ArgumentError(f"{expr} has no real value at {where}, as {part} has none; expected are real numbers")


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
