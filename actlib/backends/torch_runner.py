"""Generated torch functions: the primitives they call, and the loop that runs them over a tensor.

Every primitive has one branch-free form, which compilers, batched and meta tensors and GPUs take. On ordinary CPU
tensors, torch's own faster function is used where a glance at the data shows that it is right there.
"""

import linecache
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from actlib.backends import PHI_SCALE, PHI_TAIL

TILE = 1 << 18
"""Elements computed at a time on the CPU: the temporaries of a tile stay in cache."""


def load(name: str, source: str) -> Callable:
    """The function that the source defines, with a name and lines that tracebacks and `inspect` can show."""
    file = f"<actlib {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    defined = {}  # apart from the primitives: a function named tanh calls the primitive, not itself
    exec(compile(source, file, "exec"), dict(PRIMITIVES), defined)
    return defined[name]


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32 and rounded once, at the end."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def run(
    function: Callable,
    arguments: Sequence[Tensor | float],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
    compute: torch.dtype,
) -> list[Tensor]:
    """Evaluates a generated function on tensors and numbers.

    Args:
        function: What `load` gave.
        arguments: Tensors that broadcast to the shape, the first of them of that very shape; and numbers.
        shape: Shape of the results.
        dtypes: Type of each result.
        compute: Type in which everything is computed.

    Returns:
        One tensor a result, in the memory order of the first tensor of that shape.
    """
    like = leader(arguments, shape)
    if not (is_plain(like) and like.numel() > TILE):
        return evaluate(function, arguments, like, dtypes, compute)

    outputs = [torch.empty_like(like, dtype=dtype) for dtype in dtypes]
    order = outputs[0]
    flat = [flatten(a, order) if isinstance(a, Tensor) and a.numel() > 1 else a for a in arguments]
    flat = [a.to(compute).reshape(()) if isinstance(a, Tensor) and a.numel() == 1 else a for a in flat]
    targets = [flatten(out, order) for out in outputs]
    for start in range(0, like.numel(), TILE):
        tile = slice(start, start + TILE)
        results = function(*(a[tile].to(compute) if isinstance(a, Tensor) and a.ndim else a for a in flat))
        for target, result in zip(targets, results if len(dtypes) > 1 else [results], strict=True):
            target[tile].copy_(result) if isinstance(result, Tensor) else target[tile].fill_(result)
    return outputs


def leader(arguments: Sequence[Tensor | float], shape: torch.Size) -> Tensor:
    """The tensor whose memory order the results take: the first of that shape, an expanded one last."""
    candidates = [a for a in arguments if isinstance(a, Tensor) and a.shape == shape]
    return next((a for a in candidates if 0 not in a.stride()), candidates[0])


def evaluate(
    function: Callable,
    arguments: Sequence[Tensor | float],
    like: Tensor,
    dtypes: Sequence[torch.dtype],
    compute: torch.dtype,
) -> list[Tensor]:
    """Evaluates a generated function at once, in plain torch; the results have the shape of `like`."""
    results = function(*(a.to(compute) if isinstance(a, Tensor) else a for a in arguments))
    results = results if len(dtypes) > 1 else [results]
    return [_placed(result, like, dtype) for result, dtype in zip(results, dtypes, strict=True)]


def flatten(tensor: Tensor, order: Tensor) -> Tensor:
    """The elements as one dense row, in the memory order of the dense tensor `order`; a view where it can be."""
    if tensor.shape != order.shape or tensor.stride() != order.stride():
        tensor = torch.empty_like(order, dtype=tensor.dtype).copy_(tensor)
    return tensor.as_strided((tensor.numel(),), (1,))


def _placed(result: Tensor | float, like: Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(result, Tensor):
        return torch.full_like(like, result, dtype=dtype)
    if result.shape != like.shape:
        return torch.empty_like(like, dtype=dtype).copy_(result)
    # Where arguments differ in memory order, torch may have taken another one's; the compiler decides for itself.
    if not torch.compiler.is_compiling() and result.numel() and result.stride() != like.stride():
        target = torch.empty_like(like, dtype=dtype)
        return result.to(dtype) if result.stride() == target.stride() else target.copy_(result)
    return result.to(dtype)


def is_plain(x: Tensor) -> bool:
    """Whether x is an ordinary CPU tensor that may be looked into, not one that is traced, batched or without data."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and torch._C._len_torch_dispatch_stack() == 0
    )


def _above(x: Tensor, bound32: float, bound64: float) -> bool:
    """Whether it may be seen that all of x is above the bound of its type (NaN is not)."""
    return is_plain(x) and x.numel() > 0 and bool(x.amin() > (bound64 if x.dtype == torch.float64 else bound32))


def sigma(x):
    if _above(x, -87.0, -708.0):  # below, 1 + exp(-x) overflows although sigma is no zero yet
        return torch.sigmoid(x)
    e = torch.exp(-x.abs())
    return where(x < 0, e, 1) / (1 + e)


def softplus(x):
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def Phi(x):
    if x.dtype == torch.float64 or is_plain(x):  # erfc, not 1 + erf: that loses all its digits below -5.5
        return torch.special.erfc(x * -math.sqrt(0.5)) * 0.5
    u = 1 / (1 + PHI_SCALE * x.abs())
    p = torch.full_like(u, PHI_TAIL[-1])
    for coefficient in PHI_TAIL[-2::-1]:
        p = p * u + coefficient
    tail = torch.exp(x * x * -0.5) * (u * p)
    return where(x > 0, 1 - tail, tail)


def phi(x):
    return torch.exp(x * x * -0.5) * 0.3989422804014327


def expm1(x):
    if is_plain(x):
        return torch.expm1(x)
    return torch.tanh(x * 0.5) * (torch.exp(x) + 1)  # torch's compiler turns expm1 into exp(x) - 1, which cancels


def damped(factor, by):
    product = factor * by
    if is_plain(product) and product.numel() and not product.amin().isnan():  # no infinity has met a zero
        return product
    return where(by == 0, 0, product)


def where(condition, value, other):
    if not isinstance(condition, Tensor):
        return value if condition else other
    if not isinstance(value, Tensor) and not isinstance(other, Tensor):
        # In double precision, not in that of the default type; the NaN of x, put in next, brings the type back.
        value, other = (torch.full((), n, dtype=torch.float64, device=condition.device) for n in (value, other))
    return torch.where(condition, value, other)


def unless_nan(value, x):
    return where(x == x, value.to(x.dtype) if isinstance(value, Tensor) and isinstance(x, Tensor) else value, x)


def square(x):
    return x * x


def cube(x):
    return x * x * x


def power(x, exponent):
    return x**exponent


PRIMITIVES = {
    "sigma": sigma,
    "softplus": softplus,
    "Phi": Phi,
    "phi": phi,
    "tanh": torch.tanh,
    "expm1": expm1,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "absolute": torch.abs,
    "sign": torch.sign,
    "damped": damped,
    "where": where,
    "unless_nan": unless_nan,
    "square": square,
    "cube": cube,
    "power": power,
}
