"""What can be asked of functions that compute in float32 throughout. No tests by itself."""

import numpy as np
import torch

from actlib import accuracy
from actlib.formula.primitives import derivative


def mixed_errors(formula, symbols, function, inputs):
    """The largest mixed error of the value, and of each slope, at float32 inputs.

    That is the error divided by one ulp of the result plus the effect of one ulp of each input, which a function that
    rounds on its way cannot undo. Results below the smallest normal number are left out.
    """
    points, single = [t.double().numpy() for t in inputs], torch.finfo(torch.float32)
    steps = [accuracy.ulp(p, torch.float32) for p in points]
    truly = lambda expr: accuracy.exact(expr, symbols, points)[0]
    exprs = [formula, *(derivative(formula, s) for s in symbols)]
    largest = []
    for expr, computed in zip(exprs, accuracy.value_and_slopes(function, *inputs), strict=True):
        truth = truly(expr)
        effects = [np.abs(np.nan_to_num(truly(derivative(expr, s)))) * u for s, u in zip(symbols, steps, strict=True)]
        error = np.abs(computed.double().numpy() - truth) / (accuracy.ulp(truth, torch.float32) + sum(effects))
        beyond = (np.abs(truth) > single.max) & (computed.numpy() == np.copysign(np.inf, truth))
        error = np.where(np.isfinite(error), error, np.inf)
        largest.append(np.where((np.abs(truth) < single.smallest_normal) | beyond, 0, error).max())
    return largest
