"""Zeros in closed form: of polynomials in x, in one exponential, and of a exp(k x) + b x + c, by Lambert's W.

A formula is 0 where one of its factors is. Of each factor, those zeros are given that are known in closed form, and
whether they are certain to be all.
"""

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy import Abs, Expr, Float, Integer, Rational, Symbol

from actlib.formula.analysis.deadline import limit
from actlib.formula.analysis.formulas import sign_of
from actlib.formula.analysis.refusals import NotDecidedError
from actlib.formula.primitives import Phi, elementary

__all__ = [
    "Factor",
    "factors",
    "in_powers",
    "is_real",
    "period",
    "simplified",
    "tidy",
    "wave_candidates",
    "waves",
    "without_towers",
]

LONGEST = 600
"""Operations of a formula that is still factored."""

MOST_POWERS = 12
"""Of one exponential; with more, SymPy's polynomials take too long, and each is a symbol of its own."""

LARGE = 20
"""Exponents beyond which the exponential of a number is taken for a symbol."""

LONGEST_NUMBER = 60
"""Operations of a constant that is still simplified."""

LARGEST_NUMBER = 10**5
"""In what is simplified: of larger ones, SymPy takes exponentials, in which nothing can be interrupted."""

HIGHEST_DEGREE = 200
"""Of what is factored: libraries in C do that, which cannot be interrupted either."""

PATIENCE_FOR_NUMBERS = 1
"""Seconds for that."""

PATIENCE = 3
"""Seconds for factoring; without it, the formula is taken whole."""


@dataclass(frozen=True)
class Factor:
    """A part of a product.

    Attributes:
        formula: The factor.
        candidates: Its zeros in closed form; they may still turn out not to be real, or not to lie in an interval.
        complete: Whether there are no others.
    """

    formula: Expr
    candidates: tuple[Expr, ...]
    complete: bool


@lru_cache(maxsize=512)
def factors(formula: Expr, x: Symbol) -> tuple[Factor, ...]:
    """Formulas without cases whose zeros together are those of a formula without cases, where that has a value."""
    hidden = {p: sp.Dummy("Phi") for p in formula.atoms(Phi) if p.has(x)}  # 2 - erfc(x) would lose all its digits
    plain = elementary(formula.xreplace(hidden))
    try:
        if sp.count_ops(plain) > LONGEST or _degree(plain) > HIGHEST_DEGREE:
            raise NotDecidedError
        with limit(PATIENCE):
            found = _factored(plain, x, {symbol: p for p, symbol in hidden.items()})
    except (NotDecidedError, sp.PolynomialError, NotImplementedError):
        return (Factor(formula, (), False),)
    if sum(f.formula.has(x) for f in found) == 1:  # the form in primitives is enclosed more tightly
        found = [
            Factor(_shortest(f.formula, formula), f.candidates, f.complete) if f.formula.has(x) else f for f in found
        ]
    return tuple(found)


def _degree(expr: Expr) -> Expr:
    """A bound for the degree of a formula in all that stands in it."""
    if expr.is_Add:
        return max(map(_degree, expr.args))
    if expr.is_Mul:
        return sum(map(_degree, expr.args))
    if expr.is_Pow and expr.exp.is_Rational:
        return _degree(expr.base) * max(abs(expr.exp), 1)
    return max(map(_degree, expr.args), default=Integer(0 if expr.is_number else 1))


def _factored(plain: Expr, x: Symbol, hidden: dict[Symbol, Expr]) -> list[Factor]:
    rational, exponents = in_powers(plain)
    powers = {symbol: sp.exp(exponent) for symbol, exponent in exponents.items()}
    large = {symbol: power for symbol, power in powers.items() if not power.free_symbols}
    found = []
    for part in sp.Mul.make_args(sp.factor(sp.fraction(sp.together(rational))[0])):
        base = part.as_base_exp()[0]
        if base in exponents or base in hidden or isinstance(base, sp.exp):  # never 0
            continue
        whole = base.xreplace(powers).xreplace(hidden)
        if whole.has(x):
            opaque = base.has(*hidden) if hidden else False
            candidates, complete = ([], False) if opaque else _solved(base, x, exponents, large)
            found.append(Factor(whole, tuple(dict.fromkeys(map(tidy, candidates))), complete))
        elif not base.is_Rational:
            found.append(Factor(whole, (), True))
    return found


def _shortest(factor: Expr, formula: Expr) -> Expr:
    return factor if sp.count_ops(factor) <= sp.count_ops(formula) else formula


def _solved(base: Expr, x: Symbol, exponents: dict[Symbol, Expr], large: dict[Symbol, Expr]) -> tuple[list[Expr], bool]:
    generators = [g for g, exponent in exponents.items() if exponent.free_symbols and base.has(g)]
    if len(generators) > 1 or not base.is_polynomial(x, *generators):
        return [], False
    if not generators:
        return _roots(base, x, large)
    (E,) = generators
    exponent = exponents[E]
    if not exponent.is_polynomial(x):
        return [], False
    return _exponential_zeros(base, x, E, exponent, large)


def _roots(base: Expr, x: Symbol, large: dict[Symbol, Expr]) -> tuple[list[Expr], bool]:
    """The real roots of a polynomial in radicals that are not nested, and whether they are all."""
    found = sp.roots(base, x, cubics=False, quartics=False)
    return [root.xreplace(large) for root in found], sum(found.values()) == sp.degree(base, x)


def _exponential_zeros(
    base: Expr, x: Symbol, E: Symbol, exponent: Expr, large: dict[Symbol, Expr]
) -> tuple[list[Expr], bool]:
    """Zeros of a polynomial in x and E = exp(exponent).

    Without x, they are logarithms. With two terms, they come from a exp(k x) + b x + c = 0, that is,
    x = -c/b - W(z)/k with z = (k a / b) exp(-k c / b).
    """
    if not base.has(x):
        levels, complete = _roots(base, E, large)
        positive = [_is_positive(level) for level in levels]
        found, all_found = [], complete and None not in positive
        for level, known in zip(levels, positive, strict=True):
            if known:
                zeros, whole = _roots(exponent - sp.log(level), x, {})
                found, all_found = found + zeros, all_found and whole
        return found, all_found
    terms = sp.Poly(base.xreplace(large), E).terms()
    if len(terms) != 2:
        return [], False
    ((i,), a), ((j,), rest) = terms
    k, shift = sp.Poly(exponent * (i - j), x).coeff_monomial(x), exponent.subs(x, 0) * (i - j)
    if a.has(x):
        a, rest, k, shift = rest, a, -k, -shift
    if a.has(x) or sp.degree(exponent, x) != 1 or sp.degree(rest, x) != 1:
        return [], False
    b, c = sp.Poly(rest, x).all_coeffs()
    z = k * a / b * sp.exp(shift - k * c / b)
    certain = _is_positive(z) is True  # then there is one branch; of a negative z, two or none
    return [-c / b - sp.LambertW(z, branch) / k for branch in ((0,) if certain else (0, -1))], certain


def _is_positive(value: Expr) -> bool | None:
    """Whether a constant is real and positive, for all values of its parameters; None if that is not known."""
    if value.free_symbols:
        return value.is_positive
    return is_real(value) and sign_of(value) == 1


def is_real(value: Expr) -> bool:
    """Whether a constant without parameters is a real number."""
    if value.is_extended_real is None:
        return value.evalf(20).is_extended_real is True
    return bool(value.is_extended_real)


def in_powers(expr: Expr) -> tuple[Expr, dict[Symbol, Expr]]:
    """Exponentials as small integer powers of new symbols, so that the formula is rational in them.

    Returns:
        The formula, and for each symbol the exponent of what it stands for. Some are constants: exp(10000) would be the
        5000th power of exp(2), with which SymPy's polynomials do not end.
    """
    units, most = _units(expr)
    exponents: dict[Expr, Symbol] = {}

    def as_power(power: Expr) -> Expr:
        result = Integer(1)
        for n, rest in _terms(power):
            if not rest.free_symbols:
                few = most[rest] <= MOST_POWERS * units[rest] and not abs(n * rest) > LARGE
                result *= sp.exp(n * rest) if few else _constant_power(n * rest, exponents)
                continue
            unit = units[rest] if most[rest] <= MOST_POWERS * units[rest] else abs(n)
            result *= exponents.setdefault(unit * rest, _new_power(unit * rest)) ** (n / unit)
        return result

    replaced = expr.xreplace({e: as_power(e.exp) for e in sp.ordered(expr.atoms(sp.exp))})
    return replaced, {symbol: exponent for exponent, symbol in exponents.items()}


def _new_power(exponent: Expr) -> Symbol:
    """A symbol for an exponential: positive only where its exponent is real."""
    return sp.Dummy("E", positive=True) if exponent.is_extended_real else sp.Dummy("E", zero=False)


def _units(expr: Expr) -> tuple[dict[Expr, Rational], dict[Expr, Rational]]:
    """For each exponent, but for a rational factor: the largest unit of its factors, and the largest of them."""
    counts: dict[Expr, set[Rational]] = {}
    for e in expr.atoms(sp.exp):
        for n, rest in _terms(e.exp):
            counts.setdefault(rest, set()).add(abs(n))
    return {rest: sp.gcd_list(list(ns)) for rest, ns in counts.items()}, {rest: max(ns) for rest, ns in counts.items()}


def _constant_power(exponent: Expr, exponents: dict[Expr, Symbol]) -> Expr:
    """A symbol for the exponential of a constant."""
    size = abs(exponent)
    symbol = exponents.setdefault(size, _new_power(size))
    return symbol if exponent == size else 1 / symbol


def _terms(power: Expr) -> list[tuple[Rational, Expr]]:
    return [term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(power))]


# Sine and cosine


def waves(formula: Expr, x: Symbol) -> list[Expr]:
    """The arguments of sine and cosine in which x stands."""
    return sorted({w.args[0] for w in formula.atoms(sp.sin, sp.cos) if w.has(x)}, key=sp.default_sort_key)


def period(formula: Expr, x: Symbol) -> Expr | None:
    """A period of a formula in which x stands only in sine and cosine of multiples of x; None for any other."""
    phases = waves(formula, x)
    if not phases:
        return None
    hidden = {w: sp.Dummy() for w in formula.atoms(sp.sin, sp.cos) if w.has(x)}
    rates = [sp.diff(phase, x) for phase in phases]
    if formula.xreplace(hidden).has(x) or any(rate.has(x) for rate in rates):
        return None
    shares = [sp.simplify(rate / rates[0]) for rate in rates]
    if not all(share.is_Rational and rate.is_number for share, rate in zip(shares, rates, strict=True)):
        return None
    unit = sp.gcd_list(shares)
    return 2 * sp.pi / (Abs(rates[0]) * unit)


def wave_candidates(formula: Expr, x: Symbol, low: float, high: float) -> list[Expr]:
    """Where the phase of a sine or cosine is a multiple of pi / 12, between two numbers."""
    found = []
    for phase in waves(formula, x):
        if not (phase.is_polynomial(x) and sp.degree(phase, x) == 1):
            continue
        rate, offset = sp.Poly(phase, x).all_coeffs()
        steps = sorted(float((rate * Rational(end) + offset) * 12 / sp.pi) for end in (low, high))
        if steps[1] - steps[0] > 1000:
            continue
        found += [(sp.pi * k / 12 - offset) / rate for k in range(int(steps[0]) - 1, int(steps[1]) + 2)]
    return list(dict.fromkeys(map(sp.expand, found)))


# Constants in their shortest form


def tidy(value: Expr) -> Expr:
    """A constant in its shortest form; with exp(W(z)) = z / W(z), Lambert's W comes out as it is written by hand."""
    value = sp.sympify(value)
    if value.is_Rational or value.is_Symbol or not value.args or isinstance(value, sp.AccumBounds):
        return value
    if value.has(Float, sp.oo, -sp.oo, sp.zoo, sp.nan, sp.AccumBounds):
        return value
    plain = without_towers(elementary(value))
    units, most = _units(plain)
    if sp.count_ops(plain) > LONGEST_NUMBER or any(most[rest] > MOST_POWERS * units[rest] for rest in units):
        return value
    try:
        with limit(PATIENCE_FOR_NUMBERS):
            forms = [value, plain, simplified(plain)]
    except NotDecidedError:
        return value
    if plain.has(sp.LambertW):
        forms.append(sp.factor(sp.cancel(sp.together(plain))))
    if forms[2].has(sp.erf, sp.erfc) and not value.has(sp.erf, sp.erfc):
        forms = forms[:1]
    return min(forms, key=sp.count_ops)


def simplified(expr: Expr) -> Expr:
    """What SymPy makes of a formula; the formula itself if there are numbers in it that are too large for that."""
    numbers = {n for e in expr.atoms(sp.exp, sp.Pow) for n in e.args if n.is_number} | expr.atoms(Rational)
    if any(_is_large(n) for n in numbers) or _degree(expr) > HIGHEST_DEGREE:
        return expr
    try:
        return sp.simplify(expr)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return expr


def _is_large(number: Expr) -> bool:
    size = number.as_coeff_Mul()[0] if number.is_Mul else number
    if size.is_Rational:
        return abs(size) > LARGEST_NUMBER
    return any(_is_large(part) for part in number.args)


def without_towers(plain: Expr) -> Expr:
    """The formula with z / W(z) for exp(W(z))."""
    if not plain.has(sp.LambertW):
        return plain
    return plain.replace(sp.exp, lambda power: sp.Mul(*map(_exponential, sp.Add.make_args(sp.expand(power)))))


def _exponential(power: Expr) -> Expr:
    n, rest = power.as_coeff_Mul()
    if isinstance(rest, sp.LambertW) and n.is_Integer:
        return (rest.args[0] / rest) ** n
    return sp.exp(power)
