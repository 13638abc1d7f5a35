"""What backward keeps: the input, or the output, from which the slopes of some functions can be had, too.

In a network the output is what the next layer keeps anyhow, so that keeping it costs nothing. But it has been rounded:
where a sigmoid is next to 1, what is left of its slope is the rounding.
"""

import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import handle_torch_function, has_torch_function

from actlib import elementwise
from actlib.activations.inplace import InplaceLayer
from actlib.activations.inplace import apply as apply_inplace
from actlib.elementwise import Elementwise
from actlib.formula.primitives import scaled

y = Symbol("y", real=True)
"""The output, in a slope."""

INPUT, OUTPUT = KEPT = ("input", "output")


class FromOutput:
    """An elementwise function of one input and no parameter whose backward keeps the output.

    Args:
        op: The function.
        slope: Its slope as a formula of the output `y`: the one derivative that is written down, not derived; the tests
            hold it against the derivative of the function's formula.
    """

    def __init__(self, op: Elementwise, slope: Expr):
        self.op, self.slope = op, slope
        g = Symbol("g", real=True)
        self.backward = Elementwise(f"{op.name}_backward_from_output", [g, y], scaled(g, slope))

    def __call__(self, input: Tensor) -> Tensor:
        """The function of the input, as the Elementwise gives it."""
        if torch.compiler.is_compiling():
            self._prepare()
            return self._leaves[0](input)
        if has_torch_function((input,)):
            return handle_torch_function(self.op.public, (input,), input, keep=OUTPUT)
        return self._apply(input)

    def __reduce__(self):
        return FromOutput, (self.op, self.slope)

    def __deepcopy__(self, memo):
        return self  # nothing in it ever changes

    def _apply(self, input: Tensor) -> Tensor:
        if elementwise.is_recorded():  # there torch chooses what it keeps
            return self.op(input)
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return _Apply.apply(self, input)
        return _Apply.apply(self, input) if elementwise.needs_gradient([input]) else self.op(input)

    @elementwise.constant
    def _prepare(self) -> None:
        if not hasattr(self, "_leaves"):
            self._leaves = (elementwise.leaf(f"{self.op.name}_from_output", self._apply),)


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(function, input):
        return function.op(input)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.function, _ = inputs
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, upstream):
        return None, ctx.function.backward(upstream, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx, _, tangent):
        return ctx.function.backward(tangent, *ctx.saved_tensors)

    @staticmethod
    def vmap(info, in_dims, function, input):  # noqa: ARG004
        return function(input.movedim(in_dims[1], 0)), 0


def apply(function: FromOutput, input: Tensor, keep: str, inplace: bool = False) -> Tensor:
    """The function of the input, whose backward keeps what `keep` says; `inplace` as in `inplace.apply`.

    Raises:
        ValueError: `keep` is neither "input" nor "output".
        TypeError: What `inplace.apply` refuses.
    """
    check(function.op.name, keep)
    if keep == INPUT:
        return apply_inplace(function.op, input, inplace=inplace)
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
        return apply(self.function, input, self.keep, self.inplace)

    def extra_repr(self) -> str:
        """Whether it works in place, and what backward keeps if that is the output."""
        kept = "keep='output'" if self.keep == OUTPUT else ""
        return ", ".join(filter(None, [super().extra_repr(), kept]))
