"""What backward keeps: the input, or the output, from which the slopes of some functions can be had, too.

In a network the output is what the next layer keeps anyhow, so that keeping it costs nothing. But it has been rounded:
where a sigmoid is next to 1, what is left of its slope is the rounding.
"""

import functools
from collections.abc import Callable, Sequence

from sympy import Expr, Symbol
from torch import Tensor
from torch.overrides import handle_torch_function

from actlib.activations.inplace import InplaceLayer
from actlib.activations.inplace import apply as apply_inplace
from actlib.backends import calls
from actlib.differentiable import Differentiable
from actlib.elementwise import Elementwise
from actlib.formula.primitives import scaled

y = Symbol("y", real=True)
"""The output, in a slope."""

INPUT, OUTPUT = KEPT = ("input", "output")


class FromOutput(Differentiable):
    """An elementwise function of one input and no parameter whose backward keeps the output.

    Args:
        op: The function.
        slope: Its slope as a formula of the output `y`: the one derivative that is written down, not derived; the tests
            hold it against the derivative of the function's formula.
    """

    keeps_output = tensors_alone = True

    def __init__(self, op: Elementwise, slope: Expr):
        self.op, self.slope = op, slope
        self.name = f"{op.name}_from_output"
        g = Symbol("g", real=True)
        self.backward = Elementwise(f"{op.name}_backward_from_output", [g, y], scaled(g, slope))

    def __reduce__(self):
        return FromOutput, (self.op, self.slope)

    @functools.cached_property
    def compute(self) -> Callable:
        """The function of the input, where no compiler looks on."""
        return calls.call(self, 1, 0, self.op.launches, super().compute)

    def announce(self, input: Tensor) -> object:
        """What those make of the call who listen to torch's functions."""
        return handle_torch_function(self.op.public, (input,), input, keep=OUTPUT)

    def fitting(self, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        """The input; an error where it does not fit."""
        return self.op.fitting(arguments)

    def run(self, input: Tensor) -> Tensor:
        """The output, where autograd does not look."""
        return self.op.run(input)

    def record(self, input: Tensor) -> Tensor:
        """The output in torch's operations: there torch chooses what it keeps."""
        return self.op.record(input)

    def pull(self, wanted: tuple[int, ...]) -> Callable[..., Tensor]:  # noqa: ARG002
        """What gives the gradient of the input, of that of the output and of the output."""
        return self.backward.step

    def push(self, tangents: Sequence[Tensor], kept: Sequence[Tensor]) -> Tensor:
        """The tangent of the output, given that of the input, and the output."""
        return self.backward.step(*tangents, *kept)

    def batched(self, size: int, dims: Sequence[int], arguments: Sequence[Tensor]):
        """The input with the batch in front."""
        return self.op.batched(size, dims, arguments)


def apply(function: FromOutput, input: Tensor, keep: str, inplace: bool = False) -> Tensor:
    """The function of the input, whose backward keeps what `keep` says; `inplace` as in `inplace.apply`.

    Raises:
        ValueError: `keep` is neither "input" nor "output".
        TypeError: What `inplace.apply` refuses.
    """
    if keep == INPUT:
        return function.op(input) if inplace is False else apply_inplace(function.op, input, inplace=inplace)
    check(function.op.name, keep)
    if inplace is True and isinstance(input, Tensor):
        return input.copy_(function(input))
    return function(input) if inplace is False else apply_inplace(function.op, input, inplace=inplace)


def check(name: str, keep: object) -> None:
    """Raises ValueError, naming the function, unless `keep` is "input" or "output"."""
    if keep not in KEPT:
        raise ValueError(f'{name}: keep must be "input" or "output", but {keep!r} came')


class KeepingLayer(InplaceLayer):
    """A function of one input as a layer of which one can choose what backward keeps.

    Args:
        function: The function.
        keep: "input" or "output".
        inplace: Whether the result is written into the input.

    Raises:
        ValueError: `keep` is neither.
    """

    def __init__(self, function: FromOutput, keep: str = INPUT, inplace: bool = False):
        super().__init__(function.op, inplace)
        check(function.op.name, keep)
        self.function, self.keep = function, keep

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, elementwise."""
        if self.keep == INPUT and self.inplace is False:
            return self.op(input)
        return apply(self.function, input, self.keep, self.inplace)

    def extra_repr(self) -> str:
        """Whether it works in place, and what backward keeps if that is the output."""
        kept = "keep='output'" if self.keep == OUTPUT else ""
        return ", ".join(filter(None, [super().extra_repr(), kept]))
