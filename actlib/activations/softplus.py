"""Softplus: a smooth ReLU."""

import torch
from sympy import Piecewise, Symbol, symbols
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.elementwise import Elementwise, nonzero
from actlib.formula import primitives
from actlib.layer import Layer

x = Symbol("x", real=True)
beta, threshold = symbols("beta threshold", real=True)

op = Elementwise(
    "softplus",
    [x],
    Piecewise((x, beta * x > threshold), (primitives.softplus(beta * x) / beta, True)),
    [beta, threshold],
)


def softplus(input: Tensor, beta: float | Tensor = 1, threshold: float = 20) -> Tensor:
    r"""Softplus, elementwise.

    .. math:: \operatorname{softplus}(x) = \frac{1}{\beta} \log\left(1 + e^{\beta x}\right)

    Drop-in for `torch.nn.functional.softplus`, which is x itself where beta x is above the threshold; so is this. (The
    plain formula does not overflow here: with `threshold=math.inf` it holds everywhere.) Backward keeps the input.

    Source: Dugas, Bengio, Bélisle, Nadeau and Garcia (2001).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        beta: Sharpness: a number other than 0 (in float32, too), or a tensor that broadcasts to the input.
        threshold: Where the line begins.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, beta neither that nor a number, the threshold no number.
        ValueError: Beta is 0, or does not broadcast to the input.
    """
    return op(input, nonzero("softplus", "beta", beta), threshold)


class Softplus(Layer):
    """`softplus` as a layer; drop-in for `torch.nn.Softplus`."""

    def __init__(self, beta: float | Tensor = 1.0, threshold: float = 20.0):
        super().__init__(op, beta=nonzero("softplus", "beta", beta), threshold=threshold)


activation = Activation(
    op=op,
    function=softplus,
    layer=Softplus,
    torch=torch.nn.functional.softplus,
    defaults={"beta": 1, "threshold": 20},
)
