"""Triton kernels for softmax, its logarithm, and the backward of both: rows of any length, in any dimension.

Forward, the largest score of a row and the sum of exponentials are found together, block by block (Milakov and
Gimelshein 2018): when a larger score comes, what has been summed is scaled down. A row that fits in one block is read
once. Results in float32 are computed in float64 where that is fast.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from actlib.backends.torch_runner import unseen
from actlib.backends.triton_runner import computes_in_double, expm1, log1p

BLOCK = 4096
"""Numbers of float32 that a program holds at a time, at most."""

SHORT = 16
"""Rows up to this length are computed in float64 in half precision, too: of few terms, all may cancel, as in 1 - 2p."""


@unseen
def run(logarithm: bool, dim: int, mask: Tensor | None, tensors: Sequence[Tensor]) -> Tensor:
    """Launches the forward kernel for (x,), the backward kernel for (gradient, x).

    Args:
        logarithm: Whether it is the logarithm of softmax.
        dim: The dimension along which rows run, from 0.
        mask: Which entries take part; None for all.
        tensors: Tensors of one shape that is not empty, of float16, bfloat16 or float32.

    Returns:
        A contiguous tensor like x.
    """
    *upstream, x = (t.contiguous() for t in tensors)
    out = torch.empty_like(x)
    length = x.shape[dim]
    inner = torch.Size(x.shape[dim + 1 :]).numel()
    rows = x.numel() // length
    double = (x.dtype == torch.float32 or length <= SHORT) and computes_in_double(x.device)
    block, most = sizes(length, double)
    height = max(1, min(triton.next_power_of_2(rows), most // (4 if inner == 1 else 1)))
    given = x if mask is None else mask.expand(x.shape).contiguous()
    kernel = backward_kernel if upstream else forward_kernel
    with torch.cuda.device_of(x):
        kernel[(triton.cdiv(rows, height),)](
            *upstream, x, given, out, rows, length, inner,
            LOGARITHM=logarithm, MASKED=mask is not None, DOUBLE=double, ROWS=height, BLOCK=block,
            num_warps=warps(height * block, double),
        )  # fmt: skip
    return out


def sizes(length: int, double: bool) -> tuple[int, int]:
    """How much of a row a program holds at a time, and of how many rows at most."""
    numbers = BLOCK // (4 if length <= SHORT else 2) if double else BLOCK  # many rows have many sums
    block = min(triton.next_power_of_2(length), numbers)
    return block, numbers // block


def warps(numbers: int, double: bool) -> int:
    """How many warps share so many numbers: eight a thread, or four of float64, which leaves it enough registers."""
    return max(1, min(16, numbers // (128 if double else 256)))


@triton.jit
def places(rows, length, inner, ROWS: tl.constexpr):
    """Where the rows of this program begin, and which of them exist. Entries of a row are `inner` apart."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    return (row // inner) * length * inner + row % inner, row < rows


@triton.jit
def numbers(ptr, at, inside, other, DOUBLE: tl.constexpr):
    """A block of numbers, of the type that is computed in."""
    x = tl.load(ptr + at, inside, other=other).to(tl.float32)
    return x.to(tl.float64) if DOUBLE else x


@triton.jit
def scores(x_ptr, mask_ptr, at, inside, MASKED: tl.constexpr, DOUBLE: tl.constexpr):
    """A block of scores; what is outside of the row or masked is -inf."""
    x = numbers(x_ptr, at, inside, -float("inf"), DOUBLE)
    if MASKED:
        x = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, x, -float("inf"))
    return x


@triton.jit
def gradients(g_ptr, mask_ptr, at, inside, MASKED: tl.constexpr, DOUBLE: tl.constexpr):
    """A block of upstream gradients; what is outside of the row or masked is 0."""
    g = numbers(g_ptr, at, inside, 0.0, DOUBLE)
    if MASKED:
        g = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, g, 0.0)
    return g


@triton.jit
def distance(x, top):
    """x - top, but 0 for two infinities: a single +inf takes all. Before any score has come, -inf."""
    return tl.where(x == float("inf"), 0.0, x - tl.where(top == -float("inf"), 0.0, top))


@triton.jit
def gathered(top, rest, x):
    """Largest score so far, and the sum of exp(x - largest) less 1."""
    new = tl.maximum(top, tl.max(x, 1)[:, None])
    scale = tl.where(top == new, 1.0, tl.exp(distance(top, new)))
    d = distance(x, new)
    below = tl.sum(tl.where(d < 0, tl.exp(d), 0.0), 1)[:, None]
    # NaN is not below, and makes NaN.
    ties = tl.sum(tl.where(d < 0, 0.0, tl.where(d == d, 1.0, d)), 1)[:, None]
    # The 1 is taken off before what may be tiny is added.
    scaled = (1.0 + rest) * scale + (ties - 1.0) + below
    return new, tl.where(top == new, rest + ties + below, scaled)


@triton.jit
def finished(top, rest):
    """The sum less 1; NaN for a row of -inf alone, or with more than one +inf."""
    undefined = (top == -float("inf")) | ((top == float("inf")) & (rest > 0))
    return tl.where(undefined, float("nan"), rest)


@triton.jit
def forward_kernel(
    x_ptr, mask_ptr, out_ptr, rows, length, inner,
    LOGARITHM: tl.constexpr, MASKED: tl.constexpr, DOUBLE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Softmax of ROWS rows, or its logarithm."""
    begin, exists = places(rows, length, inner, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    kind: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    top = tl.full([ROWS, 1], -float("inf"), kind)
    rest = tl.zeros([ROWS, 1], kind)
    for start in range(0, length, BLOCK):
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, begin + (start + column) * inner, inside, MASKED, DOUBLE)
        top, rest = gathered(top, rest, x)
    rest = finished(top, rest)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, at, inside, MASKED, DOUBLE)
        d = distance(x, top)
        y = (d - log1p(rest)) if LOGARITHM else tl.exp(d) / (1.0 + rest)
        if MASKED:
            left_out = -float("inf") if LOGARITHM else 0.0
            y = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, y, left_out)
        tl.store(out_ptr + at, y.to(tl.float32), inside)


@triton.jit
def backward_kernel(
    g_ptr, x_ptr, mask_ptr, out_ptr, rows, length, inner,
    LOGARITHM: tl.constexpr, MASKED: tl.constexpr, DOUBLE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the scores from that of the results, for ROWS rows.

    Of softmax, gradients are taken relative to that of the largest score, whose slope sees the others alone. Of its
    logarithm, g_i - p_i G, G the sum of all g, is for n scores next to each other ((n g_i - G) + (g_i T - t_i G)) / S,
    t_i exp(x_i - largest) less 1, and T and S the sums of these and of the exponentials: where gradients are equal, the
    first bracket is 0.
    """
    begin, exists = places(rows, length, inner, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    kind: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    scale: tl.constexpr = 1.0 if DOUBLE else 1 / 64  # of the largest numbers in float32 there is a sum, too
    top = tl.full([ROWS, 1], -float("inf"), kind)
    at_top = tl.zeros([ROWS, 1], kind)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, at, inside, MASKED, DOUBLE)
        new = tl.maximum(top, tl.max(x, 1)[:, None])
        if not LOGARITHM:
            g = gradients(g_ptr, mask_ptr, at, inside, MASKED, DOUBLE) * scale
            highest = tl.max(tl.where(x == new, g, -float("inf")), 1)[:, None]  # of several the largest
            at_top = tl.maximum(tl.where(top == new, at_top, -float("inf")), highest)
        top = new
    rest = tl.zeros([ROWS, 1], kind)
    total = tl.zeros([ROWS, 1], kind)
    others = tl.zeros([ROWS, 1], kind)
    ties = tl.zeros([ROWS, 1], kind)
    count = tl.zeros([ROWS, 1], kind)
    lacks = tl.zeros([ROWS, 1], kind)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        d = distance(scores(x_ptr, mask_ptr, at, inside, MASKED, DOUBLE), top)
        g = gradients(g_ptr, mask_ptr, at, inside, MASKED, DOUBLE) * scale
        below = tl.where(d < 0, tl.exp(d), 0.0)
        tied = tl.where(d < 0, 0.0, tl.where(d == d, 1.0, d))  # NaN is not below, and makes NaN
        rest += tl.sum(below, 1)[:, None]
        ties += tl.sum(tied, 1)[:, None]
        if LOGARITHM:
            total += tl.sum(g, 1)[:, None]
            others += tl.sum(tl.where(d < 0, g, 0.0), 1)[:, None]
            count += tl.sum(tl.where(d > -float("inf"), 1.0, 0.0), 1)[:, None]
            lacks += tl.sum(tl.where(d > -float("inf"), expm1(d), 0.0), 1)[:, None]
        else:
            total += tl.sum((below + tied) * tl.where(below + tied == 0, 0.0, g - at_top), 1)[:, None]
    rest = finished(top, rest + (ties - 1.0))  # the 1 is taken off before what may be tiny is added
    mean = total / (1.0 + rest)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        d = distance(scores(x_ptr, mask_ptr, at, inside, MASKED, DOUBLE), top)
        g = gradients(g_ptr, mask_ptr, at, inside, MASKED, DOUBLE) * scale
        e = tl.exp(d)
        if LOGARITHM:
            alone = (g * rest - others) / (1.0 + rest)  # 1 - p would lose its digits
            far = tl.where((d == 0) & (ties == 1), alone, g - e * mean)
            near = ((count * g - total) + (g * lacks - expm1(d) * total)) / (1.0 + rest)
            close = (lacks * 128 > -count) & (d > -1.0)  # exponentials are above 1 - 1/128 on average, and not small
            y = tl.where(close, near, far) / scale
        else:
            y = e / (1.0 + rest) / scale * (g - at_top - mean)
        if MASKED:
            y = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, y, 0.0)
        tl.store(out_ptr + at, y.to(tl.float32), inside)
