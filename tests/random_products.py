"""Random products of functions that grow or decay exponentially, from a seed; and where an Elementwise gets them wrong.

`python tests/random_products.py 300 7` tries 300 of seed 7 and prints those that go wrong.
"""

import functools
import random
import sys
from collections.abc import Callable

import numpy as np
import sympy as sp
import torch
from sympy import Expr

from actlib import accuracy
from actlib.elementwise import Elementwise
from actlib.formula.primitives import Phi, asinh, atan, cosh, derivative, expm1, phi, sigma, sinh, softplus, tanh

x = sp.Symbol("x", real=True)
EXPONENTIAL = (sigma, softplus, Phi, phi, expm1, sinh, cosh, sp.exp)
FUNCTIONS = (*EXPONENTIAL, tanh, atan, asinh)
ARGUMENTS = (x, -x, 2 * x, -x / 2, x**2 / 4, -3 * x / 2)
SIZES = (0.25, 0.75, 3, 11, 15, 22, 40, 70, 88.5, 95, 110, 180, 400, 752, 2000)
POINTS = [sign * size for size in SIZES for sign in (1, -1)]
"""Numbers of every type."""


def products(count: int, seed: int) -> list[Expr]:
    """So many products of two functions, of which one is divided by, times a power, or a sum now and then."""
    chance, found = random.Random(seed), []
    function = lambda functions=FUNCTIONS: chance.choice(functions)(chance.choice(ARGUMENTS))
    while len(found) < count:
        first, second = function(EXPONENTIAL), function()
        kind = chance.choice(("plain", "plain", "divided", "times x", "times x^3", "sum"))
        if kind == "divided":
            second = 1 / second
        elif kind == "sum":
            first += chance.choice((1, 2, x))
        product = first * second * {"times x": x, "times x^3": x**3}.get(kind, 1)
        if product.has(x):
            found.append(product)
    return found


@functools.cache
def truths(expr: Expr) -> list[float]:
    """What a formula is at the points; infinite where no number is near enough."""
    found = []
    for at in POINTS:
        try:
            found.append(accuracy.exact(expr, [x], [np.array([at])])[0].item())
        except ArithmeticError:  # a pole, or a power of e beyond all numbers
            found.append(np.inf)
    return found


def wrong(expr: Expr, computed: torch.Tensor) -> list[tuple[float, float, float]]:
    """Where a result is NaN though the truth is a number, or far off though it is a normal one.

    Returns:
        Of each such place the number, the result and the truth.
    """
    info, found = torch.finfo(computed.dtype), []
    coarse = max(1e-3, info.eps)
    for at, result, truth in zip(POINTS, computed.double().tolist(), truths(expr), strict=True):
        is_normal = 1.01 * info.smallest_normal <= abs(truth) <= 0.99 * info.max
        if np.isfinite(truth) and (np.isnan(result) or (is_normal and not abs(result - truth) <= coarse * abs(truth))):
            found.append((at, result, truth))
    return found


def wrong_ones(
    product: Expr, dtype: torch.dtype = torch.float32, call: Callable = lambda f, *given: f(*given)
) -> dict[str, list[tuple[float, float, float]]]:
    """Where value and slope of a product go wrong, called in some way."""
    op = Elementwise("product", [x], product)
    points = torch.tensor(POINTS, dtype=dtype)
    results = {
        "value": (product, call(op, points)),
        "slope": (derivative(product, x), call(op.backward, torch.ones_like(points), points)),
    }
    return {what: wrong(expr, computed) for what, (expr, computed) in results.items()}


if __name__ == "__main__":
    total = 0
    for product in products(int(sys.argv[1]), int(sys.argv[2])):
        found = {what: places for what, places in wrong_ones(product).items() if places}
        total += bool(found)
        if found:
            print(product, {what: (len(places), *places[:3]) for what, places in found.items()}, flush=True)
    print(f"{total} go wrong")
