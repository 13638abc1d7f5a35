"""Generated Triton kernels: the primitives they call, and the launch. One pass over memory for each call.

Set TRITON_INTERPRET=1 before the first import of triton to run the kernels on the CPU, in NumPy, without a GPU.
"""

import functools
import linecache
import weakref
from collections.abc import Callable, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from actlib.backends import PHI_SCALE, PHI_TAIL
from actlib.backends.torch_runner import flatten, leader, unseen, with_lines

BLOCK = 1024
PACKED = "packed"

OLDEST = 70
"""Ten times the compute capability that a GPU needs."""


def check() -> None:
    """Raises an error where Triton does not serve the current GPU: without its driver, or a C compiler, say."""
    target = triton.runtime.driver.active.get_current_target()
    if target.backend == "cuda" and target.arch < OLDEST:
        raise RuntimeError(f"kernels need compute capability {OLDEST / 10}, but the GPU has {target.arch / 10}")


def load(name: str, source: str, primitives: dict | None = None) -> Callable:
    """The kernel that the source defines; triton reads its text through `inspect`, so it is given lines."""
    file = with_lines(name, source)
    namespace = {"__name__": __name__, **(primitives or PRIMITIVES)}
    exec(compile(source, file, "exec"), namespace)
    weakref.finalize(namespace[name], linecache.cache.pop, file, None)
    return namespace[name]


def kinds(arguments: Sequence[Tensor | float], shape: torch.Size) -> tuple[str, ...]:
    """How each argument comes, in the words of `source.triton_source`."""
    return tuple(_kind(a, shape) for a in arguments)


@unseen
def run(
    kernel: Callable,
    arguments: Sequence[Tensor | float],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
) -> list[Tensor]:
    """Launches a kernel once over all elements; arguments and results as those of `torch_runner.run`."""
    like = leader(arguments, shape)
    outputs = [torch.empty_like(like, dtype=dtype) for dtype in dtypes]
    if like.numel():
        order = outputs[0]
        targets = [flatten(out, order) for out in outputs]
        _launch(kernel, _given(arguments, kinds(arguments, shape), order), targets, order.numel())
    return outputs


@unseen
def run_packed(
    kernel: Callable,
    arguments: Sequence[Tensor | float],
    kinds: Sequence[str],
    outputs: Sequence[Tensor],
    order: Tensor,
    step: int,
) -> None:
    """Launches a kernel of which two arguments, and two results, are views of one contiguous tensor.

    Args:
        kernel: What `load` gave.
        arguments: Tensors and numbers.
        kinds: How each of them comes.
        outputs: What is written into: a contiguous tensor, or two views of one.
        order: A contiguous tensor of the shape of each of them.
        step: From one element of a row to the next, in a view.
    """
    _launch(kernel, _given(arguments, kinds, order), [*outputs, order.shape[-1], step], order.numel())


def _launch(kernel: Callable, given: Sequence[Tensor | float], targets: Sequence[Tensor | int], n: int) -> None:
    with torch.cuda.device_of(given[0]):
        kernel[(triton.cdiv(n, BLOCK),)](*given, *targets, n, BLOCK=BLOCK)


def _given(arguments: Sequence[Tensor | float], kinds: Sequence[str], order: Tensor) -> list[Tensor | float]:
    """What a kernel gets for arguments of these kinds, where results lie in the memory order of a dense tensor."""
    shape = order.shape
    given: list[Tensor | float] = []
    for argument, kind in zip(arguments, kinds, strict=True):
        if kind == "full":
            given.append(flatten(argument, order))
        elif kind == "channel":
            dim = _channel(argument, shape)
            values = argument.expand(shape).movedim(dim, 0).flatten(1)[:, 0].contiguous()
            given += [values, order.stride(dim), shape[dim]]
        else:
            given.append(float(argument) if kind == "number" else argument)
    return given


def _kind(argument: Tensor | float, shape: torch.Size) -> str:
    if not isinstance(argument, Tensor):
        return "number"
    if argument.numel() == 1 or not any(argument.stride()):  # also a gradient expanded from one number
        return "one"
    if argument.shape == shape and 0 not in argument.stride():
        return "full"
    return "channel" if _channel(argument, shape) is not None else "full"


def _channel(argument: Tensor, shape: torch.Size) -> int | None:
    """The only dimension along which the argument varies once it is expanded to the shape; None if there are more."""
    strides = argument.expand(shape).stride()
    varying = [d for d, (size, stride) in enumerate(zip(shape, strides, strict=True)) if size > 1 and stride]
    return varying[0] if len(varying) == 1 else None


@triton.jit
def sigma(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1.0 + e)


@triton.jit
def expm1(x):
    # Near 0 the Taylor series: exp(x) - 1 would lose its digits.
    p = 1.0 + x * (0.5 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720 + x * (1 / 5040 + x / 40320))))))
    return tl.where(tl.abs(x) < 0.5, x * p, tl.exp(x) - 1.0)


@triton.jit
def log1p(x):
    # Kahan: the error of rounding 1 + x cancels in the quotient. For 0 <= x only.
    y = 1.0 + x
    return tl.where(y == 1.0, x, tl.log(y) * (x / tl.where(y == 1.0, 1.0, y - 1.0)))


@triton.jit
def softplus(x):
    return tl.where(x < 0, 0.0, x) + log1p(tl.exp(-tl.abs(x)))


@triton.jit
def tanh(x):
    m = expm1(-2.0 * tl.abs(x))
    t = -m / (2.0 + m)
    return tl.where(x < 0, -t, t)


@triton.jit
def sinh(x):
    a = tl.abs(x)
    m = expm1(tl.where(a < 1.0, a, 1.0))
    h = tl.exp(a * 0.5)  # of large numbers the half, since exp(a) may overflow before sinh
    t = tl.where(a < 1.0, 0.5 * (m + m / (m + 1.0)), 0.5 * h * h - 0.5 / h / h)
    return tl.where(x < 0, -t, t)


@triton.jit
def cosh(x):
    h = tl.exp(tl.abs(x) * 0.5)
    return 0.5 * h * h + 0.5 / h / h


@triton.jit
def atan(x):
    # Moshier, Cephes: to |z| <= tan(pi/8), where atan(x) = atan(z) + pi/4 or pi/2.
    a = tl.abs(x)
    far = a > 2.414213562373095
    middle = a > 0.4142135623730950
    z = tl.where(far, -1.0 / a, tl.where(middle, (a - 1.0) / (a + 1.0), a))
    s = z * z
    p = ((8.05374449538e-2 * s - 1.38776856032e-1) * s + 1.99777106478e-1) * s - 3.33329491539e-1
    t = tl.where(far, 1.5707963267948966, tl.where(middle, 0.7853981633974483, 0.0)) + (p * s * z + z)
    return tl.where(x < 0, -t, t)


@triton.jit
def asinh(x):
    a = tl.abs(x)
    b = tl.where(a > 1073741824.0, 1.0, a)  # from 2^30 on, 1 + x^2 is x^2, rounded
    near = log1p(b + b * b / (1.0 + tl.sqrt(1.0 + b * b)))
    t = tl.where(a > 1073741824.0, tl.log(a) + 0.6931471805599453, near)
    return tl.where(x < 0, -t, t)


@triton.jit
def cosatan(x):
    a = tl.abs(x)
    b = tl.where(a > 1073741824.0, 1.0, a)
    return 1.0 / tl.where(a > 1073741824.0, a, tl.sqrt(1.0 + b * b))


@triton.jit
def phi(x):
    return tl.exp(x * x * -0.5) * 0.3989422804014327


_horner = functools.reduce(lambda p, c: f"({p} * u + {c})", map(repr, PHI_TAIL[-2::-1]), repr(PHI_TAIL[-1]))
Phi_tail = load(
    "Phi_tail",
    f"""@triton.jit
def Phi_tail(x):
    u = 1.0 / (1.0 + {PHI_SCALE} * tl.abs(x))
    return u * {_horner}
""",
    {"triton": triton, "tl": tl},
)


@triton.jit
def Phi(x):
    tail = tl.exp(x * x * -0.5) * Phi_tail(x)
    return tl.where(x > 0, 1.0 - tail, tail)


@triton.jit
def exp(x):
    return tl.exp(x)


@triton.jit
def log(x):
    return tl.log(x)


@triton.jit
def sqrt(x):
    return tl.sqrt(x)


@triton.jit
def sin(x):
    return tl.sin(x)


@triton.jit
def cos(x):
    return tl.cos(x)


@triton.jit
def erf(x):
    return tl.erf(x)


@triton.jit
def absolute(x):
    return tl.abs(x)


@triton.jit
def sign(x):
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x))


@triton.jit
def damped(factor, by):
    return tl.where(by == 0, 0.0, factor * by)


@triton.jit
def where(condition, value, other):
    return tl.where(condition, value, other)


@triton.jit
def both(condition, other):
    return tl.where(condition, tl.where(other, 1, 0), 0) != 0


@triton.jit
def either(condition, other):
    return tl.where(condition, 1, tl.where(other, 1, 0)) != 0


@triton.jit
def unless_nan(value, x):
    return tl.where(x == x, value, x)


@triton.jit
def square(x):
    return x * x


@triton.jit
def cube(x):
    return x * x * x


@triton.jit
def power(x, exponent):
    size = tl.abs(x)
    result = tl.exp2(exponent * tl.log2(size))
    # Where the logarithm is 0, or the exponent is, the other may be infinite or NaN: the power is 1.
    result = tl.where(size == 1.0, 1.0, tl.where(exponent == 0.0, 1.0, result))
    # A negative number has whole powers alone; those with an odd exponent are negative.
    half = tl.where(size == size, exponent, exponent) * 0.5
    odd = tl.where(half != tl.floor(half), -result, result)
    return tl.where(x < 0, tl.where(2.0 * half != tl.floor(2.0 * half), float("nan"), odd), result)


PRIMITIVES = {
    "triton": triton,
    "tl": tl,
    **{
        f.__name__: f
        for f in (sigma, softplus, Phi, phi, tanh, expm1, exp, log, sqrt, sin, cos, erf, absolute, sign)
        + (sinh, cosh, atan, asinh, cosatan, Phi_tail)
        + (damped, where, both, either, unless_nan, square, cube, power)
    },
}
