"""How fast the terms of an expansion grow: y^p log(y)^l exp(q(y)), in order."""

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy import Expr, Integer, Rational

from actlib.formula.analysis.constants import sign
from actlib.formula.analysis.formulas import sign_of
from actlib.formula.analysis.identities import is_zero
from actlib.formula.analysis.refusals import NoMethodError

__all__ = ["ONE", "Growth", "certain_sign", "plain", "y"]

y = sp.Dummy("y", positive=True)
"""The variable of expansions, that goes to infinity."""


ZERO = Integer(0)


@dataclass(frozen=True)
class Growth:
    """y**power * log(y)**logs * exp(sum of c y**r), the pairs (r, c) in ``rate`` from the largest r down."""

    rate: tuple[tuple[Rational, Expr], ...] = ()
    power: Expr = ZERO
    logs: Expr = ZERO

    def __mul__(self, other: "Growth") -> "Growth":
        return Growth(_sum(self.rate, other.rate), plain(self.power + other.power), self.logs + other.logs)

    def raised(self, n: Expr) -> "Growth":
        """The n-th power."""
        return Growth(tuple((r, plain(c * n)) for r, c in self.rate), plain(self.power * n), self.logs * n)

    def over(self, other: "Growth") -> "Growth":
        """The quotient."""
        return self * other.raised(Integer(-1))

    @property
    def sign(self) -> int:
        """1 if it grows without bound, -1 if it goes to 0, 0 if it is 1."""
        for value in (*(c for _, c in self.rate[:1]), self.power, self.logs):
            if value != 0 and (found := certain_sign(value)):
                return found
        return 0

    def expr(self, at: Expr) -> Expr:
        """As a formula."""
        rate = sp.Add(*(c * at**r for r, c in self.rate))
        return at**self.power * sp.log(at) ** self.logs * sp.exp(rate)


ONE = Growth()


def _sum(a: tuple, b: tuple) -> tuple:
    total = dict(a)
    for r, c in b:
        total[r] = plain(total.get(r, Integer(0)) + c)
    return tuple(sorted(((r, c) for r, c in total.items() if c != 0), reverse=True, key=lambda pair: pair[0]))


@lru_cache(maxsize=4096)
def plain(value: Expr) -> Expr:
    """A constant, as 0 if it is; whether it is, must be proved either way, with parameters for generic values."""
    if value.is_Rational or value.has(y):
        return value
    if not value.free_symbols and sign_of(value) is not None:
        return value
    if is_zero(value):
        return Integer(0)
    if value.free_symbols:
        return value
    raise NoMethodError(f"no method to decide whether {value} is 0")


def certain_sign(value: Expr) -> int:
    """The sign of a constant, proved; with parameters, for all values of these."""
    if value.free_symbols:
        return sign(value)
    found = sign_of(value)
    if found is None:
        raise NoMethodError(f"no method to find the sign of {value}")
    return found
