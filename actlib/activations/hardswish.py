"""Hard swish: x times the hard sigmoid."""

import torch
from sympy import Integer, Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

# A sixth of cases, not cases of sixths: the slope x / 3 + 1 / 2 would cancel next to -3 / 2, where 2 x + 3 is exact.
PARABOLA = Piecewise((Integer(0), x <= -3), (x * (x + 3), True))

op = Elementwise("hardswish", [x], Piecewise((x, x >= 3), (PARABOLA / 6, True)))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    r"""Hard swish, elementwise.

    .. math:: \operatorname{hardswish}(x) = x \, \frac{\min(\max(x + 3, 0), 6)}{6}

    Drop-in for `torch.nn.functional.hardswish`. The slope is 0 at -3 and 1 at 3, as torch's; the value at
    minus infinity is 0. Backward keeps the input.

    Source: Howard et al. (2019).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
    """
    return apply(op, input, inplace=inplace)


class Hardswish(InplaceLayer):
    """`hardswish` as a layer; drop-in for `torch.nn.Hardswish`."""

    def __init__(self, inplace: bool = False):
        super().__init__(op, inplace)


activation = Activation(
    op=op,
    function=hardswish,
    layer=Hardswish,
    torch=torch.nn.functional.hardswish,
)
