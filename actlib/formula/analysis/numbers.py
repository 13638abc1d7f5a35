"""Numbers with a bound of their error: Arb's through python-flint, or mpmath's intervals where that is all there is.

Both give the same few things. A *ball* holds a real number for certain; arithmetic and functions of balls are balls. An
*end* is a ball without error, or an infinity; `lower` and `upper` round a ball outwards to one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mpmath
from mpmath import iv, mp

try:
    import flint
    from flint import arb, fmpq
except Exception:  # a broken package may raise anything; actlib.optional says so where it matters more
    flint = None

__all__ = ["BACKENDS", "Arb", "Mpmath", "backend"]


class Arb:
    """Balls of Arb: `arb`."""

    def __init__(self):
        self.infinity = arb.pos_inf()
        self.minus_infinity = arb.neg_inf()
        names = ("exp", "expm1", "log", "sin", "cos", "atan", "erf", "erfc", "sinh", "cosh", "tanh", "asinh", "sqrt")
        self.functions: dict[str, Callable] = {name: getattr(arb, name) for name in names}
        self.functions |= {"log1p": arb.log1p, "sech": arb.sech}

    @contextmanager
    def precision(self, bits: int) -> Iterator[None]:
        """Within this block, numbers are rounded to so many bits."""
        with flint.ctx.workprec(bits):
            yield

    @property
    def bits(self) -> int:
        """The precision."""
        return flint.ctx.prec

    def rational(self, p: int, q: int = 1) -> "arb":
        """A ball around p / q."""
        return arb(fmpq(p, q))

    def power_of_two(self, n: int) -> "arb":
        """The end 2**n."""
        return arb(2) ** n

    def ball(self, low: "arb", high: "arb") -> "arb":
        """A ball that holds two."""
        return low.union(high)

    def lower(self, ball: "arb") -> "arb":
        """The end below."""
        return ball.lower() if ball.is_finite() or ball == self.infinity else self.minus_infinity

    def upper(self, ball: "arb") -> "arb":
        """The end above."""
        return ball.upper() if ball.is_finite() or ball == self.minus_infinity else self.infinity

    def parts(self, end: "arb") -> tuple[int, int]:
        """Mantissa and exponent of a finite end."""
        m, e = end.man_exp()
        return int(m), int(e)

    def pi(self) -> "arb":
        """A ball around pi."""
        return arb.pi()

    def lambertw(self, z: "arb", branch: int) -> "arb":
        """A ball around a real value of Lambert's W."""
        return z.lambertw(branch)


class Mpmath:
    """Intervals of mpmath: `iv.mpf`; its functions are taken at thirty bits more and widened by 2^-10 of the last."""

    def __init__(self):
        self.infinity = iv.mpf("inf")
        self.minus_infinity = iv.mpf("-inf")
        names = ("exp", "expm1", "log", "sin", "cos", "atan", "erf", "erfc", "sinh", "cosh", "tanh", "asinh", "log1p")
        self.functions: dict[str, Callable] = {name: self._widened(getattr(mp, name)) for name in names}
        self.functions |= {"sqrt": iv.sqrt, "sech": self._widened(mp.sech)}

    @contextmanager
    def precision(self, bits: int) -> Iterator[None]:
        """Within this block, numbers are rounded to so many bits."""
        before = iv.prec
        iv.prec = bits
        try:
            yield
        finally:
            iv.prec = before

    @property
    def bits(self) -> int:
        """The precision."""
        return iv.prec

    def _widened(self, function: Callable) -> Callable:
        """A function that is monotone, or smooth at the scale of one rounding, of an interval that narrow."""

        def taken(ball):
            with mp.workprec(iv.prec + 30):
                ends = [function(mp.make_mpf(end)) for end in ball._mpi_]
                slack = max(map(abs, ends)) * mp.ldexp(1, -iv.prec - 20)
                low, high = min(ends) - slack, max(ends) + slack
            return iv.mpf([low, high])

        return taken

    def rational(self, p: int, q: int = 1):
        """A ball around p / q."""
        return iv.mpf(p) / q

    def power_of_two(self, n: int):
        """The end 2**n."""
        return iv.mpf(mp.ldexp(1, n))

    def ball(self, low, high):
        """A ball that holds two."""
        return iv.mpf([low.a, high.b])

    def lower(self, ball):
        """The end below."""
        return self.minus_infinity if mpmath.isnan(mp.make_mpf(ball._mpi_[0])) else ball.a

    def upper(self, ball):
        """The end above."""
        return self.infinity if mpmath.isnan(mp.make_mpf(ball._mpi_[1])) else ball.b

    def parts(self, end) -> tuple[int, int]:
        """Mantissa and exponent of a finite end."""
        sign, mantissa, exponent, _ = end._mpi_[0]
        return int(-mantissa if sign else mantissa), int(exponent)

    def pi(self):
        """A ball around pi."""
        return +iv.pi

    def lambertw(self, z, branch: int):
        """A ball around a real value of Lambert's W: w e^w, which is monotone on each branch, is on both sides of z."""
        with mp.workprec(iv.prec + 30):
            w = mp.lambertw(mp.make_mpf(z.mid._mpi_[0]), branch).real
            radius = abs(w) * mp.ldexp(1, 8 - iv.prec)
            ends = iv.mpf(w - radius), iv.mpf(w + radius)
        sides = [end * iv.exp(end) - z for end in ends]
        if branch == -1:
            sides.reverse()
        return self.ball(*ends) if sides[0] <= 0 <= sides[1] else iv.mpf(["-inf", "inf"])


BACKENDS: list[type] = ([Arb] if flint else []) + [Mpmath]
"""Those that are there, the faster one first."""

backend = BACKENDS[0]()
