"""Softsign: a sigmoid with polynomial tails."""

import torch
from sympy import Abs, Piecewise, Symbol, sign
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)

op = Elementwise("softsign", [x], Piecewise((x / (1 + Abs(x)), Abs(x) < 1), (sign(x) / (1 + 1 / Abs(x)), True)))
from_output = FromOutput(op, (1 - Abs(y)) ** 2)


def softsign(input: Tensor, *, keep: str = "input") -> Tensor:
    r"""Softsign, elementwise.

    .. math:: \operatorname{softsign}(x) = \frac{x}{1 + |x|} = \frac{\operatorname{sign} x}{1 + 1 / |x|}

    Drop-in for `torch.nn.functional.softsign`. The second form, used from 1 on, has its limits at the infinities, where
    torch gives NaN. Backward keeps the input, unless `keep` says otherwise.

    Source: Elliott (1993); Bergstra, Desjardins, Lamblin and Bengio (2009).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does, but it has been rounded: the slope (1 - abs(y))^2 is off by up to 0.004 in
            bfloat16 and 0.0005 in float16.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep)


class Softsign(KeepingLayer):
    """`softsign` as a layer; drop-in for `torch.nn.Softsign`."""

    def __init__(self, *, keep: str = "input"):
        super().__init__(from_output, keep)


activation = Activation(
    op=op,
    function=softsign,
    layer=Softsign,
    torch=torch.nn.functional.softsign,
)
