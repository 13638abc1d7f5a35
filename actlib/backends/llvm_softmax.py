"""Machine code for softmax, its logarithm, and the backward of both, row by row.

What is summed over a row is summed in float64, and for results in float32 all is computed in it. Exponentials are kept
in a row's room, so that each is computed once. Short rows lie side by side in vectors; what is summed over each is
turned around in it. Those of middle length are read once, into as many vectors as they need.

A slope of softmax is p_i (g_i - m), m the mean of the gradients under p. Gradients are taken relative to that of the
largest score, so that no digits are lost where its p is next to 1. Where the bracket is far smaller than the terms of m
nevertheless, a row is computed once more, in pairs of float64 numbers.
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
    _run(
        *_kernel(logarithm, tuple(DTYPES[t.dtype] for t in tensors), DTYPES[out.dtype], _form(length)),
        length,
        out,
        tensors,
    )
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
        kernel, more = of_rows(_form(length))
        if length <= ROOM and count < SHARE:
            places = [t.data_ptr() or address(t) for t in tensors]
            kernel.whole(kernel.pack(count // length, length, out.data_ptr(), *places, _ROOM.address, *more))
        else:
            _run(kernel, more, length, out, tensors)
        return out

    return launch


def _run(kernel: Kernel, more: tuple[int, ...], length: int, out: Tensor, tensors: Sequence[Tensor]) -> None:
    """Runs a kernel on dense tensors, whose rows have the length."""
    count = out.numel()
    rows = count // length
    threads = min(torch.get_num_threads(), rows, 1 + count // SHARE)
    room = torch.empty(threads * (length + BLOCK), dtype=torch.float64, device="cpu")
    if length > SHORT and length % BLOCK == 0:
        kernel = kernel.for_results(out)
    kernel(rows, threads, length, out.data_ptr(), *[address(t) for t in tensors], room.data_ptr(), *more)


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
    """A kernel, and what its data end with."""
    more = (_exact(logarithm, kinds, output).place,) if is_watched(kinds, output) else ()
    source = functools.partial(kernel_source, logarithm, kinds, output, form)
    kernel = Kernel(source, "Q" * (len(kinds) + 3 + len(more)), unit=1)
    return kernel, more


class _Exact(Kernel):
    """A kernel that others call."""

    @property
    def place(self) -> int:
        """The address of what does a part of its work."""
        return self._engine.get_function_address("span")


@functools.cache
def _exact(logarithm: bool, kinds: tuple[str, ...], output: str) -> _Exact:
    return _Exact(functools.partial(exact_source, logarithm, kinds, output), "Q" * (len(kinds) + 2), unit=1)


def is_watched(kinds: Sequence[str], output: str) -> bool:
    """Whether kernels notice rows in which digits are lost, and leave these to the kernel of `exact_source`."""
    return len(kinds) == 2 and output == "float32"


def kernel_source(logarithm: bool, kinds: Sequence[str], output: str, form: int = 0) -> str:
    """A loop over rows in LLVM's language.

    Args:
        logarithm: Whether it is the logarithm of softmax.
        kinds: Type of the elements of x; or, for backward, of the upstream gradient and x.
        output: Type of the elements of the result.
        form: The length of all rows, if it is at most `SHORT`; up to `MIDDLE` the next multiple of `LANES`; 0 for rows
            of any length.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of rows, their length, and the addresses of
        the results, of gradients (for backward), of scores, of room for the float64 numbers of one row and a block
        more for each thread, and, if `is_watched`, of what `exact_source` gives.
    """
    code = Code()
    names = ["x"] if len(kinds) == 1 else ["g", "x"]
    recipe = _Recipe(code, logarithm, dict(zip(names, kinds, strict=True)), output)
    code.lines.append(f"%length = add i64 0, {code.field(1, 'i64')}")
    for number, name in enumerate(("out", *names, "rooms"), 2):
        code.lines.append(f"%{name} = getelementptr i8, ptr {code.field(number, 'ptr')}, i64 0")
    if recipe.watched:
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
                _long_row(recipe, first)

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

NEAR = 2.0**-19
"""What is this much smaller than the terms that it is the sum of has digits enough: exponentials have 45 bits, and half
an ulp of float32 is worth 25."""

STEP = 2.0**-32
"""The same for each number of a row: 1/32 of a rounding to float64, since so many sums are made at once."""

SCALE = 2.0**-6
"""What gradients are multiplied by, where sums are in float32: the largest ones have sums, too."""


class _Recipe:
    """What is computed of a row, from a number of each of its elements to sums and from these to results.

    Where results are float32, all is computed in float64, else in float32.

    Args:
        code: Where it is written down.
        logarithm: Whether it is the logarithm of softmax.
        kinds: Types of "x", and for backward of "g".
        output: Type of the results.

    Attributes:
        wide: Type of the vectors that exponentials are in.
        watched: Whether results tell where they have too few digits.
    """

    def __init__(self, code: Code, logarithm: bool, kinds: dict[str, str], output: str):
        self.code, self.logarithm, self.kinds, self.output = code, logarithm, kinds, output
        self.backward = "g" in kinds
        self.wide = Double if output == "float32" else Vector
        self.watched = is_watched(kinds, output)
        self.scale = SCALE if self.backward and self.wide is Vector else 1
        self.stored = (*kinds.values(), output)
        code.vector = self.wide

    def distance(self, x: Vector, top: Vector) -> Vector:
        """x - top, but 0 for two infinities: a single +inf takes all. A row of -inf alone is NaN."""
        return where(x == math.inf, 0, x.to(self.wide) - top.to(self.wide))

    def exponential(self, distance: Vector) -> Vector:
        """Its exp; 1 for the largest score."""
        return decay(distance) if self.wide is Vector else _decay(distance, EXP2[self.backward])

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
        """What results need of the sums. `share` is that of what may be lost: `NEAR` and so many of `STEP`."""
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


def _decay(x: Double, coefficients: Sequence[float]) -> Double:
    """exp(x) for x <= 0, but no less than that of `LOWEST`."""
    f, shifted = rough.reduced(where(x < LOWEST, LOWEST, x))
    return rough.times_power(fma(f, polynomial(f, coefficients), 1), moved_up(x.code, bits_of(shifted)))


def _each(function: Callable, *arguments: Sequence) -> list:
    """The function of each; once, where arguments are those of the one before."""
    made, before = [], None
    for given in zip(*arguments, strict=True):
        same = before is not None and all(a is b for a, b in zip(given, before, strict=True))
        made.append(made[-1] if same else function(*given))
        before = given
    return made


def _in_vectors(recipe: _Recipe, rows: "_Turns | _OneRow", x: list[Vector], g: list[Vector] | None, length: int):
    """The results, for rows that are at hand in vectors; and in which lanes of each these have too few digits."""
    top = rows.largest(x)
    at_top = rows.at_largest(x, g, top) if recipe.backward and not recipe.logarithm else top
    ds = _each(recipe.distance, x, top)
    es = [recipe.exponential(d) for d in ds]
    gs = _each(recipe.moved, g, at_top) if recipe.backward else [None] * len(x)
    terms = _each(recipe.terms, es, gs)
    names = recipe.names()
    sums = {name: rows.total([t[name] for t in terms]) for name in names}
    share = NEAR + STEP * (length + 8 * LANES)
    close = lambda top, *values: recipe.constants(top, dict(zip(names, values, strict=True)), share)
    constants = _each(close, top, *sums.values())
    made, above = zip(*map(recipe.result, ds, es, gs, constants), strict=True)
    return [m.to(Vector) for m in made], [a < 0 for a in above] if recipe.watched else []


def _long_row(recipe: _Recipe, first: str) -> None:
    """Passes over the row from a place on: its largest score, its exponentials and their sums, the results."""
    code, kinds = recipe.code, recipe.kinds
    whole = code.add(f"and i64 %length, {-BLOCK}")
    left_over = code.add(f"sub i64 %length, {whole}")
    has_part = code.add(f"icmp ne i64 {left_over}, 0")
    block = Memory(code, recipe.stored)
    part = Memory(code, recipe.stored, code.add(f"trunc i64 {left_over} to i32"))

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
        return memory.load(kinds["x"], "%x", place(at), -math.inf)

    def gradients(at, memory):
        return memory.load(kinds["g"], "%g", place(at)) if recipe.backward else [None, None]

    # The largest score; NaN is not larger than any, but makes the sum NaN.
    at_largest = recipe.backward and not recipe.logarithm
    lowest, zero = repeated("float", "0xFFF0000000000000"), repeated("float", "0.0")
    largest = [code.variable(FLOATS, lowest) for _ in range(2)]
    there = [code.variable(FLOATS, zero) for _ in range(2)]

    def compare(at, memory):
        gs = gradients(at, memory) if at_largest else [None, None]
        for x, g, held, kept in zip(scores(at, memory), gs, largest, there, strict=True):
            top = _read(code, held)
            code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {held}")
            if at_largest:
                code.lines.append(f"store {FLOATS} {where(x > top, g, _read(code, kept)).name}, ptr {kept}")

    everywhere(compare)
    one, other = (_read(code, held) for held in largest)
    higher = where(one > other, one, other)
    top = _highest(higher)
    at_top = top
    if at_largest:
        at_top = _of_highest(higher, where(one > other, *(_read(code, kept) for kept in there)), top)

    def weights(at, memory):
        ds = [recipe.distance(x, top) for x in scores(at, memory)]
        return ds, [recipe.exponential(d) for d in ds]

    def moved(at, memory):
        return [recipe.moved(g, at_top) for g in gradients(at, memory)] if recipe.backward else [None, None]

    keeps = recipe.backward or not recipe.logarithm
    names = recipe.names()
    totals = {name: _Sum(code, recipe.wide) for name in names}

    def gather(at, memory):
        for name, kind in (*kinds.items(), ("out", recipe.output)):  # here, where there is most to compute
            memory.fetch(kind, f"%{name}", place(at), to_write=name == "out")
        _, es = weights(at, memory)
        if keeps:
            _keep(code, es, at)
        one, other = (recipe.terms(e, g) for e, g in zip(es, moved(at, memory), strict=True))
        for name, total in totals.items():
            total.add(one[name], other[name])

    everywhere(gather, *(totals.values() if recipe.wide is Vector else ()))
    length = Double(code, spread(code, "double", code.add("uitofp i64 %length to double")))
    share = fma(length, STEP, NEAR + STEP * 8 * LANES)
    constants = recipe.constants(top, {name: total.value() for name, total in totals.items()}, share)
    least = code.variable(DOUBLES, repeated("double", INFINITY)) if recipe.watched else ""

    def finish(at, memory):
        if keeps:
            ds, es = [None, None], _kept(code, recipe.wide, at)
        else:
            ds, es = [recipe.distance(x, top) for x in scores(at, memory)], [None, None]
        made, above = zip(
            *(recipe.result(*given, constants) for given in zip(ds, es, moved(at, memory), strict=True)), strict=True
        )
        memory.store([m.to(Vector) for m in made], recipe.output, "%out", place(at))
        if recipe.watched:
            if memory.inside:
                above = [where(inside, a, math.inf) for inside, a in zip(memory.inside, above, strict=True)]
            lowest = Double(code, code.add(f"load {DOUBLES}, ptr {least}"))
            for a in above:
                lowest = where(a < lowest, a, lowest)
            code.lines.append(f"store {DOUBLES} {lowest.name}, ptr {least}")

    everywhere(finish)
    if recipe.watched:
        _once_more(recipe, Double(code, code.add(f"load {DOUBLES}, ptr {least}")) < 0, lambda: _exactly(recipe, first))


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
    made, lost = _in_vectors(recipe, rows, given["x"], given.get("g"), count * LANES)
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
        made, lost = _in_vectors(recipe, rows, given["x"], given.get("g"), length)
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
    """A sum over a row: of few numbers in float32, and of these sums in float64; or all of it in float64."""

    def __init__(self, code: Code, vector: type[Vector]):
        self.code = code
        self._few = code.variable(FLOATS, "zeroinitializer") if vector is Vector else ""
        self._all = code.variable(DOUBLES, "zeroinitializer")

    def add(self, one: Vector, other: Vector) -> None:
        """Adds the numbers of a block."""
        kind, place = (FLOATS, self._few) if self._few else (DOUBLES, self._all)
        so_far = type(one)(self.code, self.code.add(f"load {kind}, ptr {place}"))
        self.code.lines.append(f"store {kind} {(so_far + (one + other)).name}, ptr {place}")

    def settle(self) -> None:
        """Adds the few to all."""
        few = self.code.add(f"fpext {FLOATS} {self.code.add(f'load {FLOATS}, ptr {self._few}')} to {DOUBLES}")
        so_far = self.code.add(f"load {DOUBLES}, ptr {self._all}")
        self.code.lines += [
            f"store {DOUBLES} {self.code.add(f'fadd {DOUBLES} {so_far}, {few}')}, ptr {self._all}",
            f"store {FLOATS} zeroinitializer, ptr {self._few}",
        ]

    def value(self) -> Double:
        """The sum, in each lane."""
        if self._few:
            self.settle()
        return _over_lanes(Double(self.code, self.code.add(f"load {DOUBLES}, ptr {self._all}")))


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


def exact_source(logarithm: bool, kinds: Sequence[str], output: str) -> str:
    """A loop over rows likewise that computes slopes in pairs of float64 numbers.

    Args:
        logarithm: Whether they are those of the logarithm of softmax.
        kinds: Types of the upstream gradient and of x.
        output: Type of the elements of the result.

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
        _exact_row(code, logarithm, kinds, output, rows)

    code.loop(code.add("sub i64 %end, %begin"), 1, body)
    inner = Code()
    inner.vector = Double
    parts = "%place", inner.add(f"getelementptr {DOUBLES}, ptr %place, i64 1")
    pairs.kept(inner, pairs.decay(pairs.loaded(inner, parts)), parts)
    code.declared |= inner.declared
    lines = "\n".join(f"  {line}" for line in [*inner.entry, *inner.lines, "ret void"])
    return f"{code.function()}define internal void @decay(ptr %place) noinline #0 {{\n{lines}\n}}\n"


def _exact_row(code: Code, logarithm: bool, kinds: Sequence[str], output: str, rows: Sequence[str]) -> None:
    """The slopes of one row, given the addresses of results, gradients and scores."""
    stored = (*kinds, output)
    out, *given = rows
    lowest, zero = repeated("float", "0xFFF0000000000000"), repeated("float", "0.0")
    largest, there = [code.variable(FLOATS, lowest)], [code.variable(FLOATS, zero)]

    def everywhere(body: Callable) -> None:
        def inner(at):
            left = code.add(f"sub i64 %length, {at}")
            left = code.add(f"call i64 @llvm.umin.i64(i64 {left}, i64 {BLOCK})")
            memory = Memory(code, stored, code.add(f"trunc i64 {left} to i32"))
            outside = 0.0, -math.inf
            loaded = [memory.load(kind, start, at, o) for kind, start, o in zip(kinds, given, outside, strict=True)]
            made = [body(*values) for values in zip(*loaded, memory.inside, strict=True)]
            if made[0] is not None:
                memory.store(made, output, out, at)

        code.loop("%length", BLOCK, inner)

    def compare(g, x, inside):  # noqa: ARG001
        top, held = _read(code, largest[0]), _read(code, there[0])
        code.lines.append(f"store {FLOATS} {where(x > top, x, top).name}, ptr {largest[0]}")
        code.lines.append(f"store {FLOATS} {where(x > top, g, held).name}, ptr {there[0]}")

    everywhere(compare)
    higher = _read(code, largest[0])
    top = _highest(higher)
    at_top = _of_highest(higher, _read(code, there[0]), top).to(Double)
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
        return pairs.chosen(inside, e, zero), (e.high >= 1) & (e.low >= 0)

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

    everywhere(gather)
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
        e, is_top = weight(x, inside)
        if logarithm:
            return pairs.chosen(is_top & alone, at_one, moved(g) - e * mean).high.to(Vector)
        return (e.high / sums["e"].high * (moved(g) - mean).high).to(Vector)

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
