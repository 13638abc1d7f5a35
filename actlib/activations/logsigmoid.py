"""Log-sigmoid: the logarithm of the sigmoid."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.kept import FromOutput, KeepingLayer, apply, y
from actlib.elementwise import Elementwise
from actlib.formula.primitives import expm1, softplus

x = Symbol("x", real=True)

op = Elementwise("logsigmoid", [x], -softplus(-x))
from_output = FromOutput(op, -expm1(y))


def logsigmoid(input: Tensor, *, keep: str = "input") -> Tensor:
    r"""Log-sigmoid, elementwise.

    .. math:: \operatorname{logsigmoid}(x) = \log \sigma(x) = -\log\left(1 + e^{-x}\right)

    Drop-in for `torch.nn.functional.logsigmoid`. Backward keeps the input, unless `keep` says otherwise.

    Source: Cox (1958), as the likelihood of logistic regression.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        keep: What backward keeps, "input" or "output". The output needs no memory of its own where the next layer keeps
            it anyhow, as a linear one does, but it has been rounded: the slope 1 - exp(y) is off by up to 0.004 in
            bfloat16 and 0.0005 in float16.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
        ValueError: `keep` is neither "input" nor "output".
    """
    return apply(from_output, input, keep)


class LogSigmoid(KeepingLayer):
    """`logsigmoid` as a layer; drop-in for `torch.nn.LogSigmoid`."""

    def __init__(self, *, keep: str = "input"):
        super().__init__(from_output, keep)


activation = Activation(
    op=op,
    function=logsigmoid,
    layer=LogSigmoid,
    torch=torch.nn.functional.logsigmoid,
)
