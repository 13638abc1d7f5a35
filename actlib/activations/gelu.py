"""GELU: the Gaussian error linear unit, exact and in its two approximations."""

import torch
from sympy import Rational, Symbol, pi, sqrt
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.elementwise import Elementwise
from actlib.formula.primitives import Phi, sigma
from actlib.layer import Layer

x = Symbol("x", real=True)

op = Elementwise("gelu", [x], x * Phi(x))
# (1 + tanh(u)) / 2 is sigma(2 u), which keeps its digits where tanh is near -1.
tanh_op = Elementwise("gelu_tanh", [x], x * sigma(2 * sqrt(2 / pi) * (x + Rational("0.044715") * x**3)))
sigmoid_op = Elementwise("gelu_sigmoid", [x], x * sigma(Rational("1.702") * x))

FORMS = {"none": op, "tanh": tanh_op, "sigmoid": sigmoid_op}
"""By the argument `approximate`."""


def form(name: str, forms: dict[str, Elementwise], approximate: str) -> Elementwise:
    """The form that `approximate` asks for; the error speaks for the function of the given name."""
    if not isinstance(approximate, str) or approximate not in forms:
        expected = " or ".join(map(repr, forms))
        raise ValueError(f"{name}: approximate must be {expected}, but {approximate!r} came")
    return forms[approximate]


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    r"""Gaussian error linear unit, elementwise.

    .. math::
        \text{none:}    & \quad x \, \Phi(x) = \frac{x}{2} \left(1 + \operatorname{erf}\frac{x}{\sqrt 2}\right) \\
        \text{tanh:}    & \quad \frac{x}{2} \left(1 + \tanh\left(\sqrt{2/\pi} \, (x + 0.044715 \, x^3)\right)\right) \\
        \text{sigmoid:} & \quad x \, \sigma(1.702 \, x)

    Drop-in for `torch.nn.functional.gelu`, which lacks the third. Value and slope are within 0.55 ulp on every float16
    and bfloat16 number, the far negative tail included. Backward keeps the input.

    Source: Hendrycks and Gimpel (2016).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        approximate: "none", "tanh" or "sigmoid".

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types.
        ValueError: `approximate` is none of the three.
    """
    return form("gelu", FORMS, approximate)(input)


def gelu_tanh(input: Tensor) -> Tensor:
    """`gelu(input, approximate="tanh")`, under a name of its own. Source: Hendrycks and Gimpel (2016)."""
    return tanh_op(input)


def gelu_sigmoid(input: Tensor) -> Tensor:
    """`gelu(input, approximate="sigmoid")`, under a name of its own. Source: Hendrycks and Gimpel (2016)."""
    return sigmoid_op(input)


class GELU(Layer):
    """`gelu` as a layer; drop-in for `torch.nn.GELU`."""

    def __init__(self, approximate: str = "none"):
        super().__init__(form("GELU", FORMS, approximate))
        self.approximate = approximate

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class GELUTanh(Layer):
    """`gelu_tanh` as a layer."""

    def __init__(self):
        super().__init__(tanh_op)


class GELUSigmoid(Layer):
    """`gelu_sigmoid` as a layer."""

    def __init__(self):
        super().__init__(sigmoid_op)


def _torch_tanh(input: Tensor) -> Tensor:
    return torch.nn.functional.gelu(input, approximate="tanh")


activation = Activation(
    op=op,
    function=gelu,
    layer=GELU,
    torch=torch.nn.functional.gelu,
    chapter="08_gelu",
    references=("hendrycks2016",),
)

tanh_activation = Activation(
    op=tanh_op,
    function=gelu_tanh,
    layer=GELUTanh,
    torch=_torch_tanh,
    chapter="08_gelu",
    references=("hendrycks2016",),
)

sigmoid_activation = Activation(
    op=sigmoid_op,
    function=gelu_sigmoid,
    layer=GELUSigmoid,
    chapter="08_gelu",
    references=("hendrycks2016",),
)
