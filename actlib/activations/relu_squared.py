"""Squared ReLU."""

from sympy import Integer, Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.elementwise import Elementwise
from actlib.layer import Layer

x = Symbol("x", real=True)

op = Elementwise("relu_squared", [x], Piecewise((x**2, x > 0), (Integer(0), True)))


def relu_squared(input: Tensor) -> Tensor:
    r"""Squared ReLU, elementwise.

    .. math:: \operatorname{ReLU}^2(x) = \max(x, 0)^2

    Its slope, 2 max(x, 0), is continuous. Backward keeps the input.

    Source: So et al. (2021).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
    """
    return op(input)


class ReLUSquared(Layer):
    """`relu_squared` as a layer."""

    def __init__(self):
        super().__init__(op)


activation = Activation(
    op=op,
    function=relu_squared,
    layer=ReLUSquared,
)
