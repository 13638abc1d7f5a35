"""Softsign: a sigmoid with polynomial tails."""

import torch
from sympy import Abs, Piecewise, Symbol, sign
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.layer import Layer
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

op = Elementwise("softsign", [x], Piecewise((x / (1 + Abs(x)), Abs(x) < 1), (sign(x) / (1 + 1 / Abs(x)), True)))


def softsign(input: Tensor) -> Tensor:
    r"""Softsign, elementwise.

    .. math:: \operatorname{softsign}(x) = \frac{x}{1 + |x|} = \frac{\operatorname{sign} x}{1 + 1 / |x|}

    Drop-in for `torch.nn.functional.softsign`. The second form, used from 1 on, has its limits at the infinities, where
    torch gives NaN. Backward keeps the input.

    Source: Elliott (1993); Bergstra, Desjardins, Lamblin and Bengio (2009).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
    """
    return op(input)


class Softsign(Layer):
    """`softsign` as a layer; drop-in for `torch.nn.Softsign`."""

    def __init__(self):
        super().__init__(op)


activation = Activation(
    op=op,
    function=softsign,
    layer=Softsign,
    torch=torch.nn.functional.softsign,
)
