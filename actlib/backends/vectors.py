"""Vectors of numbers that write down what is done to them, in LLVM's language; and the primitives for them.

To call a generated function on a `Vector` is to write its machine code: each operation adds an instruction to the
`Code` that the vector belongs to, and returns a vector that stands for the result.
"""

import ctypes
import struct
import sys
from collections.abc import Callable, Collection, Sequence

from actlib.backends import PHI_SCALE, PHI_TAIL

LANES = 16
"""Numbers in a vector. Where the processor's registers are shorter, LLVM takes several."""

BLOCK = 2 * LANES
"""Numbers that a loop takes at a time, as two vectors."""

FLOATS, DOUBLES, INTS, LONGS, BITS = (f"<{LANES} x {kind}>" for kind in ("float", "double", "i32", "i64", "i1"))

AHEAD = 4096
"""Bytes. Processors look ahead by themselves, but few of them beyond the end of a page of memory."""

STORED = {"float32": "float", "bfloat16": "i16", "float16": "half"}
"""LLVM's type of elements in memory. Its own bfloat loses subnormal numbers on some processors."""
SIZES = {"float": 4, "i16": 2, "half": 2}
"""Their bytes."""


class Code:
    """The instructions of a function, in the order in which they are written."""

    def __init__(self):
        self.vector: type[Vector] = Vector  # what numbers are computed in
        self.entry: list[str] = []  # room on the stack is made once, before all loops
        self.lines: list[str] = []
        self.declared: set[str] = set()
        # Of numbers that are right to some digits: whether to more of them, whether a step would need that, and the
        # lanes that are to be computed with all.
        self.many = self.wants_many = False
        self.cancelled: list[Mask] = []
        self._names = 0

    def name(self) -> str:
        """A new name."""
        self._names += 1
        return f"v{self._names}"

    def add(self, instruction: str) -> str:
        """Writes an instruction; returns the name of its result."""
        name = f"%{self.name()}"
        self.lines.append(f"{name} = {instruction}")
        return name

    def call(self, intrinsic: str, result: str, *arguments: tuple[str, str], flags: str = "") -> str:
        """Writes the call of an intrinsic, given the type and name of each argument; returns the result's name."""
        self.declared.add(f"declare {result} @llvm.{intrinsic}({', '.join(kind for kind, _ in arguments)})")
        return self.add(f"call {flags}{result} @llvm.{intrinsic}({', '.join(map(' '.join, arguments))})")

    def variable(self, kind: str, value: str) -> str:
        """Makes room for a value that loops change; returns its address."""
        place = f"%{self.name()}"
        self.entry.append(f"{place} = alloca {kind}, align 64")
        self.lines.append(f"store {kind} {value}, ptr {place}")
        return place

    def loop(self, end: str, step: int, body: Callable[[str], None]) -> None:
        """Writes a loop over the places 0, step, 2 step ... before end; body writes what is done at a place."""
        head, inside, after = self.name(), self.name(), self.name()
        place = self.variable("i64", "0")
        self.lines += [f"br label %{head}", f"{head}:"]
        at = self.add(f"load i64, ptr {place}")
        self.lines += [f"br i1 {self.add(f'icmp ult i64 {at}, {end}')}, label %{inside}, label %{after}", f"{inside}:"]
        body(at)
        self.lines += [f"store i64 {self.add(f'add i64 {at}, {step}')}, ptr {place}", f"br label %{head}", f"{after}:"]

    def field(self, number: int, kind: str) -> str:
        """Loads an argument of the function; returns its name."""
        return self.add(f"load {kind}, ptr {self.add(f'getelementptr i64, ptr %data, i64 {number}')}, align 8")

    def function(self) -> str:
        """All of it as a module with one function, `span`.

        It does a part of the work, from `begin` on and before `end`, with the arguments that lie in `data`, 8 bytes
        each; `thread` is the number of the thread that does it.
        """
        body = "\n".join(line if line.endswith(":") else f"  {line}" for line in [*self.entry, *self.lines, "ret void"])
        return "\n".join(
            [
                *sorted(self.declared),
                "define void @span(i64 %begin, i64 %end, i64 %thread, ptr %data) #0 {",
                body,
                "}",
                # The loops are written in vectors already, and these shall fill the widest registers.
                'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }\n',
            ]
        )


class Mask:
    """A truth value in each lane."""

    def __init__(self, code: Code, name: str):
        self.code, self.name = code, name

    def __and__(self, other):
        return Mask(self.code, self.code.add(f"and {BITS} {self.name}, {other.name}"))

    def __or__(self, other):
        return Mask(self.code, self.code.add(f"or {BITS} {self.name}, {other.name}"))

    def __invert__(self):
        return Mask(self.code, self.code.add(f"xor {BITS} {self.name}, {repeated('i1', 'true')}"))


class Vector:
    """A float32 number in each lane."""

    __hash__ = None  # equality is lane by lane
    kind, element, ints, suffix = FLOATS, "float", INTS, "f32"

    def __init__(self, code: Code, name: str):
        self.code, self.name = code, name

    def __add__(self, other):
        return self._combined("fadd", self, other)

    def __radd__(self, other):
        return self._combined("fadd", other, self)

    def __sub__(self, other):
        return self._combined("fsub", self, other)

    def __rsub__(self, other):
        return self._combined("fsub", other, self)

    def __mul__(self, other):
        return self._combined("fmul", self, other)

    def __rmul__(self, other):
        return self._combined("fmul", other, self)

    def __truediv__(self, other):
        return self._combined("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._combined("fdiv", other, self)

    def __neg__(self):
        return type(self)(self.code, self.code.add(f"fneg {self.kind} {self.name}"))

    def __lt__(self, other):
        return self._compared("olt", other)

    def __le__(self, other):
        return self._compared("ole", other)

    def __gt__(self, other):
        return self._compared("ogt", other)

    def __ge__(self, other):
        return self._compared("oge", other)

    def __eq__(self, other):
        return self._compared("oeq", other)

    def __ne__(self, other):
        return self._compared("une", other)

    def to(self, vector: "type[Vector]") -> "Vector":
        """The same numbers in vectors of a type, rounded to it."""
        if type(self) is vector:
            return self
        if self.kind == vector.kind:
            return vector(self.code, self.name)
        step = "fpext" if self.kind == FLOATS else "fptrunc"
        return vector(self.code, self.code.add(f"{step} {self.kind} {self.name} to {vector.kind}"))

    def _combined(self, operation, a, b):
        # Of a product and a sum, the processor may make one step, rounded once.
        a, b = (text(v, type(self)) for v in (a, b))
        return type(self)(self.code, self.code.add(f"{operation} contract {self.kind} {a}, {b}"))

    def _compared(self, relation, other):
        return Mask(self.code, self.code.add(f"fcmp {relation} {self.kind} {self.name}, {text(other, type(self))}"))


class Double(Vector):
    """A float64 number in each lane."""

    kind, element, ints, suffix = DOUBLES, "double", LONGS, "f64"


def repeated(kind: str, value: str | int) -> str:
    """A constant with the same value in each lane."""
    return f"<{', '.join([f'{kind} {value}'] * LANES)}>"


def text(value: Vector | float, vector: type[Vector] = Vector) -> str:
    """The name of a vector; a number as a constant, rounded to the type of such vectors."""
    if isinstance(value, Vector):
        return value.name
    number = ctypes.c_float(value).value if vector is Vector else float(value)
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return repeated(vector.element, f"0x{bits:016X}")


def spread(code: Code, kind: str, value: str, lanes: int = LANES) -> str:
    """A scalar, in each lane of a vector; returns its name."""
    vector = f"<{lanes} x {kind}>"
    first = code.add(f"insertelement {vector} poison, {kind} {value}, i64 0")
    return code.add(f"shufflevector {vector} {first}, {vector} poison, <{lanes} x i32> zeroinitializer")


def iota(kind: str, first: int, step: int, count: int = LANES) -> str:
    """A constant with first, first + step ... in its lanes."""
    return f"<{', '.join(f'{kind} {first + i * step}' for i in range(count))}>"


class Memory:
    """How a block of numbers in memory becomes two vectors, and these become a block.

    Where all is bfloat16, one vector has the numbers at even places and the other those at odd ones: as 32 bits, a pair
    of numbers is the odd one but for its lower half, and the even one when it is shifted. Else one has the first half.

    Args:
        code: Where it is written down.
        dtypes: Types of all the elements that are read and written.
        count: The name of an i32: how many numbers of a block are inside of memory; all of them, where none is given.
        interleaved: Whether some of it holds two blocks in turn; then one vector has the first half in any case.
    """

    def __init__(self, code: Code, dtypes: Collection[str], count: str = "", *, interleaved: bool = False):
        self.code = code
        self.pairs = set(dtypes) == {"bfloat16"} and sys.byteorder == "little" and not interleaved
        self.inside: list[Mask] = []
        """Of each vector, the lanes inside of memory; empty, if all are."""
        if count:
            first, step = ((0, 1), 2) if self.pairs else ((0, LANES), 1)
            here = spread(code, "i32", count)
            self.inside = [Mask(code, code.add(f"icmp ult {INTS} {iota('i32', n, step)}, {here}")) for n in first]
            if self.pairs:
                here = spread(code, "i16", code.add(f"trunc i32 {count} to i16"), BLOCK)
                self._both = code.add(f"icmp ult <{BLOCK} x i16> {iota('i16', 0, 1, BLOCK)}, {here}")

    def load(self, dtype: str, pointer: str, at: str, outside: float = 0.0) -> list[Vector]:
        """The block from a place on; what is not inside of memory is `outside`."""
        code, kind = self.code, STORED[dtype]
        place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
        if self.pairs:
            raw = self._load("i16", BLOCK, place, self._both if self.inside else "")
            both = code.add(f"bitcast <{BLOCK} x i16> {raw} to {INTS}")
            even = code.add(f"shl {INTS} {both}, {repeated('i32', 16)}")
            odd = code.add(f"and {INTS} {both}, {repeated('i32', ODD)}")
            values = [Vector(code, code.add(f"bitcast {INTS} {bits} to {FLOATS}")) for bits in (even, odd)]
        else:
            values = []
            for half in range(2):
                part = code.add(f"getelementptr {kind}, ptr {place}, i64 {half * LANES}")
                raw = self._load(kind, LANES, part, self.inside[half].name if self.inside else "")
                values.append(self._widened(kind, raw))
        if self.inside and outside:
            values = [where(mask, value, outside) for mask, value in zip(self.inside, values, strict=True)]
        return values

    def store(self, values: Sequence[Vector], dtype: str, pointer: str, at: str) -> None:
        """Writes the block from a place on, rounded to the type; but not what is not inside of memory."""
        code, kind = self.code, STORED[dtype]
        place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
        if self.pairs:
            # A NaN stays one, since its lower half is 0: it is one of those read, or the one that processors make.
            even, odd = (_rounded_up(value) for value in values)
            even = code.add(f"lshr {INTS} {even}, {SIXTEEN}")
            odd = code.add(f"and {INTS} {odd}, {repeated('i32', ODD)}")
            both = code.add(f"or {INTS} {even}, {odd}")
            if self.inside:
                both = code.add(f"bitcast {INTS} {both} to <{BLOCK} x i16>")
                self._store("i16", BLOCK, both, place, self._both)
            else:
                code.lines.append(f"store {INTS} {both}, ptr {place}, align {SIZES[kind]}")
            return
        for half, value in enumerate(values):
            part = code.add(f"getelementptr {kind}, ptr {place}, i64 {half * LANES}")
            name = self._narrowed(kind, value)
            self._store(kind, LANES, name, part, self.inside[half].name if self.inside else "")

    def load_interleaved(self, dtype: str, pointer: str, at: str) -> tuple[list[Vector], list[Vector]]:
        """The blocks of two rows that lie in turn: one number of the first, one of the second."""
        code, kind = self.code, STORED[dtype]
        place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {code.add(f'shl i64 {at}, 1')}")
        rows = [], []
        for half in range(2):
            part = code.add(f"getelementptr {kind}, ptr {place}, i64 {half * BLOCK}")
            raw = self._load(kind, BLOCK, part, "")
            for first, row in enumerate(rows):
                lanes = f"<{BLOCK} x {kind}> {raw}, <{BLOCK} x {kind}> poison, <{LANES} x i32> {iota('i32', first, 2)}"
                row.append(self._widened(kind, code.add(f"shufflevector {lanes}")))
        return rows

    def store_interleaved(self, rows: Sequence[Sequence[Vector]], dtype: str, pointer: str, at: str) -> None:
        """Writes the blocks of two rows in turn, rounded to the type."""
        code, kind = self.code, STORED[dtype]
        place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {code.add(f'shl i64 {at}, 1')}")
        turns = f"<{', '.join(f'i32 {i}, i32 {i + LANES}' for i in range(LANES))}>"
        for half, pair in enumerate(zip(*rows, strict=True)):
            part = code.add(f"getelementptr {kind}, ptr {place}, i64 {half * BLOCK}")
            lanes = ", ".join(f"<{LANES} x {kind}> {self._narrowed(kind, value)}" for value in pair)
            both = code.add(f"shufflevector {lanes}, <{BLOCK} x i32> {turns}")
            self._store(kind, BLOCK, both, part, "")

    def fetch(self, dtype: str, pointer: str, at: str, *, to_write: bool = False) -> None:
        """Asks for what lies `AHEAD` of a block, so that it is at hand when its turn comes; any address will do."""
        code, kind = self.code, STORED[dtype]
        code.declared.add("declare void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)")
        place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
        for line in range(0, BLOCK * SIZES[kind], 64):
            ahead = code.add(f"getelementptr i8, ptr {place}, i64 {AHEAD + line}")
            code.lines.append(f"call void @llvm.prefetch.p0(ptr {ahead}, i32 {int(to_write)}, i32 3, i32 1)")

    def _widened(self, kind: str, raw: str) -> Vector:
        """Numbers as they are stored, in float32."""
        code = self.code
        if kind == "half":
            raw = code.add(f"fpext <{LANES} x half> {raw} to {FLOATS}")
        elif kind == "i16":
            high = code.add(f"shl {INTS} {code.add(f'zext <{LANES} x i16> {raw} to {INTS}')}, {SIXTEEN}")
            raw = code.add(f"bitcast {INTS} {high} to {FLOATS}")
        return Vector(code, raw)

    def _narrowed(self, kind: str, value: Vector) -> str:
        """Numbers as they are stored, rounded to their type."""
        code, name = self.code, value.name
        if kind == "half":
            return code.add(f"fptrunc {FLOATS} {name} to <{LANES} x half>")
        if kind == "i16":
            up, nan = _rounded_up(value), repeated("i32", 0x7FC00000)
            up = code.add(f"select {BITS} {(value == value).name}, {INTS} {up}, {INTS} {nan}")
            return code.add(f"trunc {INTS} {code.add(f'lshr {INTS} {up}, {SIXTEEN}')} to <{LANES} x i16>")
        return name

    def _load(self, kind: str, lanes: int, place: str, inside: str) -> str:
        vector, size = f"<{lanes} x {kind}>", SIZES[kind]
        if not inside:
            return self.code.add(f"load {vector}, ptr {place}, align {size}")
        return self.code.call(
            f"masked.load.v{lanes}{SHORT[kind]}.p0", vector,
            ("ptr", place), ("i32 immarg", str(size)), (f"<{lanes} x i1>", inside), (vector, "zeroinitializer"),
        )  # fmt: skip

    def _store(self, kind: str, lanes: int, name: str, place: str, inside: str) -> None:
        code, vector, size = self.code, f"<{lanes} x {kind}>", SIZES[kind]
        if not inside:
            code.lines.append(f"store {vector} {name}, ptr {place}, align {size}")
            return
        intrinsic, mask = f"masked.store.v{lanes}{SHORT[kind]}.p0", f"<{lanes} x i1>"
        code.declared.add(f"declare void @llvm.{intrinsic}({vector}, ptr, i32 immarg, {mask})")
        code.lines.append(f"call void @llvm.{intrinsic}({vector} {name}, ptr {place}, i32 {size}, {mask} {inside})")


SHORT = {"float": "f32", "i16": "i16", "half": "f16"}
SIXTEEN = repeated("i32", 16)
ODD = 0xFFFF0000


def _rounded_up(value: Vector) -> str:
    """Bits whose upper half is the number in bfloat16: the nearest, of two the even one."""
    code, bits = value.code, bits_of(value)
    last = code.add(f"and {INTS} {bits}, {repeated('i32', 0x10000)}")
    is_even = code.add(f"icmp eq {INTS} {last}, zeroinitializer")
    half = code.add(f"select {BITS} {is_even}, {INTS} {repeated('i32', 0x7FFF)}, {INTS} {repeated('i32', 0x8000)}")
    return code.add(f"add {INTS} {bits}, {half}")


def bits_of(x: Vector) -> str:
    """The numbers as they are stored, as whole ones."""
    return x.code.add(f"bitcast {x.kind} {x.name} to {x.ints}")


def _intrinsic(name: str, x: Vector, *others: Vector | float) -> Vector:
    arguments = [(x.kind, text(v, type(x))) for v in (x, *others)]
    return type(x)(x.code, x.code.call(f"{name}.v{LANES}{x.suffix}", x.kind, *arguments))


def fma(a: Vector, b: Vector | float, c: Vector | float) -> Vector:
    """a*b + c, rounded once where the processor can."""
    return _intrinsic("fmuladd", a, b, c)


def absolute(x):
    return _intrinsic("fabs", x)


def sqrt(x):
    return _intrinsic("sqrt", x)


def signed(x: Vector, by: Vector) -> Vector:
    """|x| with the sign of another vector."""
    return _intrinsic("copysign", x, by)


def where(condition, value, other):
    code = condition.code
    vector = next((type(v) for v in (value, other) if isinstance(v, Vector)), code.vector)
    value, other = (f"{vector.kind} {text(v, vector)}" for v in (value, other))
    return vector(code, code.add(f"select {BITS} {condition.name}, {value}, {other}"))


def _parts(x: Vector, bias: int = 0, sign: int = 1) -> tuple[Vector, str]:
    """Of sign x = n log 2 + r, |r| at most log(2) / 2: expm1(r); and bits of which the last eight are n + bias."""
    shift = 1.5 * 2**23 + bias  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = fma(x, 1.4426950408889634 * sign, shift)
    n = shifted - shift
    r = fma(n, -1.428606765330187e-06 * sign, fma(n, -0.693145751953125 * sign, x))  # log 2, in two parts
    *coefficients, last = (c * sign**i for i, c in enumerate(EXPM1))
    p = fma(r, last, coefficients.pop())
    for coefficient in reversed(coefficients):
        p = fma(p, r, coefficient)
    return fma(r * r, p, r if sign > 0 else -r), bits_of(shifted)


EXPM1 = (0.5, 0.16666534543037415, 0.041667237877845764, 0.008367509581148624, 0.0013863756321370602)
"""expm1(r) = r + r^2 p(r), p with these coefficients, lowest first: minimax in the error over exp(r), 4e-9."""


def clamped(x: Vector, low: float, high: float) -> Vector:
    """x, but no less than `low` and no more than `high`."""
    x = where(x < low, low, x)
    return where(x > high, high, x)


def _power(code: Code, bits: str) -> Vector:
    """2^(n + bias - 127), from the bits of n + bias, which must be from 1 to 254."""
    bits = code.add(f"shl {INTS} {bits}, {repeated('i32', 23)}")
    return Vector(code, code.add(f"bitcast {INTS} {bits} to {FLOATS}"))


def exp(x):
    m, bits = _parts(clamped(x, -104, 89))
    code = x.code
    n = code.add(f"sub {INTS} {bits}, {repeated('i32', 0x4B400000)}")
    half = code.add(f"ashr {INTS} {n}, {repeated('i32', 1)}")
    rest = code.add(f"sub {INTS} {n}, {half}")  # two factors, since 2^n itself may overflow, or lose digits
    first, second = (_power(code, code.add(f"add {INTS} {e}, {repeated('i32', 127)}")) for e in (half, rest))
    return (m + 1) * first * second


def decay(x: Vector) -> Vector:
    """exp(x), for x <= 0."""
    return _raised_decay(x) * 2.0**-RAISED


RAISED = 64


def _raised_decay(x: Vector) -> Vector:
    """exp(x) times 2^RAISED, which keeps it clear of subnormal numbers, for x <= 0."""
    m, bits = _parts(where(x < -104, -104, x), 127 + RAISED)
    scale = _power(x.code, bits)
    return fma(m, scale, scale)


def expm1(x):
    return signed(_half_expm1(where(x > 89, 89, x)) * 2, x)


def _half_expm1(x: Vector) -> Vector:
    """expm1(x) / 2, for x <= 89."""
    m, bits = _parts(where(x < -80, -80, x), 126)
    scale = _power(x.code, bits)
    return fma(m, scale, scale - 0.5)


def log(x):
    small = x < 2.0**-126  # subnormal numbers, 0 and negative ones
    y = where(small, x * 2.0**23, x)
    return where(
        x > 0,
        where(x < float("inf"), _log(y, where(small, -23.0, 0.0)), x),
        where(x == 0, float("-inf"), float("nan")),
    )


def _log(x: Vector, more: Vector | float = 0.0) -> Vector:
    """log(x) + more log 2, for a normal x > 0."""
    code = x.code
    # x = 2^n m, m from 1/sqrt 2 on
    above = code.add(f"sub {INTS} {bits_of(x)}, {repeated('i32', 0x3F3504F3)}")
    n = code.add(f"ashr {INTS} {above}, {repeated('i32', 23)}")
    moved = code.add(f"shl {INTS} {n}, {repeated('i32', 23)}")
    m = Vector(code, code.add(f"bitcast {INTS} {code.add(f'sub {INTS} {bits_of(x)}, {moved}')} to {FLOATS}"))
    n = Vector(code, code.add(f"sitofp {INTS} {n} to {FLOATS}")) + more
    s = (m - 1) / (m + 1)
    return fma(n, 0.693145751953125, fma(n, 1.428606765330187e-06, _twice_atanh(s)))


def _twice_atanh(s: Vector) -> Vector:
    """log((1 + s) / (1 - s)), for |s| at most 1/3."""
    z = s * s
    p = fma(z, 2 / 15, 2 / 13)
    for divisor in (11, 9, 7, 5, 3):
        p = fma(p, z, 2 / divisor)
    return fma(p * z, s, s * 2)


def log1p(x: Vector) -> Vector:
    """log(1 + x), for a finite x >= 0."""
    y = x + 1
    return _log(y) + (x - (y - 1)) / y  # with what was lost when 1 was added


def sigma(x):
    # 1 / (1 + exp(-x)), all of it times 2^-27: so the exponents of exp(-x) fit, from x = -104, below which the result
    # is 0, to x = 60, above which it is 1.
    m, bits = _parts(clamped(x, -104, 60), 127 - 27, -1)
    scale = _power(x.code, bits)
    return 2.0**-27 / (fma(m, scale, scale) + 2.0**-27)


def paired_sigma(x):
    """sigma(x), where sigma(-x) is needed, too: both share a division."""
    small = _smaller_sigma(x)
    return where(x < 0, small, 1 - small)


def mirrored_sigma(x):
    """sigma(-x), where sigma(x) is needed, too."""
    small = _smaller_sigma(x)
    return where(x < 0, 1 - small, small)


def sigma_slope(x):
    """sigma(x) sigma(-x)."""
    small = _smaller_sigma(x)
    return fma(-small, small, small)


def _smaller_sigma(x):
    e = _raised_decay(-absolute(x))
    return e / (e + 2.0**RAISED)


def softplus(x):
    e = decay(-absolute(x))
    return where(x < 0, 0, x) + _twice_atanh(e / (e + 2))


def tanh(x):
    h = _half_expm1(absolute(x) * -2)
    return signed(h / (h + 1), x)


def sinh(x):
    a = absolute(x)
    m, h = expm1(a), exp(a * 0.5)  # of large numbers the half, since exp(a) may overflow before sinh
    return signed(where(a < 1, (m + m / (m + 1)) * 0.5, h * 0.5 * h - 0.5 / h / h), x)


def cosh(x):
    h = exp(absolute(x) * 0.5)
    return h * 0.5 * h + 0.5 / h / h


def atan(x):
    # Moshier, Cephes: to |z| <= tan(pi/8), where atan(x) = atan(z) + pi/4 or pi/2.
    a = absolute(x)
    far, middle = a > 2.414213562373095, a > 0.4142135623730950
    z = where(far, -1 / a, where(middle, (a - 1) / (a + 1), a))
    s = z * z
    p = fma(s, 8.05374449538e-2, -1.38776856032e-1)
    for coefficient in (1.99777106478e-1, -3.33329491539e-1):
        p = fma(p, s, coefficient)
    start = where(far, 1.5707963267948966, where(middle, 0.7853981633974483, 0.0))
    return signed(start + fma(p * s, z, z), x)


def asinh(x):
    a = absolute(x)
    b = where(a > BEYOND, BEYOND, a)
    near = log1p(b + b * b / (sqrt(fma(b, b, 1)) + 1))
    return signed(where(a > BEYOND, log(a) + 0.6931471805599453, near), x)


def cosatan(x):
    a = absolute(x)
    b = where(a > BEYOND, BEYOND, a)
    return 1 / where(a > BEYOND, a, sqrt(fma(b, b, 1)))


BEYOND = 2.0**30
"""From here on, 1 + x^2 is x^2, rounded."""


def phi(x):
    return _bell(_within(x)) * (0.3989422804014327 * 2.0**-RAISED)


def Phi(x):
    a = _within(x)
    above, below = PHI_RATIO
    tail = polynomial(a, [c * 2.0**-RAISED for c in above]) * _bell(a) / polynomial(a, below)
    return where(x > 0, 1 - tail, tail)


PHI_RATIO = (
    (0.5000000063825482, 0.45093987483095754, 0.19275971261970104, 0.043885911095958255, 0.004609753914856395),
    (
        *(1.0, 1.6997651703169505, 1.2417265691024932, 0.49464417102781333),
        *(0.11000872896775148, 0.0115548955813319),
    ),
)
"""Phi(-a) exp(a^2 / 2) as a quotient of two polynomials, to a = 24: minimax in the relative error, 26 bits."""


def polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """By Horner's rule, coefficients from the lowest power up."""
    *others, before, last = coefficients
    p = fma(x, last, before)
    for coefficient in reversed(others):
        p = fma(p, x, coefficient)
    return p


def Phi_tail(x):
    """Phi(-|x|) exp(x^2 / 2)."""
    a = absolute(x)
    d = fma(a, PHI_SCALE, 1)
    u = 1 / d
    tail = u * polynomial(u, PHI_TAIL)
    # u p(u) magnifies an error of u about twice: what u was rounded by, and d before it, is taken back.
    off = fma(-u, fma(a, PHI_SCALE, 1 - d), fma(-u, d, 1))
    return fma(tail, off * 2, tail)


def _within(x: Vector) -> Vector:
    """|x|, but at most 14.4, where exp(-x^2/2) is 0 in float32 up to a factor of 2."""
    a = absolute(x)
    return where(a > 14.4, 14.4, a)


def _bell(x: Vector) -> Vector:
    """exp(-x^2 / 2) times 2^RAISED, for |x| <= 14.4."""
    m, bits = _parts(x * x * -0.5, 127 + RAISED)
    scale = _power(x.code, bits)
    return fma(m, scale, scale)


def sign(x):
    return where(x > 0, 1, where(x < 0, -1, x))


def damped(factor, by):
    return where(by == 0, 0, factor * by)


def unless_nan(value, x):
    return where(x == x, value, x)


def square(x):
    return x * x


def cube(x):
    return x * x * x


PRIMITIVES = {
    f.__name__: f
    for f in (sigma, softplus, Phi, phi, tanh, expm1, exp, log, sqrt, absolute, sign)
    + (sinh, cosh, atan, asinh, cosatan, Phi_tail)
    + (damped, where, unless_nan, square, cube)
}
"""Those that have a form in vectors. A formula with another function runs as torch operations."""

PAIRED_SIGMAS = {f.__name__: f for f in (paired_sigma, mirrored_sigma, sigma_slope)}
"""What takes the place of sigma(x) and sigma(-x) where a formula has both."""
