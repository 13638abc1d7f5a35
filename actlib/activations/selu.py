"""SELU: an ELU scaled to preserve mean 0 and variance 1."""

import torch
from sympy import E, Piecewise, Symbol, erfc, pi, sqrt
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise
from actlib.formula.primitives import expm1

x = Symbol("x", real=True)

# The fixed point in closed form: equation 14 of the paper.
TAIL = erfc(1 / sqrt(2)) * sqrt(E)
ALPHA = sqrt(2 / pi) / (1 - TAIL)
SCALE = (1 - TAIL) * sqrt(2 * pi) / sqrt(2 * erfc(sqrt(2)) * E**2 + pi * TAIL**2 - 2 * (2 + pi) * TAIL + pi + 2)

op = Elementwise("selu", [x], SCALE * Piecewise((x, x > 0), (ALPHA * expm1(x), True)))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    r"""SELU, elementwise.

    .. math:: \operatorname{SELU}(x) = \lambda \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}

    The two constants, about 1.0507 and 1.6733, make mean 0 and variance 1 a fixed point of a wide layer with such
    weights. Drop-in for `torch.nn.functional.selu`. The slope at 0 is that from the left, as torch's. Backward
    keeps the input.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
    """
    return apply(op, input, inplace=inplace)


class SELU(InplaceLayer):
    """`selu` as a layer; drop-in for `torch.nn.SELU`."""

    def __init__(self, inplace: bool = False):
        super().__init__(op, inplace)


activation = Activation(
    op=op,
    function=selu,
    layer=SELU,
    torch=torch.nn.functional.selu,
)
