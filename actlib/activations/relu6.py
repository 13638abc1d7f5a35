"""ReLU6: a ReLU that ends at 6."""

import torch
from sympy import Integer, Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

op = Elementwise("relu6", [x], Piecewise((Integer(0), x <= 0), (Integer(6), x >= 6), (x, True)))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    r"""ReLU6, elementwise.

    .. math:: \operatorname{ReLU6}(x) = \min(\max(x, 0), 6)

    Drop-in for `torch.nn.functional.relu6`. The slope at both kinks is 0, as torch's. Value and slope are exact.
    Backward keeps the input.

    Source: Krizhevsky (2010).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
    """
    return apply(op, input, inplace=inplace)


class ReLU6(InplaceLayer):
    """`relu6` as a layer; drop-in for `torch.nn.ReLU6`."""

    def __init__(self, inplace: bool = False):
        super().__init__(op, inplace)


activation = Activation(
    op=op,
    function=relu6,
    layer=ReLU6,
    torch=torch.nn.functional.relu6,
)
