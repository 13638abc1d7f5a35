"""What the registry knows of an activation function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from sympy import Expr, Rational, Symbol, symbols
from torch import Tensor

from actlib.elementwise import Elementwise


@dataclass(frozen=True)
class Activation:
    """An entry of the registry.

    Attributes:
        op: The differentiable function, which holds the formula.
        function: The public function.
        layer: The public layer, a subclass of `torch.nn.Module`.
        torch: PyTorch's own function, to compare with; None if it has none.
        defaults: Value of each parameter of the formula where the caller gives none.
        chapter: Name of the chapter that derives it; None if there is none.
        references: Keys in the book's bibliography.
    """

    op: Elementwise
    function: Callable
    layer: type[torch.nn.Module]
    torch: Callable | None = None
    defaults: Mapping[str, float] = field(default_factory=dict)
    chapter: str | None = None
    references: tuple[str, ...] = ()

    def __post_init__(self):
        if self.op is not None:
            self.op.public = self.function

    @property
    def name(self) -> str:
        """The name, as of the function."""
        return self.function.__name__

    @property
    def formula(self) -> Expr:
        """The formula in primitives, its parameters as symbols."""
        return self.op.outputs[0]

    @property
    def inputs(self) -> tuple[Symbol, ...]:
        """The symbols of the inputs."""
        return self.op.inputs

    @property
    def default_formula(self) -> Expr:
        """The formula with its parameters at their defaults, as exact numbers."""
        return self.formula.subs({s: Rational(str(self.defaults[s.name])) for s in self.op.parameters})

    @property
    def entry(self) -> Callable:
        """The public function, called as the formula is, with one tensor for each of the inputs."""
        return self.function

    @property
    def torch_entry(self) -> Callable | None:
        """PyTorch's own function, called likewise."""
        return self.torch


@dataclass(frozen=True)
class RowActivation(Activation):
    """A function of whole rows. It has no `op`; its formula is that of the first entry of a row of three.

    Attributes:
        row: The formulas of all entries, given the symbols of the scores.
    """

    op: None = None
    function: Callable = None
    layer: type[torch.nn.Module] = None
    row: Callable[[Sequence[Symbol]], list[Expr]] = None

    @cached_property
    def formula(self) -> Expr:
        """The formula of the first of three entries, in primitives."""
        return self.row(self.inputs)[0]

    @property
    def inputs(self) -> tuple[Symbol, ...]:
        """The symbols of three scores."""
        return symbols("x1:4", real=True)

    @property
    def default_formula(self) -> Expr:
        """The formula, since it has no parameters."""
        return self.formula

    @property
    def entry(self) -> Callable:
        """The public function, called as the formula is, from the columns of rows to the first column of the result."""
        return _first_column(self.function)

    @property
    def torch_entry(self) -> Callable | None:
        """PyTorch's own function, called likewise."""
        return self.torch and _first_column(self.torch)


def _first_column(function: Callable) -> Callable:
    def entry(*columns: Tensor) -> Tensor:
        return function(torch.stack(columns, -1), -1)[..., 0]

    return entry
