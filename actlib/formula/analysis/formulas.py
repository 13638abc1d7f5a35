"""Formulas of enclosures: `compiled` makes of a formula a function; `constant` and `sign_of` tell of a number."""

from collections.abc import Callable
from functools import lru_cache, reduce

import sympy as sp
from sympy import Expr, Float, Piecewise, Rational, Symbol
from sympy.core.relational import Relational

from actlib.formula.analysis import numbers
from actlib.formula.analysis.enclosures import Enclosure, finite, most, rounded
from actlib.formula.analysis.functions import FUNCTIONS
from actlib.formula.analysis.refusals import NoMethodError

__all__ = ["KNOWN", "compiled", "constant", "enclosure", "sign_of"]

KNOWN: dict[Float, Callable[[], Enclosure]] = {}
"""Decimal numbers that are names of others, and how these are enclosed at the precision that is set."""

MOST_BITS = 21_000
"""Of precision, before a constant counts as one that cannot be told from 0."""


@lru_cache(maxsize=1024)
def compiled(expr: Expr, variables: tuple[Symbol, ...]) -> Callable[..., Enclosure]:
    """A formula as a function of enclosures of its variables, each part of it computed once.

    Raises:
        NoMethodError: There is a part for which no enclosure is known.
    """
    steps: list[tuple[Callable, tuple[int, ...]]] = []
    fixed: list[Callable | None] = [None] * len(variables)  # constants: they are kept for each precision
    places: dict[sp.Basic, int] = {v: i for i, v in enumerate(variables)}

    def place(function: Callable, parts: tuple[int, ...], constant: bool) -> int:
        fixed.append(function if constant else None)
        steps.append((function, parts))
        return len(fixed) - 1

    def visit(node: sp.Basic) -> int:
        if node in places:
            return places[node]
        function, parts = _step_of(node)
        at = tuple(visit(part) for part in parts)
        places[node] = place(function, at, all(fixed[i] is not None for i in at))
        return places[node]

    visit(expr)
    kept: dict[tuple, list[Enclosure | None]] = {}

    def run(*boxes: Enclosure) -> Enclosure:
        how = numbers.backend, numbers.backend.bits
        if how not in kept:
            constants: list[Enclosure | None] = [None] * len(fixed)
            for i, (function, parts) in enumerate(steps, len(variables)):
                if fixed[i] is not None:
                    constants[i] = function(*(constants[p] for p in parts))
            kept[how] = constants
        values = [*boxes, *kept[how][len(variables) :]]
        for i, (function, parts) in enumerate(steps, len(variables)):
            if fixed[i] is None:
                values[i] = function(*[values[p] for p in parts])
        return values[places[expr]]

    return run


def _step_of(node: sp.Basic) -> tuple[Callable, tuple[sp.Basic, ...]]:
    """What is to be done with the enclosures of which parts of a formula."""
    if node.is_Rational:
        return (lambda: Enclosure.of(int(node.p), int(node.q))), ()
    if isinstance(node, Float):
        return (lambda: _around(node)), ()
    if node == sp.pi:
        return (lambda: rounded(numbers.backend.pi())), ()
    if node == sp.E:
        return FUNCTIONS[sp.exp], (sp.Integer(1),)
    if node.is_Add:
        return (lambda *parts: reduce(Enclosure.__add__, parts)), node.args
    if node.is_Mul:
        return (lambda *parts: reduce(Enclosure.__mul__, parts)), node.args
    if isinstance(node, sp.exp):
        return FUNCTIONS[sp.exp], (node.exp,)
    if node.is_Pow:
        if node.exp.is_Rational:
            return (lambda base: base.power(node.exp)), (node.base,)
        return FUNCTIONS[sp.exp], (node.exp * sp.log(node.base),)
    if isinstance(node, sp.LambertW):
        branch = int(node.args[1]) if len(node.args) > 1 else 0
        return (lambda z: _lambert(z, branch)), node.args[:1]
    if isinstance(node, Piecewise):
        conditions = tuple(condition for _, condition in node.args)
        values = tuple(value for value, _ in node.args)
        return _cases, (*conditions, *values)
    if isinstance(node, Relational):
        return (lambda difference: _holds(difference, node.rel_op)), (node.lhs - node.rhs,)
    if node in (sp.true, sp.false):
        return (lambda: bool(node)), ()
    for kind, joined in ((sp.And, _every), (sp.Or, _any), (sp.Not, _not)):
        if isinstance(node, kind):
            return joined, node.args
    if node.func in FUNCTIONS:
        return FUNCTIONS[node.func], node.args
    if isinstance(node, Symbol):
        raise NoMethodError(f"no method for all values of {node}; substitute a number")
    raise NoMethodError(f"no method to enclose {node}, which is no real number or is of no known kind")


def _around(number: Float) -> Enclosure:
    """What a decimal number stands for: one that is known; or all its digits but the last are right, that to a unit."""
    if number in KNOWN:
        return KNOWN[number]()
    if -number in KNOWN:
        return -KNOWN[-number]()
    exact = Rational(number)
    radius = abs(exact) / Rational(10) ** (number._prec * 3 // 10 - 1)
    low, high = enclosure(exact - radius), enclosure(exact + radius)
    return Enclosure(low.low, high.high)


def _lambert(z: Enclosure, branch: int) -> Enclosure:
    n = numbers.backend
    ends = [rounded(n.lambertw(end, branch)) for end in (z.low, z.high)]
    return ends[0].union(ends[1])


def _holds(difference: Enclosure, relation: str) -> bool | None:
    """Whether a - b is as a relation between a and b says; None where it may or may not be."""
    low, high = difference.low, difference.high
    holds = {
        "<": high < 0,
        "<=": high <= 0,
        ">": low > 0,
        ">=": low >= 0,
        "==": low == 0 == high,
        "!=": 0 not in difference,
    }
    fails = {
        "<": low >= 0,
        "<=": low > 0,
        ">": high <= 0,
        ">=": high < 0,
        "==": 0 not in difference,
        "!=": low == 0 == high,
    }
    return True if holds[relation] else False if fails[relation] else None


def _every(*conditions: bool | None) -> bool | None:
    return False if False in conditions else None if None in conditions else True


def _any(*conditions: bool | None) -> bool | None:
    return True if True in conditions else None if None in conditions else False


def _not(condition: bool | None) -> bool | None:
    return None if condition is None else not condition


def _cases(*parts) -> Enclosure:
    """All values of those cases that may hold."""
    count = len(parts) // 2
    possible = []
    for condition, value in zip(parts[:count], parts[count:], strict=True):
        if condition is not False:
            possible.append(value)
        if condition is True:
            break
    return reduce(Enclosure.union, possible) if possible else Enclosure.line()


def enclosure(number: Expr) -> Enclosure:
    """A constant, enclosed at the precision that is set."""
    number = sp.sympify(number)
    if number.is_Rational:
        return Enclosure.of(int(number.p), int(number.q))
    return compiled(number, ())()


def constant(number: Expr, digits: int = 50) -> Enclosure:
    """A constant, enclosed to so many digits beside its size, or as well as its decimal numbers allow."""
    bits = digits * 10 // 3 + 40
    result = None
    while bits <= MOST_BITS:
        with numbers.backend.precision(bits):
            last, result = result, enclosure(number)
            if _fine(result, digits) or (last and not _narrower(result, last)):
                return result
        bits *= 2
    return result


def _fine(t: Enclosure, digits: int) -> bool:
    if not (finite(t.low) and finite(t.high)):
        return False
    size = most([abs(t.low), abs(t.high)])
    return t.low == t.high or t.width() * numbers.backend.rational(10**digits) <= size


def _narrower(t: Enclosure, last: Enclosure) -> bool:
    """Whether a higher precision still helps: not where decimal numbers with few digits set the limit."""
    if not (finite(last.low) and finite(last.high)):
        return True
    return bool(t.width() * 2 <= last.width()) and last.low != last.high


def sign_of(number: Expr) -> int | None:
    """The certain sign of a constant; None if no precision tells it from 0, or its decimal numbers do not."""
    number = sp.sympify(number)
    if number.is_Rational:
        return int(sp.sign(number))
    bits, last = 80, None
    while bits <= MOST_BITS:
        with numbers.backend.precision(bits):
            result = enclosure(number)
            if result.sign() is not None:
                return result.sign()
            if last and not _narrower(result, last):
                return None
        last, bits = result, 4 * bits
    return None
