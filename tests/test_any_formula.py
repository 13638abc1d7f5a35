"""Whatever Elementwise accepts runs in every type and on every backend; the rest is refused when it is made."""

import gc
import importlib.metadata
import linecache
import weakref

import pytest
import sympy as sp
import torch
from sympy import Abs, Eq, Max, Ne, Piecewise, Rational, Symbol, symbols
from torch.autograd import grad

from actlib import Elementwise
from actlib.backends import llvm_runner
from actlib.formula.primitives import sigma, tanh
from actlib.formula.source import DEEPEST, triton_source

x, y, p, q = symbols("x y p q", real=True)
POINTS = torch.tensor([-1.5, -0.0, 0.0, 0.7, 2.0], dtype=torch.float64)


def nested(function, depth, argument=x):
    return nested(function, depth - 1, function(argument)) if depth else argument


FORMULAS = {
    "sinc": (Piecewise((1, Eq(x, 0)), (sp.sin(x) / x, True)),),
    "sinc the other way": (Piecewise((sp.sin(x) / x, Ne(x, 0)), (1, True)),),
    "conditions joined": (Piecewise((1, Eq(x, 0) & (p > 0)), (x, (x > 1) | ~((x > 0) & (p < 3))), (2, True)), p),
    "a condition on a parameter": (Piecewise((x, p > 0), (2 * x, True)), p),
    "constants by a parameter": (Piecewise((1, p > 0), (2, True)), p),
    "a function of constants by cases": (sp.exp(Piecewise((1, x > 0), (2, True))),),
    "functions of parameters alone": (x + sp.exp(p) * sp.sin(p) + sp.sqrt(p) + p**q, p, q),
    "parameters alone": (sp.exp(p) + sigma(p), p),
    "a learnt exponent": (x**p, p),
    "a root beside an exponential": (sp.exp(x) / sp.sqrt(1 + sp.exp(2 * x)),),
    "a cube root beside one": (sp.exp(x) / (1 + sp.exp(x)) ** Rational(1, 3),),
    "an exponent of cases": (Max(x, 0) ** p, p),
    "a number raised": (2**p * x + sp.Integer(0) ** p, p),
    "Bouc and Wen": (x / (1 + Abs(x) ** p) ** (1 / p), p),
    "a root of cases": (sp.sqrt(Max(x, 0)),),
    "a logarithm of cases": (sp.log(1 + Max(x, 0)),),
    "fractional exponents": (x ** Rational(5, 2) + x ** Rational(1, 3) + x**-1.5,),
    "large exponents": (x**400 + x**-7 + x**999983,),
    "infinity": (Piecewise((-sp.oo, x < 0), (x, True)),),
    "a number beyond floats": (x * 10**400 + x / 10**400,),
    "many terms": (sp.Add(*(sp.sin(i * x) for i in range(1, 200))),),
    "many cases": (Piecewise(*((i * x + sp.sin(x), x < i) for i in range(-110, 110)), (x, True)),),
    "deep": (nested(sp.sin, 24),),
    "three are compared": (Max(x, y, 0) - sp.Min(x, p), p),
    "a step": (sp.Heaviside(x) * x,),
    "constants with names": (sp.pi * x + sp.E + sp.EulerGamma + sp.GoldenRatio,),
    "a number": (sp.Integer(3),),
}
NAMES = ["σ", "sigma", "tl", "x", "where", "print"]
SYMBOLS = ["x", "x_ptr", "x_inner", "x_size", "paired_sigma", "both", "ﬁ", "fi", "out", "t0", "lambda", "n", "α"]
COMPILED_LONG = ("many cases", "many terms", "deep")


def made(name):
    formula, *parameters = FORMULAS[name]
    return Elementwise("made", [x, y] if formula.has(y) else [x], formula, parameters)


def everything(op, inputs, parameters):
    """Value and derivatives of two orders."""
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    parameters = [v.clone().requires_grad_() if isinstance(v, torch.Tensor) else v for v in parameters]
    moving = [*inputs, *(v for v in parameters if isinstance(v, torch.Tensor))]
    results = [op(*inputs, *parameters)]
    for _ in range(2):
        if not any(r.requires_grad for r in results[-1:]):
            break
        total = results[-1].double().sum()
        results.append(grad(total, moving, create_graph=True, allow_unused=True, materialize_grads=True)[0])
    return [r.detach() for r in results]


def assert_finds(op, ours, dtype, parameters):
    """The value agrees with SymPy's at the points."""
    names = (*op.inputs, *op.parameters)
    for i, found in enumerate(ours[0].double().tolist()):
        point = POINTS.to(dtype).double()[i].item()
        given = dict(zip(names, [point] * len(op.inputs) + list(parameters), strict=True))
        truth = sp.sympify(op.outputs[0]).subs(given).evalf(30)
        if truth.is_extended_real:
            expected = torch.tensor(float(truth), dtype=torch.float64).to(dtype).double().item()
            assert found == pytest.approx(expected, rel=0.02 if dtype == torch.bfloat16 else 1e-4, abs=1e-3), (i, truth)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_runs_in_every_type(name, dtype):
    if name in COMPILED_LONG and dtype not in (torch.float32, torch.float64):
        pytest.skip("half precision is computed in float32, and it takes long")
    op, numbers = made(name), [1.5, 0.75][: len(FORMULAS[name]) - 1]
    inputs = [POINTS.to(dtype)] * len(op.inputs)
    ours = everything(op, inputs, numbers)
    assert {r.dtype for r in ours} == {dtype}
    if dtype != torch.float16 and name not in (*COMPILED_LONG, "large exponents", "a number beyond floats"):
        assert_finds(op, ours, dtype, numbers)
    for given in (map(torch.tensor, numbers), (torch.full((5,), n) for n in numbers)):
        again = everything(op, inputs, list(given))
        for a, b in zip(ours[:2], again[:2], strict=False):
            torch.testing.assert_close(a, b, rtol=0.02, atol=0.02, equal_nan=True)


def interprets_no_conditions():
    version = importlib.metadata.version("triton")
    return version.startswith("3.3.") and not torch.cuda.is_available()


@pytest.mark.parametrize("kind", ["number", "one", "full"])
@pytest.mark.parametrize("name", FORMULAS)
def test_runs_as_a_kernel(name, kind, by_kernel):
    if name in COMPILED_LONG and kind != "number":
        pytest.skip("it has no parameters")
    if name in ("conditions joined", "many cases") and interprets_no_conditions():
        pytest.skip("the interpreter of Triton 3.3 knows no type of conditions")
    op, numbers = made(name), [1.5, 0.75][: len(FORMULAS[name]) - 1]
    given = {
        "number": numbers,
        "one": [torch.tensor(n) for n in numbers],
        "full": [torch.full((3,), n) for n in numbers],
    }[kind]
    inputs = [POINTS[2:].float()] * len(op.inputs)  # of -0, torch's power is infinite in either direction
    ours, theirs = by_kernel(everything, op, inputs, given), everything(op, inputs, given)
    if name != "large exponents":  # whose slopes are many products, each rounded
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
@pytest.mark.parametrize("name", [n for n in FORMULAS if n not in COMPILED_LONG])
def test_runs_in_a_recorded_graph(name):
    op, numbers = made(name), [1.5, 0.75][: len(FORMULAS[name]) - 1]
    inputs = [POINTS] * len(op.inputs)
    traced = torch.jit.trace(lambda *ts: op(*ts, *numbers), tuple(inputs))
    torch.testing.assert_close(traced(*inputs), op(*inputs, *numbers), equal_nan=True)


def test_runs_as_deep_as_it_may_be():
    op, leaf = Elementwise("deepest", [x], nested(sp.sin, DEEPEST - 1)), POINTS.clone().requires_grad_()
    slope = grad(op(leaf).sum(), leaf)[0]
    expected = nested(torch.sin, DEEPEST - 1, leaf)
    torch.testing.assert_close(op(leaf), expected)
    torch.testing.assert_close(slope, grad(expected.sum(), leaf)[0])


def test_slopes_of_learnt_exponents():
    """At 0, where SymPy's own p x^p / x is none; below 0, where a power of max(x, 0) is constant."""
    given = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    for exponent, slope in ((1.0, 1.0), (2.0, 0.0), (3.5, 0.0), (0.5, torch.inf)):
        leaves = [t.clone().requires_grad_() for t in (given[:2], torch.full((2,), exponent, dtype=torch.float64))]
        first, rate = grad(made("a learnt exponent")(*leaves).sum(), leaves)
        assert first.tolist() == [slope, exponent]
        assert rate.tolist() == [0, 0]
    for exponent in (1.0, 2.0, 3.5):
        leaves = [t.clone().requires_grad_() for t in (given, torch.full((3,), exponent, dtype=torch.float64))]
        first, rate = grad(made("Bouc and Wen")(*leaves).sum(), leaves)
        assert first[0].item() == 1
        assert rate[0].item() == 0
        assert torch.autograd.gradcheck(made("Bouc and Wen"), [t.detach()[1:].requires_grad_() for t in leaves])
        first, rate = grad(made("an exponent of cases")(*leaves).sum(), leaves)
        assert first.tolist() == [0, exponent, 0]
        assert rate.tolist() == [0, 0, 0]
    for name in ("a root of cases", "a logarithm of cases"):
        leaf = torch.tensor([-2.0, -1.0, 4.0], requires_grad=True)
        assert grad(made(name)(leaf).sum(), leaf)[0].tolist() == pytest.approx([0, 0, 0.25 if "root" in name else 0.2])


@pytest.mark.parametrize("name", NAMES)
def test_names_of_functions(name):
    torch.testing.assert_close(Elementwise(name, [x], x * sigma(x))(POINTS), POINTS * POINTS.sigmoid())


def test_names_of_symbols(by_kernel):
    given = [Symbol(name) for name in SYMBOLS]
    op = Elementwise("total", given, sum(s * sigma(s) * sigma(-s) for s in given))
    inputs = [torch.randn(7) for _ in given]
    expected = sum(t * t.sigmoid() * (-t).sigmoid() for t in inputs)
    torch.testing.assert_close(op(*inputs), expected)
    torch.testing.assert_close(by_kernel(op, *inputs), expected)
    assert triton_source("total", given, op.outputs, ["channel"] * len(given))


REFUSED = {
    "imaginary": (("f", [x], sp.I * x), "a formula has real values, but I came"),
    "of no real value": (("f", [x], x + sp.log(-1)), r"a formula has real values, but I\*pi came"),
    "undefined": (("f", [x], sp.nan * x), "real values, but nan came"),
    "infinite in all directions": (("f", [x], sp.zoo), "real values, but zoo came"),
    "an unknown function": (("f", [x], sp.gamma(x)), "no backend implements gamma"),
    "steps": (("f", [x], sp.floor(x)), "flat between its jumps"),
    "a function without meaning": (("f", [x], sp.Function("sigma")(x)), "no backend implements sigma"),
    "not computed": (("f", [x], sp.Derivative(sp.gamma(x), x)), "Derivative.* came"),
    "an integral": (("f", [x], sp.Integral(sp.exp(-(x**2)), x)), "Integral.* came"),
    "text": (("f", [x], "x**2"), "formulas come in a sequence, but 'x\\*\\*2' came, of str"),
    "texts": (("f", [x], ["x**2"]), "a formula is a SymPy expression or a number, but 'x\\*\\*2' came, of str"),
    "a relation": (("f", [x], x > 0), "formulas come in a sequence, but x > 0 came"),
    "no inputs": (("f", None, x), "inputs come in a sequence, but None came"),
    "a word of Python's": (("lambda", [x], x), "identifier, but 'lambda' came, a word of Python's own"),
    "a ligature": (("ﬁ", [x], x), "Python would read the name 'ﬁ' as another: 'fi'"),
    "a gap": (("f", [x], Piecewise((x, x > 1))), r"leave a gap; end with \(expression, True\)"),
    "exclusive or": (("f", [x], Piecewise((x, sp.Xor(x > 0, y > 0)), (0, True)), [y]), "conditions compare"),
    "a truth value": (("f", [x], Piecewise((x, Symbol("b")), (0, True)), [Symbol("b")]), "conditions compare.* b came"),
    "an imaginary symbol": (("f", [Symbol("z", imaginary=True)], sp.Integer(1)), r"real numbers, but \[z\] came"),
    "symbols that do not commute": (("f", [Symbol("z", commutative=False)], sp.Integer(1)), r"but \[z\] came"),
    "too deep": (("f", [x], nested(sp.sin, DEEPEST + 1)), f"nested {DEEPEST + 2} deep, came"),
    "too large": (("f", [x], nested(lambda e: e * sigma(e), 14)), "of 40959 parts"),
    "an endless exponent": (("f", [x], x ** (10**9)), "an exponent is at most 1048576, but 1000000000 came"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_when_it_is_made(name):
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        Elementwise(*arguments)


def test_what_is_made_goes_with_its_function():
    """Machine code, kernels' sources and derivatives: a thousand trial formulas leave nothing."""
    kept = []

    def use(number):
        op = Elementwise("trial", [x], tanh(x) * Rational(number, 7))
        leaf = torch.randn(3, requires_grad=True)
        op(leaf).sum().backward()
        op(leaf.double()).sum().backward()
        kept.extend(map(weakref.ref, (op, *op._machine_code.values(), op._function, op.vjp((0,)))))

    use(0)
    gc.collect()
    compiled, lines = len(llvm_runner.KERNELS), len(linecache.cache)
    for number in range(1, 6):
        use(number)
    gc.collect()
    assert len(kept) == 24
    assert not any(reference() for reference in kept)
    assert len(llvm_runner.KERNELS) == compiled
    assert len(linecache.cache) == lines


def test_functions_of_one_formula_share_its_machine_code():
    ops = [Elementwise("shared", [x], tanh(x) + 5) for _ in range(2)]
    for op in ops:
        op(torch.randn(3))
    assert [*ops[0]._machine_code.values()] == [*ops[1]._machine_code.values()]


def test_lines_are_those_of_the_function_itself():
    first, second = (Elementwise("namesake", [x], tanh(x) + n) for n in (2, 3))
    files = [op._function.__code__.co_filename for op in (first, second)]
    assert files[0] != files[1]
    assert [linecache.getline(f, 2).strip() for f in files] == ["return tanh(x) + 2", "return tanh(x) + 3"]
