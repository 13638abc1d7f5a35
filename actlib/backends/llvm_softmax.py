"""Machine code for softmax, its logarithm, and the backward of both, row by row.

What is summed over a row is summed in float64. Exponentials are kept in a row's room, so that each is computed once.
Short rows lie side by side in vectors; what is summed over each is turned around in it.
"""

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from actlib.backends.calls import SHARE, Launch
from actlib.backends.llvm_runner import DTYPES, NAN, Kernel
from actlib.backends.torch_runner import address, unseen
from actlib.backends.vectors import (
    BLOCK,
    DOUBLES,
    FLOATS,
    LANES,
    Code,
    Double,
    Memory,
    Vector,
    decay,
    log1p,
    repeated,
    spread,
    where,
)

INFINITY = "0x7FF0000000000000"


@unseen
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
    tensors = [t if t.is_contiguous() else t.detach().contiguous() for t in tensors]
    kernel = _kernel(logarithm, tuple(DTYPES[t.dtype] for t in tensors), DTYPES[out.dtype], _short(length))
    _run(kernel, length, out, tensors)
    return out


def launch_of(logarithm: bool, inputs: int, dtype: torch.dtype) -> Launch | None:
    """`run` along the last dimension, for so many dense tensors of one type and shape; None where it cannot be.

    It takes the dimension and a mask, and asks neither.
    """
    if dtype not in DTYPES:
        return None
    of_rows = functools.partial(_kernel, logarithm, (DTYPES[dtype],) * inputs, DTYPES[dtype])

    def launch(dim, mask, *tensors):  # noqa: ARG001
        x = tensors[-1]
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        count, length = x.numel(), x.shape[-1]
        kernel = of_rows(_short(length))
        if length <= ROOM and count < SHARE:
            places = [t.data_ptr() or address(t) for t in tensors]
            kernel.whole(kernel.pack(count // length, length, out.data_ptr(), *places, _ROOM.address))
        else:
            _run(kernel, length, out, tensors)
        return out

    return launch


def _run(kernel: Kernel, length: int, out: Tensor, tensors: Sequence[Tensor]) -> None:
    """Runs a kernel on dense tensors, whose rows have the length."""
    count = out.numel()
    rows = count // length
    threads = min(torch.get_num_threads(), rows, 1 + count // SHARE)
    room = torch.empty(threads * (length + BLOCK), dtype=torch.float32, device="cpu")
    kernel(rows, threads, length, out.data_ptr(), *[address(t) for t in tensors], room.data_ptr())


ROOM = 1 << 12
"""Rows up to this length need no room of a call's own: each thread keeps some."""


class _Room(threading.local):
    def __init__(self):
        self.numbers = (ctypes.c_float * (ROOM + BLOCK))()  # torch may be making tensors without data
        self.address = ctypes.addressof(self.numbers)


_ROOM = _Room()


SHORT = BLOCK // 2
"""Rows up to this length are short: several lie in a block."""


def _short(length: int) -> int:
    """The length of short rows; 0 for others."""
    return length if length <= SHORT else 0


@functools.cache
def _kernel(logarithm: bool, kinds: tuple[str, ...], output: str, short: int) -> Kernel:
    return Kernel(kernel_source(logarithm, kinds, output, short), "Q" * (len(kinds) + 3), unit=1)


def kernel_source(logarithm: bool, kinds: Sequence[str], output: str, short: int = 0) -> str:
    """A loop over rows in LLVM's language.

    Args:
        logarithm: Whether it is the logarithm of softmax.
        kinds: Type of the elements of x; or, for backward, of the upstream gradient and x.
        output: Type of the elements of the result.
        short: The length of all rows, if it is at most `SHORT`; 0 for rows of any length.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of rows, their length, and the addresses of
        the results, of gradients (for backward), of scores, and, for each thread, of room for the float32 numbers of
        one row and a block more.
    """
    code = Code()
    names = ["x"] if len(kinds) == 1 else ["g", "x"]
    code.lines.append(f"%length = add i64 0, {code.field(1, 'i64')}")
    for number, name in enumerate(("out", *names, "rooms"), 2):
        code.lines.append(f"%{name} = getelementptr i8, ptr {code.field(number, 'ptr')}, i64 0")
    if short:
        _short_rows(code, short, logarithm, dict(zip(names, kinds, strict=True)), output)
        return code.function()
    offset = code.add(f"mul i64 %thread, {code.add(f'add i64 %length, {BLOCK}')}")
    code.lines.append(f"%room = getelementptr float, ptr %rooms, i64 {offset}")

    def body(row):
        row = code.add(f"add i64 %begin, {row}")
        _one_row(code, row, logarithm, dict(zip(names, kinds, strict=True)), output)

    code.loop(code.add("sub i64 %end, %begin"), 1, body)
    return code.function()


def _one_row(code: Code, row: str, logarithm: bool, kinds: dict[str, str], output: str) -> None:
    first = code.add(f"mul i64 {row}, %length")
    whole = code.add(f"and i64 %length, {-BLOCK}")
    left_over = code.add(f"sub i64 %length, {whole}")
    has_part = code.add(f"icmp ne i64 {left_over}, 0")
    stored = (*kinds.values(), output)
    block = Memory(code, stored)
    part = Memory(code, stored, code.add(f"trunc i64 {left_over} to i32"))
    room = Memory(code, ["float32"])

    def everywhere(body: Callable[[str, Memory], None], *totals: "_Sum") -> None:
        """Writes what is done to each block of the row; the last one may be inside of it in part."""

        def inner(at):
            body(at, block)
            if totals:
                _settle(code, at, totals)

        code.loop(whole, BLOCK, inner)
        inside, after = code.name(), code.name()
        code.lines += [f"br i1 {has_part}, label %{inside}, label %{after}", f"{inside}:"]
        body(whole, part)
        code.lines += [f"br label %{after}", f"{after}:"]

    def place(at):
        return code.add(f"add i64 {first}, {at}")

    def scores(at, memory):
        return memory.load(kinds["x"], "%x", place(at), float("-inf"))

    def gradients(at, memory):
        return memory.load(kinds["g"], "%g", place(at))

    def write(values, at, memory):
        memory.store(values, output, "%out", place(at))

    # The largest score; NaN is not larger than any, but makes the sum NaN.
    largest = [code.variable(FLOATS, repeated("float", "0xFFF0000000000000")) for _ in range(2)]

    def compare(at, memory):
        for x, held in zip(scores(at, memory), largest, strict=True):
            top = Vector(code, code.add(f"load {FLOATS}, ptr {held}"))
            code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {held}")

    everywhere(compare)
    one, other = (Vector(code, code.add(f"load {FLOATS}, ptr {place}")) for place in largest)
    top = code.call(
        f"vector.reduce.fmax.v{LANES}f32", "float", (FLOATS, where(one > other, one, other).name), flags="nnan "
    )
    highest = Vector(code, spread(code, "float", top))

    def distances(at, memory):
        """x - top, but 0 for two infinities: a single +inf takes all. A row of -inf alone is NaN."""
        return [where(x == float("inf"), 0, x - highest) for x in scores(at, memory)]

    # The sum of the exponentials. For the logarithm without those of the largest scores, which are 1: of the sum less
    # 1, each digit counts.
    total, ties, dot = (_Sum(code) for _ in range(3))
    forward_logarithm = logarithm and "g" not in kinds

    def gather(at, memory):
        for name, kind in (*kinds.items(), ("out", output)):  # here, where there is most to compute
            memory.fetch(kind, f"%{name}", place(at), to_write=name == "out")
        ds = distances(at, memory)
        es = [decay(d) for d in ds]
        if forward_logarithm:
            under = [d < 0 for d in ds]
            total.add(*[where(u, e, 0) for u, e in zip(under, es, strict=True)])
            ties.add(*[where(u, 0, where(d == d, 1, d)) for u, d in zip(under, ds, strict=True)])
            return
        room.store(es, "float32", "%room", at)
        total.add(*es)
        if "g" in kinds:
            gs = gradients(at, memory)
            dot.add(*(gs if logarithm else [e * g for e, g in zip(es, gs, strict=True)]))

    everywhere(gather, total, *([ties] if forward_logarithm else []), *([dot] if "g" in kinds else []))
    if forward_logarithm:
        rest = code.add(f"fadd double {code.add(f'fadd double {ties.value()}, -1.0')}, {total.value()}")
    else:
        rest = code.add(f"fadd double {total.value()}, -1.0")
    undefined = code.add(
        f"and i1 {code.add(f'fcmp ogt double {rest}, 0.0')}, {code.add(f'fcmp oeq float {top}, {INFINITY}')}"
    )
    rest = code.add(f"select i1 {undefined}, double {NAN}, double {rest}")
    reciprocal = code.add(f"fdiv double 1.0, {code.add(f'fadd double 1.0, {rest}')}")
    inverse = _single(code, reciprocal)

    def exponentials(at):
        return room.load("float32", "%room", at)

    if "g" not in kinds:
        if logarithm:
            logarithm_of_sum = log1p(_single(code, rest))
            everywhere(lambda at, memory: write([d - logarithm_of_sum for d in distances(at, memory)], at, memory))
        else:
            everywhere(lambda at, memory: write([e * inverse for e in exponentials(at)], at, memory))
        return

    # The mean of the gradients; for the logarithm, their sum over that of the exponentials.
    shift = _single(code, code.add(f"fmul double {dot.value()}, {reciprocal}"))

    def parts(at, memory):
        es, gs = exponentials(at), gradients(at, memory)
        if logarithm:
            return es, [g - e * shift for e, g in zip(es, gs, strict=True)]
        return es, [e * inverse * (g - shift) for e, g in zip(es, gs, strict=True)]

    # A gradient sums to 0, up to the roundings of p: what is left of the sum is theirs, and is given back.
    remainder = _Sum(code)
    everywhere(lambda at, memory: remainder.add(*parts(at, memory)[1]), remainder)
    left = _single(code, code.add(f"fmul double {remainder.value()}, {reciprocal}"))

    def finish(at, memory):
        write([u - e * left for e, u in zip(*parts(at, memory), strict=True)], at, memory)

    everywhere(finish)


def _short_rows(code: Code, length: int, logarithm: bool, kinds: dict[str, str], output: str) -> None:
    """As many whole rows at a time as a block holds."""
    together = BLOCK // length * length
    first, last = (code.add(f"mul i64 %{place}, {length}") for place in ("begin", "end"))
    count = code.add(f"sub i64 {last}, {first}")
    stored = (*kinds.values(), output)

    def body(at: str, memory: Memory) -> None:
        place = code.add(f"add i64 {first}, {at}")
        for name, kind in (*kinds.items(), ("out", output)):
            memory.fetch(kind, f"%{name}", place, to_write=name == "out")
        given = {name: memory.load(kind, f"%{name}", place) for name, kind in kinds.items()}
        memory.store(_of_short_rows(_Turns(code, length, memory.pairs), logarithm, **given), output, "%out", place)

    # A whole block is read and written; what it holds of the next rows is written once more, and then right.
    whole = code.call("usub.sat.i64", "i64", ("i64", count), ("i64", str(BLOCK - 1)))
    code.loop(whole, together, lambda at: body(at, Memory(code, stored)))
    steps = code.add(f"udiv i64 {code.add(f'add i64 {whole}, {together - 1}')}, {together}")
    done = code.add(f"mul i64 {steps}, {together}")

    def rest(at: str) -> None:
        at = code.add(f"add i64 {done}, {at}")
        left = code.add(f"sub i64 {count}, {at}")
        left = code.add(f"call i64 @llvm.umin.i64(i64 {left}, i64 {together})")  # which a kernel declares
        body(at, Memory(code, stored, code.add(f"trunc i64 {left} to i32")))

    code.loop(code.add(f"sub i64 {count}, {done}"), together, rest)


def _of_short_rows(turns: "_Turns", logarithm: bool, x: list[Vector], g: list[Vector] | None = None) -> list[Vector]:
    """What `_one_row` computes, of a block of rows."""
    top = turns.largest(x)
    ds = [where(a == float("inf"), 0, a - t) for a, t in zip(x, top, strict=True)]
    es = [decay(d) for d in ds]
    undefined = lambda rest: [(r > 0) & (t == float("inf")) for r, t in zip(rest, top, strict=True)]
    if logarithm and g is None:
        under = [d < 0 for d in ds]
        rest = turns.total([where(u, e, 0) for u, e in zip(under, es, strict=True)])
        ties = turns.total([where(u, 0, where(d == d, 1, d)) for u, d in zip(under, ds, strict=True)])
        rest = [((n - 1) + r).to(Vector) for n, r in zip(ties, rest, strict=True)]
        nan = undefined(rest)
        return [d - log1p(where(n, float("nan"), r)) for d, n, r in zip(ds, nan, rest, strict=True)]
    totals = turns.total(es)
    totals = [
        where(n, float("nan"), t.to(Vector)) for n, t in zip(undefined([t - 1 for t in totals]), totals, strict=True)
    ]
    if g is None:
        return [e / t for e, t in zip(es, totals, strict=True)]
    inverse = [1 / t for t in totals]
    mean = lambda values: [(v * i.to(Double)).to(Vector) for v, i in zip(turns.total(values), inverse, strict=True)]
    if logarithm:
        parts = [a - e * s for a, e, s in zip(g, es, mean(g), strict=True)]
    else:
        shift = mean([e * a for e, a in zip(es, g, strict=True)])
        parts = [e * i * (a - s) for e, i, a, s in zip(es, inverse, g, shift, strict=True)]
    return [u - e * left for u, e, left in zip(parts, es, mean(parts), strict=True)]


class _Turns:
    """What is taken over each of the rows that lie side by side in a block: all their lanes get it.

    Args:
        code: Where it is written down.
        length: Length of a row.
        pairs: Whether neighbours lie in two vectors, see `Memory`.
    """

    def __init__(self, code: Code, length: int, pairs: bool):
        self.code, self.length = code, length
        places = [(n % 2, n // 2) if pairs else divmod(n, LANES) for n in range(BLOCK)]
        self._places = [vector * LANES + lane for vector, lane in places]
        self._numbers = {place: n for n, place in enumerate(self._places)}

    def turned(self, values: Sequence[Vector], by: int) -> list[Vector]:
        """The block with each row turned around."""

        def source(place):
            row, at = divmod(self._numbers[place], self.length)
            begin = row * self.length
            return place if begin + self.length > BLOCK else self._places[begin + (at + by) % self.length]

        one, other = values
        turned = []
        for first in (0, LANES):
            lanes = ", ".join(f"i32 {source(first + lane)}" for lane in range(LANES))
            both = f"{one.kind} {one.name}, {other.kind} {other.name}"
            turned.append(type(one)(self.code, self.code.add(f"shufflevector {both}, <{LANES} x i32> <{lanes}>")))
        return turned

    def largest(self, values: Sequence[Vector]) -> list[Vector]:
        """The largest number; where there is a NaN, NaN or any."""
        by = 1
        while by < self.length:
            values = [where(a > b, a, b) for a, b in zip(values, self.turned(values, by), strict=True)]
            by *= 2
        return values

    def total(self, values: Sequence[Vector]) -> list[Vector]:
        """The sum, in float64: of twice as many neighbours each time, which are put together to the whole row."""
        sums, of, total, counted = [v.to(Double) for v in values], 1, None, 0
        while True:
            if self.length & of:
                here = self.turned(sums, counted) if counted else sums
                total = here if total is None else [a + b for a, b in zip(total, here, strict=True)]
                counted += of
            if 2 * of > self.length:
                return total
            sums = [a + b for a, b in zip(sums, self.turned(sums, of), strict=True)]
            of *= 2


class _Sum:
    """A sum over a row: of few numbers in float32, and of these sums in float64."""

    def __init__(self, code: Code):
        self.code = code
        self._few = code.variable(FLOATS, "zeroinitializer")
        self._all = code.variable(DOUBLES, "zeroinitializer")

    def add(self, one: Vector, other: Vector) -> None:
        """Adds the numbers of a block."""
        so_far = Vector(self.code, self.code.add(f"load {FLOATS}, ptr {self._few}"))
        self.code.lines.append(f"store {FLOATS} {(so_far + (one + other)).name}, ptr {self._few}")

    def settle(self) -> None:
        """Adds the few to all."""
        few = self.code.add(f"fpext {FLOATS} {self.code.add(f'load {FLOATS}, ptr {self._few}')} to {DOUBLES}")
        so_far = self.code.add(f"load {DOUBLES}, ptr {self._all}")
        self.code.lines += [
            f"store {DOUBLES} {self.code.add(f'fadd {DOUBLES} {so_far}, {few}')}, ptr {self._all}",
            f"store {FLOATS} zeroinitializer, ptr {self._few}",
        ]

    def value(self) -> str:
        """The sum, a double."""
        self.settle()
        value = self.code.add(f"load {DOUBLES}, ptr {self._all}")
        return self.code.call(
            f"vector.reduce.fadd.v{LANES}f64", "double", ("double", "-0.0"), (DOUBLES, value), flags="reassoc "
        )


FEW = 8 * BLOCK


def _settle(code: Code, at: str, totals: Sequence[_Sum]) -> None:
    """Settles sums each time that so many numbers have been added."""
    due, settle, go_on = (code.name() for _ in range(3))
    code.lines += [
        f"%{due} = icmp eq i64 {code.add(f'and i64 {at}, {FEW - BLOCK}')}, {FEW - BLOCK}",
        f"br i1 %{due}, label %{settle}, label %{go_on}",
        f"{settle}:",
    ]
    for total in totals:
        total.settle()
    code.lines += [f"br label %{go_on}", f"{go_on}:"]


def _single(code: Code, value: str) -> Vector:
    """A double, rounded to float32, in all lanes."""
    return Vector(code, spread(code, "float", code.add(f"fptrunc double {value} to float")))


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
