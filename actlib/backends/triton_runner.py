"""Generated Triton kernels: the primitives they call, and the launch. One pass over memory for each call.

Set TRITON_INTERPRET=1 before the first import of triton to run the kernels on the CPU, in NumPy, without a GPU.
"""

import ctypes
import functools
import linecache
import math
import weakref
from collections.abc import Callable, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from actlib.backends import PHI_SCALE, PHI_TAIL, doubles
from actlib.backends.torch_runner import flatten, leader, unseen, with_lines

BLOCK = 1024
PACKED = "packed"

OLDEST = 70
"""Ten times the compute capability that a GPU needs."""

HALF_AS_FAST = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))
"""Compute capabilities of NVIDIA's GPUs that take half as many steps in float64 as in float32; others take a thirtieth.

Source: NVIDIA, CUDA C++ Programming Guide, throughput of arithmetic instructions.
"""


@functools.cache
def computes_in_double(device: torch.device) -> bool:
    """Whether a GPU is as fast in float64 as results in float32 need it to be within an ulp.

    Kernels wait for memory there, and not for what they compute. In Triton's interpreter, on the CPU, it is so, too.
    """
    if device.type != "cuda":
        return True
    capability = torch.cuda.get_device_capability(device)
    return capability[0] == 9 if torch.version.hip else capability in HALF_AS_FAST  # AMD's CDNA, or NVIDIA


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
    kinds: Sequence[str],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
    double: bool,
) -> list[Tensor]:
    """Launches a kernel once over all elements; arguments and results as those of `torch_runner.run`.

    `kinds` tells how each argument comes, `double` whether the kernel computes in float64.
    """
    like = leader(arguments, shape)
    outputs = [torch.empty_like(like, dtype=dtype) for dtype in dtypes]
    if like.numel():
        order = outputs[0]
        targets = [flatten(out, order) for out in outputs]
        _launch(kernel, _given(arguments, kinds, order, double), targets, order.numel())
    return outputs


@unseen
def run_packed(
    kernel: Callable,
    arguments: Sequence[Tensor | float],
    kinds: Sequence[str],
    outputs: Sequence[Tensor],
    order: Tensor,
    step: int,
    double: bool,
) -> None:
    """Launches a kernel of which two arguments, and two results, are views of one contiguous tensor.

    Args:
        kernel: What `load` gave.
        arguments: Tensors and numbers.
        kinds: How each of them comes.
        outputs: What is written into: a contiguous tensor, or two views of one.
        order: A contiguous tensor of the shape of each of them.
        step: From one element of a row to the next, in a view.
        double: Whether it computes in float64.
    """
    _launch(kernel, _given(arguments, kinds, order, double), [*outputs, order.shape[-1], step], order.numel())


def _launch(kernel: Callable, given: Sequence[Tensor | float], targets: Sequence[Tensor | int], n: int) -> None:
    with torch.cuda.device_of(given[0]):
        kernel[(triton.cdiv(n, BLOCK),)](*given, *targets, n, BLOCK=BLOCK)


def _given(
    arguments: Sequence[Tensor | float], kinds: Sequence[str], order: Tensor, double: bool
) -> list[Tensor | float]:
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
            given += [argument] if kind != "number" else parts(float(argument)) if double else [float(argument)]
    return given


def parts(number: float) -> tuple[float, float]:
    """A number as the sum of two that float32 holds, since kernels are given no others."""
    high = ctypes.c_float(number).value
    return high, ctypes.c_float(number - high).value if math.isfinite(high) else 0.0


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


def _horner(coefficients: Sequence[float], of: str) -> str:
    """A polynomial with these coefficients, lowest first, in the words of a kernel."""
    return functools.reduce(lambda p, c: f"({p} * {of} + {c})", map(repr, coefficients[-2::-1]), repr(coefficients[-1]))


def _made_of(name: str, source: str) -> Callable:
    """What kernels may call, of a source in which polynomials have been written out."""
    return load(name, f"@triton.jit\n{source}", {"triton": triton, "tl": tl})


@triton.jit
def sigma(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1.0 + e)


# Near 0 the Taylor series: exp(x) - 1 would lose its digits.
expm1 = _made_of(
    "expm1",
    f"""def expm1(x):
    if x.dtype == tl.float64:
        p = {_horner([1 / math.factorial(n) for n in range(1, 17)], "x")}
    else:
        p = {_horner([1 / math.factorial(n) for n in range(1, 9)], "x")}
    return tl.where(tl.abs(x) < 0.5, x * p, tl.exp(x) - 1.0)
""",
)


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


# To |z| <= tan(pi/8), where atan(x) = atan(z) + pi/4 or pi/2. In float32 the polynomial is that of Moshier, Cephes.
atan = _made_of(
    "atan",
    f"""def atan(x):
    a = tl.abs(x)
    far = a > 2.414213562373095
    middle = a > 0.4142135623730950
    z = tl.where(far, -1.0 / a, tl.where(middle, (a - 1.0) / (a + 1.0), a))
    s = z * z
    if x.dtype == tl.float64:
        p = {_horner(doubles.ATAN, "s")}
    else:
        p = ((8.05374449538e-2 * s - 1.38776856032e-1) * s + 1.99777106478e-1) * s - 3.33329491539e-1
    # Of pi/4: a number in a product has the digits of the other factor.
    quarters = tl.where(far, 2.0, tl.where(middle, 1.0, 0.0)).to(x.dtype)
    t = quarters * 0.7853981633974483 + (p * s * z + z)
    return tl.where(x < 0, -t, t)
""",
)


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


Phi_tail = _made_of(
    "Phi_tail",
    f"""def Phi_tail(x):
    a = tl.abs(x)
    if x.dtype == tl.float64:
        near = tl.where(a > {doubles.FAR}, {doubles.FAR}, a)
        z = 1.0 / tl.where(a > {doubles.FAR}, a, {doubles.FAR})
        s = z * z
        far = z * {_horner(doubles.SERIES, "s")}
        quotient = {_horner(doubles.PHI_TAIL[0], "near")} / {_horner(doubles.PHI_TAIL[1], "near")}
        t = tl.where(a > {doubles.FAR}, far, quotient)
    else:
        u = 1.0 / (1.0 + {PHI_SCALE} * a)
        t = u * {_horner(PHI_TAIL, "u")}
    return t
""",
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
    # In float64: what a logarithm lacks, its power has as many times over as it is large.
    result = tl.exp2(exponent * tl.log2(size.to(tl.float64))).to(size.dtype)
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
