"""A processor whose last bits differ: torch's own functions, random numbers and sums, rounded the other way.

Instruction sets, libraries of mathematics and numbers of threads change the last bits of what PyTorch computes. Here
these bits are changed on purpose. A function gives, instead of the float32 number nearest to the truth, sometimes the
one on the truth's other side, as every implementation within one ulp may; which of them depends on the bits and on a
seed. In float64 it gives sometimes a neighbour. What a notebook shows must not change.
"""

import functools
import warnings

import numpy as np
import scipy.special
import torch

_LIBRARIES = []  # a library undoes what it has done when it dies


_STEPS = np.array([1, -1, 0, 0])
_CERTAIN = 0.1  # ulp: so near to the truth every implementation finds the nearest number


def _some(array: np.ndarray, seed: int) -> np.ndarray:
    """For each number 0 to 3, by a hash of its bits."""
    bits = array.view({4: np.int32, 8: np.int64}[array.itemsize]).astype(np.uint64)
    return (bits + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(62)


def shaken(array: np.ndarray, seed: int) -> np.ndarray:
    """A quarter of the numbers an ulp larger and a quarter an ulp smaller; multiples of 1/4 stay, as what is exact."""
    integers, exponent = {
        4: (np.int32, np.int32(0x7F800000)),
        8: (np.int64, np.int64(0x7FF0000000000000)),
    }[array.itemsize]
    bits = array.view(integers)
    moves = ((bits & exponent) != 0) & (((bits + 1) & exponent) != exponent)  # no infinity, no NaN, not the largest
    with np.errstate(invalid="ignore", over="ignore"):
        moves &= array * 4 != np.rint(array * 4)
    return (bits + _STEPS[_some(array, seed)].astype(integers) * moves).view(array.dtype)


def faithful(truth: np.ndarray, seed: int) -> np.ndarray:
    """One of the two float32 numbers about the truth."""
    with np.errstate(all="ignore"):
        nearest = truth.astype(np.float32)
        other = np.nextafter(nearest, np.sign(truth - nearest) * np.float32(np.inf), dtype=np.float32)
        far = np.abs(truth - nearest) > _CERTAIN * np.abs(other - nearest)
    return np.where(far & np.isfinite(other) & (_some(nearest, seed) < 2), other, nearest)


def _phi(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _gelu(x, *, approximate="none"):
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)))
    return x / 2 * (1 + scipy.special.erf(x / np.sqrt(2)))


def _gelu_backward(g, x, *, approximate="none"):
    if approximate == "tanh":
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x))
        return g * ((1 + t) / 2 + x / 2 * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x))
    return g * ((1 + scipy.special.erf(x / np.sqrt(2))) / 2 + x * _phi(x))


def _silu_backward(g, x):
    s = scipy.special.expit(x)
    return g * s * (1 + x * (1 - s))


def _elu(x, alpha=1, scale=1, input_scale=1):
    return scale * np.where(x > 0, x, alpha * np.expm1(input_scale * np.minimum(x, 0)))


def _softplus(x, beta=1, threshold=20):
    return np.where(x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, threshold))) / beta)


def _softmax(x, dim, half_to_float=False):  # noqa: ARG001 - torch's signature
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def _log_softmax(x, dim, half_to_float=False):  # noqa: ARG001 - torch's signature
    below = x - x.max(dim, keepdims=True)
    return below - np.log(np.exp(below).sum(dim, keepdims=True))


def _softmax_backward(g, y, dim, input_dtype):  # noqa: ARG001 - torch's signature
    return g * y - y * (g * y).sum(dim, keepdims=True)


def _log_softmax_backward(g, y, dim, input_dtype):  # noqa: ARG001 - torch's signature
    return g - np.exp(y) * g.sum(dim, keepdims=True)


def _product(a, b):
    half = a.shape[-1] // 2  # summed in another order
    return a[..., half:] @ b[..., half:, :] + a[..., :half] @ b[..., :half, :]


# What libraries compute to within an ulp.
ROUNDED = {
    **{
        n: getattr(np, n)
        for n in ("exp", "exp2", "expm1", "log", "log1p", "log2", "tanh", "sin", "cos", "sinh", "cosh")
    },
    "atan": np.arctan,
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "mm": _product,
    "bmm": _product,
    "addmm": lambda c, a, b, *, beta=1, alpha=1: beta * c + alpha * _product(a, b),
    "dot": lambda a, b: np.asarray((a * b).sum()),
    "mv": lambda a, b: (a * b).sum(-1),
}
# What they compose, in the type of the numbers, with its overflows and its cancellation.
COMPOSED = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": _gelu,
    "elu": _elu,
    "softplus": _softplus,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "sigmoid_backward": lambda g, y: g * y * (1 - y),
    "tanh_backward": lambda g, y: g * (1 - y * y),
    "silu_backward": _silu_backward,
    "gelu_backward": _gelu_backward,
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "_softmax_backward_data": _softmax_backward,
    "_log_softmax_backward_data": _log_softmax_backward,
}


def install(seed: int = 1) -> None:
    """Changes the last bits of torch's functions in this process, for good."""
    warnings.filterwarnings("ignore", "Warning only once for all operators")

    def kernel(function, composed, first, *rest, **options):
        tensors = [first, *(t for t in rest if isinstance(t, torch.Tensor))]
        dtype = functools.reduce(torch.promote_types, [t.dtype for t in tensors])
        if not dtype.is_floating_point:
            dtype = torch.get_default_dtype()
        wide = torch.float64 if dtype == torch.float64 or not composed else torch.float32
        arguments = [t.detach().to(wide).numpy() if isinstance(t, torch.Tensor) else t for t in (first, *rest)]
        with np.errstate(all="ignore"):
            found = np.asarray(function(*arguments, **options), dtype=arguments[0].dtype)
        change = shaken if composed or dtype == torch.float64 else faithful
        return torch.from_numpy(change(np.atleast_1d(found), seed).reshape(found.shape)).to(dtype)

    library = torch.library.Library("aten", "IMPL")
    for name, function in (ROUNDED | COMPOSED).items():
        library.impl(name, functools.partial(kernel, function, name in COMPOSED), "CPU")
    _LIBRARIES.append(library)

    def after(owner, name):
        original = getattr(owner, name)

        @functools.wraps(original)
        def shaking(*arguments, **options):
            result = original(*arguments, **options)
            if torch._C._functorch.is_functorch_wrapped_tensor(result):  # within vmap: it has no numbers of its own
                return result
            if result.dtype in (torch.float32, torch.float64) and result.device.type == "cpu":
                flat = result.data.reshape(-1).numpy()
                changed = torch.from_numpy(shaken(flat, seed)).reshape(result.shape)
                result.data.copy_(changed)  # .data: autograd must not see it
            return result

        setattr(owner, name, shaking)

    for owner, names in {
        torch: ("randn", "normal", "linspace", "logspace"),
        torch.Tensor: ("normal_", "sum", "mean", "var", "std", "norm", "logsumexp", "cumsum"),
    }.items():
        for name in names:
            after(owner, name)
