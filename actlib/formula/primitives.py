"""The stable building blocks that formulas are written in.

A primitive is a SymPy function that knows three things: its schoolbook ``definition``, its derivative in terms of
primitives, and whether it ``decays``, that is, reaches zero exponentially at minus infinity. Each backend implements a
primitive once, accurately over the whole range of floating-point numbers. So a formula in primitives, and every
derivative that SymPy takes of it, is accurate as it stands: what is read as mathematics and what the machine runs are
one tree.
"""

import functools

import sympy as sp
from sympy import DiracDelta, Expr, Function, Heaviside, Integer, Max, Min, Piecewise, Rational, Symbol, oo, pi, sqrt

__all__ = [
    "Phi",
    "Primitive",
    "asinh",
    "atan",
    "cosatan",
    "cosh",
    "derivative",
    "elementary",
    "expm1",
    "phi",
    "scaled",
    "sigma",
    "sinh",
    "softplus",
    "stable",
    "tanh",
]


_HALF = Rational(1, 2)


class Primitive(Function):
    """A function of one real variable with an accurate implementation in every backend."""

    nargs = 1
    decays = False
    at: dict[Expr, Expr]  # exact values: at zero and at both infinities

    @classmethod
    def eval(cls, x):
        if x is sp.nan:
            return sp.nan
        return cls.at.get(x)

    @staticmethod
    def definition(x: Expr) -> Expr:
        """The schoolbook formula, in SymPy's own functions."""
        raise NotImplementedError

    def _eval_rewrite(self, rule, args, **hints):  # noqa: ARG002
        # `rewrite(exp)` or `rewrite(erf)` gives the definition back; so does 'tractable', which SymPy's limits ask for.
        return self.definition(*args)

    def _eval_evalf(self, prec):
        return self.definition(*self.args)._eval_evalf(prec)

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _latex(self, printer, exp=None):
        name = self.latex_name if exp is None else rf"{self.latex_name}^{{{exp}}}"
        return rf"{name}{{\left({printer._print(self.args[0])} \right)}}"


class sigma(Primitive):
    """Logistic sigmoid, 1 / (1 + exp(-x)); its derivative is sigma(x) sigma(-x)."""

    decays = True
    at = {Integer(0): Rational(1, 2), oo: Integer(1), -oo: Integer(0)}
    latex_name = r"\sigma"

    def fdiff(self, argindex=1):  # noqa: ARG002
        (x,) = self.args
        return sigma(x) * sigma(-x)

    @staticmethod
    def definition(x):
        return 1 / (1 + sp.exp(-x))

    def _eval_is_positive(self):
        return self.args[0].is_real


class softplus(Primitive):
    """log(1 + exp(x)); its derivative is sigma(x)."""

    decays = True
    at = {Integer(0): sp.log(2), oo: oo, -oo: Integer(0)}
    latex_name = r"\operatorname{softplus}"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return sigma(self.args[0])

    @staticmethod
    def definition(x):
        return sp.log(1 + sp.exp(x))

    def _eval_is_positive(self):
        return self.args[0].is_real


class Phi(Primitive):
    """Distribution function of the standard normal law, erfc(-x / sqrt 2) / 2; its derivative is phi(x)."""

    decays = True
    at = {Integer(0): Rational(1, 2), oo: Integer(1), -oo: Integer(0)}
    latex_name = r"\Phi"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return phi(self.args[0])

    @staticmethod
    def definition(x):
        return sp.erfc(-x / sqrt(2)) / 2

    def _eval_is_positive(self):
        return self.args[0].is_real


class phi(Primitive):
    """Density of the standard normal law, exp(-x^2 / 2) / sqrt(2 pi); its derivative is -x phi(x)."""

    decays = True
    at = {Integer(0): 1 / sqrt(2 * pi), oo: Integer(0), -oo: Integer(0)}
    latex_name = r"\varphi"

    def fdiff(self, argindex=1):  # noqa: ARG002
        (x,) = self.args
        return -x * phi(x)

    @staticmethod
    def definition(x):
        return sp.exp(-(x**2) / 2) / sqrt(2 * pi)

    def _eval_is_positive(self):
        return self.args[0].is_real


class tanh(Primitive):
    """Hyperbolic tangent; its derivative 1 - tanh(x)^2 is 4 sigma(2x) sigma(-2x), which keeps its digits."""

    at = {Integer(0): Integer(0), oo: Integer(1), -oo: Integer(-1)}
    latex_name = r"\tanh"

    def fdiff(self, argindex=1):  # noqa: ARG002
        (x,) = self.args
        return 4 * sigma(2 * x) * sigma(-2 * x)

    @staticmethod
    def definition(x):
        return (sp.exp(x) - sp.exp(-x)) / (sp.exp(x) + sp.exp(-x))


class expm1(Primitive):
    """exp(x) - 1 without cancellation at 0; its derivative is exp(x)."""

    at = {Integer(0): Integer(0), oo: oo, -oo: Integer(-1)}
    latex_name = r"\operatorname{expm1}"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return sp.exp(self.args[0])

    @staticmethod
    def definition(x):
        return sp.exp(x) - 1


class sinh(Primitive):
    """Hyperbolic sine, (exp(x) - exp(-x)) / 2, without cancellation at 0; its derivative is cosh(x)."""

    at = {Integer(0): Integer(0), oo: oo, -oo: -oo}
    latex_name = r"\sinh"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return cosh(self.args[0])

    @staticmethod
    def definition(x):
        return (sp.exp(x) - sp.exp(-x)) / 2


class cosh(Primitive):
    """Hyperbolic cosine, (exp(x) + exp(-x)) / 2; its derivative is sinh(x)."""

    at = {Integer(0): Integer(1), oo: oo, -oo: oo}
    latex_name = r"\cosh"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return sinh(self.args[0])

    @staticmethod
    def definition(x):
        return (sp.exp(x) + sp.exp(-x)) / 2

    def _eval_is_positive(self):
        return self.args[0].is_real


class atan(Primitive):
    """Inverse tangent; its derivative 1 / (1 + x^2) is cosatan(x)^2, which does not overflow on the way."""

    at = {Integer(0): Integer(0), oo: pi / 2, -oo: -pi / 2}
    latex_name = r"\arctan"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return cosatan(self.args[0]) ** 2

    @staticmethod
    def definition(x):
        return sp.atan(x)


class asinh(Primitive):
    """Inverse hyperbolic sine, log(x + sqrt(1 + x^2)), without cancellation; its derivative is cosatan(x)."""

    at = {Integer(0): Integer(0), oo: oo, -oo: -oo}
    latex_name = r"\operatorname{arsinh}"

    def fdiff(self, argindex=1):  # noqa: ARG002
        return cosatan(self.args[0])

    @staticmethod
    def definition(x):
        return sp.asinh(x)


class cosatan(Primitive):
    """1 / sqrt(1 + x^2), the cosine of the inverse tangent, for x^2 of any size; its derivative is -x cosatan(x)^3."""

    at = {Integer(0): Integer(1), oo: Integer(0), -oo: Integer(0)}

    def fdiff(self, argindex=1):  # noqa: ARG002
        (x,) = self.args
        return -x * cosatan(x) ** 3

    @staticmethod
    def definition(x):
        return 1 / sqrt(1 + x**2)

    def _eval_is_positive(self):
        return self.args[0].is_real

    def _latex(self, printer, exp=None):
        return printer._print((1 + self.args[0] ** 2) ** (-sp.sympify(exp or 1) / 2))


def elementary(expr: Expr) -> Expr:
    """The formula in SymPy's own functions: each primitive replaced by its definition."""
    return sp.sympify(expr).replace(lambda e: isinstance(e, Primitive), lambda e: e.definition(*e.args))


def stable(expr: Expr) -> Expr:
    """The formula in primitives: schoolbook forms that break in floating point are recognised and replaced.

    Covers tanh, sech, sinh, cosh, asinh, atan, erfc and 1 + erf, 1/(1 + e^u), e^u/(1 + e^u), log(1 + e^u), e^u - 1
    and 1 + expm1(u), 1 - sigma(u), 1 - tanh(u) and 1 - Phi(u).
    Maximum, minimum and step become cases; where two cases meet, the constant one wins, so that the slope of max(x, 0)
    at 0 is 0.
    """
    expr = sp.sympify(expr)
    u = sp.Wild("u")
    expr = expr.replace(sp.sech(u), 2 * sqrt(sigma(2 * u)) * sqrt(sigma(-2 * u)))
    for plain, primitive in ((sp.tanh, tanh), (sp.sinh, sinh), (sp.cosh, cosh), (sp.atan, atan), (sp.asinh, asinh)):
        expr = expr.replace(plain, primitive)
    expr = expr.replace(sp.erfc, lambda x: 2 * Phi(-sqrt(2) * x))
    expr = expr.replace(lambda e: isinstance(e, (Max, Min)), _as_cases)
    if expr.has(sp.ITE):  # cases whose conditions hold cases
        expr = sp.piecewise_fold(expr)
    expr = expr.replace(
        Heaviside, lambda x, at_0=_HALF: Piecewise((Integer(1), x > 0), (Integer(0), x < 0), (at_0, True))
    )
    expr = expr.replace(lambda e: e.is_Mul or e.is_Pow, _logistic)
    expr = expr.replace(sp.log, lambda y: softplus(exponent(y - 1)) if exponent(y - 1) is not None else sp.log(y))
    return expr.replace(lambda e: e.is_Add, _without_cancellation)


def derivative(expr: Expr, *symbols: Symbol) -> Expr:
    """The derivative in primitives. At a kink it is that of the case which holds there: no delta is left."""
    slope = stable(expr)
    if any(_is_steep(e) for e in slope.atoms(sp.Pow, sp.log)):
        slope = functools.reduce(_slope_of_powers, symbols, slope)
    else:
        slope = sp.diff(slope, *symbols)
    return stable(slope.replace(DiracDelta, lambda *_: Integer(0)))


def scaled(factor: Expr, slope: Expr) -> Expr:
    """factor * slope; into the cases of a piecewise slope, so that an infinite factor meets no zero from outside."""
    constant, cases = slope.as_coeff_Mul()
    if isinstance(cases, Piecewise):
        return constant * Piecewise(*((scaled(factor, value), condition) for value, condition in cases.args))
    return factor * slope


class _Raised(Function):
    """A power, while it is differentiated: SymPy's own slope of x^p is p x^p / x, which at 0 is 0 / 0."""

    nargs = 2

    def _eval_is_nonnegative(self):
        return self.args[0].is_nonnegative

    def _eval_derivative(self, symbol):
        base, exponent = self.args
        in_base = scaled(exponent * _Raised(base, exponent - 1), sp.diff(base, symbol))
        rate = sp.diff(exponent, symbol)
        if rate == 0 or base.is_zero:  # a power of 0 stays 0
            return in_base
        in_exponent = self * sp.log(base)
        if not base.is_positive:
            # There the logarithm is infinite, but a positive power of 0 is 0 whatever the exponent.
            in_exponent = Piecewise((Integer(0), sp.Eq(base, 0) & (exponent >= 0)), (in_exponent, True))
        return in_base + scaled(rate, in_exponent)


def _slope_of_powers(expr: Expr, symbol: Symbol) -> Expr:
    """The derivative, finite where it is so although a part of it is not.

    Powers of cases become cases of powers, so that no infinite slope is multiplied by that of a constant case.
    """
    expr = expr.replace(_is_steep, sp.piecewise_fold)
    expr = expr.replace(lambda e: e.is_Pow and e.exp.free_symbols and e.base != sp.E, lambda e: _Raised(*e.args))
    return sp.diff(expr, symbol).replace(_Raised, sp.Pow)


def _is_steep(expr: Expr) -> bool:
    """Whether the slope of a power or logarithm may be infinite, or undefined, where it is itself defined."""
    if isinstance(expr, sp.log):
        return expr.has(Piecewise)
    if not expr.is_Pow or isinstance(expr, sp.exp) or expr.base == sp.E:
        return False
    whole = expr.exp.is_Integer and expr.exp.is_nonnegative
    return bool(expr.exp.free_symbols) or (not whole and expr.has(Piecewise))


def exponent(expr: Expr) -> Expr | None:
    """The u of e^u, of which a power of another number is one, too; None for anything else."""
    if isinstance(expr, sp.exp):
        return expr.exp
    if expr.is_Pow and expr.base.is_number and expr.base.is_positive and expr.exp.free_symbols:
        return expr.exp * sp.expand_log(sp.log(expr.base))
    return None


def _as_cases(extremum: Expr) -> Expr:
    *others, best = sorted(extremum.args, key=lambda e: (len(e.free_symbols) > 0, sp.default_sort_key(e)), reverse=True)
    for other in others:
        wins = other > best if isinstance(extremum, Max) else other < best
        best = Piecewise((other, wins), (best, True))
    return best


def _logistic(expr: Expr) -> Expr:
    """1/(1 + e^u) becomes sigma(-u), and e^u sigma(-u) becomes sigma(u), powers included."""
    if expr.is_Pow:
        u = exponent(expr.base - 1)
        return sigma(-u) ** -expr.exp if u is not None and expr.exp.is_Integer and expr.exp < 0 else expr
    factors = list(expr.args)
    for raised in [f for f in factors if exponent(f) is not None]:
        for factor in factors:
            base, power = factor.as_base_exp()
            if isinstance(base, sigma):
                n = -exponent(raised) / base.args[0]
                if n.is_Integer and power.is_Integer and 0 < n <= power:
                    factors.remove(raised)
                    factors.remove(factor)
                    factors.append(base ** (power - n) * sigma(-base.args[0]) ** n)
                    break
    return sp.Mul(*factors)


def _without_cancellation(total: Expr) -> Expr:
    """c e^u - c becomes c expm1(u), c + c expm1(u) becomes c e^u, and c + c erf(u) becomes 2c Phi(sqrt(2) u).

    What is left of 1 when a sigma or Phi is taken away is that of -u; with tanh, twice the sigma of 2u or of -2u. And
    2 sigma(u) - 1 is tanh(u/2).
    """
    constant = sp.Add(*(t for t in total.args if t.is_number))
    for term in total.args:
        c, rest = term.as_coeff_Mul()
        if exponent(rest) is not None and c == -constant:
            return total - term - constant + c * expm1(exponent(rest))
        if isinstance(rest, expm1) and c == constant:
            return total - term - constant + c * sp.exp(rest.args[0])
        if isinstance(rest, (sigma, Phi)) and c == -constant:
            return total - term - constant + constant * type(rest)(-rest.args[0])
        if isinstance(rest, sigma) and c == -2 * constant:
            return total - term - constant - constant * tanh(rest.args[0] / 2)
        if isinstance(rest, tanh) and abs(c) == abs(constant):
            return total - term - constant + 2 * constant * sigma(2 * rest.args[0] * c / constant)
        if isinstance(rest, sp.erf) and abs(c) == abs(constant):
            return total - term - constant + 2 * constant * Phi(sqrt(2) * rest.args[0] * c / constant)
    return total
