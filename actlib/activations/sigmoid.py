"""Sigmoid: the logistic function."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.layer import Layer
from actlib.elementwise import Elementwise
from actlib.formula.primitives import sigma

x = Symbol("x", real=True)

op = Elementwise("sigmoid", [x], sigma(x))


def sigmoid(input: Tensor) -> Tensor:
    r"""Logistic sigmoid, elementwise.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Drop-in for `torch.sigmoid`. Value and slope are within 0.55 ulp on every float16 and bfloat16 number; the slope is
    computed as sigma(x) sigma(-x) from the input, so it does not vanish before it must. Backward keeps the input.

    Source: Verhulst (1845), as a growth curve; Rumelhart, Hinton and Williams (1986), as an activation function.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.

    Returns:
        Tensor of the same shape, dtype and memory order, with values in [0, 1]. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
    """
    return op(input)


class Sigmoid(Layer):
    """`sigmoid` as a layer; drop-in for `torch.nn.Sigmoid`."""

    def __init__(self):
        super().__init__(op)


activation = Activation(
    op=op,
    function=sigmoid,
    layer=Sigmoid,
    torch=torch.sigmoid,
    chapter="01_sigmoid",
    references=("verhulst1845", "rumelhart1986", "hochreiter1991"),
)
