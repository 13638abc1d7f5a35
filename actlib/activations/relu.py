"""ReLU: the rectified linear unit."""

import torch
from sympy import Integer, Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

op = Elementwise("relu", [x], Piecewise((x, x > 0), (Integer(0), True)))
from_output = FromOutput(op, Piecewise((Integer(1), y > 0), (Integer(0), True)))


def relu(input: Tensor, inplace: bool = False, *, keep: str = "input") -> Tensor:
    r"""Rectified linear unit, elementwise.

    .. math:: \operatorname{ReLU}(x) = \max(x, 0)

    Drop-in for `torch.nn.functional.relu`. The slope at 0, where there is none, is taken to be 0. Value and slope are
    exact. Backward keeps the input, unless `keep` says otherwise.

    Source: Fukushima (1969), for vision; Nair and Hinton (2010), for deep networks.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does. The slope is the same.

    Returns:
        Tensor of the same shape, dtype and memory order, with values in [0, inf]. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep, inplace)


class ReLU(KeepingLayer):
    """`relu` as a layer; drop-in for `torch.nn.ReLU`."""

    def __init__(self, inplace: bool = False, *, keep: str = "input"):
        super().__init__(from_output, keep, inplace)


activation = Activation(
    op=op,
    function=relu,
    layer=ReLU,
    torch=torch.nn.functional.relu,
    chapter="03_relu",
    references=("fukushima1969", "nair2010"),
)
