"""The primitives for vectors of float64 numbers, where float32 has too narrow a range.

They are right to some 45 bits, the tail of Phi and the inverse tangent to 25: enough for results in float32, and ample
for half precision.
"""

import math

from actlib.backends import PHI_SCALE, PHI_TAIL, vectors
from actlib.backends.vectors import (
    LONGS,
    Code,
    Double,
    absolute,
    atan,
    cosatan,
    cube,
    damped,
    fma,
    repeated,
    sign,
    signed,
    sqrt,
    square,
    unless_nan,
    where,
)

HIGHEST = 709.0
"""An exponent of e beyond which its power is infinite, nearly."""

EXPM1 = tuple(1 / math.factorial(n) for n in range(2, 12))
"""expm1(r) = r + r^2 p(r), p with these coefficients, lowest first."""

LOG2 = 0.6931471803691238, 1.9082149292705877e-10
"""log 2, in two parts: multiples of the first are exact."""

ATANH = tuple(2 / n for n in range(3, 33, 2))
"""log((1 + s) / (1 - s)) = 2s + s^3 p(s^2), p with these coefficients, lowest first."""


def _polynomial(x: Double, coefficients: tuple[float, ...]) -> Double:
    """By Horner's rule, coefficients from the lowest power up."""
    *others, before, last = coefficients
    p = fma(x, last, before)
    for coefficient in reversed(others):
        p = fma(p, x, coefficient)
    return p


def _parts(x: Double) -> tuple[Double, Double]:
    """Of x = n log 2 + r, |r| at most log(2) / 2 and n from -1022 to 1023: expm1(r) and 2^n."""
    code = x.code
    shift = 1.5 * 2**52 + 1023  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = fma(x, 1 / math.log(2), shift)
    n = shifted - shift
    r = fma(n, -LOG2[1], fma(n, -LOG2[0], x))
    bits = code.add(f"bitcast {x.kind} {shifted.name} to {LONGS}")
    scale = Double(code, code.add(f"bitcast {LONGS} {_moved_up(code, bits)} to {x.kind}"))
    return fma(r * r, _polynomial(r, EXPM1), r), scale


def _moved_up(code: Code, bits: str) -> str:
    return code.add(f"shl {LONGS} {bits}, {repeated('i64', 52)}")


def _clamped(x: Double, low: float, high: float) -> Double:
    x = where(x < low, low, x)
    return where(x > high, high, x)


def exp(x):
    # The square of the root: its power of two is a number where that of exp(x) itself is subnormal, or infinite.
    m, scale = _parts(_clamped(x * 0.5, -373, 355))
    return square(fma(m, scale, scale))


def _decay(x: Double) -> Double:
    """exp(x), for x <= 0."""
    half = x * 0.5
    m, scale = _parts(where(half < -373, -373, half))
    return square(fma(m, scale, scale))


def expm1(x):
    m, scale = _parts(_clamped(x, -60, HIGHEST))
    return where(x > HIGHEST, math.inf, fma(m, scale, scale - 1))


def log(x):
    small = x < 2.0**-1022  # subnormal numbers, 0 and negative ones
    y = where(small, x * 2.0**54, x)
    return where(
        x > 0,
        where(x < math.inf, _log(y, where(small, -54.0, 0.0)), x),
        where(x == 0, -math.inf, math.nan),
    )


def _log(x: Double, more: Double | float = 0.0) -> Double:
    """log(x) + more log 2, for a normal x > 0."""
    code = x.code
    bits = code.add(f"bitcast {x.kind} {x.name} to {LONGS}")
    # x = 2^n m, m from 1/sqrt 2 on; n + 1023 is made a number by the bits of 2^52, to which it is added
    above = code.add(f"add {LONGS} {bits}, {repeated('i64', (1023 << 52) - 0x3FE6A09E667F3BCD)}")
    biased = code.add(f"lshr {LONGS} {above}, {repeated('i64', 52)}")
    shown = code.add(f"or {LONGS} {biased}, {repeated('i64', 0x433 << 52)}")
    n = Double(code, code.add(f"bitcast {LONGS} {shown} to {x.kind}")) - (2.0**52 + 1023) + more
    power = _moved_up(code, code.add(f"sub {LONGS} {biased}, {repeated('i64', 1023)}"))
    m = Double(code, code.add(f"bitcast {LONGS} {code.add(f'sub {LONGS} {bits}, {power}')} to {x.kind}"))
    return fma(n, LOG2[0], fma(n, LOG2[1], _twice_atanh((m - 1) / (m + 1))))


def _twice_atanh(s: Double) -> Double:
    """log((1 + s) / (1 - s)), for |s| at most 1/3."""
    z = s * s
    return fma(_polynomial(z, ATANH) * z, s, s * 2)


def _log1p(x: Double) -> Double:
    """log(1 + x), for a finite x >= 0."""
    y = x + 1
    return _log(y) + (x - (y - 1)) / y  # with what was lost when 1 was added


def sigma(x):
    e = _decay(-absolute(x))
    return where(x < 0, e, 1) / (e + 1)


def mirrored_sigma(x):
    """sigma(-x), by the steps of sigma(x)."""
    e = _decay(-absolute(x))
    q = 1 / (e + 1)
    return where(x < 0, q, e * q)


def paired_sigma(x):
    """sigma(x), where sigma(-x) is needed, too: both share a division."""
    e = _decay(-absolute(x))
    q = 1 / (e + 1)
    return where(x < 0, e * q, q)


def sigma_slope(x):
    """sigma(x) sigma(-x)."""
    e = _decay(-absolute(x))
    return e * square(1 / (e + 1))


def softplus(x):
    e = _decay(-absolute(x))
    return where(x < 0, 0, x) + _twice_atanh(e / (e + 2))


def tanh(x):
    h = expm1(absolute(x) * -2)
    return signed(h / (h + 2), x)


def sinh(x):
    m = expm1(absolute(x))
    return signed(where(m < math.inf, (m + m / (m + 1)) * 0.5, m), x)


def cosh(x):
    h = exp(absolute(x))
    return h * 0.5 + 0.5 / h


def asinh(x):
    a = absolute(x)
    b = where(a > vectors.BEYOND, vectors.BEYOND, a)
    near = _log1p(b + b * b / (sqrt(fma(b, b, 1)) + 1))
    return signed(where(a > vectors.BEYOND, log(a) + math.log(2), near), x)


def phi(x):
    return _decay(x * x * -0.5) * 0.3989422804014327


def Phi(x):
    tail = Phi_tail(x) * _decay(x * x * -0.5)
    return where(x > 0, 1 - tail, tail)


def Phi_tail(x):
    u = 1 / fma(absolute(x), PHI_SCALE, 1)
    return u * _polynomial(u, PHI_TAIL)


PRIMITIVES = {
    f.__name__: f
    for f in (sigma, softplus, Phi, phi, tanh, expm1, exp, log, sqrt, absolute, sign)
    + (sinh, cosh, atan, asinh, cosatan, Phi_tail)
    + (damped, where, unless_nan, square, cube)
}
"""The same as of `vectors`."""

PAIRED_SIGMAS = {f.__name__: f for f in (paired_sigma, mirrored_sigma, sigma_slope)}
