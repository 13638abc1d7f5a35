"""SELU: an ELU scaled to preserve mean 0 and variance 1."""

import torch
from sympy import E, Piecewise, Symbol, erfc, pi, sqrt
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise
from actlib.formula.primitives import expm1

x = Symbol("x", real=True)

# The fixed point in closed form: equation 14 of the paper.
TAIL = erfc(1 / sqrt(2)) * sqrt(E)
ALPHA = sqrt(2 / pi) / (1 - TAIL)
SCALE = (1 - TAIL) * sqrt(2 * pi) / sqrt(2 * erfc(sqrt(2)) * E**2 + pi * TAIL**2 - 2 * (2 + pi) * TAIL + pi + 2)

op = Elementwise("selu", [x], SCALE * Piecewise((x, x > 0), (ALPHA * expm1(x), True)))
from_output = FromOutput(op, Piecewise((SCALE.evalf(30), y > 0), (y + (SCALE * ALPHA).evalf(30), True)))


def selu(input: Tensor, inplace: bool = False, *, keep: str = "input") -> Tensor:
    r"""SELU, elementwise.

    .. math:: \operatorname{SELU}(x) = \lambda \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}

    The two constants, about 1.0507 and 1.6733, make mean 0 and variance 1 a fixed point of a wide layer with such
    weights. Drop-in for `torch.nn.functional.selu`. The slope at 0 is that from the left, as torch's. Backward keeps
    the input, unless `keep` says otherwise.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does, but it has been rounded: below 0 the slope y + 1.758 is off by up to 0.008
            in bfloat16 and 0.001 in float16.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep, inplace)


class SELU(KeepingLayer):
    """`selu` as a layer; drop-in for `torch.nn.SELU`."""

    def __init__(self, inplace: bool = False, *, keep: str = "input"):
        super().__init__(from_output, keep, inplace)


activation = Activation(
    op=op,
    function=selu,
    layer=SELU,
    torch=torch.nn.functional.selu,
)
