"""The `inplace` argument of torch's activation functions."""

from torch import Tensor

from actlib.differentiable import needs_gradient
from actlib.elementwise import Elementwise, stands_for_a_tensor
from actlib.layer import Layer


def apply(op: Elementwise, input: Tensor, *parameters: float | Tensor, inplace: bool = False) -> Tensor:
    """The function of the input; with `inplace`, the input itself, which then holds the result.

    The slope is computed from the input, so where a gradient is wanted the old input is kept as a copy. As in torch, a
    leaf that requires a gradient, or a tensor whose elements share memory, is refused with a RuntimeError.

    Raises:
        TypeError: `inplace` is no bool, or what the Elementwise refuses.
    """
    if inplace is False:
        return op(input, *parameters)
    if inplace is not True:
        raise TypeError(f"{op.name}: inplace must be True or False, but {inplace!r} came")
    unknown = stands_for_a_tensor(input)  # what is put in its place may be tracked
    if not unknown and not isinstance(input, Tensor):
        return op(input, *parameters)
    return input.copy_(op(input.clone() if unknown or needs_gradient((input, *parameters)) else input, *parameters))


class InplaceLayer(Layer):
    """An elementwise function of one input as a layer that may write into its input.

    Args:
        op: The function.
        inplace: Whether the result is written into the input.
        **parameters: One value for each parameter of the function, as for `Layer`.
    """

    def __init__(self, op: Elementwise, inplace: bool = False, **parameters: float | Tensor):
        super().__init__(op, **parameters)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, elementwise."""
        if self.inplace is False and not self._names:
            return self.op(input)
        return apply(self.op, input, *self._arguments(), inplace=self.inplace)

    def extra_repr(self) -> str:
        """Names and values of the parameters, and `inplace` where it is on."""
        return ", ".join(filter(None, [super().extra_repr(), "inplace=True" if self.inplace else ""]))
