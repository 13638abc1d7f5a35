"""Sigmoid: the logistic function."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise
from actlib.formula.primitives import sigma

x = Symbol("x", real=True)

op = Elementwise("sigmoid", [x], sigma(x))
from_output = FromOutput(op, y * (1 - y))


def sigmoid(input: Tensor, *, keep: str = "input") -> Tensor:
    r"""Logistic sigmoid, elementwise.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Drop-in for `torch.sigmoid`. Value and slope are within 0.55 ulp on every float16 and bfloat16 number; the slope is
    computed as sigma(x) sigma(-x) from the input, so it does not vanish before it must. Backward keeps the input,
    unless `keep` says otherwise.

    Source: Verhulst (1845), as a growth curve; Rumelhart, Hinton and Williams (1986), as an activation function.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does, but it has been rounded: the slope y (1 - y) is off by up to 0.002 in
            bfloat16 and 0.0003 in float16, and 0 from 6.25 in bfloat16, 8.33 in float16 and 17.3 in float32 on.

    Returns:
        Tensor of the same shape, dtype and memory order, with values in [0, 1]. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep)


class Sigmoid(KeepingLayer):
    """`sigmoid` as a layer; drop-in for `torch.nn.Sigmoid`."""

    def __init__(self, *, keep: str = "input"):
        super().__init__(from_output, keep)


activation = Activation(
    op=op,
    function=sigmoid,
    layer=Sigmoid,
    torch=torch.sigmoid,
    chapter="01_sigmoid",
    references=("verhulst1845", "rumelhart1986", "hochreiter1991"),
)
