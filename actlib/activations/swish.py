"""Swish, and SiLU, which is Swish with beta 1."""

import torch
from sympy import Symbol
from torch import Tensor

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.elementwise import Elementwise
from actlib.formula.primitives import sigma
from actlib.layer import Layer

x = Symbol("x", real=True)
beta = Symbol("beta", real=True)

op = Elementwise("swish", [x], x * sigma(beta * x), [beta])
silu_op = Elementwise("silu", [x], x * sigma(x))


def swish(input: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    r"""Swish, elementwise.

    .. math:: \operatorname{Swish}_\beta(x) = x \, \sigma(\beta x)

    With beta 0 it is x / 2; as beta grows it tends to ReLU. A tensor for beta is learnt: it gets a gradient of its own
    shape. Backward keeps the input (and beta, if it is a tensor).

    Source: Ramachandran, Zoph and Le (2017).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        beta: A number, or a tensor that broadcasts to the input, such as one value a channel.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or beta neither that nor a number.
        ValueError: Beta does not broadcast to the input.
    """
    return op(input, beta)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    r"""Sigmoid linear unit, elementwise: Swish with beta 1.

    .. math:: \operatorname{SiLU}(x) = x \, \sigma(x)

    Drop-in for `torch.nn.functional.silu`. Value and slope are within 0.55 ulp on every float16 and bfloat16 number,
    and 0 at minus infinity. Backward keeps the input.

    Source: Hendrycks and Gimpel (2016); Elfwing, Uchibe and Doya (2018).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        inplace: Whether to write the result into the input.

    Returns:
        Tensor of the same shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input is no tensor of these types, or `inplace` is no bool.
    """
    return apply(silu_op, input, inplace=inplace)


class Swish(Layer):
    """`swish` as a layer.

    Args:
        beta: A number, or a tensor that broadcasts to the input, such as one value a channel.
        learnable: Whether beta is a parameter of the layer, which training changes. A number becomes one of shape (1,),
            as that of `torch.nn.PReLU`: what shards parameters takes none without dimensions.
    """

    def __init__(self, beta: float | Tensor = 1.0, learnable: bool = False):
        if learnable and not isinstance(beta, torch.nn.Parameter):
            given = beta.detach().clone() if isinstance(beta, Tensor) else torch.tensor([float(beta)])
            beta = torch.nn.Parameter(given)
        super().__init__(op, beta=beta)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, elementwise."""
        beta = self.beta
        if isinstance(input, Tensor) and input.ndim == 0 and isinstance(beta, Tensor) and beta.numel() == 1:
            beta = beta.reshape(())
        return op(input, beta)

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        """Takes a beta without dimensions, too, as layers had until they were to be sharded."""
        key = f"{prefix}beta"
        loaded, kept = state_dict.get(key), self.beta
        if isinstance(loaded, Tensor) and loaded.ndim == 0 and isinstance(kept, Tensor) and kept.shape == (1,):
            state_dict[key] = loaded.reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class SiLU(InplaceLayer):
    """`silu` as a layer; drop-in for `torch.nn.SiLU`."""

    def __init__(self, inplace: bool = False):
        super().__init__(silu_op, inplace)


activation = Activation(
    op=op,
    function=swish,
    layer=Swish,
    torch=torch.nn.functional.silu,
    defaults={"beta": 1.0},
    chapter="06_swish",
    references=("ramachandran2017",),
)

silu_activation = Activation(
    op=silu_op,
    function=silu,
    layer=SiLU,
    torch=torch.nn.functional.silu,
    chapter="06_swish",
    references=("hendrycks2016", "elfwing2018"),
)
