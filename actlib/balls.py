"""Formulas in balls, numbers that carry a bound of their error, by python-flint (Johansson, Arb, 2017)."""

import functools
from collections.abc import Callable, Sequence

import flint
import sympy as sp
from flint import arb, fmpq
from sympy import Expr, Symbol
from sympy.core.relational import Relational
from sympy.printing.lambdarepr import LambdaPrinter

from actlib.formula.primitives import Phi, elementary

DIGITS = 50
_BITS = 167  # of 50 digits
_MOST_BITS = 1 << 18
_NOTHING = arb(10) ** -400  # what is below is below every floating-point number


def compiled(expr: Expr, symbols: Sequence[Symbol]) -> Callable[..., arb]:
    """The formula as a function of floating-point numbers that gives 50 digits which are certain.

    Args:
        expr: The formula, in primitives or in SymPy's own functions.
        symbols: Its variables.

    Raises:
        ValueError: The formula has a function that is not known here.
        ArithmeticError: No precision gives 50 digits, as at a pole; by the function.
    """
    # SymPy writes erfc(-x) as 2 - erfc(x), whose cancellation costs hundreds of digits.
    function = _in_balls(elementary(expr.replace(Phi, sp.Function("ncdf"))), symbols)
    return lambda *point: _certain(function, point)


_NAMES = ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "erfc")
_FUNCTIONS = {name: (lambda x, name=name: getattr(arb(x), name)()) for name in _NAMES} | {
    "ncdf": lambda x: (-x / arb(2).sqrt()).erfc() / 2,
    "Abs": abs,
    "sign": lambda x: arb(x).sgn(),
    "Max": lambda *a: functools.reduce(arb.max, map(arb, a)),
    "Min": lambda *a: functools.reduce(arb.min, map(arb, a)),
}


class _UndecidedError(ArithmeticError):
    """Two balls overlap: which number is the greater will show at a higher precision."""


def _holds(a: arb, relation: str, b: arb) -> bool:
    first, second = (a, b) if relation in ("<", ">=") else (b, a)
    if not (first < second or first >= second):
        raise _UndecidedError
    return (first < second) == (relation in "<>")


class _Printer(LambdaPrinter):
    def _print_Relational(self, expr: Relational) -> str:
        return f"holds({self._print(expr.lhs)}, {expr.rel_op!r}, {self._print(expr.rhs)})"

    def _print_Function(self, expr: Expr) -> str:
        return f"{expr.func.__name__}({', '.join(map(self._print, expr.args))})"

    _print_Abs = _print_Max = _print_Min = _print_sign = _print_Function  # noqa: N815 - names that SymPy looks for


def _in_balls(expr: Expr, symbols: Sequence[Symbol]) -> Callable:
    """The formula as a function of balls, which computes its constants once for each precision."""
    unknown = {f.func.__name__ for f in expr.atoms(sp.Function, sp.Max, sp.Min)} - {*_FUNCTIONS, "Piecewise"}
    if unknown:
        raise ValueError(
            f"no exact reference for {', '.join(sorted(unknown))} in {expr}: known: {', '.join(_FUNCTIONS)}"
        )
    constants = {c: sp.Dummy() for c in _constants(expr)}
    body = sp.lambdify(
        [*symbols, *constants.values()],
        expr.xreplace(constants),
        [{**_FUNCTIONS, "holds": _holds}],
        printer=_Printer({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}),
        cse=True,
    )
    values = functools.cache(lambda bits: [_constant(c, bits) for c in constants])
    return lambda *point: body(*point, *values(flint.ctx.prec))


def _constants(expr: Expr) -> set[Expr]:
    if expr.is_Integer or expr.is_Symbol or (expr.is_Boolean and expr.is_Atom):
        return set()
    is_constant = isinstance(expr, Expr) and not expr.free_symbols  # is_number is False for ncdf of a number
    return {expr} if is_constant else set().union(*map(_constants, expr.args))


def _constant(expr: Expr, bits: int) -> arb:
    if expr.is_Rational or expr.is_Float:
        number = sp.Rational(expr)
        return arb(fmpq(int(number.p), int(number.q)))
    digits = bits * 3 // 10
    value = arb(str(expr.replace(sp.Function("ncdf"), Phi).evalf(digits + 3)))
    return arb(value, abs(value) * arb(10) ** -digits)


def _certain(function: Callable, point: tuple[float, ...]) -> arb:
    bits = _BITS + 33
    while bits <= _MOST_BITS:
        with flint.ctx.workprec(bits):
            try:
                result = arb(function(*map(arb, point)))
            except _UndecidedError:
                result = arb.nan()
            if result.rel_accuracy_bits() >= _BITS or (result.is_finite() and result.is_exact()):
                return result
            if result.abs_upper() < _NOTHING:
                return arb(0)
        bits *= 2
    raise ArithmeticError(f"no {DIGITS} digits at {point}: {result}")
