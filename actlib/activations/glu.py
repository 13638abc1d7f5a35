"""Gated linear units: an activation of one tensor, the gate, times another, the value."""

import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.nn import functional

from actlib.activations import gelu, relu, sigmoid, swish
from actlib.activations.activation import Activation
from actlib.activations.layer import Layer
from actlib.elementwise import Elementwise

gate = Symbol("gate", real=True)
value = Symbol("value", real=True)


def gated(name: str, activation: Elementwise | None = None) -> Elementwise:
    """activation(gate) * value; without an activation, the product of the two."""
    if activation is None:
        return Elementwise(name, [gate, value], gate * value)
    (x,), (formula,) = activation.inputs, activation.outputs
    return Elementwise(name, [gate, value], formula.subs(x, gate) * value, activation.parameters)
