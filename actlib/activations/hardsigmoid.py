"""Hard sigmoid: three straight lines."""

import torch
from sympy import Integer, Piecewise, Rational, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

# A sixth of cases, not cases of sixths: x / 6 + 1 / 2 would cancel next to -3, where x + 3 is exact.
CLIPPED = Piecewise((Integer(0), x <= -3), (Integer(6), x >= 3), (x + 3, True))

op = Elementwise("hardsigmoid", [x], CLIPPED / 6)
from_output = FromOutput(op, Piecewise((Integer(0), y <= 0), (Integer(0), y >= 1), (Rational(1, 6), True)))


def hardsigmoid(input: Tensor, inplace: bool = False, *, keep: str = "input") -> Tensor:
    r"""Hard sigmoid, elementwise.

    .. math:: \operatorname{hardsigmoid}(x) = \frac{\min(\max(x + 3, 0), 6)}{6}

    Drop-in for `torch.nn.functional.hardsigmoid`. The slope at both kinks is 0, as torch's. Backward keeps the input,
    unless `keep` says otherwise.

    Source: Courbariaux, Bengio and David (2015); in this form Howard et al. (2019).

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


class Hardsigmoid(KeepingLayer):
    """`hardsigmoid` as a layer; drop-in for `torch.nn.Hardsigmoid`."""

    def __init__(self, inplace: bool = False, *, keep: str = "input"):
        super().__init__(from_output, keep, inplace)


activation = Activation(
    op=op,
    function=hardsigmoid,
    layer=Hardsigmoid,
    torch=torch.nn.functional.hardsigmoid,
)
