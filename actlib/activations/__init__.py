"""The activation functions, one file each, and their registry."""

from actlib.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    logsigmoid,
    mish,
    relu,
    relu6,
    relu_squared,
    selu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    swish,
    tanh,
)
from actlib.activations.activation import Activation

ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        sigmoid.activation,  # chapter 1
        tanh.activation,  # chapter 2
        relu.activation,  # chapter 3
        leaky_relu.activation,  # chapter 4
        elu.activation,  # chapter 5
        swish.activation,  # chapter 6
        swish.silu_activation,
        softmax.activation,  # chapter 7
        softmax.log_activation,
        gelu.activation,  # chapter 8
        gelu.tanh_activation,
        gelu.sigmoid_activation,
        *glu.activations,  # chapter 9
        hardsigmoid.activation,
        hardswish.activation,
        softplus.activation,
        softsign.activation,
        mish.activation,
        selu.activation,
        celu.activation,
        relu6.activation,
        logsigmoid.activation,
        relu_squared.activation,
        glu.clamped_activation,
        softmax.sink_activation,
    )
}
"""Every activation function by its name, in the order of the chapters."""
