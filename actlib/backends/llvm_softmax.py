"""Machine code for softmax, its logarithm, and the backward of both, row by row.

What is summed over a row is summed in float64, and for results in float32 all is computed in it. Exponentials are kept
in a row's room, so that each is computed once. Short rows lie side by side in vectors; what is summed over each is
turned around in it. Those of middle length are read once, into as many vectors as they need. Long ones are summed up in
pieces, which threads share where there are few rows.

A slope of softmax is p_i (g_i - m), m the mean of the gradients under p. Gradients are taken relative to that of the
largest score, so that no digits are lost where its p is next to 1. Where the bracket is far smaller than the terms of m
nevertheless, a row is computed once more, in pairs of float64 numbers. In half precision, rows whose scores are next to
each other, or so far apart that float32 lacks range, are computed once more in float64.
"""

import ctypes
import functools
import itertools
import math
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from actlib.backends import doubles, pairs, rough
from actlib.backends.calls import SHARE, Launch
from actlib.backends.doubles import moved_up, polynomial
from actlib.backends.llvm_runner import DTYPES, Kernel
from actlib.backends.pairs import Pair
from actlib.backends.torch_runner import address, unseen
from actlib.backends.vectors import (
    BITS,
    BLOCK,
    DOUBLES,
    FLOATS,
    LANES,
    STORED,
    Code,
    Double,
    Mask,
    Memory,
    Vector,
    absolute,
    bits_of,
    decay,
    fma,
    log1p,
    repeated,
    spread,
    where,
)

INFINITY = "0x7FF0000000000000"
LOWEST_OF_ALL, ZEROS = repeated("float", "0xFFF0000000000000"), repeated("float", "0.0")


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
    _run((logarithm, tuple(DTYPES[t.dtype] for t in tensors), DTYPES[out.dtype]), length, out, tensors)
    return out


def launch_of(logarithm: bool, inputs: int, dtype: torch.dtype) -> Launch | None:
    """`run` along the last dimension, for so many dense tensors of one type and shape; None where it cannot be.

    It takes the dimension and a mask, and asks neither.
    """
    if dtype not in DTYPES:
        return None
    what = logarithm, (DTYPES[dtype],) * inputs, DTYPES[dtype]

    def launch(dim, mask, *tensors):  # noqa: ARG001
        x = tensors[-1]
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        count, length = x.numel(), x.shape[-1]
        if length <= ROOM and count < SHARE:
            kernel, more = _kernel(*what, _form(length))
            places = [t.data_ptr() or address(t) for t in tensors]
            kernel.whole(kernel.pack(count // length, length, out.data_ptr(), *places, _ROOM.address, *more))
        else:
            _run(what, length, out, tensors)
        return out

    return launch


def _run(what: tuple[bool, tuple[str, ...], str], length: int, out: Tensor, tensors: Sequence[Tensor]) -> None:
    """Runs a kernel on dense tensors, whose rows have the length. `what` is as `_kernel` takes it."""
    count = out.numel()
    rows, most = count // length, torch.get_num_threads()
    if length > LONGEST or (rows < most and length >= 2 * PIECE):
        _share_rows(what, length, most, out, tensors)
        return
    kernel, more = _kernel(*what, _form(length))
    threads = min(most, rows, 1 + count // SHARE)
    room = torch.empty(threads * (length + BLOCK), dtype=torch.float64, device="cpu")
    if length > SHORT and length % BLOCK == 0:
        kernel = kernel.for_results(out)
    kernel(rows, threads, length, out.data_ptr(), *[address(t) for t in tensors], room.data_ptr(), *more)


def _share_rows(what: tuple, length: int, most: int, out: Tensor, tensors: Sequence[Tensor]) -> None:
    """Runs kernels on one row after the other, each of which all threads share."""
    kernels = [_kernel(*what, step)[0] for step in STEPS]
    places = [(t.element_size(), address(t)) for t in tensors]
    pieces = -(-length // PIECE)
    state = torch.empty(pieces, _State.SIZE // 8, dtype=torch.float64, device="cpu")
    for first in range(0, out.numel(), length):
        given = [out.data_ptr() + first * out.element_size(), *(start + first * size for size, start in places)]
        for kernel in kernels:
            kernel(pieces, min(most, pieces), length, *given, state.data_ptr())
        if len(tensors) == 2 and (state[:, _State.LEAST // 8 :] < 0).any():
            _more_exact(*what)(1, 1, length, *given)


PIECE = SHARE
"""A long row is summed up in pieces of so many numbers, and their sums are added up in turn, so that it does not matter
how many threads share it."""

LONGEST = 8 * PIECE
"""Longer rows have no room for their exponentials that stays in a cache, and are shared in any case."""

STEPS = GREATEST, SUMS, RESULTS = -1, -2, -3
"""Forms of kernels that do one of three things with pieces of one row; each needs what the one before has found."""


ROOM = 1 << 12
"""Rows up to this length need no room of a call's own: each thread keeps some."""


class _Room(threading.local):
    def __init__(self):
        self.numbers = (ctypes.c_double * (ROOM + BLOCK))()  # torch may be making tensors without data
        self.address = ctypes.addressof(self.numbers)


_ROOM = _Room()


SHORT = LANES
"""Rows up to this length are short: several lie in a block."""

MIDDLE = 8 * LANES
"""Longer rows up to this length are read once, into so many vectors."""


def _form(length: int) -> int:
    """What kernels are made for: the length of short rows, the next multiple of `LANES` of others, 0 of long ones."""
    return length if length <= SHORT else -(-length // LANES) * LANES if length <= MIDDLE else 0


@functools.cache
def _kernel(logarithm: bool, kinds: tuple[str, ...], output: str, form: int) -> tuple[Kernel, tuple[int, ...]]:
    """A kernel, and what its data end with where it takes whole rows."""
    what = logarithm, kinds, output, form
    source = functools.partial(kernel_source, *what)
    if form in STEPS:
        return Kernel(source, "Q" * (len(kinds) + 3), unit=1), ()
    more = (_more_exact(*what).place,) if len(kinds) == 2 else ()
    kernel = Kernel(source, "Q" * (len(kinds) + 3 + len(more)), unit=1)
    return kernel, more


class _Exact(Kernel):
    """A kernel that others call."""

    @property
    def place(self) -> int:
        """The address of what does a part of its work."""
        return self._engine.get_function_address("span")


def _more_exact(logarithm: bool, kinds: tuple[str, ...], output: str, form: int = 0) -> _Exact:
    """The kernel to which others leave rows in which they lose digits."""
    return _exact(logarithm, kinds, output, in_pairs=is_watched(kinds, output, form))


@functools.cache
def _exact(logarithm: bool, kinds: tuple[str, ...], output: str, *, in_pairs: bool) -> _Exact:
    source = functools.partial(exact_source, logarithm, kinds, output, in_pairs=in_pairs)
    return _Exact(source, "Q" * (len(kinds) + 2), unit=1)


def is_watched(kinds: Sequence[str], output: str, form: int = 0) -> bool:
    """Whether kernels notice by its results that a row loses digits; those for others do so by its scores.

    In half precision, those of short rows do: in a sum of few terms these may cancel, as 1 - 2p does next to p = 1/2.
    """
    return len(kinds) == 2 and (output == "float32" or 0 < form <= SHORT)


def kernel_source(logarithm: bool, kinds: Sequence[str], output: str, form: int = 0) -> str:
    """A loop over rows in LLVM's language.

    Args:
        logarithm: Whether it is the logarithm of softmax.
        kinds: Type of the elements of x; or, for backward, of the upstream gradient and x.
        output: Type of the elements of the result.
        form: The length of all rows, if it is at most `SHORT`; up to `MIDDLE` the next multiple of `LANES`; 0 for rows
            of any length; one of `STEPS` for pieces of one row.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of rows, their length, and the addresses of
        the results, of gradients (for backward), of scores, of room for the float64 numbers of one row and a block
        more for each thread, and, for backward, of what `exact_source` gives. For a step it holds the number of
        pieces, and the room is for what is found of each of them, see `_State`.
    """
    code = Code()
    names = ["x"] if len(kinds) == 1 else ["g", "x"]
    recipe = _Recipe(code, logarithm, dict(zip(names, kinds, strict=True)), output, form)
    code.lines.append(f"%length = add i64 0, {code.field(1, 'i64')}")
    for number, name in enumerate(("out", *names, "rooms"), 2):
        code.lines.append(f"%{name} = getelementptr i8, ptr {code.field(number, 'ptr')}, i64 0")
    if form in STEPS:
        _LongRow(recipe, "0", keeps=False).of_pieces(form, "%rooms")
        return code.function()
    if recipe.backward:
        code.lines.append(f"%exact = getelementptr i8, ptr {code.field(len(names) + 4, 'ptr')}, i64 0")
    if 0 < form <= SHORT:
        _short_rows(recipe, form)
    else:
        offset = code.add(f"mul i64 %thread, {code.add(f'add i64 %length, {BLOCK}')}")
        code.lines.append(f"%room = getelementptr double, ptr %rooms, i64 {offset}")

        def body(row):
            first = code.add(f"mul i64 {code.add(f'add i64 %begin, {row}')}, %length")
            if form:
                _middle_row(recipe, first, form // LANES)
            else:
                _LongRow(recipe, first, keeps=True).at_once()

        code.loop(code.add("sub i64 %end, %begin"), 1, body)
    return code.function()


EXP2 = (
    rough.EXPM1[0],
    (
        *(0.6931471805599516, 0.24022650695910472, 0.05550410866434658, 0.00961812910738071, 0.0013333558246481098),
        *(0.00015403530800826788, 1.5252647748448719e-05, 1.3215235629158134e-06, 1.0210506509439332e-07),
        7.1117598389906916e-09,
    ),
)
"""2^f = 1 + f q(f), as in `rough`. The first are right to 34 bits, for values, the second to 51: where the terms of a
slope cancel, some of them go."""

NEAR = 2.0**-24
"""What is this much smaller than the terms that it is the sum of has digits enough: exponentials have 50 bits, and half
an ulp of float32 is worth 25."""

STEP = 2.0**-27
"""The same for each rounding to float64 on the way from a term to the sum of a row."""

FLAT = 2.0**-5
"""By so much at most are exponentials in a row less than 1, on average, where scores are next to each other."""

MOST = 2.0**120
"""Sums of gradients up to which all steps have room in float32."""

FAR_APART = -200.0, -70.0
"""Distances of which exponentials, and shares of a row's sum, are less than float32 has room for, though a gradient in
bfloat16 brings them back."""

FEWER = 2.0**-10
"""The same of both for half precision: so many digits fewer are wanted."""

OVER_LANES = 24
"""So many at most where vectors are added up, up to `MIDDLE` numbers, and then their lanes."""

SCALE = 2.0**-6
"""What gradients are multiplied by, where sums are in float32: the largest ones have sums, too."""


class _Recipe:
    """What is computed of a row, from a number of each of its elements to sums and from these to results.

    Where results are float32, or slopes of short rows, all is computed in float64, else in float32 if it is not asked
    for otherwise.

    Args:
        code: Where it is written down.
        logarithm: Whether it is the logarithm of softmax.
        kinds: Types of "x", and for backward of "g".
        output: Type of the results.
        form: As `kernel_source` takes it.
        in_double: Whether it is in float64 in any case, and nobody watches for lost digits.

    Attributes:
        wide: Type of the vectors that exponentials are in.
        watched: Whether results tell where digits have been lost.
        flat: Whether sums do so, of rows of scores next to each other.
        far: Whether distances do so.
        near: `NEAR`, or less where fewer digits are wanted.
        step: `STEP` likewise.
    """

    def __init__(
        self, code: Code, logarithm: bool, kinds: dict[str, str], output: str, form: int, *, in_double: bool = False
    ):
        self.code, self.logarithm, self.kinds, self.output = code, logarithm, kinds, output
        self.backward = "g" in kinds
        self.watched = not in_double and is_watched(kinds, output, form)
        self.flat = self.backward and not (self.watched or in_double)
        self.far = self.flat and output == "bfloat16"
        self.wide = Double if in_double or output == "float32" or self.watched else Vector
        self.near, self.step = (size * (1 if output == "float32" else FEWER) for size in (NEAR, STEP))
        self.scale = SCALE if self.backward and self.wide is Vector else 1
        self.stored = (*kinds.values(), output)
        code.vector = self.wide

    def distance(self, x: Vector, top: Vector) -> Vector:
        """As `_distance`, in the vectors that exponentials are in."""
        return _distance(x, top, self.wide)

    def exponential(self, distance: Vector) -> Vector:
        """Its exp; 1 for the largest score."""
        return decay(distance) if self.wide is Vector else _decay(distance, exact=self.backward)

    def moved(self, g: Vector, at_top: Vector) -> Vector:
        """A gradient, scaled; of softmax less that of the largest score, whose slope sees the others alone."""
        g = g.to(self.wide) if self.scale == 1 else g * self.scale
        if self.logarithm:
            return g
        at_top = at_top.to(self.wide)
        return g - (at_top if self.scale == 1 else at_top * self.scale)

    def names(self) -> list[str]:
        """Those of the sums."""
        if self.logarithm:
            names = ["rest", "tops"] + ["others", "top"] * self.backward + ["size", "size of others"] * self.watched
        else:
            names = ["e"] + ["eg"] * self.backward + ["size"] * self.watched
        return names

    def terms(self, e: Vector, g: Vector | None) -> dict[str, Vector]:
        """What is summed over a row, of an exponential and a moved gradient."""
        if not self.logarithm:
            terms = {"e": e}
            if self.backward:
                terms["eg"] = e * g
            if self.watched:
                terms["size"] = absolute(terms["eg"])
            return terms
        # Without the largest score: of the sum less its 1, each digit counts.
        top = e >= 1
        terms = {"rest": where(top, 0, e), "tops": where(top, 1, 0)}
        if self.backward:
            terms |= {"others": where(top, 0, g), "top": where(top, g, 0)}
        if self.watched:
            size = absolute(g)
            terms |= {"size": size, "size of others": where(top, 0, size)}
        return terms

    def constants(self, top: Vector, sums: dict[str, Double], share: Double | float) -> dict[str, Vector]:
        """What results need of the sums. `share` is that of what may be lost: `near` and so many of `step`."""
        rest = sums["rest"] + (sums["tops"] - 1) if self.logarithm else sums["e"] - 1
        rest = where((rest > 0.5) & (top == math.inf), math.nan, rest)
        if not self.backward and self.logarithm:
            rest = where(rest < NOTHING, 0, rest)
            return {"log": log1p(rest.to(Vector)) if self.wide is Vector else doubles.log1p(rest)}
        inverse = 1 / (rest + 1)
        if not self.backward:
            return {"inverse": inverse.to(self.wide)}
        if not self.logarithm:
            made = {"mean": sums["eg"] * inverse, "inverse": inverse * (1 / self.scale)}
            if self.watched:
                made["least"] = sums["size"] * inverse * share
        else:
            mean = (sums["top"] + sums["others"]) * inverse
            alone = sums["tops"] == 1
            made = {
                "mean": mean,
                "from": where(alone, 1, 2 + inverse * 0),
                "at top": (sums["top"] * rest - sums["others"]) * inverse,
            }
            if self.watched:
                lost = absolute(mean) * share + sums["size"] * inverse * share
                at_top = (absolute(sums["top"]) * rest + sums["size of others"]) * inverse * share
                made |= {"least": lost, "least at top": where(alone, at_top, lost)}
        return {name: value.to(self.wide) for name, value in made.items()}

    def unevenness(self, sums: dict[str, Double]) -> Double:
        """Less than 0 for a row of scores that are next to each other, or a mean that float32 has no room for."""
        total = sums["rest"] + sums["tops"] if self.logarithm else sums["e"]
        uneven = _length(self.code) * (1 - FLAT) - total
        return where(absolute(sums["top"] + sums["others"]) > MOST, -1, uneven) if self.logarithm else uneven

    def result(self, d: Vector | None, e: Vector | None, g: Vector | None, c: dict[str, Vector]) -> Vector:
        """The result, for distance, exponential and moved gradient; and how far it is above its least size."""
        if not self.backward:
            return (d - c["log"] if self.logarithm else e * c["inverse"]), None
        if not self.logarithm:
            bracket = g - c["mean"]
            return e * c["inverse"] * bracket, absolute(bracket) - c["least"] if self.watched else None
        top = e >= c["from"]
        slope = where(top, c["at top"], fma(-e, c["mean"], g))
        if not self.watched:
            return slope * (1 / self.scale), None
        return slope, absolute(slope) - where(top, c["least at top"], e * c["least"])


NOTHING = 1e-280
"""A sum of exponentials that are nothing in float32; those of `LOWEST` are not 0."""

LOWEST = -700.0
"""An exponent of e below which nothing is told apart."""


PER_LOG_2 = 1.4426950408889634, 2.0355273740931033e-17
"""1 / log 2 in two parts."""


def _distance(x: Vector, top: Vector, vector: type[Vector]) -> Vector:
    """x - top, but 0 for two infinities: a single +inf takes all. A row of -inf alone is NaN."""
    return where(x == math.inf, 0, x.to(vector) - top.to(vector))


def _at_least(x: Double, least: float) -> Double:
    return where(x < least, least, x)


def _decay(x: Double, *, exact: bool) -> Double:
    """exp(x) for x <= 0, but no less than that of `LOWEST`; right to 34 bits, or to 50."""
    x = _at_least(x, LOWEST)
    f, shifted = rough.reduced(x)
    if exact:
        f = fma(x, PER_LOG_2[1], f)
    return rough.times_power(fma(f, polynomial(f, EXP2[exact]), 1), moved_up(x.code, bits_of(shifted)))


def _each(function: Callable, *arguments: Sequence) -> list:
    """The function of each; once, where arguments are those of the one before."""
    made, before = [], None
    for given in zip(*arguments, strict=True):
        same = before is not None and all(a is b for a, b in zip(given, before, strict=True))
        made.append(made[-1] if same else function(*given))
        before = given
    return made


def _in_vectors(recipe: _Recipe, rows: "_Turns | _OneRow", x: list[Vector], g: list[Vector] | None):
    """The results, for rows that are at hand in vectors; and in which lanes of each these have too few digits."""
    top = rows.largest(x)
    at_top = rows.at_largest(x, g, top) if recipe.backward and not recipe.logarithm else top
    ds = _each(recipe.distance, x, top)
    es = [recipe.exponential(d) for d in ds]
    gs = _each(recipe.moved, g, at_top) if recipe.backward else [None] * len(x)
    terms = _each(recipe.terms, es, gs)
    names = recipe.names()
    sums = {name: rows.total([t[name] for t in terms]) for name in names}
    share = recipe.near + recipe.step * OVER_LANES
    close = lambda top, *values: recipe.constants(top, dict(zip(names, values, strict=True)), share)
    constants = _each(close, top, *sums.values())
    made, above = zip(*map(recipe.result, ds, es, gs, constants), strict=True)
    lost = [a < 0 for a in above] if recipe.watched else []
    if recipe.flat:
        lost.append(recipe.unevenness({name: total[0] for name, total in sums.items()}) < 0)
    if recipe.far:
        lost += [(d > FAR_APART[0]) & (d < FAR_APART[1]) for d in ds]
    return [m.to(Vector) for m in made], lost


class _LongRow:
    """Passes over a row: its largest score, its exponentials and their sums, the results.

    Args:
        recipe: What is computed.
        first: The place of its first element.
        keeps: Whether exponentials are kept in the row's room, and not computed twice.
    """

    def __init__(self, recipe: _Recipe, first: str, *, keeps: bool):
        code = recipe.code
        self.recipe, self.code, self.first = recipe, code, first
        self.at_largest = recipe.backward and not recipe.logarithm
        self.weighs = recipe.backward or not recipe.logarithm
        self.keeps = keeps and self.weighs
        self.largest = [code.variable(FLOATS, LOWEST_OF_ALL) for _ in range(2)]
        self.there = [code.variable(FLOATS, ZEROS) for _ in range(2)]
        self.totals = {name: _Sum(code, recipe.wide) for name in recipe.names()}
        self.least = code.variable(DOUBLES, repeated("double", INFINITY)) if recipe.backward else ""
        self.farthest = code.variable(FLOATS, ZEROS) if recipe.far else ""

    def at_once(self) -> None:
        """All passes."""
        code = self.code

        def in_pieces(do):
            code.loop("%length", PIECE, do)

        def gather(start):
            self.gather(start)
            for total in self.totals.values():
                total.add_piece(total.end_piece())

        in_pieces(self.compare)
        self.find_top()
        in_pieces(gather)
        self.close()
        in_pieces(self.finish)
        if self.recipe.backward:
            _once_more(self.recipe, self.found() < 0, lambda: _exactly(self.recipe, self.first))

    def of_pieces(self, step: int, place: str) -> None:
        """One of the passes over some of the pieces, given the address of what has been found of all."""
        code, state = self.code, _State(self, place)
        pieces = code.field(0, "i64")
        if step != GREATEST:
            code.loop(pieces, 1, state.compare)
            self.find_top()
        if step == RESULTS:
            code.loop(pieces, 1, state.gather)
            self.close()

        def body(at):
            piece = code.add(f"add i64 %begin, {at}")
            start = code.add(f"mul i64 {piece}, {PIECE}")
            if step == GREATEST:
                for held, kept in zip(self.largest, self.there, strict=True):
                    code.lines.append(f"store {FLOATS} {LOWEST_OF_ALL}, ptr {held}")
                    code.lines.append(f"store {FLOATS} {ZEROS}, ptr {kept}")
                self.compare(start)
                state.keep_greatest(piece)
            elif step == SUMS:
                self.gather(start)
                state.keep_sums(piece)
            else:
                if self.recipe.watched:
                    code.lines.append(f"store {DOUBLES} {repeated('double', INFINITY)}, ptr {self.least}")
                self.finish(start)
                if self.recipe.backward:
                    state.keep_least(piece)

        code.loop(code.add("sub i64 %end, %begin"), 1, body)

    def _everywhere(self, start: str, body: Callable[[str, Memory], None], *totals: "_Sum") -> None:
        """Writes what is done to each block of a piece; the last one may be inside of it in part."""
        code = self.code
        size = code.add(f"call i64 @llvm.umin.i64(i64 {code.add(f'sub i64 %length, {start}')}, i64 {PIECE})")
        whole = code.add(f"and i64 {size}, {-BLOCK}")
        left_over = code.add(f"sub i64 {size}, {whole}")
        block = Memory(code, self.recipe.stored)

        def inner(at):
            at = code.add(f"add i64 {start}, {at}")
            body(at, block)
            if totals:
                _settle(code, at, FEW[self.recipe.wide], totals)

        code.loop(whole, BLOCK, inner)
        inside, after = code.name(), code.name()
        has_part = code.add(f"icmp ne i64 {left_over}, 0")
        code.lines += [f"br i1 {has_part}, label %{inside}, label %{after}", f"{inside}:"]
        part = Memory(code, self.recipe.stored, code.add(f"trunc i64 {left_over} to i32"))
        body(code.add(f"add i64 {start}, {whole}"), part)
        code.lines += [f"br label %{after}", f"{after}:"]

    def _place(self, at: str) -> str:
        return self.code.add(f"add i64 {self.first}, {at}")

    def _scores(self, at: str, memory: Memory) -> list[Vector]:
        return memory.load(self.recipe.kinds["x"], "%x", self._place(at), -math.inf)

    def _gradients(self, at: str, memory: Memory) -> list[Vector]:
        return memory.load(self.recipe.kinds["g"], "%g", self._place(at))

    def _moved(self, at: str, memory: Memory) -> list[Vector | None]:
        if not self.recipe.backward:
            return [None, None]
        return [self.recipe.moved(g, self.at_top) for g in self._gradients(at, memory)]

    def compare(self, start: str) -> None:
        """Of a piece, the largest score so far; NaN is not larger than any, but makes the sum NaN."""

        def body(at, memory):
            gs = self._gradients(at, memory) if self.at_largest else [None, None]
            self.note_larger(self._scores(at, memory), gs)

        self._everywhere(start, body)

    def note_larger(self, scores: Sequence[Vector], others: Sequence[Vector | None]) -> None:
        """Takes scores that are larger than those so far, and of others what is at their places."""
        for x, g, held, kept in zip(scores, others, self.largest, self.there, strict=True):
            top = _read(self.code, held)
            self.code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {held}")
            if self.at_largest:
                higher = where(x > top, g, _read(self.code, kept))
                self.code.lines.append(f"store {FLOATS} {higher.name}, ptr {kept}")

    def find_top(self) -> None:
        """The largest score of all, and the gradient there."""
        one, other = (_read(self.code, held) for held in self.largest)
        higher = where(one > other, one, other)
        self.at_top = self.top = _highest(higher)
        if self.at_largest:
            there = where(one > other, *(_read(self.code, kept) for kept in self.there))
            self.at_top = _of_highest(higher, there, self.top)

    def gather(self, start: str) -> None:
        """Of a piece, the exponentials and the sums."""
        recipe, code = self.recipe, self.code

        def body(at, memory):
            for name, kind in (*recipe.kinds.items(), ("out", recipe.output)):  # here, where there is most to compute
                memory.fetch(kind, f"%{name}", self._place(at), to_write=name == "out")
            ds = [recipe.distance(x, self.top) for x in self._scores(at, memory)]
            es = [recipe.exponential(d) for d in ds]
            if self.keeps:
                _keep(code, es, at)
                self.note_far(ds)
            one, other = (recipe.terms(e, g) for e, g in zip(es, self._moved(at, memory), strict=True))
            for name, total in self.totals.items():
                total.add(one[name], other[name])

        self._everywhere(start, body, *self.totals.values())

    def close(self) -> None:
        """What results need of the sums."""
        few, near, step = FEW[self.recipe.wide], self.recipe.near, self.recipe.step
        share = fma(_length(self.code), step / PIECE, near + step * (1 + few // BLOCK + PIECE // few + OVER_LANES))
        sums = {name: total.value() for name, total in self.totals.items()}
        self.constants = self.recipe.constants(self.top, sums, share)
        if self.recipe.flat:
            self.code.lines.append(f"store {DOUBLES} {self.recipe.unevenness(sums).name}, ptr {self.least}")

    def note_far(self, distances: Sequence[Vector]) -> None:
        """Notes distances, if they tell of lost digits."""
        if self.recipe.far:
            farthest = _read(self.code, self.farthest)
            for d in distances:
                farthest = where((d > FAR_APART[0]) & (d < farthest), d, farthest)
            self.code.lines.append(f"store {FLOATS} {farthest.name}, ptr {self.farthest}")

    def found(self) -> Double:
        """In some lane less than 0, where digits have been lost."""
        least = Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self.least}"))
        if not self.recipe.far:
            return least
        return where(_read(self.code, self.farthest).to(Double) < FAR_APART[1], -1, least)

    def finish(self, start: str) -> None:
        """Of a piece, the results."""
        recipe, code = self.recipe, self.code

        def body(at, memory):
            if self.keeps:
                ds, es = [None, None], _kept(code, recipe.wide, at)
            else:
                ds = [recipe.distance(x, self.top) for x in self._scores(at, memory)]
                es = [recipe.exponential(d) if self.weighs else None for d in ds]
                self.note_far(ds)
            given = zip(ds, es, self._moved(at, memory), strict=True)
            made, above = zip(*(recipe.result(*some, self.constants) for some in given), strict=True)
            memory.store([m.to(Vector) for m in made], recipe.output, "%out", self._place(at))
            if recipe.watched:
                if memory.inside:
                    above = [where(inside, a, math.inf) for inside, a in zip(memory.inside, above, strict=True)]
                lowest = Double(code, code.add(f"load {DOUBLES}, ptr {self.least}"))
                for a in above:
                    lowest = where(a < lowest, a, lowest)
                code.lines.append(f"store {DOUBLES} {lowest.name}, ptr {self.least}")

        self._everywhere(start, body)


class _State:
    """What has been found of each piece of a row that threads share.

    Args:
        row: The row.
        start: The address of all of it.
    """

    SUMS, LEAST, SIZE = 256, 1024, 1152
    """Bytes from which sums lie, after the largest scores and the gradients there, and the least; and those of all."""

    def __init__(self, row: _LongRow, start: str):
        self.row, self.code, self.start = row, row.code, start

    def _part(self, piece: str, offset: int) -> str:
        at = self.code.add(f"add i64 {self.code.add(f'mul i64 {piece}, {self.SIZE}')}, {offset}")
        return self.code.add(f"getelementptr i8, ptr {self.start}, i64 {at}")

    def _keep(self, vector: Vector, piece: str, offset: int) -> None:
        self.code.lines.append(f"store {vector.kind} {vector.name}, ptr {self._part(piece, offset)}, align 8")

    def _kept(self, vector: type[Vector], piece: str, offset: int) -> Vector:
        return vector(self.code, self.code.add(f"load {vector.kind}, ptr {self._part(piece, offset)}, align 8"))

    def keep_greatest(self, piece: str) -> None:
        """Keeps the largest scores of a piece."""
        for number, place in enumerate([*self.row.largest, *self.row.there]):
            self._keep(_read(self.code, place), piece, 64 * number)

    def compare(self, piece: str) -> None:
        """Notes those that were kept."""
        scores = [self._kept(Vector, piece, 64 * number) for number in range(2)]
        self.row.note_larger(scores, [self._kept(Vector, piece, 64 * number) for number in (2, 3)])

    def keep_sums(self, piece: str) -> None:
        """Keeps the sums of a piece."""
        for number, total in enumerate(self.row.totals.values()):
            self._keep(total.end_piece(), piece, self.SUMS + 128 * number)

    def gather(self, piece: str) -> None:
        """Adds those that were kept."""
        for number, total in enumerate(self.row.totals.values()):
            total.add_piece(self._kept(Double, piece, self.SUMS + 128 * number))

    def keep_least(self, piece: str) -> None:
        """Keeps how far results of a piece are above the least size."""
        self._keep(self.row.found(), piece, self.LEAST)


def _length(code: Code) -> Double:
    """The length of rows, in each lane."""
    return Double(code, spread(code, "double", code.add("uitofp i64 %length to double")))


def _read(code: Code, place: str) -> Vector:
    return Vector(code, code.add(f"load {FLOATS}, ptr {place}"))


def _highest(values: Vector) -> Vector:
    """The largest number of all lanes, of which none is NaN, in each."""
    code = values.code
    top = code.call(f"vector.reduce.fmax.v{LANES}f32", "float", (FLOATS, values.name), flags="nnan ")
    return Vector(code, spread(code, "float", top))


def _of_highest(values: Vector, others: Vector, top: Vector) -> Vector:
    """Of the others the one at the place of the largest, in each lane; -inf for NaN."""
    return _highest(where((values == top) & (others == others), others, -math.inf))


def _keep(code: Code, values: Sequence[Vector], at: str) -> None:
    """Writes a block into the row's room."""
    for number, value in enumerate(values):
        place = code.add(f"getelementptr {value.element}, ptr %room, i64 {at}")
        place = code.add(f"getelementptr {value.kind}, ptr {place}, i64 {number}")
        code.lines.append(f"store {value.kind} {value.name}, ptr {place}, align 8")


def _kept(code: Code, vector: type[Vector], at: str) -> list[Vector]:
    """Reads it."""
    place = code.add(f"getelementptr {vector.element}, ptr %room, i64 {at}")
    places = [code.add(f"getelementptr {vector.kind}, ptr {place}, i64 {number}") for number in range(2)]
    return [vector(code, code.add(f"load {vector.kind}, ptr {place}, align 8")) for place in places]


def _once_more(recipe: _Recipe, where_lost: Mask, compute: Callable[[], None]) -> None:
    """Computes something with more digits, if that is wanted in some lane."""
    code = recipe.code
    some = code.call(f"vector.reduce.or.v{LANES}i1", "i1", (BITS, where_lost.name))
    lost, done = code.name(), code.name()
    code.lines += [f"br i1 {some}, label %{lost}, label %{done}", f"{lost}:"]
    compute()
    code.lines += [f"br label %{done}", f"{done}:"]


def _exactly(recipe: _Recipe, first: str) -> None:
    """Computes the row from a place on with all digits."""
    code = recipe.code
    row = code.add(f"udiv i64 {first}, %length")
    code.lines.append(f"call void %exact(i64 {row}, i64 {code.add(f'add i64 {row}, 1')}, i64 0, ptr %data)")


class _OneVector(Memory):
    """How as many numbers as a vector holds become one."""

    def load(self, dtype: str, pointer: str, at: str, outside: float = 0.0) -> list[Vector]:  # noqa: ARG002
        """The numbers from a place on."""
        kind = STORED[dtype]
        place = self.code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
        return [self._widened(kind, self._load(kind, LANES, place, ""))]

    def store(self, values: Sequence[Vector], dtype: str, pointer: str, at: str) -> None:
        """Writes them from a place on, rounded to the type."""
        (value,) = values
        kind = STORED[dtype]
        place = self.code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
        self._store(kind, LANES, self._narrowed(kind, value), place, "")


def _middle_row(recipe: _Recipe, first: str, count: int) -> None:
    """A row that lies in so many vectors; the last of them ends with it, and has some numbers once more."""
    code = recipe.code
    block, one = Memory(code, recipe.stored), _OneVector(code, recipe.stored, interleaved=True)
    sizes = [BLOCK] * (count // 2) + [LANES] * (count % 2) if count > 2 else [LANES] * count
    places = [code.add(f"add i64 {first}, {at}") for at in itertools.accumulate(sizes[:-1], initial=0)][:-1]
    places.append(code.add(f"add i64 {first}, {code.add(f'sub i64 %length, {sizes[-1]}')}"))
    pieces = [(place, block if size == BLOCK else one) for place, size in zip(places, sizes, strict=True)]
    # What the last piece has in common with the one before.
    common = code.add(f"sub i64 {count * LANES}, %length")
    last = Memory(code, recipe.stored, code.add(f"trunc i64 {common} to i32"), interleaved=sizes[-1] == LANES)
    fresh = [~seen for seen in last.inside[: sizes[-1] // LANES]]
    given = {name: [] for name in recipe.kinds}
    for place, memory in pieces:
        for name, kind in recipe.kinds.items():
            memory.fetch(kind, f"%{name}", place)
            given[name] += memory.load(kind, f"%{name}", place)
        memory.fetch(recipe.output, "%out", place, to_write=True)
    rows = _OneRow(code, fresh)
    made, lost = _in_vectors(recipe, rows, given["x"], given.get("g"))
    for place, memory in pieces:
        many = 2 if memory is block else 1
        memory.store(made[:many], recipe.output, "%out", place)
        del made[:many]
    if lost:
        _once_more(recipe, functools.reduce(Mask.__or__, lost), lambda: _exactly(recipe, first))


class _OneRow:
    """What is taken over a row that lies in several vectors.

    Args:
        code: Where it is written down.
        fresh: Of each of the last vectors, the lanes that no other vector has.
    """

    def __init__(self, code: Code, fresh: Sequence[Mask]):
        self.code, self.fresh = code, fresh

    def largest(self, values: Sequence[Vector]) -> list[Vector]:
        """The largest number; NaN is not larger than any."""
        top = where(values[0] > -math.inf, values[0], -math.inf)
        for value in values[1:]:
            top = where(value > top, value, top)
        return [_highest(top)] * len(values)

    def at_largest(self, values: Sequence[Vector], others: Sequence[Vector], top: Sequence[Vector]) -> list[Vector]:
        """Of the others the one at the place of the largest; -inf for NaN."""
        higher, at = values[0], others[0]
        for value, other in zip(values[1:], others[1:], strict=True):
            higher, at = where(value > higher, value, higher), where(value > higher, other, at)
        return [_of_highest(higher, at, top[0])] * len(values)

    def total(self, values: Sequence[Vector]) -> list[Vector]:
        """The sum, in float64; of few numbers in their type."""
        before = len(values) - len(self.fresh)
        last = [where(fresh, v, 0) for fresh, v in zip(self.fresh, values[before:], strict=True)]
        terms = [*values[:before], *last]
        while len(terms) > 1:
            terms = [a + b for a, b in itertools.pairwise(terms)][::2] + terms[len(terms) // 2 * 2 :]
        return [_over_lanes(terms[0].to(Double))] * len(values)


def _over_lanes(values: Double) -> Double:
    """The sum over all lanes, in each."""
    code = values.code
    total = code.call(
        f"vector.reduce.fadd.v{LANES}f64", "double", ("double", "-0.0"), (DOUBLES, values.name), flags="reassoc "
    )
    return Double(code, spread(code, "double", total))


def _short_rows(recipe: _Recipe, length: int) -> None:
    """As many whole rows at a time as a block holds."""
    code = recipe.code
    together = BLOCK // length * length
    first, last = (code.add(f"mul i64 %{place}, {length}") for place in ("begin", "end"))
    count = code.add(f"sub i64 {last}, {first}")

    def body(at: str, memory: Memory, numbers: str) -> None:
        place = code.add(f"add i64 {first}, {at}")
        for name, kind in (*recipe.kinds.items(), ("out", recipe.output)):
            memory.fetch(kind, f"%{name}", place, to_write=name == "out")
        given = {name: memory.load(kind, f"%{name}", place) for name, kind in recipe.kinds.items()}
        rows = _Turns(code, length, memory.pairs)
        made, lost = _in_vectors(recipe, rows, given["x"], given.get("g"))
        memory.store(made, recipe.output, "%out", place)
        if lost:
            whole = Memory(code, recipe.stored, code.add(f"trunc i64 {numbers} to i32")).inside
            some = functools.reduce(Mask.__or__, [a & b for a, b in zip(lost, whole, strict=True)])
            each = lambda at: _exactly(recipe, code.add(f"add i64 {place}, {at}"))
            _once_more(recipe, some, lambda: code.loop(numbers, length, each))

    # A whole block is read and written; what it holds of the next rows is written once more, and then right.
    whole = code.call("usub.sat.i64", "i64", ("i64", count), ("i64", str(BLOCK - 1)))
    code.loop(whole, together, lambda at: body(at, Memory(code, recipe.stored), str(together)))
    steps = code.add(f"udiv i64 {code.add(f'add i64 {whole}, {together - 1}')}, {together}")
    done = code.add(f"mul i64 {steps}, {together}")

    def rest(at: str) -> None:
        at = code.add(f"add i64 {done}, {at}")
        left = code.add(f"sub i64 {count}, {at}")
        left = code.add(f"call i64 @llvm.umin.i64(i64 {left}, i64 {together})")  # which a kernel declares
        body(at, Memory(code, recipe.stored, code.add(f"trunc i64 {left} to i32")), left)

    code.loop(code.add(f"sub i64 {count}, {done}"), together, rest)


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

    def at_largest(self, values: Sequence[Vector], others: Sequence[Vector], top: Sequence[Vector]) -> list[Vector]:
        """Of the others the one at the place of the largest, of several the largest."""
        return self.largest([where(v == t, o, -math.inf) for v, o, t in zip(values, others, top, strict=True)])

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
    """A sum over a row: of few numbers in their type, of these sums over a piece, and of all pieces, in float64."""

    def __init__(self, code: Code, vector: type[Vector]):
        self.code, self._vector = code, vector
        self._few = code.variable(vector.kind, "zeroinitializer")
        self._all, self._total = (code.variable(DOUBLES, "zeroinitializer") for _ in range(2))

    def add(self, one: Vector, other: Vector) -> None:
        """Adds the numbers of a block."""
        so_far = self._vector(self.code, self.code.add(f"load {one.kind}, ptr {self._few}"))
        self.code.lines.append(f"store {one.kind} {(so_far + (one + other)).name}, ptr {self._few}")

    def settle(self) -> None:
        """Adds the few to all."""
        kind = self._vector.kind
        few = self._vector(self.code, self.code.add(f"load {kind}, ptr {self._few}")).to(Double)
        so_far = Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self._all}"))
        self.code.lines += [
            f"store {DOUBLES} {(so_far + few).name}, ptr {self._all}",
            f"store {kind} zeroinitializer, ptr {self._few}",
        ]

    def end_piece(self) -> Double:
        """What has been added since the last piece ended, in lanes."""
        self.settle()
        piece = Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self._all}"))
        self.code.lines.append(f"store {DOUBLES} zeroinitializer, ptr {self._all}")
        return piece

    def add_piece(self, piece: Double) -> None:
        """Adds the sum of a piece to that of the row."""
        so_far = Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self._total}"))
        self.code.lines.append(f"store {DOUBLES} {(so_far + piece).name}, ptr {self._total}")

    def value(self) -> Double:
        """The sum of all pieces, in each lane."""
        return _over_lanes(Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self._total}")))


FEW = {Vector: 8 * BLOCK, Double: 32 * BLOCK}
"""Numbers whose sum is made in such vectors."""


def _settle(code: Code, at: str, few: int, totals: Sequence[_Sum]) -> None:
    """Settles sums each time that so many numbers have been added."""
    due, settle, go_on = (code.name() for _ in range(3))
    code.lines += [
        f"%{due} = icmp eq i64 {code.add(f'and i64 {at}, {few - BLOCK}')}, {few - BLOCK}",
        f"br i1 %{due}, label %{settle}, label %{go_on}",
        f"{settle}:",
    ]
    for total in totals:
        total.settle()
    code.lines += [f"br label %{go_on}", f"{go_on}:"]


def exact_source(logarithm: bool, kinds: Sequence[str], output: str, *, in_pairs: bool) -> str:
    """A loop over rows likewise that computes slopes in float64, or in pairs of such numbers.

    Args:
        logarithm: Whether they are those of the logarithm of softmax.
        kinds: Types of the upstream gradient and of x.
        output: Type of the elements of the result.
        in_pairs: Whether it is in pairs.

    Returns:
        A module as `kernel_source` gives it; it needs no room.
    """
    code = Code()
    code.vector = Double
    code.lines.append(f"%length = add i64 0, {code.field(1, 'i64')}")
    places = [code.field(number, "ptr") for number in range(2, 5)]

    def body(row):
        first = code.add(f"mul i64 {code.add(f'add i64 %begin, {row}')}, %length")
        starts = zip((output, *kinds), places, strict=True)
        rows = [code.add(f"getelementptr {STORED[kind]}, ptr {start}, i64 {first}") for kind, start in starts]
        compute = _row_in_pairs if in_pairs else _row_in_double
        compute(_Passes(code, kinds, output, rows), logarithm)

    code.loop(code.add("sub i64 %end, %begin"), 1, body)
    if not in_pairs:
        return code.function()
    inner = Code()
    inner.vector = Double
    parts = "%place", inner.add(f"getelementptr {DOUBLES}, ptr %place, i64 1")
    pairs.kept(inner, pairs.decay(pairs.loaded(inner, parts)), parts)
    code.declared |= inner.declared
    lines = "\n".join(f"  {line}" for line in [*inner.entry, *inner.lines, "ret void"])
    return f"{code.function()}define internal void @decay(ptr %place) noinline #0 {{\n{lines}\n}}\n"


class _Passes:
    """Passes over one row, one block after the other.

    Args:
        code: Where they are written down.
        kinds: Types of the gradients and scores.
        output: Type of the results.
        rows: The addresses of results, gradients and scores.
    """

    def __init__(self, code: Code, kinds: Sequence[str], output: str, rows: Sequence[str]):
        self.code, self.kinds, self.output = code, kinds, output
        self._out, *self._given = rows

    def everywhere(self, body: Callable) -> None:
        """Does something with gradients, scores, and which are inside of the row; and writes what that gives.

        In place of a mask comes None where all are.
        """
        code, stored = self.code, (*self.kinds, self.output)

        def inner(at, memory):
            given = zip(self.kinds, self._given, (0.0, -math.inf), strict=True)
            loaded = [memory.load(kind, start, at, outside) for kind, start, outside in given]
            made = [body(*values) for values in zip(*loaded, memory.inside or [None, None], strict=True)]
            if made[0] is not None:
                memory.store(made, self.output, self._out, at)

        whole = code.add(f"and i64 %length, {-BLOCK}")
        code.loop(whole, BLOCK, lambda at: inner(at, Memory(code, stored)))
        left_over = code.add(f"sub i64 %length, {whole}")
        rest = Memory(code, stored, code.add(f"trunc i64 {left_over} to i32"))
        code.loop(left_over, BLOCK, lambda at: inner(code.add(f"add i64 {whole}, {at}"), rest))

    def top(self) -> tuple[Vector, Vector]:
        """The largest score, and the gradient there."""
        code = self.code
        largest, there = code.variable(FLOATS, LOWEST_OF_ALL), code.variable(FLOATS, ZEROS)

        def compare(g, x, inside):  # noqa: ARG001
            top, held = _read(code, largest), _read(code, there)
            code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {largest}")
            code.lines.append(f"store {FLOATS} {where(x > top, g, held).name}, ptr {there}")

        self.everywhere(compare)
        higher = _read(code, largest)
        top = _highest(higher)
        return top, _of_highest(higher, _read(code, there), top)


def _row_in_double(row: _Passes, logarithm: bool) -> None:
    """The slopes of one row, in float64.

    Next to each other, scores have exponentials 1 + t_i. With sums G of the gradients, T of t_i, H of t_i g_i and S of
    the exponentials, the slopes are p_i / S times (n g_i - G) + (g_i T - H); and 1 / S times (n g_i - G) + (g_i T - t_i
    G) for the logarithm. Where gradients are equal, the first bracket is 0, and in the second each digit counts.
    """
    code = row.code
    top, at_top = row.top()
    recipe = _Recipe(code, logarithm, dict(zip("gx", row.kinds, strict=True)), row.output, 0, in_double=True)
    names = [*recipe.names(), "t"] if logarithm else ["eg", "g", "t", "tg"]
    rooms = {name: code.variable(DOUBLES, "zeroinitializer") for name in names}
    read = lambda place: Double(code, code.add(f"load {DOUBLES}, ptr {place}"))

    def numbers(g, x):
        e, t = doubles.exp_and_expm1(_at_least(recipe.distance(x, top), LOWEST))
        return e, t, recipe.moved(g, at_top)

    def gather(g, x, inside):
        e, t, g = numbers(g, x)
        terms = recipe.terms(e, g) | {"g": g, "t": t, "tg": t * g}
        for name, place in rooms.items():
            term = terms[name] if inside is None else where(inside, terms[name], 0)
            code.lines.append(f"store {DOUBLES} {(read(place) + term).name}, ptr {place}")

    row.everywhere(gather)
    length, sums = _length(code), {name: _over_lanes(read(place)) for name, place in rooms.items()}
    sums |= {"g": sums["top"] + sums["others"]} if logarithm else {"e": length + sums["t"]}
    constants = recipe.constants(top, sums, 0)
    inverse = 1 / (length + sums["t"])
    is_flat = sums["t"] > -FLAT * length
    scale = inverse if logarithm else inverse * inverse

    def finish(g, x, inside):  # noqa: ARG001
        e, t, g = numbers(g, x)
        slope, _ = recipe.result(None, e, g, constants)
        one, other = (1, t * sums["g"]) if logarithm else (e, sums["tg"])
        flat = (g * length - sums["g"] + (g * sums["t"] - other)) * scale * one
        return where(is_flat & (t > -0.5), flat, slope).to(Vector)  # not for a score far from the others

    row.everywhere(finish)


def _row_in_pairs(row: _Passes, logarithm: bool) -> None:
    """The slopes of one row, in pairs of float64 numbers."""
    code = row.code
    top, at_top = row.top()
    at_top = at_top.to(Double)
    place = code.variable(f"[2 x {DOUBLES}]", "zeroinitializer")
    parts = place, code.add(f"getelementptr {DOUBLES}, ptr {place}, i64 1")
    zero, one = (pairs.constant(code, number) for number in (0, 1))

    def weight(x, inside):
        d = pairs.sum_of(x.to(Double), -top.to(Double))
        infinite = x == math.inf
        d = Pair(where(infinite, 0.0, d.high), where(infinite, 0.0, d.low))
        pairs.kept(code, d, parts)
        code.lines.append(f"call void @decay(ptr {place})")
        e = pairs.loaded(code, parts)
        return e if inside is None else pairs.chosen(inside, e, zero), (e.high >= 1) & (e.low >= 0)

    def moved(g):
        return Pair(g.to(Double)) if logarithm else pairs.sum_of(g.to(Double), -at_top)

    names = ("rest", "tops", "others", "top") if logarithm else ("e", "eg")
    rooms = pairs.rooms(code, names)

    def gather(g, x, inside):
        e, is_top = weight(x, inside)
        g = moved(g)
        if logarithm:
            terms = [(e, False), (one, True), (g, False), (g, True)]
            terms = [pairs.chosen(is_top if of_top else ~is_top, t, zero) for t, of_top in terms]
        else:
            terms = [e, e * g]
        for term, room in zip(terms, rooms.values(), strict=True):
            pairs.kept(code, pairs.loaded(code, room) + term, room)

    row.everywhere(gather)
    sums = {name: pairs.loaded(code, room).total() for name, room in rooms.items()}
    if logarithm:
        rest = sums["rest"] + (sums["tops"] - one)
        total = rest + one
        mean = (sums["top"] + sums["others"]) / total
        at_one = (sums["top"] * rest - sums["others"]) / total
        alone = sums["tops"].high == 1
    else:
        rest = sums["e"] - one
        mean = sums["eg"] / sums["e"]
    undefined = (rest.high > 0.5) & (top == math.inf)
    mean = Pair(where(undefined, math.nan, mean.high), mean.low)

    def finish(g, x, inside):
        if not logarithm:
            e = _decay(_distance(x, top, Double), exact=True)
            return (e / sums["e"].high * (moved(g) - mean).high).to(Vector)
        e, is_top = weight(x, inside)
        return pairs.chosen(is_top & alone, at_one, moved(g) - e * mean).high.to(Vector)

    row.everywhere(finish)


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
