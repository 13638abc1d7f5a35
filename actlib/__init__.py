"""Activation functions from one SymPy formula each: exact derivatives, fused kernels, right to the last bit."""

from actlib.activations import ACTIVATIONS
from actlib.activations.celu import CELU, celu
from actlib.activations.elu import ELU, elu
from actlib.activations.gelu import GELU, GELUSigmoid, GELUTanh, gelu, gelu_sigmoid, gelu_tanh
from actlib.activations.glu import (
    GEGLU,
    GLU,
    Bilinear,
    ClampedSwiGLU,
    ReGLU,
    SwiGLU,
    bilinear,
    clamped_swiglu,
    geglu,
    glu,
    reglu,
    swiglu,
)
from actlib.activations.hardsigmoid import Hardsigmoid, hardsigmoid
from actlib.activations.hardswish import Hardswish, hardswish
from actlib.activations.leaky_relu import LeakyReLU, PReLU, leaky_relu, prelu
from actlib.activations.logsigmoid import LogSigmoid, logsigmoid
from actlib.activations.mish import Mish, mish
from actlib.activations.relu import ReLU, relu
from actlib.activations.relu6 import ReLU6, relu6
from actlib.activations.relu_squared import ReLUSquared, relu_squared
from actlib.activations.selu import SELU, selu
from actlib.activations.sigmoid import Sigmoid, sigmoid
from actlib.activations.softmax import LogSoftmax, Softmax, SoftmaxWithSink, log_softmax, softmax, softmax_with_sink
from actlib.activations.softplus import Softplus, softplus
from actlib.activations.softsign import Softsign, softsign
from actlib.activations.swish import SiLU, Swish, silu, swish
from actlib.activations.tanh import Tanh, tanh
from actlib.elementwise import Elementwise

__version__ = "0.1.0"

__all__ = [
    "ACTIVATIONS",
    "CELU",
    "ELU",
    "GEGLU",
    "GELU",
    "GLU",
    "SELU",
    "Bilinear",
    "ClampedSwiGLU",
    "Elementwise",
    "GELUSigmoid",
    "GELUTanh",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReGLU",
    "ReLU",
    "ReLU6",
    "ReLUSquared",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxWithSink",
    "Softplus",
    "Softsign",
    "SwiGLU",
    "Swish",
    "Tanh",
    "bilinear",
    "celu",
    "clamped_swiglu",
    "elu",
    "geglu",
    "gelu",
    "gelu_sigmoid",
    "gelu_tanh",
    "glu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "reglu",
    "relu",
    "relu6",
    "relu_squared",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_with_sink",
    "softplus",
    "softsign",
    "swiglu",
    "swish",
    "tanh",
]
