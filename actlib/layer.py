"""Any function made from a formula as a layer."""

import numbers
from typing import Protocol

import torch
from sympy import Symbol
from torch import Tensor


class Function(Protocol):
    """What a layer applies, as an `Elementwise`.

    Attributes:
        name: An identifier.
        parameters: Symbols of what it takes after its inputs.
    """

    name: str
    parameters: tuple[Symbol, ...]

    def __call__(self, *arguments: Tensor | float) -> Tensor | tuple[Tensor, ...]:
        """The outputs for inputs and parameters in order."""


class Generated(torch.nn.Module):
    """A layer of a function that is made from a formula."""

    def __prepare_scriptable__(self):
        """Refuses torch.jit.script, which reads a layer's source, where the formula does not stand."""
        raise TypeError(
            f"{type(self).__name__}: torch.jit.script reads source text, but a layer made from a formula came; "
            "torch.jit.trace, torch.compile and torch.export take it"
        )


class Layer(Generated):
    """Applies an Elementwise function; its parameters are attributes.

    Args:
        op: The function.
        **parameters: One value for each of its parameters. A number stays as it is, a `torch.nn.Parameter` is learnt,
            any other tensor becomes a buffer.

    Raises:
        TypeError: A parameter is missing, unknown, or neither a number nor a tensor.
    """

    def __init__(self, op: Function, **parameters: float | Tensor):
        super().__init__()
        names = [s.name for s in op.parameters]
        if set(parameters) != set(names):
            raise TypeError(f"{op.name} has the parameters {names}, but {sorted(parameters)} came")
        self.op = op
        self._names = tuple(names)
        for name, value in parameters.items():
            if isinstance(value, torch.nn.Parameter):
                self.register_parameter(name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)
            elif isinstance(value, numbers.Real) and not isinstance(value, bool):
                setattr(self, name, float(value))
            else:
                raise TypeError(f"{op.name}: {name} must be a number or a tensor, but {type(value).__name__} came")

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The function of the inputs, elementwise."""
        return self.op(*inputs, *self._arguments())

    def _arguments(self) -> list[float | Tensor]:
        """The value of each parameter, in order."""
        return [getattr(self, name) for name in self._names]

    def extra_repr(self) -> str:
        """Names and values of the parameters; the shape of a tensor."""
        values = zip(self._names, self._arguments(), strict=True)
        shown = (f"{n}={f'tensor{tuple(v.shape)}' if isinstance(v, Tensor) else f'{v:g}'}" for n, v in values)
        return ", ".join(shown)
