"""Log-sigmoid: the logarithm of the sigmoid."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.layer import Layer
from actlib.elementwise import Elementwise
from actlib.formula.primitives import softplus

x = Symbol("x", real=True)

op = Elementwise("logsigmoid", [x], -softplus(-x))


def logsigmoid(input: Tensor) -> Tensor:
    r"""Log-sigmoid, elementwise.

    .. math:: \operatorname{logsigmoid}(x) = \log \sigma(x) = -\log\left(1 + e^{-x}\right)

    Drop-in for `torch.nn.functional.logsigmoid`. Backward keeps the input.

    Source: Cox (1958), as the likelihood of logistic regression.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
    """
    return op(input)


class LogSigmoid(Layer):
    """`logsigmoid` as a layer; drop-in for `torch.nn.LogSigmoid`."""

    def __init__(self):
        super().__init__(op)


activation = Activation(
    op=op,
    function=logsigmoid,
    layer=LogSigmoid,
    torch=torch.nn.functional.logsigmoid,
)
