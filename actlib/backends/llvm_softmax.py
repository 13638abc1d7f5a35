"""Machine code for softmax, its logarithm, and the backward of both, row by row.

What is summed over a row is summed in float64. Exponentials are kept in a row's room, so that each is computed once.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from actlib.backends.llvm_runner import DTYPES, SHARE, Kernel
from actlib.backends.vectors import (
    DOUBLES,
    FLOATS,
    INTS,
    LANES,
    Code,
    Vector,
    decay,
    load,
    log1p,
    repeated,
    spread,
    store,
    where,
)

INFINITY = "0x7FF0000000000000"
NAN = "0x7FF8000000000000"


def run(logarithm: bool, dim: int, tensors: Sequence[Tensor]) -> Tensor:
    """Softmax along a dimension for (x,), the gradient of x for (gradient, x).

    Args:
        logarithm: Whether it is the logarithm of softmax.
        dim: The dimension along which rows run, from 0.
        tensors: Ordinary CPU tensors of one shape, of types that kernels read.

    Returns:
        A contiguous tensor like x.
    """
    x = tensors[-1]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel() == 0:
        return out
    length, inner = x.shape[dim], torch.Size(x.shape[dim + 1 :]).numel()
    if inner > 1:  # the kernel takes rows whose elements follow each other
        rows = [t.detach().reshape(-1, length, inner).transpose(1, 2) for t in tensors]
        return out.copy_(run(logarithm, 2, rows).transpose(1, 2).reshape(x.shape))
    tensors = [t.detach().contiguous() for t in tensors]
    rows = x.numel() // length
    kernel = _kernel(logarithm, tuple(DTYPES[t.dtype] for t in tensors), DTYPES[out.dtype])
    threads = min(torch.get_num_threads(), rows, 1 + x.numel() // SHARE)
    room = torch.empty(threads * (length + LANES))
    kernel(rows, threads, length, *[t.data_ptr() for t in (out, *tensors, room)])
    return out


@functools.cache
def _kernel(logarithm: bool, kinds: tuple[str, ...], output: str) -> Kernel:
    return Kernel(kernel_source(logarithm, kinds, output), "Q" * (len(kinds) + 3), unit=1)


def kernel_source(logarithm: bool, kinds: Sequence[str], output: str) -> str:
    """A loop over rows in LLVM's language.

    Args:
        logarithm: Whether it is the logarithm of softmax.
        kinds: Type of the elements of x; or, for backward, of the upstream gradient and x.
        output: Type of the elements of the result.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of rows, their length, and the addresses of
        the results, of gradients (for backward), of scores, and, for each thread, of room for the float32 numbers of
        one row and a vector more.
    """
    code = Code()
    names = ["x"] if len(kinds) == 1 else ["g", "x"]
    code.lines.append(f"%length = add i64 0, {code.field(1, 'i64')}")
    for number, name in enumerate(("out", *names, "rooms"), 2):
        code.lines.append(f"%{name} = getelementptr i8, ptr {code.field(number, 'ptr')}, i64 0")
    offset = code.add(f"mul i64 %thread, {code.add(f'add i64 %length, {LANES}')}")
    code.lines.append(f"%room = getelementptr float, ptr %rooms, i64 {offset}")

    def body(row):
        row = code.add(f"add i64 %begin, {row}")
        _one_row(code, row, logarithm, dict(zip(names, kinds, strict=True)), output)

    code.loop(code.add("sub i64 %end, %begin"), 1, body)
    return code.function()


def _one_row(code: Code, row: str, logarithm: bool, kinds: dict[str, str], output: str) -> None:
    first = code.add(f"mul i64 {row}, %length")
    whole = code.add(f"and i64 %length, {-LANES}")
    left_over = code.add(f"sub i64 %length, {whole}")
    lanes = f"<{', '.join(f'i32 {i}' for i in range(LANES))}>"
    count = spread(code, "i32", code.add(f"trunc i64 {left_over} to i32"))
    part = code.add(f"icmp ult {INTS} {lanes}, {count}")
    has_part = code.add(f"icmp ne i64 {left_over}, 0")

    def everywhere(body: Callable[[str, str], None]) -> None:
        """Writes what is done to each vector of the row; the last one may be inside of it in part."""
        code.loop(whole, LANES, lambda at: body(at, ""))
        inside, after = code.name(), code.name()
        code.lines += [f"br i1 {has_part}, label %{inside}, label %{after}", f"{inside}:"]
        body(whole, part)
        code.lines += [f"br label %{after}", f"{after}:"]

    def place(at):
        return code.add(f"add i64 {first}, {at}")

    def score(at, inside):
        return load(code, kinds["x"], "%x", place(at), inside, float("-inf"))

    def gradient(at, inside):
        return load(code, kinds["g"], "%g", place(at), inside)

    def write(value, at, inside):
        store(value, output, "%out", place(at), inside)

    def doubles(value: Vector) -> str:
        return code.add(f"fpext {FLOATS} {value.name} to {DOUBLES}")

    def add_to(total: str, value: str) -> None:
        """Outside of the row exponentials and gradients are 0, and add nothing."""
        so_far = code.add(f"load {DOUBLES}, ptr {total}")
        code.lines.append(f"store {DOUBLES} {code.add(f'fadd {DOUBLES} {so_far}, {value}')}, ptr {total}")

    def total_of(total: str) -> str:
        value = code.add(f"load {DOUBLES}, ptr {total}")
        return code.call(
            f"vector.reduce.fadd.v{LANES}f64", "double", ("double", "-0.0"), (DOUBLES, value), flags="reassoc "
        )

    def single(value: str) -> Vector:
        return Vector(code, spread(code, "float", code.add(f"fptrunc double {value} to float")))

    # The largest score; NaN is not larger than any, but makes the sum NaN.
    largest = code.variable(FLOATS, repeated("float", "0xFFF0000000000000"))

    def compare(at, inside):
        x, top = score(at, inside), Vector(code, code.add(f"load {FLOATS}, ptr {largest}"))
        code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {largest}")

    everywhere(compare)
    top = code.call(f"vector.reduce.fmax.v{LANES}f32", "float", (FLOATS, code.add(f"load {FLOATS}, ptr {largest}")))
    highest = Vector(code, spread(code, "float", top))

    def distance(at, inside):
        """x - top, but 0 for two infinities: a single +inf takes all. A row of -inf alone is NaN."""
        x = score(at, inside)
        return where(x == float("inf"), 0, x - highest)

    # The sum of the exponentials. For the logarithm without those of the largest scores, which are 1: of the sum less
    # 1, each digit counts.
    total, ties, dot = (code.variable(DOUBLES, "zeroinitializer") for _ in range(3))
    forward_logarithm = logarithm and "g" not in kinds

    def gather(at, inside):
        d = distance(at, inside)
        e = decay(d)
        if forward_logarithm:
            under = d < 0
            add_to(total, doubles(where(under, e, 0)))
            add_to(ties, doubles(where(under, 0, where(d == d, 1, d))))
            return
        store(e, "float32", "%room", at)
        add_to(total, doubles(e))
        if "g" in kinds:
            g = gradient(at, inside)
            add_to(dot, doubles(g if logarithm else e * g))

    everywhere(gather)
    if forward_logarithm:
        rest = code.add(f"fadd double {code.add(f'fadd double {total_of(ties)}, -1.0')}, {total_of(total)}")
    else:
        rest = code.add(f"fadd double {total_of(total)}, -1.0")
    undefined = code.add(
        f"and i1 {code.add(f'fcmp ogt double {rest}, 0.0')}, {code.add(f'fcmp oeq float {top}, {INFINITY}')}"
    )
    rest = code.add(f"select i1 {undefined}, double {NAN}, double {rest}")
    reciprocal = code.add(f"fdiv double 1.0, {code.add(f'fadd double 1.0, {rest}')}")
    inverse = single(reciprocal)

    if "g" not in kinds:
        if logarithm:
            logarithm_of_sum = log1p(single(rest))
            everywhere(lambda at, inside: write(distance(at, inside) - logarithm_of_sum, at, inside))
        else:
            everywhere(lambda at, inside: write(load(code, "float32", "%room", at) * inverse, at, inside))
        return

    # The mean of the gradients; for the logarithm, their sum over that of the exponentials.
    shift = single(code.add(f"fmul double {total_of(dot)}, {reciprocal}"))

    def parts(at, inside):
        e, g = load(code, "float32", "%room", at), gradient(at, inside)
        return e, g - e * shift if logarithm else e * inverse * (g - shift)

    # A gradient sums to 0, up to the roundings of p: what is left of the sum is theirs, and is given back.
    remainder = code.variable(DOUBLES, "zeroinitializer")
    everywhere(lambda at, inside: add_to(remainder, doubles(parts(at, inside)[1])))
    left = single(code.add(f"fmul double {total_of(remainder)}, {reciprocal}"))

    def finish(at, inside):
        e, u = parts(at, inside)
        write(u - e * left, at, inside)

    everywhere(finish)


# For torch.compile, as in the runner.
_LIBRARY = torch.library.Library("actlib", "FRAGMENT")
_LIBRARY.define("softmax(bool logarithm, int dim, Tensor[] tensors) -> Tensor")


def softmax(logarithm: bool, dim: int, tensors: Sequence[Tensor]) -> Tensor:
    """`run` as an operation that compilers leave alone."""
    return torch.ops.actlib.softmax(logarithm, dim, tensors)


torch.library.impl(_LIBRARY, "softmax", "CPU")(run)


@torch.library.register_fake("actlib::softmax", lib=_LIBRARY)
def _shape(logarithm, dim, tensors):  # noqa: ARG001
    return torch.empty_like(tensors[-1], memory_format=torch.contiguous_format)
