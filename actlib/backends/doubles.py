"""The primitives for vectors of float64 numbers, where float32 has too narrow a range, or too few digits.

They are right to some 51 bits.
"""

import math

from actlib.backends import vectors
from actlib.backends.vectors import (
    LONGS,
    Code,
    Double,
    absolute,
    bits_of,
    clamped,
    cosatan,
    cube,
    damped,
    fma,
    polynomial,
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

EXPM1 = tuple(1 / math.factorial(n) for n in range(2, 14))
"""expm1(r) = r + r^2 p(r), p with these coefficients, lowest first."""

LOG2 = 0.6931471803691238, 1.9082149292705877e-10
"""log 2, in two parts: multiples of the first are exact."""

FAR = 30.0
PHI_TAIL = (
    (
        *(0.5, 0.8201931496469401, 0.66760737991974, 0.3481278261953172, 0.12754802069709756, 0.03414533292931),
        *(0.006753714094845015, 0.0009755834361528152, 9.884694826951174e-05, 6.385591027587644e-06),
        2.0203540522380713e-07,
    ),
    (
        *(1.0, 2.4382708600967455, 2.7806734341661925, 1.9617381443658324, 0.9534861268137502, 0.33615403366249574),
        *(0.08800306987970549, 0.01717581039232054, 0.002461431328759324, 0.00024827898304532217),
        *(1.6006303020058497e-05, 5.064276592101455e-07),
    ),
)
"""Phi(-a) exp(a^2 / 2) as the quotient of two polynomials, lowest first, to a = `FAR`: minimax in the relative error,
5e-19."""

SERIES = tuple((-1) ** k * math.prod(range(1, 2 * k, 2)) / math.sqrt(2 * math.pi) for k in range(9))
"""The same times a, beyond, as a series in 1/a^2."""

ATANH = tuple(2 / n for n in range(3, 33, 2))
"""log((1 + s) / (1 - s)) = 2s + s^3 p(s^2), p with these coefficients, lowest first."""


ATAN = tuple((-1) ** n / (2 * n + 1) for n in range(1, 22))
"""atan(z) = z + z^3 p(z^2), p with these coefficients, lowest first."""


def _parts(x: Double) -> tuple[Double, Double]:
    """Of x = n log 2 + r, |r| at most log(2) / 2 and n from -1022 to 1023: expm1(r) and 2^n."""
    code = x.code
    shift = 1.5 * 2**52 + 1023  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = fma(x, 1 / math.log(2), shift)
    n = shifted - shift
    r = fma(n, -LOG2[1], fma(n, -LOG2[0], x))
    bits = code.add(f"bitcast {x.kind} {shifted.name} to {LONGS}")
    scale = Double(code, code.add(f"bitcast {LONGS} {moved_up(code, bits)} to {x.kind}"))
    return fma(r * r, polynomial(r, EXPM1), r), scale


def moved_up(code: Code, bits: str) -> str:
    """Bits at the place of a float64 number's exponent."""
    return code.add(f"shl {LONGS} {bits}, {repeated('i64', 52)}")


def exp(x):
    # The square of the root: its power of two is a number where that of exp(x) itself is subnormal, or infinite.
    m, scale = _parts(clamped(x * 0.5, -373, 355))
    return square(fma(m, scale, scale))


def _decay(x: Double) -> Double:
    """exp(x), for x <= 0."""
    half = x * 0.5
    m, scale = _parts(where(half < -373, -373, half))
    return square(fma(m, scale, scale))


def exp_and_expm1(x: Double) -> tuple[Double, Double]:
    """exp(x) and expm1(x), where the former is a normal number."""
    m, scale = _parts(x)
    return fma(m, scale, scale), fma(m, scale, scale - 1)


def expm1(x):
    m, scale = _parts(clamped(x, -60, HIGHEST))
    return signed(where(x > HIGHEST, math.inf, fma(m, scale, scale - 1)), x)


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
    power = moved_up(code, code.add(f"sub {LONGS} {biased}, {repeated('i64', 1023)}"))
    m = Double(code, code.add(f"bitcast {LONGS} {code.add(f'sub {LONGS} {bits}, {power}')} to {x.kind}"))
    return fma(n, LOG2[0], fma(n, LOG2[1], _twice_atanh((m - 1) / (m + 1))))


def _twice_atanh(s: Double) -> Double:
    """log((1 + s) / (1 - s)), for |s| at most 1/3."""
    z = s * s
    return fma(polynomial(z, ATANH) * z, s, s * 2)


def log1p(x: Double) -> Double:
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


def atan(x):
    # To |z| <= tan(pi/8), where atan(x) = atan(z) + pi/4 or pi/2.
    a = absolute(x)
    far, middle = a > 1 + math.sqrt(2), a > math.sqrt(2) - 1
    z = where(far, -1 / a, where(middle, (a - 1) / (a + 1), a))
    start = where(far, math.pi / 2, where(middle, math.pi / 4, 0.0))
    s = z * z
    return signed(start + fma(polynomial(s, ATAN) * s, z, z), x)


def sinh(x):
    m = expm1(absolute(x))
    return signed(where(m < math.inf, (m + m / (m + 1)) * 0.5, m), x)


def cosh(x):
    h = exp(absolute(x))
    return h * 0.5 + 0.5 / h


def asinh(x):
    a = absolute(x)
    b = where(a > vectors.BEYOND, vectors.BEYOND, a)
    near = log1p(b + b * b / (sqrt(fma(b, b, 1)) + 1))
    return signed(where(a > vectors.BEYOND, log(a) + math.log(2), near), x)


def phi(x):
    return _decay(x * x * -0.5) * 0.3989422804014327


def Phi(x):
    tail = Phi_tail(x) * _decay(x * x * -0.5)
    return where(x > 0, 1 - tail, tail)


def Phi_tail(x):
    a = absolute(x)
    near = where(a > FAR, FAR, a)
    # The asymptotic series in 1/a^2 serves beyond.
    z = 1 / where(a > FAR, a, FAR)
    far = z * polynomial(z * z, SERIES)
    return where(a > FAR, far, polynomial(near, PHI_TAIL[0]) / polynomial(near, PHI_TAIL[1]))


PRIMITIVES = {
    f.__name__: f
    for f in (sigma, softplus, Phi, phi, tanh, expm1, exp, log, sqrt, absolute, sign)
    + (sinh, cosh, atan, asinh, cosatan, Phi_tail)
    + (damped, where, unless_nan, square, cube)
}
"""The same as of `vectors`."""


def ulps(computed, truth):
    """By how many ulp of float32 computed numbers are off; 0 where the true ones are not normal."""
    code = computed.code
    if not isinstance(truth, Double):  # a slope that is the same everywhere
        truth = Double(code, vectors.text(truth, Double))
    a = absolute(truth)
    power = code.add(f"and {LONGS} {bits_of(a)}, {repeated('i64', 0x7FF << 52)}")
    # 2^23 over that power of two: its exponent, by a subtraction.
    ulps_in_one = code.add(f"sub {LONGS} {repeated('i64', (2 * 1023 + 23) << 52)}, {power}")
    off = absolute(computed - truth) * Double(code, code.add(f"bitcast {LONGS} {ulps_in_one} to {a.kind}"))
    off = where(off == off, off, math.inf)
    right = (a >= 2.0**128 - 2.0**103) & (absolute(computed) == math.inf) & (computed * where(truth < 0, -1, 1) > 0)
    return where((a < 2.0**-126) | right, 0, off)


MEASURES = {"ulps": ulps}
"""What tells how exact results are."""

PAIRED_SIGMAS = {f.__name__: f for f in (paired_sigma, mirrored_sigma, sigma_slope)}
