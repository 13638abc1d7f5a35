"""Random formulas of the explorer's grammar, from a seed; and whether samples contradict what is said of one.

`python tests/random_formulas.py 300` asks every question of so many and counts what is exact, certified and refused.
"""

import collections
import random
import sys
import time
from itertools import pairwise

import mpmath
import sympy as sp
from mpmath import mpf
from sympy import Interval, oo

from actlib.formula import analysis
from actlib.formula.parser import FormulaError, parse, x
from actlib.formula.primitives import derivative

SEED = 2026

ACCURATE = {
    "sigma": lambda t: 1 / (1 + mpmath.exp(-t)),
    "softplus": lambda t: mpmath.log1p(mpmath.exp(t)),
    "Phi": lambda t: mpmath.erfc(-t / mpmath.sqrt(2)) / 2,
    "phi": lambda t: mpmath.exp(-t * t / 2) / mpmath.sqrt(2 * mpmath.pi),
    "tanh": mpmath.tanh,
    "expm1": mpmath.expm1,
}
"""The primitives, without cancellation far out."""

SMOOTH = ("sigma", "softplus", "Phi", "phi", "tanh", "expm1", "erf", "exp")
NUMBERS = ("1", "2", "3", "0.5", "0.1", "1.702", "6", "1/3")
POINTS = [mpf(k) / 16 + mpf(1) / 97 for k in range(-256, 257)] + [mpf(s * 2**k) for s in (-1, 1) for k in (5, 6, 8, 10)]


def text(chance: random.Random, depth: int = 3) -> str:
    """A formula as one would type it."""
    if depth == 0 or chance.random() < 0.15:
        return chance.choice(("x", "x", "x", chance.choice(NUMBERS)))
    deeper = lambda: text(chance, depth - 1)
    kind = chance.random()
    if kind < 0.25:
        return f"({deeper()} {chance.choice('+-')} {deeper()})"
    if kind < 0.5:
        return f"({deeper()})*({deeper()})"
    if kind < 0.75:
        return f"{chance.choice(SMOOTH)}({chance.choice(NUMBERS)}*({deeper()}))"
    if kind < 0.8:
        return f"abs({deeper()})"
    if kind < 0.85:
        return f"{chance.choice(('max', 'min'))}({deeper()}, {deeper()})"
    if kind < 0.9:
        return f"({deeper()})**2"
    if kind < 0.93:
        return f"where(x > {chance.choice(NUMBERS)}, {deeper()}, {deeper()})"
    if kind < 0.96:
        return f"({deeper()})/(1 + abs({deeper()}))"
    return f"{chance.choice(('sin', 'cos'))}({deeper()})"


def formulas(count: int, seed: int = SEED) -> list[str]:
    """So many that depend on x and that the parser reads."""
    chance, found = random.Random(seed), []
    while len(found) < count:
        typed = text(chance)
        try:
            if parse(typed).has(x):
                found.append(typed)
        except FormulaError:
            continue
    return found


def contradictions(formula: sp.Expr, card: analysis.Summary) -> list[str]:
    """what samples at ninety digits say against a card: values, slopes and differences of neighbours."""
    value, slope = (sp.lambdify(x, f, [ACCURATE, "mpmath"]) for f in (formula, derivative(formula, x)))
    found = []
    with mpmath.workdps(90):
        samples = []
        for at in sorted(POINTS):
            try:
                samples.append((at, mpf(value(at)), mpf(slope(at))))
            except (OverflowError, ZeroDivisionError, TypeError, ValueError):
                continue
        slack = mpf(10) ** -25
        if isinstance(card.value_range, sp.Set):
            low, high = (_number(end) for end in (card.value_range.inf, card.value_range.sup))
            outside = [(at, v) for at, v, _ in samples if not low - slack * abs(v) <= v <= high + slack * abs(v)]
            found += [f"value {v} at {at}" for at, v in outside]
        if isinstance(card.lipschitz, analysis.Bound):
            most = _number(card.lipschitz.value)
            found += [f"slope {s} at {at}" for at, _, s in samples if abs(s) > most * (1 + slack) + slack]
        if isinstance(card.monotone_intervals, list):
            found += [words for part in card.monotone_intervals for words in _against(samples, *part, slack)]
    return found


def _against(samples: list[tuple], interval: Interval, rises: int, slack: mpf) -> list[str]:
    """Neighbours in an interval that are not in the order that is said."""
    if interval.free_symbols:
        return []
    low, high = _number(interval.inf), _number(interval.sup)
    inside = [(at, v) for at, v, _ in samples if low < at < high]
    found = []
    for (a, v), (b, w) in pairwise(inside):
        change, noise = w - v, slack * (abs(v) + abs(w))
        if abs(change) > noise if rises == 0 else rises * change < -noise:
            found.append(f"from {a} to {b} by {change}")
    return found


def _number(end: sp.Expr) -> mpf:
    return mpmath.inf if end == oo else mpmath.ninf if end == -oo else mpf(sp.N(end, 90))


def questions(card: analysis.Summary) -> dict[str, str]:
    """How each thing on a card is known."""
    return {
        name: analysis.known(getattr(card, name)) for name in card.__dataclass_fields__ if name not in ("expr", "x")
    }


if __name__ == "__main__":
    counts: collections.Counter = collections.Counter()
    longest = 0.0
    for number, typed in enumerate(formulas(int(sys.argv[1])), 1):
        begin = time.monotonic()
        try:
            card = analysis.summary(parse(typed), x)
        except ValueError as error:
            counts["refused altogether"] += 1
            print(f"{number} {typed}: {error}", flush=True)
            continue
        took = time.monotonic() - begin
        longest = max(longest, took)
        told = questions(card)
        counts.update(told.values())
        counts["formulas with a refusal"] += "refused" in told.values()
        wrong = contradictions(card.expr, card)
        counts["contradicted"] += bool(wrong)
        reasons = {getattr(card, name).why for name, how in told.items() if how == "refused"}
        if wrong or reasons or took > 5:
            refused = [name for name, how in told.items() if how == "refused"]
            print(f"{number} {typed}: {took:.1f} s", refused, reasons, wrong[:2], flush=True)
    print(dict(counts), f"longest {longest:.1f} s")
