"""Tanh: the hyperbolic tangent."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.layer import Layer
from actlib.elementwise import Elementwise
from actlib.formula import primitives

x = Symbol("x", real=True)

op = Elementwise("tanh", [x], primitives.tanh(x))


def tanh(input: Tensor) -> Tensor:
    r"""Hyperbolic tangent, elementwise.

    .. math:: \tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}} = 2 \sigma(2 x) - 1

    Drop-in for `torch.tanh`. Value and slope are within 0.55 ulp on every float16 and bfloat16 number; the slope is
    computed as 4 sigma(2x) sigma(-2x) from the input, so it does not vanish before it must. Backward keeps the input.

    Source: LeCun, Bottou, Orr and Müller (1998), who prefer it to the sigmoid since it is zero-centred.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.

    Returns:
        Tensor of the same shape, dtype and memory order, with values in [-1, 1]. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
    """
    return op(input)


class Tanh(Layer):
    """`tanh` as a layer; drop-in for `torch.nn.Tanh`."""

    def __init__(self):
        super().__init__(op)


activation = Activation(
    op=op,
    function=tanh,
    layer=Tanh,
    torch=torch.tanh,
    chapter="02_tanh",
    references=("lecun1998",),
)
