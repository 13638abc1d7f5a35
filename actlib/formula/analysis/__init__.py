"""What is proved of a formula of one real variable: limits, range, extrema, slopes, symmetry, smoothness.

The real line is cut where the cases of the formula meet; between two such points it is smooth. The zeros of its
derivatives there are found in closed form where they have one (polynomials in x and an exponential, with Lambert's W),
and all others are enclosed; that there are none besides these is proved by interval arithmetic over the whole line. A
result is one of three:

- *exact*: in closed form;
- *certified*: a number of which all digits but the last are certain, marked ``exact=False``;
- *refused*, with a `RefusedError` that says why: infinitely many, not decided in the time given, no method.

`known` tells which. `certificate` shows the proof: the intervals that cover the line, and what holds on each.

A formula that is periodic, but for a multiple of x, has its zeros in families, with an integer n in them.

Other symbols are parameters. They must be declared real, better positive, and stand for generic values: what holds for
some values only (that the slope of ELU is continuous where alpha is 1) does not count. What is said holds for all
values that the assumptions allow, by these or by enclosures over all of them; otherwise a ValueError asks for numbers.

Every question ends within 20 s.
"""

from actlib.formula.analysis.certificates import Certificate, certificate, zeros
from actlib.formula.analysis.equality import Equality
from actlib.formula.analysis.questions import (
    asymptotes,
    critical_points,
    equal,
    equality_of,
    extrema,
    inflections,
    kinks,
    largest_slope,
    limits,
    lipschitz,
    monotone_intervals,
    parity,
    point_symmetry,
    saturation,
    smoothness,
    taylor,
    value_range,
    zero_centred,
)
from actlib.formula.analysis.refusals import InfinitelyManyError, NoMethodError, NotDecidedError, RefusedError
from actlib.formula.analysis.results import Bound, Extremum, Kink, Point, Refusal, Saturation, known
from actlib.formula.analysis.summary import Summary, summary

__all__ = [
    "Bound",
    "Certificate",
    "Equality",
    "Extremum",
    "InfinitelyManyError",
    "Kink",
    "NoMethodError",
    "NotDecidedError",
    "Point",
    "Refusal",
    "RefusedError",
    "Saturation",
    "Summary",
    "asymptotes",
    "certificate",
    "critical_points",
    "equal",
    "equality_of",
    "extrema",
    "inflections",
    "kinks",
    "known",
    "largest_slope",
    "limits",
    "lipschitz",
    "monotone_intervals",
    "parity",
    "point_symmetry",
    "saturation",
    "smoothness",
    "summary",
    "taylor",
    "value_range",
    "zero_centred",
    "zeros",
]
