"""Vectors of numbers that write down what is done to them, in LLVM's language; and the primitives for them.

To call a generated function on a `Vector` is to write its machine code: each operation adds an instruction to the
`Code` that the vector belongs to, and returns a vector that stands for the result.
"""

import ctypes
import struct
from collections.abc import Callable

from actlib.backends import PHI_SCALE, PHI_TAIL

LANES = 16
"""Numbers in a vector. Where the processor's registers are shorter, LLVM takes several."""

FLOATS, DOUBLES, INTS, BITS = (f"<{LANES} x {kind}>" for kind in ("float", "double", "i32", "i1"))

STORED = {"float32": ("float", 4), "bfloat16": ("i16", 2), "float16": ("half", 2)}
"""Elements in memory: LLVM's type and bytes. LLVM's own bfloat loses subnormal numbers on some processors."""


class Code:
    """The instructions of a function, in the order in which they are written."""

    def __init__(self):
        self.entry: list[str] = []  # room on the stack is made once, before all loops
        self.lines: list[str] = []
        self.declared: set[str] = set()
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
        return Vector(self.code, self.code.add(f"fneg {FLOATS} {self.name}"))

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

    def _combined(self, operation, a, b):
        # Of a product and a sum, the processor may make one step, rounded once.
        return Vector(self.code, self.code.add(f"{operation} contract {FLOATS} {text(a)}, {text(b)}"))

    def _compared(self, relation, other):
        return Mask(self.code, self.code.add(f"fcmp {relation} {FLOATS} {self.name}, {text(other)}"))


def repeated(kind: str, value: str | int) -> str:
    """A constant with the same value in each lane."""
    return f"<{', '.join([f'{kind} {value}'] * LANES)}>"


def text(value: Vector | float) -> str:
    """The name of a vector; a number as a constant, rounded to float32."""
    if isinstance(value, Vector):
        return value.name
    (bits,) = struct.unpack(">Q", struct.pack(">d", ctypes.c_float(value).value))
    return repeated("float", f"0x{bits:016X}")


def spread(code: Code, kind: str, value: str) -> str:
    """A scalar, in each lane of a vector; returns its name."""
    first = code.add(f"insertelement <{LANES} x {kind}> poison, {kind} {value}, i64 0")
    return code.add(f"shufflevector <{LANES} x {kind}> {first}, <{LANES} x {kind}> poison, {INTS} zeroinitializer")


def load(code: Code, dtype: str, pointer: str, at: str, inside: str = "", outside: float = 0.0) -> Vector:
    """The numbers from a place on; where a mask is given, those inside of it, and `outside` elsewhere."""
    kind, size = STORED[dtype]
    place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
    vector = f"<{LANES} x {kind}>"
    if inside:
        raw = code.call(
            f"masked.load.v{LANES}{SHORT[kind]}.p0", vector,
            ("ptr", place), ("i32 immarg", str(size)), (BITS, inside), (vector, "zeroinitializer"),
        )  # fmt: skip
    else:
        raw = code.add(f"load {vector}, ptr {place}, align {size}")
    if kind == "half":
        raw = code.add(f"fpext {vector} {raw} to {FLOATS}")
    elif kind == "i16":
        high = code.add(f"shl {INTS} {code.add(f'zext {vector} {raw} to {INTS}')}, {repeated('i32', 16)}")
        raw = code.add(f"bitcast {INTS} {high} to {FLOATS}")
    return where(Mask(code, inside), Vector(code, raw), outside) if inside and outside else Vector(code, raw)


SHORT = {"float": "f32", "i16": "i16", "half": "f16"}


def store(value: Vector, dtype: str, pointer: str, at: str, inside: str = "") -> None:
    """Writes the numbers from a place on, rounded to the type; where a mask is given, those inside of it."""
    code, name = value.code, value.name
    kind, size = STORED[dtype]
    vector = f"<{LANES} x {kind}>"
    if kind == "half":
        name = code.add(f"fptrunc {FLOATS} {name} to {vector}")
    elif kind == "i16":  # to the nearest, of two the even one
        bits = _bits(value)
        odd = code.add(f"and {INTS} {code.add(f'lshr {INTS} {bits}, ' + repeated('i32', 16))}, {repeated('i32', 1)}")
        up = code.add(f"add {INTS} {code.add(f'add {INTS} {bits}, {odd}')}, {repeated('i32', 0x7FFF)}")
        up = code.add(f"select {BITS} {(value == value).name}, {INTS} {up}, {INTS} {repeated('i32', 0x7FC00000)}")
        name = code.add(f"trunc {INTS} {code.add(f'lshr {INTS} {up}, ' + repeated('i32', 16))} to {vector}")
    place = code.add(f"getelementptr {kind}, ptr {pointer}, i64 {at}")
    if inside:
        intrinsic = f"masked.store.v{LANES}{SHORT[kind]}.p0"
        code.declared.add(f"declare void @llvm.{intrinsic}({vector}, ptr, i32 immarg, {BITS})")
        code.lines.append(f"call void @llvm.{intrinsic}({vector} {name}, ptr {place}, i32 {size}, {BITS} {inside})")
    else:
        code.lines.append(f"store {vector} {name}, ptr {place}, align {size}")


def _bits(x: Vector) -> str:
    return x.code.add(f"bitcast {FLOATS} {x.name} to {INTS}")


def _intrinsic(name: str, x: Vector, *others: Vector | float) -> Vector:
    arguments = [(FLOATS, text(v)) for v in (x, *others)]
    return Vector(x.code, x.code.call(f"{name}.v{LANES}f32", FLOATS, *arguments))


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
    return Vector(code, code.add(f"select {BITS} {condition.name}, {FLOATS} {text(value)}, {FLOATS} {text(other)}"))


def _parts(x: Vector) -> tuple[Vector, str]:
    """expm1(r) and n of x = n log 2 + r, n a whole number and |r| at most log(2) / 2."""
    shift = 1.5 * 2**23  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = fma(x, 1.4426950408889634, shift)
    n = shifted - shift
    r = fma(n, -1.428606765330187e-06, fma(n, -0.693145751953125, x))  # log 2, in two parts
    p = fma(r, 1 / 5040, 1 / 720)
    for divisor in (120, 24, 6, 2):
        p = fma(p, r, 1 / divisor)
    code = x.code
    return fma(p * r, r, r), code.add(f"sub {INTS} {_bits(shifted)}, {repeated('i32', 0x4B400000)}")


def _two_to(code: Code, n: str, more: int = 0) -> Vector:
    """2^(n + more), for an exponent from -126 to 127."""
    exponent = code.add(f"add {INTS} {n}, {repeated('i32', 127 + more)}")
    bits = code.add(f"shl {INTS} {exponent}, {repeated('i32', 23)}")
    return Vector(code, code.add(f"bitcast {INTS} {bits} to {FLOATS}"))


def exp(x):
    m, n = _parts(where(x > 89, 89, where(x < -104, -104, x)))
    code = x.code
    half = code.add(f"ashr {INTS} {n}, {repeated('i32', 1)}")
    rest = code.add(f"sub {INTS} {n}, {half}")  # two factors, since 2^n itself may overflow, or lose digits
    return (m + 1) * _two_to(code, half) * _two_to(code, rest)


def decay(x: Vector) -> Vector:
    """exp(x), for x <= 0."""
    m, n = _parts(where(x < -104, -104, x))
    scale = _two_to(x.code, n, 64)  # which keeps clear of subnormal numbers
    return fma(m, scale, scale) * 2.0**-64


def expm1(x):
    m, n = _parts(where(x > 89, 89, where(x < -80, -80, x)))
    scale = _two_to(x.code, n, -1)  # half of 2^n, which may overflow
    return signed(fma(m, scale, scale - 0.5) * 2, x)


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
    above = code.add(f"sub {INTS} {_bits(x)}, {repeated('i32', 0x3F3504F3)}")
    n = code.add(f"ashr {INTS} {above}, {repeated('i32', 23)}")
    moved = code.add(f"shl {INTS} {n}, {repeated('i32', 23)}")
    m = Vector(code, code.add(f"bitcast {INTS} {code.add(f'sub {INTS} {_bits(x)}, {moved}')} to {FLOATS}"))
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
    e = decay(-absolute(x))
    small = e / (e + 1)  # a division that sigma(-x) shares
    return where(x < 0, small, 1 - small)


def softplus(x):
    e = decay(-absolute(x))
    return where(x < 0, 0, x) + _twice_atanh(e / (e + 2))


def tanh(x):
    m = expm1(absolute(x) * -2)
    return signed(m / (m + 2), x)


def phi(x):
    return decay(x * x * -0.5) * 0.3989422804014327


def Phi(x):
    a = absolute(x)
    a = where(a > 40, 40, a)  # the tail is 0 there
    d = fma(a, PHI_SCALE, 1)
    u = 1 / d
    p = fma(u, PHI_TAIL[-1], PHI_TAIL[-2])
    for coefficient in PHI_TAIL[-3::-1]:
        p = fma(p, u, coefficient)
    # u p(u) magnifies an error of u about twice: what u was rounded by, and d before it, is taken back.
    off = fma(-u, fma(a, PHI_SCALE, 1 - d), fma(-u, d, 1))
    tail = u * p
    tail = fma(tail, off * 2, tail) * decay(x * x * -0.5)
    return where(x > 0, 1 - tail, tail)


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
    + (damped, where, unless_nan, square, cube)
}
"""Those that have a form in vectors. A formula with another function runs as torch operations."""
