"""What the registry knows of an activation function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from sympy import Expr, Rational, Symbol

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

    @property
    def name(self) -> str:
        """The name, as of the function."""
        return self.op.name

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
