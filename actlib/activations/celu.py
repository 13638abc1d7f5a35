"""CELU: an ELU with a continuous slope for every alpha."""

import torch
from sympy import Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise, nonzero
from actlib.formula.primitives import expm1

x = Symbol("x", real=True)
alpha = Symbol("alpha", real=True)

op = Elementwise("celu", [x], Piecewise((x, x > 0), (alpha * expm1(x / alpha), True)), [alpha])


def celu(input: Tensor, alpha: float | Tensor = 1.0, inplace: bool = False) -> Tensor:
    r"""CELU, elementwise.

    .. math:: \operatorname{CELU}(x) = \begin{cases} x & x > 0 \\ \alpha (e^{x / \alpha} - 1) & x \le 0 \end{cases}

    Drop-in for `torch.nn.functional.celu`. Backward keeps the input.

    Source: Barron (2017).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        alpha: Minus the limit at minus infinity: a number other than 0 (in float32, too), or a tensor that broadcasts
            to the input.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, alpha neither that nor a number, or `inplace` no bool.
        ValueError: Alpha is 0, or does not broadcast to the input.
    """
    return apply(op, input, nonzero("celu", "alpha", alpha), inplace=inplace)


class CELU(InplaceLayer):
    """`celu` as a layer; drop-in for `torch.nn.CELU`."""

    def __init__(self, alpha: float | Tensor = 1.0, inplace: bool = False):
        super().__init__(op, inplace, alpha=nonzero("celu", "alpha", alpha))


activation = Activation(
    op=op,
    function=celu,
    layer=CELU,
    torch=torch.nn.functional.celu,
    defaults={"alpha": 1.0},
)
