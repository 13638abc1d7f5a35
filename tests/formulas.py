"""Formulas made up for the tests, of every kind that Elementwise must carry; the registry's; what is told of any."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import sympy as sp
import torch
from sympy import Piecewise, Rational, symbols

from actlib import ACTIVATIONS, Elementwise, elementwise
from actlib.activations.activation import Activation
from actlib.formula import analysis
from actlib.formula.analysis import deadline
from actlib.formula.analysis.refusals import ArgumentError
from actlib.formula.primitives import Phi, asinh, atan, expm1, sigma, softplus, tanh

of_machine_code = pytest.mark.skipif(
    elementwise.llvm_runner() is None or torch.float32 not in elementwise.llvm_runner().DTYPES,
    reason="of machine code for the CPU, which needs LLVM and fused steps",
)
"""Without it, torch's operations compute, in float64 as they do it."""

x, y, z = symbols("x y z", real=True)
alpha, beta = symbols("alpha beta", real=True)


@dataclass(frozen=True)
class Case:
    """An operation and one value for each of its parameters."""

    op: Elementwise
    values: tuple[float, ...] = ()


CASES = {
    "one input": Case(Elementwise("wave", [x], sp.sin(x) * sp.exp(-(x**2)))),
    "two inputs": Case(Elementwise("gated", [x, y], x * sigma(x) * y)),
    "three inputs": Case(Elementwise("triple", [x, y, z], x * tanh(y) + softplus(z))),
    "parameter": Case(Elementwise("swish", [x], x * sigma(beta * x), [beta]), (1.25,)),
    "two parameters": Case(Elementwise("bent", [x], alpha * tanh(x) + beta * x**2, [alpha, beta]), (0.5, -0.75)),
    "kink": Case(Elementwise("leaky", [x], Piecewise((x, x > 0), (alpha * x, True)), [alpha]), (0.125,)),
    "kink and curve": Case(Elementwise("elu", [x], Piecewise((x, x > 0), (alpha * expm1(x), True)), [alpha]), (1.5,)),
    "several outputs": Case(Elementwise("pair", [x], [sigma(x), x**2 * tanh(x)])),
    "several of both": Case(Elementwise("mixed", [x, y], [x * y, x - y, Phi(x) * y])),
    "constant output": Case(Elementwise("line", [x], [2 * x, sp.Integer(3)])),
    "product with a density": Case(Elementwise("gelu", [x], x * Phi(x))),
    "cubic inside": Case(
        Elementwise("gelu_tanh", [x], x * sigma(2 * sp.sqrt(2 / sp.pi) * (x + Rational(44715, 10**6) * x**3)))
    ),
    "inverses": Case(Elementwise("inverses", [x], [asinh(x) * atan(x), sp.sinh(x) / sp.cosh(2 * x)])),
    "nested": Case(Elementwise("mish", [x], x * tanh(softplus(x)))),
}
"""By what each of them is an example of."""


ELEMENTWISE = [a for a in ACTIVATIONS.values() if a.op is not None]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=lambda a: a.name)
every_elementwise = pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)


def values(activation: Activation) -> list[float]:
    """The value of each parameter of the formula where the caller gives none."""
    return [activation.defaults[s.name] for s in activation.op.parameters]


def applied(activation: Activation) -> Callable:
    """The operation as a function of its inputs alone."""
    return lambda *inputs: activation.op(*inputs, *values(activation))


REFUSED, WRONG = analysis.RefusedError, ArgumentError


def told(question: str, *args: object) -> object:
    """What a question of the analysis answers, or REFUSED or WRONG, the kind of its error; never much too late."""
    begun = time.monotonic()
    try:
        return getattr(analysis, question)(*args)
    except analysis.RefusedError:
        return REFUSED
    except ArgumentError:
        return WRONG
    finally:
        assert time.monotonic() - begun < 1.5 * deadline.SECONDS  # the machine may be busy


def compared(left: sp.Expr, right: sp.Expr) -> bool | str | None:
    """Whether two formulas are told to be equal: "wherever" for those that are equal wherever both have a value."""
    found = told("equality_of", left, right)
    assert ("wherever both have a value" in found.how) is not found.everywhere
    return found.holds if found.everywhere else "wherever"
