"""Formulas as people type them, read by a grammar of their own: nothing that is typed is ever evaluated as code.

    formula   = product { ("+" | "-") product }
    product   = signed { ("*" | "/") signed }
    signed    = ("+" | "-") signed | power
    power     = atom [ ("**" | "^") signed ]
    atom      = number | name | name "(" arguments ")" | "(" formula ")"
    arguments = formula { "," formula }            where(condition, formula, formula) takes a condition first
    condition = formula ("<" | "<=" | ">" | ">=") formula

`x` is the variable, every other name that means nothing is a parameter. Length, depth, names, numbers and exponents
have limits, so that reading ends soon whatever comes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp
from sympy import Abs, Expr, Max, Min, Piecewise, Rational, Symbol

from actlib.formula.primitives import Phi, asinh, atan, cosh, expm1, phi, sigma, sinh, softplus, tanh
from actlib.formula.source import NO_STEPS

__all__ = ["FormulaError", "parse", "x"]

x = Symbol("x", real=True)

LONGEST = 400
"""Characters."""

DEEPEST = 40
"""Levels of brackets, signs and powers, one within another."""

MOST_PARAMETERS = 4
LONGEST_NAME = 16
LARGEST_EXPONENT = 20
LARGEST_NUMBER = 10**40
"""Of numbers, of what constants in the formula amount to, and of denominators."""

LARGEST_DIGITS = 5000
"""Of an argument of a function, where x is 1000."""

FUNCTIONS: dict[str, tuple[int, Callable[..., Expr]]] = {
    "sigma": (1, sigma),
    "sigmoid": (1, sigma),
    "softplus": (1, softplus),
    "Phi": (1, Phi),
    "phi": (1, phi),
    "tanh": (1, tanh),
    "expm1": (1, expm1),
    "exp": (1, sp.exp),
    "log": (1, sp.log),
    "ln": (1, sp.log),
    "log1p": (1, lambda u: sp.log(1 + u)),
    "sqrt": (1, sp.sqrt),
    "sin": (1, sp.sin),
    "cos": (1, sp.cos),
    "sinh": (1, sinh),
    "cosh": (1, cosh),
    "atan": (1, atan),
    "arctan": (1, atan),
    "asinh": (1, asinh),
    "arsinh": (1, asinh),
    "erf": (1, sp.erf),
    "erfc": (1, lambda u: 2 * Phi(-sp.sqrt(2) * u)),
    "abs": (1, Abs),
    "sign": (1, sp.sign),
    "relu": (1, lambda u: Max(u, 0)),
    "max": (2, Max),
    "min": (2, Min),
}
"""What may be called: number of arguments and meaning."""

STEPS = ("floor", "ceil", "round")

CONSTANTS = {"pi": sp.pi, "e": sp.E}

SPELLINGS = str.maketrans({"−": "-", "·": "*", "×": "*", "≤": "<=", "≥": ">=", "σ": "sigma", "Φ": "Phi", "φ": "phi",
                           "π": "pi", "α": "alpha", "β": "beta"})  # fmt: skip

_TOKEN = re.compile(
    r"(?P<space>[ \t\n\r]+)|(?P<number>(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/^(),<>])",
    re.ASCII,
)


class FormulaError(ValueError):
    """What is wrong with a formula, in words for who typed it; ``at`` is the character, from 0, or None."""

    def __init__(self, message: str, at: int | None = None):
        super().__init__(message if at is None else f"{message} (at character {at + 1})")
        self.at = at


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Expr:
    """The formula of the variable `x` that a text means.

    Args:
        text: Such as ``x*sigma(1.702*x)``, ``max(0, x)**2`` or ``where(x > 0, x, alpha*(exp(x) - 1))``.

    Returns:
        A SymPy formula in primitives, with real symbols and exact numbers.

    Raises:
        FormulaError: The text is no formula, goes beyond a limit, or has no real value.
        TypeError: It is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a formula is a str, but {type(text).__name__} came")
    if len(text) > LONGEST:
        raise FormulaError(f"the formula has {len(text):,} characters, more than {LONGEST}")
    reader = _Reader(_tokens(text.translate(SPELLINGS)))
    result = reader.formula(0)
    reader.expect("end", "")
    _check_size(result)
    return result


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise FormulaError(f"{_quoted(text[at])} means nothing here", at)
        if match.lastgroup != "space":
            kind = next(k for k in ("number", "name", "sign") if match[k])
            found.append(_Token(kind, match[0], at))
        at = match.end()
    if not found:
        raise FormulaError("there is no formula yet; try x*sigma(x)")
    return [*found, _Token("end", "", len(text))]


def _quoted(text: str) -> str:
    return f"“{text if text.isprintable() else ascii(text)[1:-1]}”"


class _Reader:
    """Recursive descent: one method a rule of the grammar."""

    def __init__(self, tokens: list[_Token]):
        self.tokens = tokens
        self.position = 0
        self.parameters: set[str] = set()

    @property
    def next(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.next
        self.position += 1
        return token

    def takes(self, *signs: str) -> str | None:
        """The sign, if one of these comes next."""
        return self.take().text if self.next.kind == "sign" and self.next.text in signs else None

    def expect(self, kind: str, text: str) -> None:
        token = self.next
        if (token.kind, token.text) == (kind, text):
            self.position += 1
            return
        if token.kind == "end":
            raise FormulaError(f"the formula ends where “{text}” should follow", token.at)
        if token.kind in ("name", "number") or token.text == "(":
            raise FormulaError(f"there is no sign before {_quoted(token.text)}; a product is written 2*x", token.at)
        wanted = f"“{text}” should stand" if text else "the formula should end"
        raise FormulaError(f"{_quoted(token.text)} stands where {wanted}", token.at)

    def formula(self, depth: int) -> Expr:
        at = self.next.at
        total = self.product(depth)
        while sign := self.takes("+", "-"):
            term = self.product(depth)
            total = _sound(total + term if sign == "+" else total - term, at)
        return total

    def product(self, depth: int) -> Expr:
        at = self.next.at
        result = self.signed(depth)
        while sign := self.takes("*", "/"):
            here, factor = self.next.at, self.signed(depth)
            if sign == "/" and factor == 0:
                raise FormulaError("this divides by 0", here)
            result = _sound(result * factor if sign == "*" else result / factor, at)
        return result

    def signed(self, depth: int) -> Expr:
        self.check(depth)
        sign = self.takes("+", "-")
        if not sign:
            return self.power(depth)
        value = self.signed(depth + 1)
        return -value if sign == "-" else value

    def power(self, depth: int) -> Expr:
        at = self.next.at
        base = self.atom(depth)
        if not self.takes("**", "^"):
            return base
        here = self.next.at
        return _sound(_raised(base, self.signed(depth + 1), here), at)

    def atom(self, depth: int) -> Expr:
        token = self.take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            return self.named(token, depth)
        if token.kind == "sign" and token.text == "(":
            value = self.formula(depth + 1)
            self.expect("sign", ")")
            return value
        if token.kind == "end":
            raise FormulaError("the formula ends too soon", token.at)
        raise FormulaError(f"{_quoted(token.text)} stands where a number, a name or a bracket should", token.at)

    def named(self, token: _Token, depth: int) -> Expr:
        name = token.text
        if self.takes("("):
            if name == "where":
                return self.cases(depth + 1, token.at)
            if name in STEPS:
                raise FormulaError(f"{name} {NO_STEPS}", token.at)
            if name not in FUNCTIONS:
                raise FormulaError(
                    f"{name} is no function here; known are {', '.join([*FUNCTIONS, 'where'])}", token.at
                )
            arguments = [self.formula(depth + 1)]
            while self.takes(","):
                arguments.append(self.formula(depth + 1))
            self.expect("sign", ")")
            count, function = FUNCTIONS[name]
            if len(arguments) != count:
                raise FormulaError(f"{name} takes {count} argument{'s'[: count - 1]}, not {len(arguments)}", token.at)
            return _sound(function(*arguments), token.at)
        if name in FUNCTIONS or name == "where":
            raise FormulaError(f"{name} is a function: write {name}(x)", token.at)
        if name == "x" or name in CONSTANTS:
            return CONSTANTS.get(name, x)
        self.parameters.add(name)
        if len(name) > LONGEST_NAME:
            raise FormulaError(f"a name has at most {LONGEST_NAME} characters", token.at)
        if len(self.parameters) > MOST_PARAMETERS:
            raise FormulaError(f"a formula has at most {MOST_PARAMETERS} parameters besides x", token.at)
        return Symbol(name, real=True)

    def cases(self, depth: int, at: int) -> Expr:
        left = self.formula(depth)
        sign = self.takes("<", "<=", ">", ">=")
        if not sign:
            raise FormulaError("where(condition, a, b) begins with a condition such as x > 0", self.next.at)
        right = self.formula(depth)
        self.expect("sign", ",")
        value = self.formula(depth)
        self.expect("sign", ",")
        other = self.formula(depth)
        self.expect("sign", ")")
        relation = {"<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}[sign](left, right)
        return _sound(Piecewise((value, relation), (other, True)), at)

    def check(self, depth: int) -> None:
        if depth > DEEPEST:
            raise FormulaError(f"the formula is nested more than {DEEPEST} deep", self.next.at)


def _number(token: _Token) -> Expr:
    mantissa, _, exponent = token.text.lower().partition("e")
    if len(mantissa) > 25 or len(exponent) > 4 or abs(int(exponent or 0)) > 30:
        raise FormulaError("this number is too long: at most 25 digits, and from 1e-30 to 1e30", token.at)
    return _sound(Rational(token.text), token.at)


def _raised(base: Expr, exponent: Expr, at: int) -> Expr:
    if base == sp.E:
        return sp.exp(exponent)
    if exponent.free_symbols:
        if base.is_positive:
            return sp.exp(exponent * sp.log(base))
        raise FormulaError("this exponent is no number; only what is positive can be raised to it: exp(x), 2^x", at)
    if not exponent.is_Rational or abs(exponent) > LARGEST_EXPONENT or exponent.q > LARGEST_EXPONENT:
        raise FormulaError(f"an exponent is a whole number or fraction of at most {LARGEST_EXPONENT}", at)
    if base == 0 and exponent <= 0:
        raise FormulaError("this divides by 0", at)
    return base**exponent


def _sound(expr: Expr, at: int) -> Expr:
    """The formula, if it is real and its constants and powers are of a size to compute with."""
    if expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        raise FormulaError("this has no real value", at)
    if expr.is_Pow and expr.exp.is_Rational and abs(expr.exp) > LARGEST_EXPONENT:
        raise FormulaError(f"these powers amount to more than {LARGEST_EXPONENT}", at)
    if expr.is_Rational:
        if max(abs(expr.p), expr.q) > LARGEST_NUMBER:
            raise FormulaError("this number is too large, or too fine", at)
    elif expr.is_number:
        value = expr.evalf(15)
        if not value.is_Float or not value.is_extended_real:
            raise FormulaError("this has no real value", at)
        if abs(value) > LARGEST_NUMBER or (value and abs(value) < Rational(1, LARGEST_NUMBER)):
            raise FormulaError("this number is too large, or too fine", at)
    return expr


def _check_size(expr: Expr) -> float:
    """A rough bound of log10 of the values for -1000 <= x <= 1000: no function may be taken of numbers without end."""
    if expr.is_number:
        return max(float(sp.log(abs(expr), 10).evalf(5)), 0.0) if expr else 0.0
    if expr.is_Symbol:
        return 3.0
    sizes = [_check_size(a) for a in expr.args if not a.is_Boolean and isinstance(a, Expr)]
    if expr.is_Mul:
        return sum(sizes)
    if expr.is_Pow and not isinstance(expr, sp.exp):
        return sizes[0] * abs(float(expr.exp))
    if isinstance(expr, Piecewise):
        return max(_check_size(value) for value, _ in expr.args)
    largest = max(sizes)
    if not (expr.is_Add or isinstance(expr, (Max, Min, Abs, sp.sign))) and largest > LARGEST_DIGITS:
        raise FormulaError(f"within the formula, {expr.func.__name__} is taken of numbers without end")
    if isinstance(expr, (sp.exp, expm1, sinh, cosh)):
        return 10 ** min(largest, 300)
    return largest + 1 if expr.is_Add else largest
