"""ReLU6: a ReLU that ends at 6."""

import torch
from sympy import Integer, Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

op = Elementwise("relu6", [x], Piecewise((Integer(0), x <= 0), (Integer(6), x >= 6), (x, True)))
from_output = FromOutput(op, Piecewise((Integer(0), y <= 0), (Integer(0), y >= 6), (Integer(1), True)))


def relu6(input: Tensor, inplace: bool = False, *, keep: str = "input") -> Tensor:
    r"""ReLU6, elementwise.

    .. math:: \operatorname{ReLU6}(x) = \min(\max(x, 0), 6)

    Drop-in for `torch.nn.functional.relu6`. The slope at both kinks is 0, as torch's. Value and slope are exact.
    Backward keeps the input, unless `keep` says otherwise.

    Source: Krizhevsky (2010).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does. The slope is the same.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep, inplace)


class ReLU6(KeepingLayer):
    """`relu6` as a layer; drop-in for `torch.nn.ReLU6`."""

    def __init__(self, inplace: bool = False, *, keep: str = "input"):
        super().__init__(from_output, keep, inplace)


activation = Activation(
    op=op,
    function=relu6,
    layer=ReLU6,
    torch=torch.nn.functional.relu6,
)
