"""Activation functions from one SymPy formula each: exact derivatives, fused kernels, right to the last bit."""

from actlib.activations import ACTIVATIONS
from actlib.activations.sigmoid import Sigmoid, sigmoid
from actlib.elementwise import Elementwise

__version__ = "0.1.0"

__all__ = ["ACTIVATIONS", "Elementwise", "Sigmoid", "sigmoid"]
