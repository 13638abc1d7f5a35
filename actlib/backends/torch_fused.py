"""torch's own fused operations, for ordinary CPU tensors: the formula that each computes, and where it is exact enough.

An operation is chosen by the formula, whatever the function is called, and for data on which it meets the same bars as
the generated function. The formulas of backward are derived, here too. Everything else is generated.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from sympy import Expr, Integer, Piecewise, Symbol
from torch import Tensor

from actlib.formula.primitives import expm1, sigma, tanh

aten = torch.ops.aten
HALF = (torch.float16, torch.bfloat16)

x, value, alpha, beta = (Symbol(name, real=True) for name in ("x", "value", "alpha", "beta"))


@dataclass(frozen=True)
class Fused:
    """An operation of torch.

    Attributes:
        fits: Whether it is right for the given arguments.
        run: Computes it; given the tensors to write into, then the arguments.
    """

    fits: Callable[..., bool]
    run: Callable[..., object]


def find(symbols: Sequence[Symbol], outputs: Sequence[Expr]) -> Fused | None:
    """The operation that computes the outputs from arguments in the order of the symbols; None if there is none."""
    return _table().get(_key(symbols, outputs))


def _key(symbols: Sequence[Symbol], outputs: Sequence[Expr]) -> tuple[Expr, ...]:
    places = {s: Symbol(f"a{i}", real=True) for i, s in enumerate(symbols)}
    return (Integer(len(places)), *(e.xreplace(places) for e in outputs))


@functools.cache
def _table() -> dict[tuple[Expr, ...], Fused]:
    from actlib.elementwise import Elementwise

    table = {}
    for inputs, parameters, formula, forward, backward in (
        ([x], [], sigma(x), SIGMOID, SIGMOID_BACKWARD),
        ([x], [], tanh(x), TANH, TANH_BACKWARD),
        ([x], [], Piecewise((x, x > 0), (Integer(0), True)), RELU, RELU_BACKWARD),
        ([x], [alpha], Piecewise((x, x > 0), (alpha * expm1(x), True)), ELU, ELU_BACKWARD),
        ([x], [], x * sigma(x), SILU, SILU_BACKWARD),
        ([x], [beta], x * sigma(beta * x), SILU, SILU_BACKWARD),
        ([x, value], [beta], x * sigma(beta * x) * value, SWIGLU, SWIGLU_BACKWARD),
    ):
        op = Elementwise("f", inputs, formula, parameters)
        gradients = op.vjp(tuple(range(len(inputs))))
        table[_key(op.symbols, op.outputs)] = forward
        table[_key(gradients.symbols, gradients.outputs)] = backward
    return table


def _is_number(alpha: Tensor | float) -> bool:
    return not isinstance(alpha, Tensor)


def may_have_nan(x: Tensor) -> bool:
    """Whether NaN may be among the elements."""
    total = x.sum().item()  # NaN if one is there, or infinities of both signs; quicker than to look for NaN itself
    return total != total


def _ends(x: Tensor) -> tuple[float, float]:
    """The least and the greatest element; NaN if one is there."""
    low, high = torch.aminmax(x) if x.dtype in HALF else (x.amin(), x.amax())  # whichever torch is quick at
    return low.item(), high.item()


def _is_within(x: Tensor, bound: float) -> bool:
    """Whether all of x lies between minus the bound and the bound."""
    if x.dtype == torch.float64:
        return False
    low, high = _ends(x)
    return low > -bound and high < bound


def _bell(out: Tensor, g: Tensor, x: Tensor, scale: float) -> None:
    """g sigma(scale x) sigma(-scale x), by torch's g (1 - y) y with that y of the two that is small."""
    tail = x.float().abs().mul_(-scale).sigmoid_()
    if out.dtype in HALF:
        out.copy_(aten.sigmoid_backward(g.float(), tail).mul_(scale * scale))
    else:
        aten.sigmoid_backward.grad_input(g, tail, grad_input=out)
        if scale != 1:
            out.mul_(scale * scale)


def _silu_fits(x: Tensor, *beta: Tensor | float) -> bool:
    """Below, torch's 1 + exp(-x) overflows although sigma(x) is no zero yet; and it makes NaN of infinity."""
    if any(isinstance(b, Tensor) or b != 1 for b in beta) or x.dtype == torch.float64:
        return False
    low, high = _ends(x)
    return low > -87 and high < torch.inf


def _silu_backward_fits(g: Tensor, x: Tensor, *beta: Tensor | float) -> bool:  # noqa: ARG001
    """torch's 1 - sigma(x) has lost digits that float32 would show."""
    return x.dtype in HALF and _silu_fits(x, *beta)


def _swiglu(out: Tensor, gate: Tensor, value: Tensor, beta: float) -> None:  # noqa: ARG001
    if out.dtype in HALF:
        out.copy_(aten.silu_(gate.float()).mul_(value.float()))
    else:
        aten.silu.out(gate, out=out).mul_(value)


def _swiglu_backward(to_gate: Tensor, to_value: Tensor, g: Tensor, gate: Tensor, value: Tensor, beta: float) -> None:  # noqa: ARG001
    g, gate, value = g.float(), gate.float(), value.float()
    to_value.copy_(aten.silu(gate).mul_(g))
    to_gate.copy_(aten.silu_backward(value.mul_(g), gate))


SIGMOID = Fused(lambda x: _is_within(x, 87), lambda out, x: torch.sigmoid(x, out=out))
SIGMOID_BACKWARD = Fused(lambda g, x: _is_within(x, 87), lambda out, g, x: _bell(out, g, x, 1))  # noqa: ARG005
TANH = Fused(lambda x: x.dtype not in HALF, lambda out, x: torch.tanh(x, out=out))  # whose half is slow
TANH_BACKWARD = Fused(lambda g, x: _is_within(x, 43), lambda out, g, x: _bell(out, g, x, 2))  # noqa: ARG005
RELU = Fused(lambda x: True, lambda out, x: torch.clamp(x, min=0, out=out))  # noqa: ARG005
RELU_BACKWARD = Fused(
    lambda g, x: not may_have_nan(x),  # noqa: ARG005
    lambda out, g, x: aten.threshold_backward.grad_input(g, x, 0, grad_input=out),
)
ELU = Fused(lambda x, alpha: _is_number(alpha), lambda out, x, alpha: aten.elu.out(x, alpha, out=out))  # noqa: ARG005
ELU_BACKWARD = Fused(
    lambda g, x, alpha: _is_number(alpha) and not may_have_nan(x),  # noqa: ARG005
    lambda out, g, x, alpha: aten.elu_backward.grad_input(g, alpha, 1, 1, False, x, grad_input=out),
)
SILU = Fused(_silu_fits, lambda out, x, *beta: aten.silu.out(x, out=out))  # noqa: ARG005
SILU_BACKWARD = Fused(
    _silu_backward_fits,
    lambda out, g, x, *beta: aten.silu_backward.grad_input(g, x, grad_input=out),  # noqa: ARG005
)
SWIGLU = Fused(lambda gate, value, beta: _silu_fits(gate, beta), _swiglu)  # noqa: ARG005
SWIGLU_BACKWARD = Fused(
    lambda g, gate, value, beta: _silu_backward_fits(g, gate, beta),  # noqa: ARG005
    _swiglu_backward,
)
