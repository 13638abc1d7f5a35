"""Mish: x times the tanh of softplus."""

import torch
from sympy import Piecewise, Symbol, exp
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

# tanh(log(1 + u)) is u (u + 2) / (u (u + 2) + 2). Of the exponentials of x and -x, the one that stays below 1 is taken.
up, down = exp(x), exp(-x)
op = Elementwise(
    "mish",
    [x],
    Piecewise(
        (x * up * (up + 2) / (up * (up + 2) + 2), x < 0), (x * (1 + 2 * down) / (1 + 2 * down * (1 + down)), True)
    ),
)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    r"""Mish, elementwise.

    .. math:: \operatorname{Mish}(x) = x \tanh(\log(1 + e^x))

    Drop-in for `torch.nn.functional.mish`. 0 at minus infinity. Backward keeps the input.

    Source: Misra (2020).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
    """
    return apply(op, input, inplace=inplace)


class Mish(InplaceLayer):
    """`mish` as a layer; drop-in for `torch.nn.Mish`."""

    def __init__(self, inplace: bool = False):
        super().__init__(op, inplace)


activation = Activation(
    op=op,
    function=mish,
    layer=Mish,
    torch=torch.nn.functional.mish,
)
