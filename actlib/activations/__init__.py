"""The activation functions, one file each, and their registry."""

from actlib.activations import sigmoid
from actlib.activations.activation import Activation

ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        sigmoid.activation,  # chapter 1
    )
}
"""Every activation function by its name, in the order of the chapters."""
