"""Products in which one exponential grows while another decays: their exponents are added before one of them is taken.

In sinh(x) sigma(-x) the one factor overflows and the other becomes 0, though their product stays near 1/2. Each such
factor is split in two: a rest that neither overflows nor vanishes, and the exponent of what it grows or decays by. The
exponents of a product cancel on the formula, where they cancel exactly. Fractions of sums of such factors are written
in the power of e that is at most 1, on either side of 0.
"""

import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import sympy as sp
from sympy import Expr, Function, Integer, Mul, Piecewise, Rational, Symbol

from actlib.formula.decimals import exact
from actlib.formula.primitives import Phi, cosatan, cosh, expm1, exponent, phi, sigma, sinh, softplus, tanh

__all__ = ["Phi_tail", "damped", "degree", "horner", "joined", "strains"]

HALF = Rational(1, 2)

HIGHEST = 16
"""Degree of the polynomials in a power of e that a fraction is made of."""

FARTHEST = 30
"""Size of the numbers that may be added to exponents in such a fraction."""

SETTLED = 40
"""Beyond it, log(1 + exp(-x)) is exp(-x) to the last bit of float64."""


class damped(Function):
    """factor * by, but 0 where by has decayed to 0."""

    nargs = 2


class Phi_tail(Function):
    """Phi(-|x|) exp(x^2 / 2): what is left of the tail when its decay is taken out."""

    nargs = 1


class Exponent(NamedTuple):
    """What a factor grows or decays by: e to `above` where `at` is positive, e to `below` elsewhere."""

    at: Expr
    above: Expr
    below: Expr


Side = tuple[Expr, int]
"""An argument, and the sign that it has."""


def _in_logistic(u: Expr) -> tuple[Expr, Exponent]:
    return sigma(sp.Abs(u)), Exponent(u, Integer(0), u)


def _in_softplus(u: Expr) -> tuple[Expr, Exponent]:
    near = Piecewise((u, u > -SETTLED), (Integer(-SETTLED), True))  # no power of e that is not taken shall overflow
    above = Piecewise((u, u > 0), (Integer(0), True))
    rest = Piecewise((softplus(u), u > 0), (softplus(near) * sp.exp(above - near), True), evaluate=False)
    return rest, Exponent(u, Integer(0), u)


def _in_Phi(u: Expr) -> tuple[Expr, Exponent]:
    return Piecewise((Phi(u), u > 0), (Phi_tail(u), True)), Exponent(u, Integer(0), -(u**2) / 2)


def _in_phi(u: Expr) -> tuple[Expr, Exponent]:
    return 1 / sp.sqrt(2 * sp.pi), Exponent(u, -(u**2) / 2, -(u**2) / 2)


def _in_exp(u: Expr) -> tuple[Expr, Exponent]:
    return Integer(1), Exponent(u, u, u)


def _in_expm1(u: Expr) -> tuple[Expr, Exponent]:
    return -sp.sign(u) * expm1(-sp.Abs(u)), Exponent(u, u, Integer(0))


def _in_sinh(u: Expr) -> tuple[Expr, Exponent]:
    return -sp.sign(u) * expm1(-2 * sp.Abs(u)) / 2, Exponent(u, u, -u)


def _in_cosh(u: Expr) -> tuple[Expr, Exponent]:
    return 1 / (2 * sigma(2 * sp.Abs(u))), Exponent(u, u, -u)


SPLIT: dict[type, Callable[[Expr], tuple[Expr, Exponent]]] = {
    sigma: _in_logistic,
    softplus: _in_softplus,
    Phi: _in_Phi,
    phi: _in_phi,
    sp.exp: _in_exp,
    expm1: _in_expm1,
    sinh: _in_sinh,
    cosh: _in_cosh,
}
"""Of f(u), the rest and the exponent."""

SIGNED = (expm1, sinh)
"""Those that may be negative, of which only whole powers are taken."""

FRACTIONS: dict[type, Callable[[Expr], Expr]] = {
    sigma: lambda e: e / (1 + e),
    tanh: lambda e: (e**2 - 1) / (e**2 + 1),
    sp.exp: lambda e: e,
    expm1: lambda e: e - 1,
    sinh: lambda e: (e - 1 / e) / 2,
    cosh: lambda e: (e + 1 / e) / 2,
}
"""f(u) as a fraction in e^u."""


def joined(expr: Expr, excluded: Collection[Side] = ()) -> Expr:
    """The formula without products of which one factor overflows where another vanishes.

    Args:
        expr: A formula in primitives.
        excluded: What cannot be, since a case rules it out.
    """
    if not expr.args or expr.is_Boolean:
        return expr
    if isinstance(expr, Piecewise):
        return Piecewise(*((joined(v, sides), c) for v, c, sides in _cases(expr, excluded)), evaluate=False)
    if expr.is_Mul or expr.is_Add:
        made = _without_conflict(expr, excluded)
        if made is not None:
            return made
    args = [joined(a, excluded) for a in expr.args]
    return expr if args == list(expr.args) else expr.func(*args)


def strains(expr: Expr, excluded: Collection[Side] = ()) -> bool:
    """Whether an exponential that may overflow is tied to a decay, or multiplied by what vanishes as a power does."""
    if isinstance(expr, Piecewise):
        return any(strains(value, sides) for value, _, sides in _cases(expr, excluded))
    if isinstance(expr, damped) and _grows(expr.args[0], excluded):
        return True
    if expr.is_Mul or isinstance(expr, damped):
        factors = [f for a in expr.args for f in Mul.make_args(a)]
        sides = set().union(*(_sides(f, excluded)[0] for f in factors))
        if any(degree(at, x) > 0 and _vanishes(f, x) for at, _ in sides for f in factors for x in f.free_symbols):
            return True
    return any(strains(a, excluded) for a in expr.args)


def _grows(expr: Expr, excluded: Collection[Side]) -> bool:
    """Whether an exponential in the formula may overflow."""
    if isinstance(expr, Piecewise):
        return any(_grows(value, sides) for value, _, sides in _cases(expr, excluded))
    return bool(_sides(expr, excluded)[0]) or any(_grows(a, excluded) for a in expr.args)


def _vanishes(factor: Expr, x: Symbol) -> bool:
    """Whether a factor becomes small where a variable is large, but not exponentially."""
    if factor.is_Pow and factor.exp.is_number and factor.base != sp.E:
        inverse = factor.exp.is_negative and factor.base.has(x) and not _split(factor)
        return bool(inverse) or (factor.exp.is_positive and _vanishes(factor.base, x))
    return isinstance(factor, cosatan) and factor.has(x)


def degree(expr: Expr, symbol: Symbol) -> Expr:
    """The power of a symbol that a formula grows as; 0 for what is bounded, or grows or decays otherwise."""
    if expr == symbol:
        return sp.Integer(1)
    if expr.is_Mul:
        return sp.Add(*(degree(a, symbol) for a in expr.args))
    if expr.is_Add or isinstance(expr, Piecewise):
        terms = expr.args if expr.is_Add else [value for value, _ in expr.args]
        return max((degree(t, symbol) for t in terms), default=sp.Integer(0))
    if expr.is_Pow and expr.exp.is_Rational:
        return degree(expr.base, symbol) * expr.exp
    if isinstance(expr, (sp.Abs, softplus, damped)):
        return degree(expr.args[0], symbol)
    return sp.Integer(0)


def _cases(cases: Piecewise, excluded: Collection[Side]) -> Iterator[tuple[Expr, Expr, set[Side]]]:
    """Value and condition of each case, and what cannot be in it."""
    excluded = set(excluded)
    for value, condition in cases.args:
        yield value, condition, excluded | set(_ruled_out(condition))
        excluded |= set(_ruled_out(sp.Not(condition)))


def horner(coefficients: Sequence[Expr], x: Expr) -> Expr:
    """A polynomial, given the coefficients from the highest power down."""
    return functools.reduce(lambda total, c: c + x * total, coefficients, Integer(0))


def _ruled_out(condition: Expr) -> Iterator[Side]:
    """Which signs of a variable a condition excludes, as far as large numbers go."""
    for part in condition.args if isinstance(condition, sp.And) else [condition]:
        if isinstance(part, (sp.Lt, sp.Le)) and part.lhs.is_Symbol and part.rhs.is_number:
            yield part.lhs, 1
        elif isinstance(part, (sp.Gt, sp.Ge)) and part.lhs.is_Symbol and part.rhs.is_number:
            yield part.lhs, -1


def _without_conflict(expr: Expr, excluded: Collection[Side]) -> Expr | None:
    """The sum or product in another form, where it needs one."""
    if expr.is_Add:
        if any(t.is_Mul and _conflicts(t, excluded) for t in expr.args):
            return _fraction(expr)
        return None
    if not _conflicts(expr, excluded):
        return None
    sums = [f for f in expr.args if _total(f) is not None]
    if not sums:
        return _merged(expr)
    made = _fraction(expr)
    if made is not None:
        return made
    cases = next((f for f in sums if isinstance(f, Piecewise)), None)
    others = [f for f in expr.args if f is not cases]
    if cases is not None:
        return joined(Piecewise(*((Mul(*others, v), c) for v, c in cases.args), evaluate=False), excluded)
    plain = [f for f in sums if f.is_Add or (f.exp.is_Integer and f.exp > 0)]
    if not plain:
        return None
    expanded = sp.expand_mul(Mul(*(f for f in expr.args if f not in plain)) * sp.expand(Mul(*plain), power_exp=False))
    return joined(expanded, excluded) if expanded.is_Add else None


def _total(factor: Expr) -> Expr | None:
    """The sum, or the cases, with an exponential in it that a factor is a power of; None for other factors."""
    base = factor.base if factor.is_Pow and factor.base != sp.E else factor
    inside = base.is_Add or isinstance(base, Piecewise)
    return base if inside and any(f.free_symbols for f in _exponentials(base)) else None


def _split(factor: Expr) -> tuple[Expr, Exponent] | None:
    """The rest and the exponent of a factor; None for one that does not grow or decay exponentially."""
    if not factor.free_symbols:
        return None
    function, argument = _applied(factor)
    if function in SPLIT:
        return SPLIT[function](argument)
    if isinstance(factor, sp.Abs):
        inner = _split(factor.args[0])
        return inner and (sp.Abs(inner[0]), inner[1])
    if factor.is_Pow and factor.exp.is_number and factor.exp.is_real:
        inner, n = _split(factor.base), factor.exp
        if inner is None or not (n.is_Integer or not isinstance(factor.base, (*SIGNED, sp.Abs))):
            return None
        rest, (at, above, below) = inner
        return rest**n, Exponent(at, n * above, n * below)
    return None


def _applied(expr: Expr) -> tuple[type, Expr | None]:
    """A function and what it is applied to; of any number's power, that of e."""
    raised = exponent(expr)
    return (sp.exp, raised) if raised is not None else (type(expr), expr.args[0] if expr.args else None)


def _moved(argument: Expr) -> tuple[Expr, Expr]:
    """The number that is added in an argument, and the rest."""
    return argument.as_independent(*argument.free_symbols, as_Add=True)


def _exponentials(expr: Expr) -> set[Expr]:
    """The parts that grow or decay exponentially."""
    return {part for part in expr.atoms(sp.Pow, *SPLIT) if _applied(part)[0] in SPLIT}


def _directed(e: Exponent) -> Exponent:
    """The same, of an argument without a numerical factor."""
    constant, at = e.at.as_coeff_Mul()
    if at.could_extract_minus_sign():
        constant, at = -constant, -at
    return Exponent(at, e.below, e.above) if constant.is_negative else Exponent(at, e.above, e.below)


def _sides(factor: Expr, excluded: Collection[Side]) -> tuple[set[Side], set[Side]]:
    """On which sides of which arguments a factor grows, and on which it decays."""
    total = _total(factor)
    if total is None:
        split = _split(factor)
        if split is None:
            return set(), set()
        raised = split[1]._replace(at=_moved(split[1].at)[1])  # far out, what is added does not matter
        at, above, below = _directed(raised)
        signs = {(at, 1): _sign(above, at, 1), (at, -1): _sign(below, at, -1)}
        never = {side for side, is_so in (((at, 1), at.is_nonpositive), ((at, -1), at.is_nonnegative)) if is_so}
        signs = {side: sign for side, sign in signs.items() if side not in excluded and side not in never}
        return ({s for s, sign in signs.items() if sign > 0}, {s for s, sign in signs.items() if sign < 0})
    terms = total.args if total.is_Add else [value for value, _ in total.args]
    found = [[_sides(f, excluded) for f in Mul.make_args(t)] for t in terms]
    up = set().union(*(s for factors in found for s, _ in factors))
    down = set.intersection(*(set().union(*(s for _, s in factors)) for factors in found))
    reversed_ = factor.is_Pow and factor.exp.is_negative
    return (down, up) if reversed_ else (up, down - up)


def _sign(exponent: Expr, at: Expr, side: int) -> int:
    """The sign of an exponent far out on a side of its argument."""
    t = sp.Dummy(positive=True)
    value = sp.expand(exponent.xreplace({at: side * t}))
    if value.is_polynomial(t) and value.free_symbols == {t}:
        value = sp.LC(value, t) * t
    if not value.has(t):  # as of (x^2)^2, which SymPy writes as x^4
        return 0 if value.is_zero else 1 if value.is_nonnegative else -1 if value.is_nonpositive else 0
    return 1 if value.is_positive else -1 if value.is_negative else 0


def _conflicts(product: Expr, excluded: Collection[Side]) -> bool:
    """Whether a factor may overflow where another vanishes, or divides by more than can be held."""
    found = [(f, *_sides(f, excluded)) for f in product.args]
    up = set().union(*(u for _, u, _ in found))
    down = set().union(*(d for _, _, d in found))
    if any(side in down or any(other[0] != side[0] for other in down) for side in up):
        return True
    divides = any(d and f.is_Pow and f.exp.is_negative for f, _, d in found)
    return divides and any(f.free_symbols and not u and not d and not _is_bounded(f) for f, u, d in found)


def _is_bounded(factor: Expr) -> bool:
    return isinstance(factor, (tanh, sp.sign, sp.sin, sp.cos, sp.erf))


def _merged(product: Expr) -> Expr:
    """A product of such factors as their rests, times one power of e."""
    parts = [(f, _split(f)) for f in product.args]
    rests = [f if split is None else split[0] for f, split in parts]
    exponents = [_directed(split[1]) for _, split in parts if split is not None]
    everywhere = sum((e.above for e in exponents if e.above == e.below), Integer(0))
    by_sign: dict[Expr, list[Expr]] = {}
    for at, above, below in exponents:
        if above != below:
            sides = by_sign.setdefault(at, [Integer(0), Integer(0)])
            sides[0], sides[1] = sides[0] + above, sides[1] + below
    if len(by_sign) == 1:
        by_sign = {at: [above + everywhere, below + everywhere] for at, (above, below) in by_sign.items()}
        everywhere = Integer(0)
    total = _nested(everywhere)
    for at, (above, below) in by_sign.items():
        above, below = _nested(above), _nested(below)
        total += above if above == below else Piecewise((above, at > 0), (below, True), evaluate=False)
    return Mul(*rests, sp.exp(total, evaluate=False) if total.free_symbols else sp.exp(total))


def _nested(exponent: Expr) -> Expr:
    """An exponent with what cancels gone, as a product where it can be: so it has its limit at infinity."""
    exponent = sp.expand(exponent)
    if len(exponent.free_symbols) == 1:
        (x,) = exponent.free_symbols
        if exponent.is_polynomial(x):
            return sp.horner(exponent)
    return exponent


def _surface(expr: Expr) -> Iterator[Expr]:
    """What a formula is made of by sums, products and whole powers."""
    if expr.is_Add or expr.is_Mul:
        for argument in expr.args:
            yield from _surface(argument)
    elif expr.is_Pow and expr.exp.is_Integer and expr.base != sp.E:
        yield from _surface(expr.base)
    else:
        yield expr


def _fraction(expr: Expr) -> Expr | None:
    """A fraction of polynomials in e^u, written in e^-|u|; None for a formula that is none, or of too high a degree."""
    parts = set(_surface(expr))
    raised = [p for p in parts if _applied(p)[0] in FRACTIONS and p.free_symbols]
    others = {p: sp.Dummy(real=True) for p in parts if p.free_symbols and p not in raised and not p.is_Symbol}
    if not raised or any(p.has(tanh) or _exponentials(p) for p in others):
        return None
    moved = {p: _moved(exact(_applied(p)[1])) for p in raised}
    multiples = {p: rest.as_coeff_Mul() for p, (_, rest) in moved.items()}
    (_, at), *_ = multiples.values()
    if any(w != at or not c.is_Rational for c, w in multiples.values()) or at.is_Add:
        return None
    if any(abs(by) > FARTHEST for by, _ in moved.values()):
        return None
    unit = Rational(
        math.gcd(*(int(c.p) for c, _ in multiples.values())), math.lcm(*(int(c.q) for c, _ in multiples.values()))
    )
    if max(abs(c) for c, _ in multiples.values()) > HIGHEST * unit:
        return None
    e = sp.Dummy(positive=True)
    powers = {p: FRACTIONS[_applied(p)[0]](sp.exp(moved[p][0]) * e ** (c / unit)) for p, (c, _) in multiples.items()}
    whole = sp.fraction(sp.cancel(exact(expr.xreplace(others).xreplace(powers))))
    (front, above), (behind, below) = (sp.Poly(p, e).primitive() for p in whole)
    above, below = (_Polynomial.of(p) for p in (above, below))
    if max(len(above.coefficients), len(below.coefficients)) > HIGHEST + 1:
        return None
    u = unit * at
    sides = [Mul(above.on(side, u), 1 / below.on(side, u), _raised(above, below, side, u)) for side in (1, -1)]
    back = {dummy: p for p, dummy in others.items()}
    front, right, left = (part.xreplace(back) for part in (sp.factor(front) / behind, *sides))
    return front * (right if right == left else Piecewise((right, at > 0), (left, True), evaluate=False))


class _Polynomial(NamedTuple):
    """e^least (e - 1)^zeros times a polynomial in e, by its coefficients from the highest power down."""

    coefficients: list[Expr]
    least: int
    zeros: int

    @classmethod
    def of(cls, polynomial: sp.Poly) -> "_Polynomial":
        one, zeros = sp.Poly(polynomial.gen - 1, polynomial.gen), 0
        while not polynomial.is_zero and polynomial.degree() and sp.expand(polynomial.eval(1)) == 0:
            polynomial, zeros = polynomial.quo(one), zeros + 1
        least = min((n for (n,) in polynomial.monoms()), default=0)
        coefficients = polynomial.all_coeffs()
        return cls(coefficients[: len(coefficients) - least], least, zeros)

    def degree(self) -> int:
        """The highest power of e, all in all."""
        return len(self.coefficients) - 1 + self.least + self.zeros

    def on(self, side: int, u: Expr) -> Expr:
        """What is left where u has that sign when the power of e that it grows by is taken out."""
        coefficients = self.coefficients if side < 0 else self.coefficients[::-1]
        return (-side * expm1(-sp.Abs(u))) ** self.zeros * horner(coefficients, sp.exp(-sp.Abs(u)))


def _raised(above: _Polynomial, below: _Polynomial, side: int, u: Expr) -> Expr:
    """The power of e that a fraction grows or decays by where u has that sign."""
    n = above.degree() - below.degree() if side > 0 else below.least - above.least
    if n <= 0:
        return sp.exp(n * sp.Abs(u))
    return sp.exp(n * Piecewise((side * u, side * u > 0), (Integer(0), True)))
