"""What a typed formula is worth: derivative, code, properties and the three principles, one part after another.

The explorer runs this in the reader's browser. Each part is a dictionary that JSON can hold, given out as soon as it is
found, so that what comes late holds nothing up. A value is a list of pieces, ("text", words) or ("latex", formula).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import mpmath
import sympy as sp
from sympy import Expr, Float, Rational, Symbol, oo

from actlib.formula import analysis
from actlib.formula.parser import parse, x
from actlib.formula.primitives import cosatan, derivative, elementary, phi, scaled, stable
from actlib.formula.source import FUNCTIONS, check, javascript_source, torch_source, triton_source
from actlib.formula.steps import steps

__all__ = ["report"]

HOLDS, IN_PART, FAILS = "holds", "holds in part", "does not hold"

FAILURES = (ValueError, ArithmeticError, NotImplementedError, TypeError)

MOST_ITEMS = 6
"""Extrema or intervals that are listed."""

Pieces = list[tuple[str, str]]


def report(text: str, values: Mapping[str, float] | None = None) -> Iterator[dict]:
    """The parts, in order: "formula", "code", a "row" for each property, a "principle" for each of three.

    A row says how it is known: "exact", "certified" (all digits are certain), "computed" or "refused".

    Args:
        text: The formula, for `parser.parse`.
        values: Of its parameters; 1 where none is given. Properties and principles are those at these values.

    Yields:
        Dictionaries with the key "part" and what belongs to it.

    Raises:
        FormulaError: The text is no formula.
        ValueError: A function in it has no implementation.
    """
    formula = parse(text)
    check(formula)
    parameters = sorted(formula.free_symbols - {x}, key=lambda s: s.name)
    slope, second = derivative(formula, x), derivative(formula, x, x)
    given = {s: Rational(str((values or {}).get(s.name, 1))) for s in parameters}
    yield {
        "part": "formula",
        "latex": _latex(formula),
        "slope": _latex(slope),
        "second": _latex(second),
        "steps": [{"rule": s.rule, "latex": _step(s.part, s.slope)} for s in steps(formula, x)],
        "parameters": {s.name: float(given[s]) for s in parameters},
        "javascript": javascript_source("own", (x, *parameters), [formula, slope, second]),
    }
    yield {"part": "code", "code": _code(text, formula, parameters)}
    here = formula.subs(given)
    try:
        analysis.limits(here, x)
    except ValueError as error:
        if "expected is a real number" in str(error) or "expected are real numbers" in str(error):
            yield {"part": "problem", "message": f"No function of all real numbers: {error}."}
            return
    for label, find in ROWS.items():
        value, known = _tried(find, here)
        yield {"part": "row", "label": label, "value": value, "known": known}
    for label, judge in PRINCIPLES.items():
        try:
            verdict, value = judge(here)
        except FAILURES as error:
            verdict, value = "", [("text", f"not decided: {error}")]
        yield {"part": "principle", "label": label, "verdict": verdict, "value": value}


def _step(part: Expr, slope: Expr) -> str:
    shown = _latex(part) if part.is_Atom or isinstance(part, sp.Function) else rf"\left({_latex(part)}\right)"
    return rf"\frac{{d}}{{dx}} {shown} = {_latex(slope)}"


def _tried(find: Callable[[Expr], tuple[Pieces, str]], formula: Expr) -> tuple[Pieces, str]:
    """What is found, and how it is known: "exact", "certified", "computed" without a bound of the error, "refused"."""
    try:
        return find(formula)
    except FAILURES as error:
        return [("text", f"not found: {error}")], "refused"


def _code(text: str, formula: Expr, parameters: list[Symbol]) -> dict[str, str]:
    """What to type for it in actlib, and the sources that this generates, forward and backward; ready to run."""
    arguments = (x, *parameters)
    taken = {s.name for s in arguments}
    g = Symbol(next(name for name in ("g", "g1", "g2", "g3", "g4", "g5") if name not in taken), real=True)
    backward = [scaled(g, derivative(formula, s)) for s in arguments]
    numbers = ("number",) * len(parameters)
    named = ", ".join(f'Symbol("{s.name}", real=True)' for s in parameters)
    runner = "from actlib.backends.{}_runner import PRIMITIVES\n\nglobals().update(PRIMITIVES)  # what it calls\n"
    return {
        "actlib": "\n".join(
            [
                *(["from sympy import Symbol\n"] if parameters else []),
                "from actlib import Elementwise",
                "from actlib.formula.parser import parse, x\n",
                f'own = Elementwise("own", [x], parse({text!r}){f", [{named}]" if named else ""})',
            ]
        ),
        "torch": "\n\n".join(
            [
                runner.format("torch"),
                torch_source("own", arguments, [formula]),
                torch_source("own_backward", (g, *arguments), backward),
            ]
        ),
        "triton": "\n\n".join(
            [
                "import triton\nimport triton.language as tl\n" + runner.format("triton"),
                triton_source("own_kernel", arguments, [formula], ("full", *numbers)),
                triton_source("own_backward_kernel", (g, *arguments), backward, ("full", "full", *numbers)),
            ]
        ),
        "javascript": _with_imports(javascript_source("own", arguments, [formula])),
    }


def _with_imports(javascript: str) -> str:
    """The code, with the primitives that it calls."""
    called = sorted(set(re.findall(r"\w+(?=\()", javascript)) & set(FUNCTIONS))
    return f'import {{ {", ".join(called)} }} from "./primitives.js";\n\n{javascript}' if called else javascript


# Properties


def _limits(f: Expr) -> tuple[Pieces, str]:
    low, high = analysis.limits(f, x)
    return [("text", "at −∞: "), *_number(low), ("text", "; at ∞: "), *_number(high)], analysis.known((low, high))


def _range(f: Expr) -> tuple[Pieces, str]:
    found = analysis.value_range(f, x)
    return [("latex", _latex(found))], analysis.known(found)


def _extrema(f: Expr) -> tuple[Pieces, str]:
    found = analysis.extrema(f, x)
    shown = [
        [("text", f"{e.kind} "), *_number(e.value), ("text", " at "), ("latex", "x"), ("text", " = "), *_number(e.x)]
        for e in found
    ]
    return [*(_joined(shown) or [("text", "none")]), *_families(e.x for e in found)], analysis.known(found)


def _monotone(f: Expr) -> tuple[Pieces, str]:
    words = {1: "rises on ", -1: "falls on ", 0: "constant on "}
    found = analysis.monotone_intervals(f, x)
    shown = [[("text", words[s]), ("latex", _latex(i))] for i, s in found]
    return [*_joined(shown), *_families(i for i, _ in found)], analysis.known(found)


def _families(places: Iterable[sp.Basic]) -> Pieces:
    """Words for the integer that counts the periods, if there is one."""
    periodic = any(s.is_integer for place in places for s in place.free_symbols)
    return [("text", ", for every integer "), ("latex", "n")] if periodic else []


def _lipschitz(f: Expr) -> tuple[Pieces, str]:
    bound = analysis.lipschitz(f, x)
    if bound.value == oo:
        return [("text", "none: the slope is unbounded")], "exact"
    return [*_number(bound.value), ("text", "" if bound.reached else ", approached and not reached")], analysis.known(
        bound
    )


def _smoothness(f: Expr) -> tuple[Pieces, str]:
    order = analysis.smoothness(f, x)
    if order == oo:
        return [("text", "smooth")], "exact"
    found = [k.x for k in analysis.kinks(f, x) if k.order == order]
    words = {-1: "not continuous: jumps at ", 0: "continuous; the slope jumps at ",
             1: "continuous with its slope; the second derivative jumps at "}  # fmt: skip
    said = words.get(order, f"continuous with {order} derivatives; the next jumps at ")
    return [("text", said), *_joined([_number(place) for place in found]), *_families(found)], analysis.known(found)


def _mean_square(f: Expr) -> tuple[Pieces, str]:
    """E f'(Z)^2 for a standard normal Z, by the midpoint rule, which a jump at a round number does not disturb."""
    slope = stable(derivative(f, x))
    function = sp.lambdify(x, elementary(slope) ** 2 * elementary(phi(x)), "mpmath")
    points = ((mpmath.mpf(i) + 0.5) / 32 for i in range(-256, 256))
    return [("latex", _decimal(float(sum(function(p) for p in points) / 32)))], "computed"


def _symmetry(f: Expr) -> tuple[Pieces, str]:
    words = {"odd": "odd, and so zero-centred", "even": "even", None: "neither odd nor even"}
    try:
        return [("text", words[analysis.parity(f, x)])], "exact"
    except analysis.NoMethodError:
        return [("text", "no symmetry is proved")], "refused"


ROWS: dict[str, Callable[[Expr], tuple[Pieces, str]]] = {
    "limits": _limits,
    "range": _range,
    "extrema": _extrema,
    "monotone": _monotone,
    "Lipschitz constant": _lipschitz,
    "smoothness": _smoothness,
    "symmetry": _symmetry,
    "mean square of the slope": _mean_square,
}
"""The properties, by what they are called."""


# The three principles


def _nonlinear(f: Expr) -> tuple[str, Pieces]:
    kinked = bool(analysis.kinks(f, x))
    if not kinked and analysis.equal(derivative(f, x, x), 0):
        return FAILS, [("text", "affine: layers between which it stands are one layer")]
    plain = elementary(f)
    if not kinked and plain.is_polynomial(x):
        return IN_PART, [("text", "a polynomial: not affine, but one hidden layer of it cannot approximate everything")]
    return HOLDS, [("text", "neither affine nor a polynomial")]


def _is_monotone(f: Expr) -> tuple[str, Pieces]:
    """By the share of standard normal inputs for which the function goes against its direction."""
    shares = {1: mpmath.mpf(0), -1: mpmath.mpf(0), 0: mpmath.mpf(0)}
    for interval, sign in analysis.monotone_intervals(f, x):
        for low, high in _ends(interval):
            shares[sign] += mpmath.ncdf(high) - mpmath.ncdf(low)
    jumps = {1 if k.jump.evalf() > 0 else -1 for k in analysis.kinks(f, x) if k.order < 0}
    rises, falls = bool(shares[1]) or 1 in jumps, bool(shares[-1]) or -1 in jumps
    if not (rises and falls):
        word = "increasing" if rises else "decreasing" if falls else "constant"
        return HOLDS, [("text", word if shares[0] or not (rises or falls) else f"strictly {word}")]
    less, word = min((shares[-1], "falls"), (shares[1], "rises"))
    verdict = IN_PART if less < mpmath.mpf("0.25") else FAILS
    return verdict, [("text", f"{word} for {mpmath.nstr(100 * less, 3)}% of standard normal inputs")]


def _ends(interval: sp.Interval) -> Iterator[tuple[mpmath.mpf, mpmath.mpf]]:
    """The ends of an interval; of one in each period, those of all that are not far out in the tails."""
    counts = [s for s in interval.free_symbols if s.is_integer]
    if not counts:
        yield _float(interval.start), _float(interval.end)
        return
    (n,) = counts
    first, last = (_float(end.subs(n, 0)) for end in (interval.start, interval.end))
    period = _float(interval.start.coeff(n))
    for k in range(-int(9 / period) - 2, int(9 / period) + 2):
        yield first + k * period, last + k * period


def _gradients(f: Expr) -> tuple[str, Pieces]:
    slope = derivative(f, x)
    if not analysis.equal(slope, 0):
        vanishing = [s.end for s in analysis.saturation(f, x) if s.saturates]
        if analysis.lipschitz(f, x).value == oo:
            return IN_PART, [("text", "the slope is unbounded, so gradients can explode")]
        ends = {0: "vanishes at neither end", 2: "vanishes at both ends"}
        words = ends.get(len(vanishing)) or f"vanishes towards {'∞' if vanishing[0] == oo else '−∞'}"
        return (HOLDS, IN_PART, FAILS)[len(vanishing)], [("text", f"the slope {words}")]
    return FAILS, [("text", "the slope is 0: no gradient passes")]


PRINCIPLES: dict[str, Callable[[Expr], tuple[str, Pieces]]] = {
    "monotone": _is_monotone,
    "nonlinear": _nonlinear,
    "good gradients": _gradients,
}
"""The three principles of the first chapter, made exact as there."""


# Words and numbers


def _float(value: Expr) -> mpmath.mpf:
    return mpmath.inf if value == oo else mpmath.ninf if value == -oo else mpmath.mpf(value.evalf(20))


def _number(value: Expr) -> Pieces:
    """A number in closed form, with decimals if it needs them; or decimals alone, and that no closed form is known."""
    if isinstance(value, sp.AccumBounds):
        return [("text", "none, between "), *_number(value.min), ("text", " and "), *_number(value.max)]
    if value.is_Rational or value in (oo, -oo):
        return [("latex", _latex(value))]
    if value.has(Float):
        shown = _decimal(value) if not value.free_symbols else _latex(value)
        return [("latex", shown), ("text", " (no closed form found)")]
    if value.free_symbols:
        return [("latex", _latex(value))]
    return [("latex", rf"{_latex(value)} \approx {_decimal(value)}")]


def _decimal(value: Expr | float) -> str:
    return sp.latex(Float(sp.sympify(value).evalf(30), 6))


def _joined(items: list[Pieces]) -> Pieces:
    more = [[("text", f"and {len(items) - MOST_ITEMS} more")]] if len(items) > MOST_ITEMS else []
    shown = items[:MOST_ITEMS] + more
    return [piece for i, item in enumerate(shown) for piece in ([("text", "; ")] if i else []) + item]


def _latex(expr: sp.Basic) -> str:
    """Of an expression; what is a power in print becomes one before, so that products with it are fractions."""
    shown = expr.xreplace({f: Float(f, 6) for f in expr.atoms(Float)}).replace(cosatan, lambda u: 1 / sp.sqrt(1 + u**2))
    return sp.latex(shown)
