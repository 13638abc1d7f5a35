"""Tanh: the hyperbolic tangent."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise
from actlib.formula import primitives

x = Symbol("x", real=True)

op = Elementwise("tanh", [x], primitives.tanh(x))
from_output = FromOutput(op, (1 - y) * (1 + y))


def tanh(input: Tensor, *, keep: str = "input") -> Tensor:
    r"""Hyperbolic tangent, elementwise.

    .. math:: \tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}} = 2 \sigma(2 x) - 1

    Drop-in for `torch.tanh`. Value and slope are within 0.55 ulp on every float16 and bfloat16 number; the slope is
    computed as 4 sigma(2x) sigma(-2x) from the input, so it does not vanish before it must. Backward keeps the input,
    unless `keep` says otherwise.

    Source: LeCun, Bottou, Orr and Müller (1998), who prefer it to the sigmoid since it is zero-centred.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does, but it has been rounded: the slope (1 - y) (1 + y) is off by up to 0.004 in
            bfloat16 and 0.0005 in float16, and 0 from 3.47 in bfloat16, 4.51 in float16 and 9.01 in float32 on.

    Returns:
        Tensor of the same shape, dtype and memory order, with values in [-1, 1]. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep)


class Tanh(KeepingLayer):
    """`tanh` as a layer; drop-in for `torch.nn.Tanh`."""

    def __init__(self, *, keep: str = "input"):
        super().__init__(from_output, keep)


activation = Activation(
    op=op,
    function=tanh,
    layer=Tanh,
    torch=torch.tanh,
    chapter="02_tanh",
    references=("lecun1998",),
)
