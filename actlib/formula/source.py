"""From formulas to readable source text: shared steps first, then one small printer a target.

Three things happen to a formula before it is printed. Its exact constants become decimal numbers. In a product, a
factor that grows is tied to the factor that decays (`damped`). Common subexpressions get a name.

**Damping** is the mechanism against intermediate values that overflow although the result does not. In x sigma(x) at
minus infinity, or in the slope of tanh-GELU, whose cubic overflows long before its logistic factor would let it count,
floating point computes infinity times zero, which is NaN. Exponential decay beats every power, so the limit is 0, and
``damped(factor, by)`` says just that: ``factor * by``, but 0 where ``by`` has reached 0. NaN still gives NaN, since
then ``by`` is NaN itself: only factors whose variables all occur in ``by`` are tied to it.

Only what grows no faster than a power is tied so. Where an exponential grows and another decays, as in sinh(x)
sigma(-x), their exponents are added before one of them is taken (`exponents.joined`), and all is computed in double.

That mends the infinities and not the digits. Next to -100, sigma(x) has few bits left in float32, or none, while
x^3 sigma(x) is an ordinary number still. A formula in which a power is so large beside the decay is computed in double
precision (`needs_double`), which is wide enough for every power up to 96.
"""

import functools
import keyword
import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import sympy as sp
from sympy import Basic, Expr, Float, Function, Mul, Piecewise, Pow, Symbol
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.printing.precedence import precedence
from sympy.printing.str import StrPrinter

from actlib.formula.exponents import damped, degree, horner, joined, strains
from actlib.formula.primitives import (
    Phi,
    Primitive,
    asinh,
    atan,
    cosatan,
    cosh,
    derivative,
    expm1,
    phi,
    sigma,
    sinh,
    softplus,
    stable,
    tanh,
)

__all__ = [
    "check",
    "check_size",
    "half_precision",
    "javascript_source",
    "legal_names",
    "needs_double",
    "single_precision",
    "torch_source",
    "triton_source",
]

FUNCTIONS = (
    *("sigma", "softplus", "Phi", "phi", "tanh", "expm1"),
    *("sinh", "cosh", "atan", "asinh", "cosatan", "Phi_tail"),
    *("exp", "log", "sqrt", "sin", "cos", "erf", "absolute", "sign"),
    *("damped", "where", "unless_nan", "square", "cube", "power"),
)
"""What generated code may call; every backend implements each of them once."""

PRIMITIVES = (sigma, softplus, Phi, phi, tanh, expm1, sinh, cosh, atan, asinh, cosatan)
ELEMENTARY = (sp.exp, sp.log, sp.sin, sp.cos, sp.erf, sp.Abs, sp.sign)
COMPUTED = (
    *(*PRIMITIVES, *ELEMENTARY, Piecewise, ExprCondPair, sp.Add, sp.Mul, Pow),
    *(sp.And, sp.Or, sp.Not, sp.Eq, sp.Ne, sp.Lt, sp.Le, sp.Gt, sp.Ge),
)
"""What a formula may be made of, besides symbols and numbers."""

DEEPEST = 64
"""Levels of a formula, one within another: Python, SymPy and torch's compiler go down them by recursion."""

LARGEST = 20_000
"""Parts of a formula."""

LARGEST_EXPONENT = 1 << 20
"""Of a power that is made of products."""

MOST_CONDITIONS = 16
"""Of cases that end without (expression, True); whether they leave no gap takes longer to find out for more."""

NESTED = 24
"""Calls and brackets, one within another, in a line of generated code; what is deeper gets a line of its own."""

ABREAST = 64
"""Terms of a sum, factors of a product or cases in a line of generated code."""

NO_STEPS = "is refused: it is flat between its jumps, so its slope is 0 and nothing before it would learn"

PYTHON_WORDS = (
    *(*keyword.kwlist, "tl", "triton", "n", "at", "packed", "inside", "BLOCK"),
    *("paired_sigma", "mirrored_sigma", "sigma_slope", "both", "either"),
)
"""What no variable of a torch function or a Triton kernel may be called."""

JAVASCRIPT_WORDS = (
    *("arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete"),
    *("do", "else", "enum", "eval", "export", "extends", "false", "finally", "for", "function", "if", "implements"),
    *("import", "in", "instanceof", "interface", "let", "new", "null", "package", "private", "protected", "public"),
    *("return", "static", "super", "switch", "this", "throw", "true", "try", "typeof", "undefined", "var", "void"),
    *("while", "with", "yield"),
)
"""What no variable of a JavaScript module may be called."""


class unless_nan(Function):
    """value, but NaN where x is NaN."""

    nargs = 2


def torch_source(name: str, inputs: Sequence[Symbol], outputs: Sequence[Expr], *, guarded: bool = False) -> str:
    """Source of a torch function of the given name: one argument an input, one result an output.

    Guarded, it takes each case of a harmless number where it does not hold. Torch differentiates all cases and
    multiplies by 0 those that do not hold: an infinite slope would become NaN.
    """
    names, temporaries, results = _prepare(inputs, outputs, guarded=guarded)
    printer = _Printer()
    lines = [f"def {name}({', '.join(names)}):"]
    lines += [f"    {symbol} = {printer.doprint(expr)}" for symbol, expr in temporaries]
    lines += [f"    return {', '.join(printer.doprint(expr) for expr in results)}"]
    return "\n".join(lines) + "\n"


def triton_source(
    name: str, inputs: Sequence[Symbol], outputs: Sequence[Expr], kinds: Sequence[str], *, double: bool | None = None
) -> str:
    """Source of a Triton kernel of the given name: one pass over memory.

    Args:
        name: Name of the kernel.
        inputs: The symbols.
        outputs: One expression an output.
        kinds: How each input comes: "full", a tensor with an element for each element of the results; "one", a tensor
            with a single element; "channel", a tensor whose element is chosen by ``(at // inner) % size``; "number",
            which comes as the sum of two if the kernel computes in float64; or "packed", one of two that share rows of
            twice the size, as halves or in turn. Where there are such, two results share rows likewise.
        double: Whether it computes in float64 instead of float32; by default, as the formulas need.
    """
    names, temporaries, results = _prepare(inputs, outputs)
    narrow = {name for name, kind in zip(names, kinds, strict=True) if kind in ("one", "number")}
    for symbol, expr in temporaries:
        if {s.name for s in expr.free_symbols} <= narrow:
            narrow.add(symbol.name)
    double = needs_double(outputs) if double is None else double
    # Triton's interpreter takes bfloat16 to float64 and back by way of float32 alone.
    wide, back = (".to(tl.float64)", ".to(tl.float32)") if double else ("", "")
    printer = _TritonPrinter(narrow, double)
    targets = ["out_ptr"] if len(results) == 1 else [f"out{i}_ptr" for i in range(len(results))]
    packed = "packed" in kinds
    place = "packed" if packed and len(results) == 2 else "at"
    sizes = ["row_size", "step_size"] if packed else []
    arguments = {
        "full": "{0}_ptr",
        "packed": "{0}_ptr",
        "one": "{0}_ptr",
        "channel": "{0}_ptr, {0}_inner, {0}_size",
        "number": "{0}, {0}_rest" if double else "{0}",
    }
    loads = {
        "full": "{0} = tl.load({0}_ptr + at, inside).to(tl.float32){1}",
        "packed": "{0} = tl.load({0}_ptr + packed, inside).to(tl.float32){1}",
        "one": "{0} = tl.load({0}_ptr).to(tl.float32){1}",
        "channel": "{0} = tl.load({0}_ptr + (at // {0}_inner) % {0}_size, inside).to(tl.float32){1}",
        "number": "{0} = tl.full((), {0}, tl.float64) + tl.full((), {0}_rest, tl.float64)" if double else None,
    }
    given = [arguments[kind].format(n) for n, kind in zip(names, kinds, strict=True)]
    lines = [
        "@triton.jit",
        f"def {name}({', '.join([*given, *targets, *sizes])}, n, BLOCK: tl.constexpr):",
        "at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "inside = at < n",
        *(["packed = at // row_size * (2 * row_size) + at % row_size * step_size"] if packed else []),
        *(loads[kind].format(n, wide) for n, kind in zip(names, kinds, strict=True) if loads[kind]),
        *(f"{symbol} = {printer.doprint(expr)}" for symbol, expr in temporaries),
        *(
            f"tl.store({t} + {place}, {_stored(printer, e, back)}, inside)"
            for t, e in zip(targets, results, strict=True)
        ),
    ]
    return "\n".join([*lines[:2], *(f"    {line}" for line in lines[2:])]) + "\n"


def javascript_source(name: str, inputs: Sequence[Symbol], outputs: Sequence[Expr]) -> str:
    """Source of a JavaScript function of the given name, from numbers to a number, or to an array of several.

    It calls what `backends/primitives.js` exports. A name that is taken there gets an underscore: `tanh_`.
    """
    (name,) = legal_names([Symbol(name)], JAVASCRIPT_WORDS)
    names, temporaries, results = _prepare(inputs, outputs, JAVASCRIPT_WORDS)
    printer = _JavaScriptPrinter()
    shown = ", ".join(printer.doprint(expr) for expr in results)
    lines = [f"function {name}({', '.join(names)}) {{"]
    lines += [f"    const {symbol} = {printer.doprint(expr)};" for symbol, expr in temporaries]
    lines += [f"    return {shown if len(results) == 1 else f'[{shown}]'};", "}"]
    return "\n".join(lines) + "\n"


def _stored(printer: StrPrinter, expr: Expr, back: str) -> str:
    """What a kernel stores: a constant as a block of them, since Triton's interpreter stores no bare number right."""
    if expr.is_number:
        return f"tl.full([BLOCK], {_number(expr)}, tl.float32)"
    return f"({printer.doprint(expr)}){back}" if back else printer.doprint(expr)


def _number(expr: Expr) -> str:
    """A number in the words of all languages, which read 1e999 as infinity."""
    try:
        value = float(expr)
    except OverflowError:
        value = math.copysign(math.inf, expr)
    return repr(value) if math.isfinite(value) else "1e999" if value > 0 else "-1e999"


def check(expr: Expr) -> None:
    """Raises ValueError, naming what stands in the way, for a formula that some backend cannot compute.

    What can be computed is listed: symbols, numbers that are real, sums, products, powers, `PRIMITIVES` and
    `ELEMENTARY` functions, and cases whose conditions compare. What `stable` turns into these is taken, too.
    """
    _check_parts(stable(expr), expr)


def _check_parts(part: Basic, whole: Expr) -> None:
    if part.is_Symbol or isinstance(part, (sp.logic.boolalg.BooleanTrue, sp.logic.boolalg.BooleanFalse)):
        return
    if isinstance(part, Expr) and part.is_number:
        if part in (sp.oo, -sp.oo):
            return
        value = part.evalf(15)
        if not (value.is_Number and value.is_finite):
            raise ValueError(f"a formula has real values, but {part} came in {_shown(whole)}, of {part.func.__name__}")
        return
    if isinstance(part, (sp.floor, sp.ceiling)):
        raise ValueError(f"{part} in {_shown(whole)} {NO_STEPS}")
    if isinstance(part, Function) and not isinstance(part, COMPUTED):
        known = ", ".join(f.__name__ for f in (*PRIMITIVES, *ELEMENTARY))
        raise ValueError(f"no backend implements {part.func.__name__} in {_shown(whole)}: write it in {known}")
    if not isinstance(part, COMPUTED):
        kinds = "sums, products, powers, functions and cases of symbols and numbers"
        raise ValueError(f"a formula is made of {kinds}, but {part} came, of {part.func.__name__}, in {_shown(whole)}")
    if part.is_Pow and part.exp.is_Integer and abs(part.exp) > LARGEST_EXPONENT:
        raise ValueError(f"an exponent is at most {LARGEST_EXPONENT}, but {part.exp} came in {_shown(whole)}")
    if isinstance(part, Piecewise):
        _check_gap(part)
        for _, condition in part.args:
            _check_condition(condition, whole)
    for argument in part.args:
        _check_parts(argument, whole)


def _check_condition(condition: Basic, whole: Expr) -> None:
    if isinstance(condition, (sp.And, sp.Or, sp.Not)):
        for part in condition.args:
            _check_condition(part, whole)
    elif not (condition.is_Relational or condition in (sp.true, sp.false)):
        raise ValueError(f"conditions compare, and are joined by &, | and ~, but {condition} came in {_shown(whole)}")


def _check_gap(cases: Piecewise) -> None:
    conditions = [condition for _, condition in cases.args]
    if conditions[-1] is not sp.true and (len(conditions) > MOST_CONDITIONS or sp.simplify(sp.Or(*conditions)) != True):  # noqa: E712
        raise ValueError(f"the cases of {_shown(cases)} leave a gap; end with (expression, True)")


def check_size(expr: Expr) -> None:
    """Raises ValueError for a formula that is too large, or nested too deep, to work on by recursion."""
    deepest = count = 0
    parts: list[tuple[Basic, int]] = [(expr, 1)]
    while parts:
        part, depth = parts.pop()
        deepest, count = max(deepest, depth), count + 1
        parts += [(argument, depth + 1) for argument in part.args]
    if deepest > DEEPEST or count > LARGEST:
        raise ValueError(
            f"a formula has at most {LARGEST} parts, nested at most {DEEPEST} deep, but one of {count} parts, nested "
            f"{deepest} deep, came"
        )


def _shown(expr: Basic) -> str:
    text = str(expr)
    return text if len(text) <= 200 else f"{text[:200]}..."


def needs_double(outputs: Sequence[Expr]) -> bool:
    """Whether float32 has too narrow a range: a growing factor is large where the decaying one loses its last bits.

    So it has where an exponential grows beside what decays, or beside a power that vanishes.

    Below 2^-126 float32 has ever fewer bits, down to 2^-149. What is tied to a factor that has come so far multiplies
    the loss, and 16-bit formats see it from some ten thousand on. A factor that decays as exp(-x) is there at 90,
    exp(-x^2 / 2) at 13: so it is by its degree, compared with that of the exponent, that a factor is judged.
    """
    if any(joined(e) != e for e in (_together(stable(e)) for e in outputs)):
        return True
    tied = [_tied(stable(e)) for e in outputs]
    if any(map(strains, tied)):
        return True
    return any(_is_steep(*part.args) for part in set().union(*(e.atoms(damped) for e in tied)))


def half_precision(outputs: Sequence[Expr]) -> tuple[str, str]:
    """In what numbers results in float16 and in bfloat16 are computed, of a formula that does not need double itself.

    "single" is float32, and "near" is float32 where all inputs are near 0 and float64 elsewhere; "double" and "rough"
    are float64, as `single_precision` says.
    What float32 has lost to underflow, or to overflow, a partner of any size brings back: bfloat16 has numbers of such
    size, float16 has not. A loss of 2^-150 is seen in bfloat16 when it is made 2^13 times larger. And where terms
    cancel in two variables, pairs of 16-bit numbers come nearer to the zero than float32 can tell; where they cancel in
    one, numbers in float16 come so near that a partner shows it.
    """
    tied = [_tied(stable(e)) for e in outputs]
    sums = set().union(*(e.atoms(sp.Add) for e in tied))
    wide = "double" if any(map(_has_large_number, tied)) else "rough"
    if any(map(_cancels_in_two, sums)):
        return wide, wide
    has_partners = any(map(_has_partners, tied))
    first = wide if has_partners and any(map(_cancels, sums)) else "single"
    if wide == "double":
        return first, wide
    return first, "near" if has_partners else "single"


def single_precision(outputs: Sequence[Expr], parameters: Sequence[Symbol]) -> str:
    """In what numbers results in float32 are computed, of a formula that does not need double itself.

    "single" is float32, where it rounds once: twice may be an ulp too much, and a parameter is a number in double. Else
    float64, "rough" to as many digits as float32 shows; or "double" to all, where a number brings back what is tiny.
    """
    exprs = list(map(stable, outputs))
    if any(map(_has_large_number, map(_tied, exprs))):
        return "double"
    return "single" if all(_roundings(e, parameters) <= 1 for e in exprs) else "rough"


def _roundings(expr: Expr, parameters: Collection[Symbol]) -> int:
    """How often float32 rounds, at most, in computing a formula; 2 where it does more than round."""
    if isinstance(expr, Piecewise):
        exact = all(
            _roundings(side, parameters) == 0 for _, c in expr.args for r in c.atoms(Relational) for side in r.args
        )
        return max(_roundings(value, parameters) for value, _ in expr.args) if exact else 2
    if expr.is_Symbol:
        return int(expr in parameters)
    if expr.is_number:
        return int(not (expr.is_infinite or (expr.is_Rational and _fits(expr))))
    if isinstance(expr, (sp.Abs, sp.sign)):
        return _roundings(expr.args[0], parameters)
    if not (expr.is_Add or expr.is_Mul):
        return 2
    return len(expr.args) - 1 + sum(_roundings(a, parameters) for a in expr.args)


def _fits(number: Expr) -> bool:
    """Whether float32 has a rational number."""
    if number.q & (number.q - 1) or abs(number) >= 2**127 or number.q > 2**126:
        return False
    odd = int(number.p) // (number.p & -number.p) if number.p else 0
    return abs(odd) < 1 << 24


def _cancels(total: Expr) -> bool:
    """Whether terms that are not computed exactly may cancel."""
    return any(term.atoms(*EXPONENTIAL) for term in total.args)


def _cancels_in_two(total: Expr) -> bool:
    return len(total.free_symbols) > 1 and any(len(f.free_symbols) > 1 for f in total.atoms(*EXPONENTIAL))


def _has_partners(expr: Expr) -> bool:
    """Whether a decay meets a factor of other variables, or three factors meet: two may underflow before the third."""
    if expr.is_Mul or isinstance(expr, damped):
        factors = [f for a in expr.args for f in Mul.make_args(a)]
        if len(expr.free_symbols) > 1 and (_factors(expr) > 2 or any(f.atoms(*DECAYING) for f in factors)):
            return True
    return any(map(_has_partners, expr.args))


def _has_large_number(expr: Expr) -> bool:
    """Whether a decay is multiplied by a number that would show what it has lost."""
    if expr.is_Mul and expr.atoms(*DECAYING) and any(f.is_number and abs(f) > LARGE for f in expr.args):
        return True
    return any(map(_has_large_number, expr.args))


def _factors(expr: Expr) -> int:
    """How many factors meet in a product, cases and sums within it looked into."""
    if expr.is_Mul or isinstance(expr, damped):
        return sum(map(_factors, expr.args))
    if expr.is_Add or isinstance(expr, Piecewise):
        return max(map(_factors, expr.args if expr.is_Add else [value for value, _ in expr.args]))
    if expr.is_Pow and expr.exp.is_Integer and expr.base != sp.E:
        return abs(int(expr.exp)) * _factors(expr.base)
    return 0 if expr in (0, 1, -1) else 1


def _is_steep(factor: Expr, by: Expr) -> bool:
    raised = [e for e in by.atoms(sp.exp, *_EXPONENTS) if e.free_symbols]
    for symbol in factor.free_symbols:
        degrees = [(_EXPONENTS.get(e.func, 1) * degree(e.args[0], symbol), e) for e in raised if e.has(symbol)]
        if degrees:
            highest, slowest = max(degrees, key=lambda d: d[0])
            # Of softplus a logarithm is taken, which costs a bit more.
            most = max(1 if isinstance(slowest, softplus) else 2, 2 * highest - 1)
            sums = (f for f in Mul.make_args(by) if f.is_Add)
            if degree(Mul(factor, *sums), symbol) > most:
                return True
    return False


LARGE = 8
"""A number beyond which a factor of a decay brings the loss of bits into view."""

DECAYING = (sp.exp, sigma, softplus, Phi, phi)
EXPONENTIAL = (*DECAYING, tanh, expm1)

_EXPONENTS = {sigma: 1, softplus: 1, Phi: 2, phi: 2, tanh: 1, expm1: 1}
"""Degree, in the argument, of the exponent by which a function decays."""


def legal_names(symbols: Sequence[Symbol], words: Sequence[str] = PYTHON_WORDS) -> list[str]:
    """Names for the symbols in generated code: an underscore is added to what already means something there."""
    taken = {*FUNCTIONS, *words}
    names = []
    for symbol in symbols:
        name = unicodedata.normalize("NFKC", re.sub(r"\W", "", symbol.name)) or "x"  # as Python reads it
        while name in taken or re.fullmatch(r"\d.*|t\d+|out\d*_?|.*_(ptr|inner|size)", name):
            name = f"v{name}" if name[0].isdigit() else f"{name}_"
        taken.add(name)
        names.append(name)
    return names


def _prepare(
    inputs: Sequence[Symbol], outputs: Sequence[Expr], words: Sequence[str] = PYTHON_WORDS, *, guarded: bool = False
) -> tuple[list[str], list[tuple[Symbol, Expr]], list[Expr]]:
    """Names of the inputs, named subexpressions and results, ready to print."""
    for expr in outputs:
        _check_parts(stable(expr), expr)
    names = legal_names(inputs, words)
    rename = {symbol: Symbol(name, real=True) for symbol, name in zip(inputs, names, strict=True)}
    steps = (_tied, *((_guarded,) if guarded else ()), _distributed, _decimal, _multiplied)
    exprs = [functools.reduce(lambda e, step: step(e), steps, stable(e).xreplace(rename)) for e in outputs]
    free = (Symbol(f"t{i}", real=True) for i in range(10**6))
    temporaries, results = sp.cse(exprs, symbols=free)
    lines = []
    for symbol, expr in temporaries:
        lines.append((symbol, _in_short_lines(expr, free, lines)))
    results = [_in_short_lines(expr, free, lines) for expr in results]
    return names, lines, results


def _tied(expr: Expr) -> Expr:
    """The formula in the form in which it rounds well, each growing factor tied to what decays."""
    return _damp(_pass_nan(_balanced(joined(_together(expr)))))


def _together(expr: Expr) -> Expr:
    return _factored(_one_fraction(expr))


def _in_short_lines(expr: Expr, free: Iterator[Symbol], lines: list[tuple[Symbol, Expr]]) -> Expr:
    """The formula, of which parts are named in lines of their own where it is too deep or too long for one."""

    def named(part):
        symbol = next(free)
        lines.append((symbol, part))
        return symbol

    def shortened(part):
        """The part, and how deep it is."""
        if not part.args:
            return part, 0
        args, depths = zip(*map(shortened, part.args), strict=True)
        if isinstance(part, Piecewise):
            while len(args) > NESTED:  # each case is within the one before
                args = (*args[: -NESTED + 1], (named(Piecewise(*args[-NESTED + 1 :], evaluate=False)), True))
        elif part.is_Add or part.is_Mul:
            while len(args) > ABREAST:
                args = (*args[ABREAST:], named(part.func(*args[:ABREAST])))
        if args != part.args:
            part = Piecewise(*args, evaluate=False) if isinstance(part, Piecewise) else part.func(*args)
        depth = max(depths) + (len(args) if isinstance(part, Piecewise) else 1)
        if depth <= NESTED or not isinstance(part, Expr):
            return part, depth
        return named(part), 0

    return shortened(expr)[0]


def _guarded(expr: Expr) -> Expr:
    return expr.replace(lambda e: isinstance(e, Piecewise), _guard_cases).replace(sp.ITE, _either)


def _either(condition: Basic, then: Basic, otherwise: Basic) -> Basic:
    """What SymPy makes of a comparison with cases, in the words that code knows."""
    return sp.Or(sp.And(condition, then), sp.And(sp.Not(condition), otherwise))


def _guard_cases(cases: Piecewise) -> Expr:
    pieces, before = [], []
    for value, condition in cases.args:
        holds = sp.Not(sp.Or(*before)) if condition is sp.true else condition
        before.append(condition)
        variables = sorted(value.free_symbols & sp.Tuple(*before).free_symbols, key=str)
        if variables and not value.is_polynomial(*variables):
            number = next((n for n in _HARMLESS if _is_regular(value, dict.fromkeys(variables, n))), None)
            if number is not None:
                value = value.xreplace({v: Piecewise((v, holds), (number, True), evaluate=False) for v in variables})
        pieces.append((value, condition))
    return Piecewise(*pieces, evaluate=False)


_HARMLESS = tuple(map(sp.Rational, ("0", "1", "-1", "1/2", "-1/2", "2", "-2")))


def _is_regular(expr: Expr, point: dict[Symbol, Expr]) -> bool:
    """Whether value and slopes are finite at a point, other variables being 1."""
    point = {s: sp.Integer(1) for s in expr.free_symbols} | point
    expr = expr.replace(damped, sp.Mul).replace(unless_nan, lambda value, _: value)
    values = (e.subs(point) for e in (expr, *(derivative(expr, s) for s in expr.free_symbols)))
    return all(v.is_finite for v in values)


def _distributed(expr: Expr) -> Expr:
    """The constant of a product taken into a sum whose terms cannot cancel: a rounding less."""
    if not expr.args or expr.is_Boolean:
        return expr
    expr = expr.func(*(_distributed(a) for a in expr.args))
    if not expr.is_Mul:
        return expr
    constant, rest = expr.as_independent(*expr.free_symbols, as_Add=False)
    for total in (a for a in Mul.make_args(rest) if a.is_Add and all(t.is_nonnegative for t in a.args)):
        if constant not in (1, -1):
            return rest / total * sp.Add(*(constant * t for t in total.args))
    return expr


def _decimal(expr: Expr) -> Expr:
    """Exact constants as decimal numbers, gathered to one in each product and sum."""
    if expr.is_number and not expr.is_infinite:  # not all of these are known to be real
        return expr if expr.is_Integer else Float(expr.evalf(30), 30)
    if expr.is_Mul or expr.is_Add:
        constant, rest = expr.as_independent(*expr.free_symbols, as_Add=expr.is_Add)
        args = [_decimal(a) for a in (rest.args if rest.func is expr.func else (rest,))]
        return expr.func(_decimal(constant), *args)
    if expr.is_Pow and expr.exp.is_Integer:
        return Pow(_decimal(expr.base), expr.exp)
    return expr.func(*(_decimal(a) for a in expr.args)) if expr.args else expr


def _multiplied(expr: Expr) -> Expr:
    """Integer powers as products: no backend's logarithm takes a negative base.

    Negative ones are powers of the reciprocal: that of the base may overflow although the result is not 0.
    """
    return expr.replace(
        lambda e: e.is_Pow and e.exp.is_Integer and not -1 <= e.exp <= 3, lambda e: _product(e.base, int(e.exp))
    )


def _product(base: Expr, n: int) -> Expr:
    if n < 0:
        return _product(1 / base, -n)
    for divisor, name in ((2, "square"), (3, "cube")):
        if n % divisor == 0:
            return Function(name)(_product(base, n // divisor))
    return base if n == 1 else base * _product(base, n - 1)


def _pass_nan(expr: Expr) -> Expr:
    """Sees to it that NaN gives NaN in cases: a comparison with NaN is false, so NaN falls through to the last case.

    If that does not pass it on, the first of two cases may, under the opposite condition; or else NaN is put back.
    """
    if not expr.args or expr.is_Boolean:
        return expr
    if not isinstance(expr, Piecewise):
        return expr.func(*(_pass_nan(a) for a in expr.args))
    pieces = [(_pass_nan(value), condition) for value, condition in expr.args]
    conditions = [condition for _, condition in pieces]
    variables = sp.Tuple(*conditions).free_symbols
    last = pieces[-1][0].free_symbols
    if len(pieces) == 2 and not variables <= last and variables <= pieces[0][0].free_symbols:
        return Piecewise((pieces[1][0], sp.Not(conditions[0])), (pieces[0][0], True), evaluate=False)
    expr = Piecewise(*pieces[:-1], (pieces[-1][0], True), evaluate=False)
    for variable in sorted(variables - last, key=str):
        expr = unless_nan(expr, variable)
    return expr


def _one_fraction(expr: Expr) -> Expr:
    """Fractions of polynomials in e^u, u being the same, on one line: what cancels does so before it is rounded.

    Numerator and denominator are nested as Horner's rule has it. Only where no coefficient of the denominator is
    negative, so that it rounds without cancellation and is never 0.
    """
    if not expr.args or expr.is_Boolean:
        return expr
    made = _quotient(expr) if expr.is_Add or expr.is_Mul else None
    return expr.func(*(_one_fraction(a) for a in expr.args)) if made is None else made


def _quotient(expr: Expr) -> Expr | None:
    raised = sorted(expr.atoms(sp.exp), key=sp.default_sort_key)
    if expr.has(Piecewise) or not any(p.exp.is_negative and p.base.is_Add and p.has(sp.exp) for p in expr.atoms(Pow)):
        return None
    least = min(raised, key=lambda e: abs(e.exp.as_coeff_Mul()[0]))
    powers = {e: e.exp / least.exp for e in raised}
    if not all(n.is_Integer and n > 0 for n in powers.values()):
        return None
    e = sp.Dummy(positive=True)
    above, below = sp.fraction(sp.cancel(expr.xreplace({r: e**n for r, n in powers.items()})))
    if below.free_symbols != {e} or not above.is_polynomial(e) or not below.is_polynomial(e):
        return None
    if min(sp.Poly(below, e).coeffs()) < 0:
        return None
    above, below = sp.Poly(above, e), sp.Poly(below, e)
    shared = min(n for (n,) in above.monoms())
    coefficients = above.all_coeffs()[: above.degree() + 1 - shared]
    return Mul(least**shared, horner(coefficients, least), 1 / horner(below.all_coeffs(), least))


def _factored(expr: Expr) -> Expr:
    """Common factors in front of a sum, so that their rounding errors cannot cancel badly where the sum is near 0."""
    if not expr.args or expr.is_Boolean:
        return expr
    expr = expr.func(*(_factored(a) for a in expr.args))
    if not expr.is_Add:
        return expr
    powers = [term.as_powers_dict() for term in expr.args]
    shared = {base: min(p[base] for p in powers) for base in powers[0] if all(_is_factor(base, p) for p in powers)}
    common = Mul(*(base**n for base, n in shared.items()))
    return Mul(common, sp.Add(*(term / common for term in expr.args)))


def _is_factor(base: Expr, powers: dict[Expr, Expr]) -> bool:
    if not base.free_symbols or base.has(Piecewise):  # which may be 0, and cannot be divided out
        return False
    return base in powers and bool(powers[base].is_Integer) and powers[base] > 0


def _balanced(expr: Expr) -> Expr:
    """In sigma(u) (1 + v sigma(-u)) the 1 becomes sigma(u) + sigma(-u): where the sum is near 0, less cancels.

    Such is the slope of x sigma(u) next to its minimum, where sigma(u) is small. A product v is multiplied out, so that
    its first term meets the 1 before the others round it.
    """
    if not expr.args or expr.is_Boolean:
        return expr
    expr = expr.func(*(_balanced(a) for a in expr.args))
    if not expr.is_Mul:
        return expr
    for gate in (a for a in expr.args if isinstance(a, sigma)):
        mirror = sigma(-gate.args[0])
        for total in (a for a in expr.args if a.is_Add):
            constant, rest = total.as_independent(*total.free_symbols)
            if constant and mirror in Mul.make_args(rest):
                return expr / total * (constant * gate + sp.expand_mul(constant + rest / mirror) * mirror)
    return expr


def _damp(expr: Expr) -> Expr:
    """Ties each growing factor of a product to the factors that decay in the same variables."""
    if not expr.args:
        return expr
    expr = expr.func(*(_damp(a) for a in expr.args))
    if not expr.is_Mul:
        return expr
    decaying = [f for f in expr.args if _decays(f)]
    # What decays on one side and grows on the other is itself tied to what does not.
    both_ways = [f for f in decaying if f.has(softplus) and not _bounded(f)]
    firmly = [f for f in decaying if f not in both_ways]
    if any(f.free_symbols <= d.free_symbols for f in both_ways for d in firmly):
        expr = Mul(_damp(Mul(*(f for f in expr.args if f not in firmly))), *firmly, evaluate=False)
        decaying = firmly
    tied: dict[tuple[Expr, ...], list[Expr]] = {}
    firm = [f for f in expr.args if f in decaying or _bounded(f) or _settles(f, decaying)]
    for factor in expr.args:
        if factor not in firm:
            by = tuple(d for d in decaying if factor.free_symbols <= d.free_symbols)
            tied.setdefault(by, []).append(factor)
    loose = tied.pop((), [])
    used = {d for by in tied for d in by}
    if sum(map(len, tied)) > len(used):  # groups that share a decaying factor are one
        tied = {tuple(d for d in decaying if d in used): [f for factors in tied.values() for f in factors]}
    kept = loose + [f for f in firm if f not in used]
    return Mul(*kept, *(damped(Mul(*factors), Mul(*by)) for by, factors in tied.items()))


def _decays(expr: Expr) -> bool:
    """Whether a floating-point zero of this factor means exponential decay (an argument with a log may be slower).

    A sum decays where all its terms do, and on the same side: 3 Phi(x) + x phi(x), say.
    """
    if expr.is_Add:
        return bool(set.intersection(*map(_sides, expr.args)))
    if expr.is_Pow and expr.exp.is_positive:
        return _decays(expr.base)
    if isinstance(expr, sp.exp) or (isinstance(expr, Primitive) and expr.decays):
        return bool(expr.free_symbols) and not any(log.free_symbols for log in expr.atoms(sp.log))
    return isinstance(expr, (tanh, expm1)) and _decays(expr.args[0])


def _sides(term: Expr) -> set[int]:
    """On which sides of its argument a term of a sum decays: 1 for sigma(x), -1 for sigma(-x), both for phi(x)."""
    factors = [d for f in Mul.make_args(term) for d in (Mul.make_args(f.args[1]) if isinstance(f, damped) else [f])]
    bases = [f.base if f.is_Pow and f.exp.is_positive and f.base != sp.E else f for f in factors if _decays(f)]
    sides = ({1, -1} if isinstance(b, phi) else {-1 if b.args[0].could_extract_minus_sign() else 1} for b in bases)
    return set().union(*sides)


def _settles(factor: Expr, decaying: Sequence[Expr]) -> bool:
    """Whether the factor is made of the decaying exponentials alone, and finite where they are 0."""
    end = factor.xreplace({d: sp.Integer(0) for d in decaying if isinstance(d, sp.exp)})
    return end.is_number and bool(end.is_finite)


def _bounded(expr: Expr) -> bool:
    if expr.is_number or isinstance(expr, (sigma, Phi, phi, tanh, atan, cosatan, sp.sign, sp.sin, sp.cos, sp.erf)):
        return True
    if expr.is_Add or expr.is_Mul:
        return all(_bounded(a) for a in expr.args)
    return bool(expr.is_Pow and expr.exp.is_nonnegative and _bounded(expr.base))


class _Printer(StrPrinter):
    """Python expressions over the names in FUNCTIONS, which every Python backend defines."""

    def _print_Float(self, expr):
        return _number(expr)

    _print_Infinity = _print_NegativeInfinity = _print_Float  # noqa: N815 - SymPy looks for these names

    def parenthesize(self, item, level, strict=False):
        if isinstance(item, (sp.Eq, sp.Ne)):  # which SymPy prints as functions
            return f"({self._print(item)})"
        return super().parenthesize(item, level, strict)

    def _print_Relational(self, expr):
        left, right = (self.parenthesize(side, precedence(expr)) for side in (expr.lhs, expr.rhs))
        return f"{left} {self.relations.get(expr.rel_op, expr.rel_op)} {right}"

    relations: ClassVar = {}

    def _print_Add(self, expr, order=None):
        # The constant comes second: last, it could cancel digits of a sum that has been rounded.
        terms = self._as_ordered_terms(expr, order=order)
        if len(terms) > 2 and terms[-1].is_number:
            terms.insert(1, terms.pop())
        first, *others = (self.parenthesize(t, precedence(expr), strict=True) for t in terms)
        return first + "".join(f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in others)

    def _print_Pow(self, expr, rational=False):  # noqa: ARG002
        base, n = self._print(expr.base), expr.exp
        if n == -1:
            return f"1/{self.parenthesize(expr.base, 50, strict=False)}"
        if n.is_negative:
            return f"1/{self._print(Pow(expr.base, -n, evaluate=False))}"
        if n == Float(0.5) or n == sp.Rational(1, 2):
            return f"sqrt({base})"
        if n in (2, 3):
            return f"{'square' if n == 2 else 'cube'}({base})"
        if expr.base.is_number:
            base = self._print_base(expr.base)
        return f"power({base}, {self._print(n)})"

    def _print_base(self, number):
        return _number(number)  # no backend's power takes an integer

    def _print_Function(self, expr):
        return f"{expr.func.__name__}({', '.join(map(self._print, expr.args))})"

    _print_exp = _print_sign = _print_log = _print_sin = _print_cos = _print_erf = _print_Function

    def _print_Abs(self, expr):
        return f"absolute({self._print(expr.args[0])})"

    def _print_Piecewise(self, expr):
        *pieces, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(pieces):
            text = f"where({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_Integer(self, expr):
        # Beyond these, floats are not exact either, and some backends have no room for an integer.
        return str(int(expr)) if abs(expr) <= 1 << 53 else _number(expr)

    def _print_NegativeOne(self, expr):  # noqa: ARG002
        return "-1"


class _TritonPrinter(_Printer):
    """Python expressions for a kernel: Triton's interpreter joins no condition on one number with one on a block.

    Args:
        narrow: Names of all that is one number.
        double: Whether the kernel computes in float64.
    """

    def __init__(self, narrow: Collection[str], double: bool):
        super().__init__()
        self.narrow = narrow
        self.double = double

    def _print_Float(self, expr):
        # A bare number is taken for one of float32, but in sums and products.
        text = super()._print_Float(expr)
        return text if not self.double or _fits(sp.Rational(float(expr))) else self._print_base(expr)

    def _print_base(self, number):
        text = super()._print_base(number)
        return f"tl.full((), {text}, tl.float64)" if self.double else text

    def _print_And(self, expr):
        return self._joined("both", expr, super()._print_And)

    def _print_Or(self, expr):
        return self._joined("either", expr, super()._print_Or)

    def _joined(self, name, expr, plainly):
        narrow = [a for a in sp.ordered(expr.args) if {s.name for s in a.free_symbols} <= self.narrow]
        if not narrow or len(narrow) == len(expr.args):
            return plainly(expr)
        wide = [a for a in sp.ordered(expr.args) if a not in narrow]
        join = lambda text, condition: f"{name}({text}, {self._print(condition)})"
        return functools.reduce(join, wide[1:] + narrow, self._print(wide[0]))


class _JavaScriptPrinter(_Printer):
    """JavaScript expressions over the same names: they differ in what is said of conditions."""

    relations: ClassVar = {"==": "===", "!=": "!=="}

    def _print_And(self, expr):
        return " && ".join(f"({self._print(a)})" for a in sp.ordered(expr.args))

    def _print_Or(self, expr):
        return " || ".join(f"({self._print(a)})" for a in sp.ordered(expr.args))

    def _print_Not(self, expr):
        return f"!({self._print(expr.args[0])})"

    def _print_BooleanTrue(self, expr):  # noqa: ARG002
        return "true"

    def _print_BooleanFalse(self, expr):  # noqa: ARG002
        return "false"
