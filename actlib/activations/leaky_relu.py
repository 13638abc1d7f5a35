"""Leaky ReLU: a small slope where ReLU has none."""

import torch
from sympy import Piecewise, Symbol
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from actlib.activations.activation import Activation
from actlib.activations.inplace import InplaceLayer, apply
from actlib.backends.torch_runner import shape
from actlib.elementwise import Elementwise, check_tensor

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


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    r"""Parametric ReLU: a leaky ReLU whose slopes below 0 are learnt, one for all channels or one a channel.

    .. math:: \operatorname{PReLU}(x)_{nc\dots} = \begin{cases} x & x > 0 \\ w_c x & x \le 0 \end{cases}

    Drop-in for `torch.nn.functional.prelu`: channels are the dimension 1 of the input, if it has one. The slope at 0 is
    the weight, as torch's. Backward keeps the input and the weight.

    Source: He, Zhang, Ren and Sun (2015).

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape.
        weight: Tensor of one number, or of as many as the input has channels, in one dimension.

    Returns:
        Tensor of the input's shape, dtype and memory order. NaN gives NaN.

    Raises:
        TypeError: The input or the weight is no tensor of these types.
        ValueError: The weight has another number of elements, or more dimensions than one.
    """
    if not torch.compiler.is_compiling() and has_torch_function((input, weight)):
        return handle_torch_function(prelu, (input, weight), input, weight)
    check_tensor("prelu", "input", input)
    check_tensor("prelu", "weight", weight)
    channels, count = shape(input)[1] if input.ndim > 1 else 1, shape(weight).numel()
    if weight.ndim > 1 or count not in (1, channels):
        counts = "1 number" if channels == 1 else f"1 number or {channels}, one a channel"
        raise ValueError(
            f"prelu: weight must have {counts} for an input of shape {tuple(shape(input))}, but one of shape "
            f"{tuple(shape(weight))} came"
        )
    return op(input, weight.reshape(()) if count == 1 else weight.reshape(-1, *(1,) * (input.ndim - 2)))


class PReLU(torch.nn.Module):
    """`prelu` as a layer; drop-in for `torch.nn.PReLU`, whose state it loads.

    Parameter: `weight` of shape (num_parameters,).

    Args:
        num_parameters: 1, or the number of channels of the inputs.
        init: What the weights begin with.
        device: Where they are.
        dtype: Their type.

    Raises:
        TypeError: `num_parameters` is no int.
        ValueError: It is below 1.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not isinstance(num_parameters, int) or isinstance(num_parameters, bool):
            raise TypeError(f"PReLU: num_parameters must be an int, but {type(num_parameters).__name__} came")
        if num_parameters < 1:
            raise ValueError(f"PReLU: num_parameters must be at least 1, but {num_parameters} came")
        self.num_parameters, self.init = num_parameters, init
        self.weight = torch.nn.Parameter(torch.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weights to what they begin with."""
        torch.nn.init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, elementwise."""
        return prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many weights there are."""
        return f"num_parameters={self.num_parameters}"


activation = Activation(
    op=op,
    function=leaky_relu,
    layer=LeakyReLU,
    torch=torch.nn.functional.leaky_relu,
    defaults={"negative_slope": 0.01},
    chapter="04_leaky_relu",
    references=("maas2013", "he2015"),
)
