"""The primitives for vectors of float64 numbers, as exact as results in float32 need them.

What is rounded to float32 once, at the end, and was right to 26 bits before, is within 0.8 ulp. Only where terms
cancel, as in a slope next to its zero, do missing bits show. So of a formula with sums some 38 bits are computed, and
each sum is watched: where one comes out far smaller than its terms, the lane is noted, and is computed again by the
primitives of `doubles`.
"""

import functools
import math
from collections.abc import Callable, Sequence

from actlib.backends import doubles
from actlib.backends.doubles import moved_up
from actlib.backends.vectors import (
    LONGS,
    PHI_RATIO,
    Code,
    Double,
    Mask,
    Vector,
    absolute,
    bits_of,
    clamped,
    fma,
    polynomial,
    repeated,
    signed,
    where,
)

EXP2 = (
    (
        *(0.6931472149677311, 0.24022652783005377, 0.05550310551590464, 0.009617692959786222),
        *(0.0013406643714997182, 0.00015594681287174614),
    ),
    (
        *(0.6931471805481974, 0.24022650698113696, 0.05550410935288895, 0.009618128615274762),
        *(0.001333345484967321, 0.00015403826098350806, 1.5309157822753478e-05, 1.3178796129167313e-06),
    ),
)
"""2^f = 1 + f q(f), |f| at most 1/2, q with these coefficients, lowest first: minimax in the relative error. The first
are right to 28 bits, the second to 40."""

EXPM1 = (
    (
        *(0.6931471807044725, 0.24022651066513945, 0.055504103659945014, 0.009618038139803109),
        *(0.001333393521680217, 0.00015466753737503625, 1.5196097927115312e-05),
    ),
    EXP2[1],
)
"""The same, the first to 34 bits: next to 0, those of 2^f - 1 count."""

PHI_TAIL = (
    PHI_RATIO,
    (
        (
            *(0.5000000000018727, 0.5870880962746873, 0.3372071885990298, 0.1166886673993657),
            *(0.025431877004470735, 0.0033238396197997513, 0.0002079066392725382),
        ),
        (
            *(1.0, 1.9720607537862354, 1.747891197522244, 0.9079239374191324),
            *(0.3008286974858017, 0.06426933446535273, 0.008331631939146458, 0.0005211446454781432),
        ),
    ),
)
"""Phi(-a) exp(a^2 / 2) as a quotient of two polynomials, likewise, to a = `FARTHEST`: to 26 bits and to nearly 38."""

FARTHEST = 24.0
"""Beyond it Phi(-a) is 0 in float32, even when it is multiplied by two numbers of any size."""

FEWEST = 11
"""So many bits may be lost in a sum."""

LOWEST, HIGHEST = -700.0, 709.0
"""Exponents of e between which its power is a normal number."""

FAR = 600.0
"""Size of the exponents up to which no care is needed."""


class Rough(Double):
    """A number in each lane of which some 26 or 38 bits are right; all of them, where it is exact.

    What is read from memory is exact. Sums in which too many bits are lost are noted in `Code.cancelled`.
    """

    def __init__(self, code: Code, name: str, *, exact: bool = True):
        super().__init__(code, name)
        self.exact = exact

    def __neg__(self):
        return Rough(self.code, super().__neg__().name, exact=self.exact)

    def _combined(self, operation, a, b):
        terms = [v for v in (a, b) if isinstance(v, Vector)]
        result = Rough(self.code, super()._combined(operation, a, b).name, exact=all(v.exact for v in terms))
        if operation in ("fadd", "fsub") and not result.exact:
            _watch(result, terms[0])
        return result


def _watch(total: Rough, term: Rough | float) -> None:
    """Notes the lanes in which a sum is far smaller than one of its terms."""
    # Of positive numbers, the larger has the larger bits; 2^52 of them are a factor of 2.
    code, kind = total.code, total.ints
    size = bits_of(absolute(Double(code, total.name)))
    least = bits_of(absolute(Double(code, term.name))) if isinstance(term, Rough) else repeated("i64", 0x3FF << 52)
    least = code.add(f"sub {kind} {least}, {repeated('i64', FEWEST << 52)}")
    code.wants_many = True
    code.cancelled.append(Mask(code, code.add(f"icmp slt {kind} {size}, {least}")))


def _wide_polynomial(x: Double, coefficients: Sequence[float]) -> Double:
    """By Estrin's scheme, the faster for many coefficients: fewer steps wait for each other than by Horner's."""
    terms, power = list(coefficients), x
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [*(fma(power, b, a) for a, b in pairs), *terms[len(terms) // 2 * 2 :]]
        power = power * power
    return terms[0]


def reduced(x: Double, factor: float = 1) -> tuple[Double, Double]:
    """Of factor x = (n + f) log 2, |f| at most 1/2: f, and a number in whose last bits n is."""
    shift = 1.5 * 2**52  # what is added to it gets rounded to a whole number, which its last bits show
    shifted = fma(x, factor / math.log(2), shift)
    return fma(x, factor / math.log(2), -(shifted - shift)), shifted


def times_power(value: Double, n: str) -> Double:
    """A number from 1/2 to 2, times 2^n, given n where an exponent is; n from -1022 to 1023."""
    code = value.code
    return Double(code, code.add(f"bitcast {LONGS} {code.add(f'add {LONGS} {bits_of(value)}, {n}')} to {value.kind}"))


def _parts(x: Double, factor: float = 1, powers: Sequence[Sequence[float]] = EXP2) -> tuple[Double, str]:
    """Of factor x = (n + f) log 2, |f| at most 1/2 and n from -1022 to 1023: 2^f - 1, and n where an exponent is."""
    code, (f, shifted) = x.code, reduced(x, factor)
    q = _wide_polynomial(f, powers[1]) if code.many else polynomial(f, powers[0])
    return f * q, moved_up(code, bits_of(shifted))


def _power(x: Double, factor: float = 1) -> Double:
    """exp(factor x), where that is a normal number."""
    m, n = _parts(x, factor)
    return times_power(m + 1, n)


def _is_noted(x: Double) -> bool:
    """Whether lanes are noted anyway: then those of large numbers are, too, and need no care."""
    if x.code.many:
        x.code.cancelled.append(absolute(x) > FAR)
    return x.code.many


def exp(x):
    if _is_noted(x):
        return _power(x)
    return where(x < LOWEST, 0, where(x > HIGHEST, math.inf, _power(x)))


def _decay(x: Double) -> Double:
    """exp(-|x|)."""
    a = absolute(x)
    if _is_noted(x):
        return _power(a, -1)
    return where(a > -LOWEST, 0, _power(a, -1))


def _expm1(x: Double, factor: float = 1) -> Double:
    """expm1(factor x), where 2^n is a normal number."""
    code, (m, n) = x.code, _parts(x, factor, EXPM1)
    one = repeated("i64", 0x3FF << 52)
    scale = Double(code, code.add(f"bitcast {LONGS} {code.add(f'add {LONGS} {one}, {n}')} to {x.kind}"))
    return fma(m, scale, -(1 - scale))  # -0 for m = -0


def expm1(x):
    return where(x > HIGHEST, math.inf, _expm1(where(x < -60, -60, x)))


def sigma(x):
    if _is_noted(x):
        return 1 / (_power(x, -1) + 1)
    return where(x < LOWEST, 0, 1 / (_power(where(x > 40, 40, x), -1) + 1))  # from 40 on, it is 1


def _parts_of_one(x: Double) -> tuple[Double, Double]:
    """exp(-x) and sigma(x)."""
    e = _power(x, -1)
    return e, 1 / (e + 1)


def paired_sigma(x):
    """sigma(x), where sigma(-x) is needed, too: both share a division."""
    if _is_noted(x):
        return _parts_of_one(x)[1]
    return where(x < LOWEST, 0, _parts_of_one(clamped(x, LOWEST, -LOWEST))[1])


def mirrored_sigma(x):
    """sigma(-x), where sigma(x) is needed, too."""
    noted = _is_noted(x)
    e, share = _parts_of_one(x if noted else clamped(x, LOWEST, -LOWEST))
    return e * share if noted else where(x > -LOWEST, 0, e * share)


def sigma_slope(x):
    """sigma(x) sigma(-x)."""
    e = _decay(x)
    small = e / (e + 1)
    return fma(-small, small, small)


def tanh(x):
    a = absolute(x)
    h = _expm1(where(a > 30, 30, a), -2)  # from 30 on, it is 1
    return signed(h / (h + 2), x)


def phi(x):
    return _bell(x) * (1 / math.sqrt(2 * math.pi))


def _bell(x: Double) -> Double:
    return _decay(x * x * 0.5)


def Phi(x):
    a = absolute(x)
    a = where(a > FARTHEST, FARTHEST, a)
    above, below = PHI_TAIL[x.code.many]
    tail = polynomial(a, above) * _bell(x) / polynomial(a, below)
    return where(x > 0, 1 - tail, tail)


EXACT = ("sqrt", "absolute", "sign", "damped", "where", "unless_nan", "square", "cube")
"""What is as exact as its arguments."""


def _in_rough(name: str, function: Callable) -> Callable:
    """A primitive for vectors of double, as one for rough vectors."""

    @functools.wraps(function)
    def made(*arguments):
        plain = [Double(a.code, a.name) if isinstance(a, Rough) else a for a in arguments]
        result = function(*plain)
        exact = all(a.exact for a in arguments if isinstance(a, Rough))
        result = Rough(result.code, result.name, exact=exact and name in EXACT)
        if not exact and name not in EXACT:  # which magnifies errors, or a logarithm, next to 1, relative ones
            result.code.wants_many = True
            if name == "log":
                _watch(result, 1.0)
        return result

    return made


OWN = {f.__name__: f for f in (exp, expm1, sigma, tanh, phi, Phi)}
PRIMITIVES = {name: _in_rough(name, function) for name, function in (doubles.PRIMITIVES | OWN).items()}
PAIRED_SIGMAS = {f.__name__: _in_rough(f.__name__, f) for f in (paired_sigma, mirrored_sigma, sigma_slope)}
