"""Leaky ReLU: a small slope where ReLU has none."""

import torch
from sympy import Piecewise, Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise

x = Symbol("x", real=True)
negative_slope = Symbol("negative_slope", real=True)

op = Elementwise("leaky_relu", [x], Piecewise((x, x > 0), (negative_slope * x, True)), [negative_slope])


def leaky_relu(input: Tensor, negative_slope: float | Tensor = 0.01, inplace: bool = False) -> Tensor:
    r"""Leaky rectified linear unit, elementwise.

    .. math:: \operatorname{LeakyReLU}_a(x) = \begin{cases} x & x > 0 \\ a x & x \le 0 \end{cases}

    with a for `negative_slope`.

    Drop-in for `torch.nn.functional.leaky_relu`. The slope at 0 is `negative_slope`, as torch's. A tensor for
    `negative_slope` is learnt, as in `torch.nn.PReLU`. Backward keeps the input.

    Source: Maas, Hannun and Ng (2013); with a learnt slope He, Zhang, Ren and Sun (2015).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        negative_slope: Slope below 0: a number, or a tensor that broadcasts to the input.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, `negative_slope` neither that nor a number, `inplace` no bool.
        ValueError: `negative_slope` does not broadcast to the input.
    """
    return apply(op, input, negative_slope, inplace=inplace)


class LeakyReLU(InplaceLayer):
    """`leaky_relu` as a layer; drop-in for `torch.nn.LeakyReLU`."""

    def __init__(self, negative_slope: float | Tensor = 0.01, inplace: bool = False):
        super().__init__(op, inplace, negative_slope=negative_slope)


activation = Activation(
    op=op,
    function=leaky_relu,
    layer=LeakyReLU,
    torch=torch.nn.functional.leaky_relu,
    defaults={"negative_slope": 0.01},
    chapter="04_leaky_relu",
    references=("maas2013", "he2015"),
)
