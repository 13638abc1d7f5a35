"""Triton kernels for softmax, its logarithm, and the backward of both: rows of any length, in any dimension.

The largest score of a row and the sum of exponentials are found together, block by block (Milakov and Gimelshein 2018):
when a larger score comes, what has been summed is scaled down. A row that fits in one block is read once.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from actlib.backends.torch_runner import unseen
from actlib.backends.triton_runner import log1p

BLOCK = 4096
"""Numbers that a program holds at a time, at most."""


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
    block = min(triton.next_power_of_2(length), BLOCK)
    height = max(1, min(triton.next_power_of_2(rows), BLOCK // block // (4 if inner == 1 else 1)))
    given = x if mask is None else mask.expand(x.shape).contiguous()
    kernel = backward_kernel if upstream else forward_kernel
    with torch.cuda.device_of(x):
        kernel[(triton.cdiv(rows, height),)](
            *upstream, x, given, out, rows, length, inner,
            LOGARITHM=logarithm, MASKED=mask is not None, ROWS=height, BLOCK=block, num_warps=warps(height * block),
        )  # fmt: skip
    return out


def warps(numbers: int) -> int:
    """How many warps share so many numbers: eight numbers a thread, which leaves it enough registers."""
    return max(1, min(16, numbers // 256))


@triton.jit
def places(rows, length, inner, ROWS: tl.constexpr):
    """Where the rows of this program begin, and which of them exist. Entries of a row are `inner` apart."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    return (row // inner) * length * inner + row % inner, row < rows


@triton.jit
def scores(x_ptr, mask_ptr, at, inside, MASKED: tl.constexpr):
    """A block of scores; what is outside of the row or masked is -inf."""
    x = tl.load(x_ptr + at, inside, other=-float("inf")).to(tl.float32)
    if MASKED:
        x = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, x, -float("inf"))
    return x


@triton.jit
def gradients(g_ptr, mask_ptr, at, inside, MASKED: tl.constexpr):
    """A block of upstream gradients; what is outside of the row or masked is 0."""
    g = tl.load(g_ptr + at, inside, other=0.0).to(tl.float32)
    if MASKED:
        g = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, g, 0.0)
    return g


@triton.jit
def distance(x, top):
    """x - top, but 0 for two infinities: a single +inf takes all. Before any score has come, -inf."""
    return tl.where(x == float("inf"), 0.0, x - tl.where(top == -float("inf"), 0.0, top))


@triton.jit
def gathered(top, rest, x):
    """Largest score so far, the sum of exp(x - largest) less 1, and the factor for what has been summed before."""
    new = tl.maximum(top, tl.max(x, 1)[:, None])
    scale = tl.where(top == new, 1.0, tl.exp(distance(top, new)))
    d = distance(x, new)
    below = tl.sum(tl.where(d < 0, tl.exp(d), 0.0), 1)[:, None]
    ties = tl.sum(tl.where(d < 0, 0.0, tl.where(d == d, 1.0, d)), 1)[:, None]  # NaN is not below, and makes NaN
    # The 1 is taken off before what may be tiny is added.
    rest = tl.where(top == new, rest + ties + below, (1.0 + rest) * scale + (ties - 1.0) + below)
    return new, rest, scale


@triton.jit
def finished(top, rest):
    """The sum less 1; NaN for a row of -inf alone, or with more than one +inf."""
    undefined = (top == -float("inf")) | ((top == float("inf")) & (rest > 0))
    return tl.where(undefined, float("nan"), rest)


@triton.jit
def forward_kernel(
    x_ptr, mask_ptr, out_ptr, rows, length, inner,
    LOGARITHM: tl.constexpr, MASKED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Softmax of ROWS rows, or its logarithm."""
    begin, exists = places(rows, length, inner, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    top = tl.full([ROWS, 1], -float("inf"), tl.float32)
    rest = tl.zeros([ROWS, 1], tl.float32)
    for start in range(0, length, BLOCK):
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, begin + (start + column) * inner, inside, MASKED)
        top, rest, _ = gathered(top, rest, x)
    rest = finished(top, rest)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, at, inside, MASKED)
        d = distance(x, top)
        y = (d - log1p(rest)) if LOGARITHM else tl.exp(d) / (1.0 + rest)
        if MASKED:
            left_out = -float("inf") if LOGARITHM else 0.0
            y = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, y, left_out)
        tl.store(out_ptr + at, y, inside)


@triton.jit
def backward_kernel(
    g_ptr, x_ptr, mask_ptr, out_ptr, rows, length, inner,
    LOGARITHM: tl.constexpr, MASKED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the scores from that of the results, for ROWS rows."""
    begin, exists = places(rows, length, inner, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    top = tl.full([ROWS, 1], -float("inf"), tl.float32)
    rest = tl.zeros([ROWS, 1], tl.float32)
    total = tl.zeros([ROWS, 1], tl.float32)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        x = scores(x_ptr, mask_ptr, at, inside, MASKED)
        g = gradients(g_ptr, mask_ptr, at, inside, MASKED)
        top, rest, scale = gathered(top, rest, x)
        if LOGARITHM:
            total += tl.sum(g, 1)[:, None]
        else:
            total = total * scale + tl.sum(tl.exp(distance(x, top)) * g, 1)[:, None]
    rest = finished(top, rest)
    if not LOGARITHM:
        total /= 1.0 + rest
    # A gradient sums to 0, up to the roundings of p: what is left of the sum is theirs, and is given back.
    left = tl.zeros([ROWS, 1], tl.float32)
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        p = tl.exp(distance(scores(x_ptr, mask_ptr, at, inside, MASKED), top)) / (1.0 + rest)
        g = gradients(g_ptr, mask_ptr, at, inside, MASKED)
        left += tl.sum((g - p * total) if LOGARITHM else p * (g - total), 1)[:, None]
    for start in range(0, length, BLOCK):
        at = begin + (start + column) * inner
        inside = exists & (start + column < length)
        p = tl.exp(distance(scores(x_ptr, mask_ptr, at, inside, MASKED), top)) / (1.0 + rest)
        g = gradients(g_ptr, mask_ptr, at, inside, MASKED)
        y = ((g - p * total) if LOGARITHM else p * (g - total)) - p * left
        if MASKED:
            y = tl.where(tl.load(mask_ptr + at, inside, other=0) != 0, y, 0.0)
        tl.store(out_ptr + at, y, inside)
