"""Constants: their signs and their order, proved; with parameters in them, for all values of these.

A decimal number stands for what `places` knows of it, or else for what all its digits but the last are certain of. So
what hangs on such a number has a certain sign or none.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cmp_to_key, lru_cache
from itertools import pairwise, product

import sympy as sp
from sympy import Expr, Float, Integer, Rational, Symbol, oo

from actlib.formula.analysis import numbers
from actlib.formula.analysis.deadline import check
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, constant, enclosure, sign_of
from actlib.formula.analysis.identities import SWITCHES, is_zero
from actlib.formula.analysis.places import order
from actlib.formula.analysis.refusals import ArgumentError, NoMethodError, RefusedError, UndecidedSignError
from actlib.formula.primitives import Phi, sigma, softplus

__all__ = ["absolute", "between", "compare", "extreme", "generic_sign", "names", "ordered", "sign", "trials"]


def names(symbols: Iterable[Symbol]) -> str:
    """The names, in order, with commas."""
    return ", ".join(sorted(s.name for s in symbols))


def trials(free: Iterable[Symbol]) -> list[dict[Symbol, Rational]]:
    """Three sets of values for the parameters, in keeping with their signs; one empty set if there are none.

    They are only ever counterexamples: to show that something does depend on the parameters.
    """
    symbols = sorted(free, key=lambda s: s.name)
    found: list[dict] = [{} for _ in range(3 if symbols else 1)]
    for i, symbol in enumerate(symbols):
        values = [Rational(3, 8), Rational(13, 8), Integer(5)]
        if symbol.is_integer or (symbol.is_positive and symbol.is_negative):
            raise ArgumentError(f"{symbol} is {symbol.assumptions0}; expected is a parameter that is real or positive")
        if symbol.is_nonpositive:
            values = [-v for v in values]
        elif not symbol.is_nonnegative:
            values[1] = -values[1]
        for j, trial in enumerate(found):
            trial[symbol] = values[(i + j) % 3]
    return found


@lru_cache(maxsize=4096)
def sign(value: Expr) -> int:
    """Sign of a constant.

    Raises:
        UndecidedSignError: It depends on the parameters, or cannot be told from 0.
    """
    value = sp.sympify(value)
    if value in (oo, -oo):
        return 1 if value == oo else -1
    if value.is_Rational:
        return int(sp.sign(value))
    found = _sign_for_all(value) if value.free_symbols else sign_of(value)
    if found is not None:
        return found
    if not value.has(Float) and is_zero(value):
        return 0
    if value.free_symbols:
        seen = {sign_of(value.subs(trial)) for trial in trials(value.free_symbols)} - {None}
        how = "depends on" if len(seen) > 1 else "is not decided for all values of"
        raise UndecidedSignError(f"the sign of {value} {how} {names(value.free_symbols)}; substitute a number")
    raise UndecidedSignError(f"the sign of {value} is not decided: it is 0 to all digits that are certain")


def _sign_for_all(value: Expr) -> int | None:
    """The sign that a constant has for all values of its parameters: by what is assumed of them, or in boxes."""
    for form in dict.fromkeys((value, sp.factor(value), _reflected(value))):
        for known, result in ((form.is_positive, 1), (form.is_negative, -1), (form.is_zero, 0)):
            if known:
                return result
    if any(s.is_integer for s in value.free_symbols):
        return None
    if value.is_Mul:
        signs = [sign_of(f) if f.is_number else _sign_for_all(f) for f in value.args]
        return None if None in signs else int(sp.prod(signs))
    parameters = tuple(sorted(value.free_symbols, key=lambda s: s.name))
    found = set()
    try:
        with numbers.backend.precision(80):
            function = compiled(value, parameters)
            for box in product(*map(boxes, parameters)):
                check()
                found.add(function(*box).sign())
                if len(found) > 1 or None in found:
                    return None
    except ValueError:
        return None
    return found.pop()


_REFLECTED = {softplus: lambda a: a + softplus(-a), sigma: lambda a: 1 - sigma(-a), Phi: lambda a: 1 - Phi(-a)}


def _reflected(value: Expr) -> Expr:
    """With what primitives are of the negative of a positive argument; of which a part may cancel."""
    for primitive, mirrored in _REFLECTED.items():
        value = value.replace(
            lambda e, p=primitive: isinstance(e, p) and e.args[0].is_positive, lambda e, m=mirrored: m(*e.args)
        )
    return value


def boxes(symbol: Symbol) -> list[Enclosure]:
    """All values of a parameter, in parts: powers of two, and what is beyond or below all of them."""
    ends = [Integer(0), *(Integer(2) ** k for k in range(-6, 7)), oo]
    up = [Enclosure(_end(a).low, _end(b).high) for a, b in pairwise(ends)]
    down = [-box for box in up]
    return up if symbol.is_nonnegative else down if symbol.is_nonpositive else down + up


def _end(value: Expr) -> Enclosure:
    n = numbers.backend
    return Enclosure(n.infinity, n.infinity) if value == oo else enclosure(value)


def compare(a: Expr, b: Expr) -> int:
    """The sign of a - b."""
    if a == b:
        return 0
    if a in (oo, -oo) or b in (oo, -oo):
        return 1 if a == oo or b == -oo else -1
    return order(a, b) if a.has(Float) or b.has(Float) else sign(a - b)


def generic_sign(value: Expr) -> int:
    """Sign of a constant, or 1 if it depends on the parameters and is not 0 but for single values of them.

    A formula that is analytic in the parameters is that, if it is not 0 for some of them; one with cases may be 0 for
    many.
    """
    try:
        return sign(value)
    except UndecidedSignError:
        if value.free_symbols and not value.has(*SWITCHES):
            with suppress(RefusedError):
                if any(sign_of(value.subs(trial)) for trial in trials(value.free_symbols)):
                    return 1
        raise


def ordered(key: Callable[..., Expr]) -> Callable:
    """A key for sorting by constants."""
    return cmp_to_key(lambda a, b: compare(key(a), key(b)))


def extreme(values: list[Expr], direction: int) -> Expr:
    """The largest (1) or smallest (-1) of some numbers; of equal ones, an exact one.

    Of two that agree in all their certain digits, a decimal number stands for both, to these digits.
    """
    best = values[0]
    for value in values[1:]:
        try:
            better = compare(value, best) * direction
        except UndecidedSignError:
            if not (value.has(Float) or best.has(Float)):
                raise
            best = value if value.has(Float) else best
            continue
        if better > 0 or (better == 0 and best.has(Float)):
            best = value
    return best


def absolute(value: Expr) -> Expr:
    """The absolute value of a constant."""
    return -value if sign(value) < 0 else value


def between(low: Expr, high: Expr) -> Expr:
    """A point inside an interval."""
    if low == -oo:
        return Integer(0) if high == oo else _beside(high, -1)
    if high == oo:
        return _beside(low, 1)
    return (low + high) / 2 if low.free_symbols or high.free_symbols else _simple(low, high)


def _beside(end: Expr, direction: int) -> Expr:
    if end.has(Float):
        return sp.floor(end) - 1 if direction < 0 else sp.ceiling(end) + 1
    if end.free_symbols and (end.is_positive if direction > 0 else end.is_negative):
        return 2 * end  # so a scale that stands in all of them cancels
    return end + direction


def _simple(low: Expr, high: Expr) -> Rational:
    """A rational number inside, of few digits."""
    for digits in (30, 100, 300):
        a, b = constant(low, digits).rationals()[1], constant(high, digits).rationals()[0]
        if a < b:
            break
    else:
        raise NoMethodError(f"no method to tell {low} from {high}")
    places = 0
    while True:
        step = Rational(1, 2**places)
        middle = sp.floor((a + b) / 2 / step) * step
        if a < middle < b:
            return middle
        places += 1
