"""What SymPy can prove of a formula of one real variable: limits, range, extrema, slopes, symmetry, smoothness.

The real line is cut where the cases of the formula meet; between two such points it is smooth. There, the zeros of a
derivative are sought twice: exactly (polynomials in x and an exponential, with Lambert's W), and by the changes of sign
on a dense grid at 40 digits and more. A zero found both ways is exact; one that only the grid shows is kept as a number
of 50 digits and marked ``exact=False``. So nothing depends on SymPy's ``solve``, and everything ends soon.

What the grid cannot see: zeros farther than 1000 from 0, and oscillation finer than its step, about four percent of x.
A formula with sine or cosine is searched from -20 to 20 only.

Other symbols are parameters. They must be declared real, better positive, and stand for generic values: what holds for
some values only (that the slope of ELU is continuous where alpha is 1) does not count. Where the order of two values
decides, it must be the same at three trial values of the parameters, and zeros must be found exactly; otherwise a
ValueError asks for numbers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cmp_to_key, lru_cache, reduce
from itertools import groupby, pairwise

import mpmath
import sympy as sp
from mpmath import mp, mpf
from sympy import Abs, Expr, Float, Heaviside, Integer, Interval, Max, Min, Piecewise, Rational, Symbol, oo
from sympy.printing.latex import LatexPrinter

from actlib.formula.primitives import Primitive, derivative, elementary

__all__ = [
    "Bound",
    "Extremum",
    "Kink",
    "Point",
    "Saturation",
    "Summary",
    "asymptotes",
    "critical_points",
    "equal",
    "extrema",
    "inflections",
    "kinks",
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
]

REACH = 1000
"""How far from 0 the grid goes."""

OSCILLATING_REACH = 20
"""How far it goes for a formula with sine or cosine."""

HIGHEST_ORDER = 12
"""Derivatives compared where two pieces meet."""


class _Shown:
    """A result that a notebook shows as mathematics, or as one line where it cannot, made of the same pieces.

    As with SymPy's own objects, repr is what str is.
    """

    def _pieces(self) -> list[str | sp.Basic]:
        """Words and SymPy objects, in order; spaces belong to the words."""
        raise NotImplementedError

    def __repr__(self):
        return "".join(str(_short(piece)) for piece in self._pieces())

    def _latex(self, printer: LatexPrinter) -> str:
        """What SymPy's printer calls, for a result inside of a tuple or a list as well."""
        return _typeset(self._pieces(), printer)

    def _repr_latex_(self):
        return rf"$\displaystyle {sp.latex(self)}$"


_SIGNS = {"≈ ": r" \approx ", " → ": r" \to ", " ~ ": r" \sim "}


def _typeset(pieces: Iterable[str | sp.Basic], printer: LatexPrinter) -> str:
    texts = []
    for words, group in groupby(pieces, lambda piece: isinstance(piece, str) and piece not in _SIGNS):
        if words:
            texts.append(rf"\text{{{''.join(group)}}}")
        else:  # the braces keep a minus from being taken for a difference
            texts += [_SIGNS.get(p) or f"{{{printer._print(_short(p))}}}" for p in group]
    return "".join(texts)


def _short(piece: str | sp.Basic) -> str | sp.Basic:
    """Long decimal numbers cut to six digits."""
    return piece if isinstance(piece, str) else piece.xreplace({f: f.n(6) for f in piece.atoms(Float)})


def _rounded(value: Expr) -> list[str | sp.Basic]:
    return ["≈ ", value] if value.has(Float) else [value]


def _place(at: Expr | sp.Set) -> list[str | sp.Basic]:
    if isinstance(at, sp.Set):
        return ["on ", at]
    return ["towards " if at in (oo, -oo) else "at ", *_rounded(at)]


def _places(ats: Iterable[Expr | sp.Set]) -> list[str | sp.Basic]:
    return [piece for i, at in enumerate(ats) for piece in ([" and "] if i else []) + _place(at)]


@dataclass(frozen=True, repr=False)
class Point(_Shown):
    """A point of the curve; ``exact`` is False where its place is a number of 50 digits."""

    x: Expr
    value: Expr
    exact: bool = True

    def _pieces(self):
        return [*([] if self.exact else ["≈ "]), sp.Tuple(self.x, self.value)]


@dataclass(frozen=True, repr=False)
class Extremum(_Shown):
    """A strict local extremum; ``kind`` is "minimum" or "maximum"."""

    x: Expr
    value: Expr
    kind: str
    exact: bool = True

    def _pieces(self):
        return [self.kind, " ", *_rounded(self.value), " ", *_place(self.x)]


@dataclass(frozen=True, repr=False)
class Kink(_Shown):
    """A point where pieces meet and are not one smooth curve.

    Attributes:
        x: Where.
        jump: Jump of the value, from left to right.
        slope_jump: Jump of the slope.
        order: How many derivatives are continuous: -1 if the value jumps, 0 if the slope does, and so on.
    """

    x: Expr
    jump: Expr
    slope_jump: Expr
    order: int

    def _pieces(self):
        if self.order > 0:
            names = {1: "the second derivative", 2: "the third derivative"}
            return [*_place(self.x), f": {names.get(self.order, f'derivative {self.order + 1}')} jumps"]
        jumps = [f": the {name} jumps by " for name in ("value", "slope")]
        if self.order == 0:
            return [*_place(self.x), jumps[1], self.slope_jump]
        slope = [", the slope by ", self.slope_jump] if self.slope_jump != 0 else []
        return [*_place(self.x), jumps[0], self.jump, *slope]


@dataclass(frozen=True, repr=False)
class Bound(_Shown):
    """A supremum and where it lies.

    Attributes:
        value: The supremum, oo if there is none.
        at: Points, intervals, or -oo and oo: where it is reached, or else where it is approached.
        reached: Whether it is a maximum.
        exact: Whether ``value`` is exact.
    """

    value: Expr
    at: tuple[Expr | Interval, ...]
    reached: bool
    exact: bool = True

    def _pieces(self):
        name = "maximum" if self.reached else "supremum"
        how = ", reached " if self.reached else ", not reached, approached "
        return [name, " ", *_rounded(self.value), how, *_places(self.at)]


@dataclass(frozen=True, repr=False)
class Saturation(_Shown):
    """How the slope behaves towards one end.

    Attributes:
        end: -oo or oo.
        slope: Limit of the slope there.
        saturates: Whether that limit is 0.
        rate: What a slope that goes to 0 is asymptotically equal to, such as exp(x) for the sigmoid at -oo; 0 if it is
            0 from some point on; None if it is unknown or the end does not saturate.
    """

    end: Expr
    slope: Expr
    saturates: bool
    rate: Expr | None

    def _pieces(self):
        if not self.saturates:
            return [*_place(self.end), ": does not saturate, slope", " → ", self.slope]
        if self.rate == 0:
            return [*_place(self.end), ": saturates, slope ", self.rate, " from some point on"]
        how = [" → ", self.slope] if self.rate is None else [" ~ ", self.rate]
        return [*_place(self.end), ": saturates, slope", *how]


def limits(expr: Expr, x: Symbol) -> tuple[Expr, Expr]:
    """Exact limits at -oo and oo; where the formula oscillates, an AccumBounds that encloses it."""
    pieces = _pieces(_checked(expr, x), x)
    return _limit(pieces[0].formula, x, -oo), _limit(pieces[-1].formula, x, oo)


def asymptotes(expr: Expr, x: Symbol) -> tuple[Expr | None, Expr | None]:
    """The lines m x + c that the curve approaches at -oo and oo; None where there is none, or SymPy finds none."""
    pieces = _pieces(_checked(expr, x), x)
    return _asymptote(pieces[0].formula, x, -oo), _asymptote(pieces[-1].formula, x, oo)


def critical_points(expr: Expr, x: Symbol) -> list[Point | Interval]:
    """Where the slope is 0, in ascending order: isolated points, and an interval for each constant stretch."""
    expr = _checked(expr, x)
    found: list[Point | Interval] = [
        Interval.open(stretch.low, stretch.high) for stretch in _stretches(expr, x) if stretch.rises == 0
    ]
    for cut in _cuts(expr, x):
        if _is_critical(expr, x, cut):
            touching = [i for i in found if isinstance(i, Interval) and cut in (i.start, i.end)]
            found = [i + sp.FiniteSet(cut) if i in touching else i for i in found]
            found += [] if touching else [_point(expr, x, cut)]
    return sorted(found, key=_ordered(lambda p: p.start if isinstance(p, Interval) else p.x))


def kinks(expr: Expr, x: Symbol) -> list[Kink]:
    """The points where pieces meet and some derivative jumps, with the jumps of value and slope."""
    expr = _checked(expr, x)
    pieces = _pieces(expr, x)
    found = []
    for left, right in pairwise(pieces):
        order = _contact(expr, x, left, right)
        if order != oo:
            at = left.high
            jumps = [_one_sided(right, k, x, at, "+") - _one_sided(left, k, x, at, "-") for k in (0, 1)]
            found.append(Kink(at, _tidy(jumps[0]), _tidy(jumps[1]), order))
    return found


def smoothness(expr: Expr, x: Symbol) -> Expr:
    """How many derivatives are continuous everywhere: -1 if the formula itself is not, 0, 1, ..., oo if it is smooth.

    Contact of order 12 or more between pieces that differ is given as 12.
    """
    return min((Integer(kink.order) for kink in kinks(expr, x)), default=oo)


def extrema(expr: Expr, x: Symbol) -> list[Extremum]:
    """Strict local minima and maxima in ascending order; a flat stretch is none."""
    expr = _checked(expr, x)
    stretches = _stretches(expr, x)
    found = []
    for left, right in pairwise(stretches):
        point = _point(expr, x, left.high)
        above_left = _compare(_one_sided(left.piece, 0, x, point.x, "-"), point.value) or -left.rises
        above_right = _compare(_one_sided(right.piece, 0, x, point.x, "+"), point.value) or right.rises
        if above_left == above_right != 0:
            kind = "minimum" if above_left > 0 else "maximum"
            found.append(Extremum(point.x, point.value, kind, point.exact))
    return found


def value_range(expr: Expr, x: Symbol) -> sp.Set:
    """The interval between the smallest and the largest value, open at an end that is not attained.

    A constant has the one-point interval, which SymPy writes as a FiniteSet. The set is an interval whether or not the
    formula is continuous.
    """
    expr = _checked(expr, x)
    attained = [_point(expr, x, cut).value for cut in _cuts(expr, x)]
    attained += [_one_sided(s.piece, 0, x, _between(s.low, s.high)) for s in _stretches(expr, x) if s.rises == 0]
    approached = [end for limit in limits(expr, x) for end in _ends(limit)]
    approached += [_one_sided(s.piece, 0, x, s.low, "+") for s in _stretches(expr, x) if s.low != -oo]
    approached += [_one_sided(s.piece, 0, x, s.high, "-") for s in _stretches(expr, x) if s.high != oo]
    low, high = _extreme(attained + approached, -1), _extreme(attained + approached, 1)
    is_open = [not any(_compare(bound, value) == 0 for value in attained) for bound in (low, high)]
    return Interval(low, high, *is_open)


def monotone_intervals(expr: Expr, x: Symbol) -> list[tuple[Interval, int]]:
    """The real line as intervals on which the formula rises strictly (1), falls strictly (-1) or is constant (0).

    Neighbours share their end point where the formula is continuous. A formula that goes on oscillating is covered
    from -20 to 20 only.
    """
    expr = _checked(expr, x)
    merged: list[list] = []
    for stretch in _stretches(expr, x):
        low_open, high_open = (
            abs(end) == oo or _compare(_one_sided(stretch.piece, 0, x, end, side), _point(expr, x, end).value) != 0
            for end, side in ((stretch.low, "+"), (stretch.high, "-"))
        )
        if merged and merged[-1][4] == stretch.rises and not merged[-1][3] and not low_open:
            merged[-1][1], merged[-1][3] = stretch.high, high_open
        else:
            merged.append([stretch.low, stretch.high, low_open, high_open, stretch.rises])
    if merged and _oscillates(expr, x):
        merged = [m for m in merged if _compare(m[1], -OSCILLATING_REACH) > 0 > _compare(m[0], OSCILLATING_REACH)]
        merged[0][0], merged[0][2] = Integer(-OSCILLATING_REACH), False
        merged[-1][1], merged[-1][3] = Integer(OSCILLATING_REACH), False
    return [(Interval(low, high, low_open, high_open), rises) for low, high, low_open, high_open, rises in merged]


def inflections(expr: Expr, x: Symbol) -> list[Point]:
    """Where the formula has a slope and its curvature changes sign, in ascending order."""
    expr = _checked(expr, x)
    kinked = {k.x for k in kinks(expr, x) if k.order < 1}
    bends = _bends(expr, x)
    return [
        _point(expr, x, left.high)
        for left, right in pairwise(bends)
        if left.rises * right.rises < 0 and left.high not in kinked
    ]


def lipschitz(expr: Expr, x: Symbol) -> Bound:
    """The smallest Lipschitz constant, that is, the supremum of the absolute slope, and where it lies."""
    expr = _checked(expr, x)
    return _supremum(expr, x, _absolute)


def largest_slope(expr: Expr, x: Symbol) -> Bound:
    """The supremum of the slope, and where it lies."""
    expr = _checked(expr, x)
    return _supremum(expr, x, lambda slope: slope)


def parity(expr: Expr, x: Symbol) -> str | None:
    """The proved symmetry about 0: "odd", "even" or None; the zero function is called even."""
    expr = _checked(expr, x)
    mirrored = expr.subs(x, -x)
    if equal(expr, mirrored):
        return "even"
    return "odd" if equal(expr, -mirrored) else None


def point_symmetry(expr: Expr, x: Symbol) -> tuple[Expr, Expr] | None:
    """The centre (0, f(0)) if it is proved that f(x) + f(-x) = 2 f(0), as for the sigmoid; None otherwise."""
    expr = _checked(expr, x)
    centre = _point(expr, x, Integer(0)).value
    return (Integer(0), centre) if equal(expr + expr.subs(x, -x), 2 * centre) else None


def zero_centred(expr: Expr, x: Symbol) -> bool:
    """Whether the formula is odd and not constant: inputs symmetric about 0 then have outputs of mean exactly 0.

    That is the sense in which LeCun et al. (1998) prefer sigmoids that are symmetric about the origin. A function that
    merely takes both signs, as Leaky ReLU, brings the mean nearer to 0 but is not zero-centred.
    """
    expr = _checked(expr, x)
    return parity(expr, x) == "odd"


def taylor(expr: Expr, x: Symbol, n: int) -> Expr:
    """The Taylor polynomial about 0, with powers up to x**n.

    Raises:
        ValueError: The formula does not have n derivatives at 0.
    """
    expr = _checked(expr, x)
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ValueError(f"n is {n!r}; expected is an integer that is not negative")
    for kink in kinks(expr, x):
        if kink.x == 0 and kink.order < n:
            raise ValueError(f"{expr} has {max(kink.order, 0)} derivatives at 0; expected are n = {n}")
    formula = _piece_at(expr, x, Integer(0)).formula
    return sp.Add(*(_tidy(c) * x**k for k, c in enumerate(_coefficients(formula, x, n))))


def saturation(expr: Expr, x: Symbol) -> tuple[Saturation, Saturation]:
    """How the slope behaves at -oo and at oo: whether it goes to 0, and how fast."""
    pieces = _pieces(_checked(expr, x), x)
    found = []
    for piece, end in ((pieces[0], -oo), (pieces[-1], oo)):
        slope = _limit(_derived(piece.formula, x, 1), x, end)
        found.append(Saturation(end, slope, slope == 0, _rate(piece, x, end) if slope == 0 else None))
    return found[0], found[1]


def equal(a: Expr, b: Expr) -> bool:
    """True only if it is proved that the two formulas are equal for all values of their symbols; False otherwise.

    Cases of one real variable are compared one by one. In each, the difference must vanish as a rational function of
    the symbols and of exponentials, or have the derivative 0 and the value 0 at 0, or be simplified to 0.
    """
    a, b = _expression(a), _expression(b)
    if a == b:
        return True
    difference = a - b
    return not difference.has(sp.nan, sp.zoo, oo) and not _differs(difference) and _vanishes(difference)


@dataclass(frozen=True, repr=False)
class Summary(_Shown):
    """All that this module finds of one formula; each field is what the function of that name returns.

    It is shown as a table of its rows. The table is LaTeX, because no HTML is typeset in every notebook.
    """

    expr: Expr
    x: Symbol
    value_range: sp.Set
    limits: tuple[Expr, Expr]
    asymptotes: tuple[Expr | None, Expr | None]
    critical_points: list[Point | Interval]
    extrema: list[Extremum]
    monotone_intervals: list[tuple[Interval, int]]
    inflections: list[Point]
    kinks: list[Kink]
    smoothness: Expr
    largest_slope: Bound
    lipschitz: Bound
    parity: str | None
    point_symmetry: tuple[Expr, Expr] | None
    zero_centred: bool
    saturation: tuple[Saturation, Saturation]

    def rows(self) -> list[tuple[str, sp.Basic | str]]:
        """Pairs of a label and a SymPy object or a text, for a table."""
        low, high = self.limits
        return [
            ("range", self.value_range),
            ("limits at −∞ and ∞", sp.Tuple(low, high)),
            ("monotone", self._monotone()),
            ("minima and maxima", _listed(sp.Tuple(e.x, e.value) for e in self.extrema)),
            ("zero-centred", "yes" if self.zero_centred else "no"),
            ("symmetric about" if isinstance(self._symmetry(), sp.Tuple) else "symmetry", self._symmetry()),
            ("smoothness", self._smoothness()),
            ("inflections", _listed(p.x for p in self.inflections)),
            ("largest slope", self.largest_slope.value),
            ("where" if self.largest_slope.reached else "approached at", _listed(self.largest_slope.at)),
            ("Lipschitz constant", self.lipschitz.value),
            ("slope vanishes towards", _listed(s.end for s in self.saturation if s.saturates)),
        ]

    def _monotone(self) -> str:
        signs = [sign for _, sign in self.monotone_intervals]
        jumps = [1 if k.jump.is_positive else -1 for k in self.kinks if k.order < 0]
        for sign, word in ((1, "increasing"), (-1, "decreasing")):
            if all(s == sign for s in signs + jumps):
                return f"strictly {word}"
            if sign in signs + jumps and -sign not in signs + jumps:
                return word
        return "constant" if not any(signs + jumps) else "no"

    def _symmetry(self) -> Expr | str:
        if self.parity or self.point_symmetry is None:
            return self.parity or "none"
        return sp.Tuple(*self.point_symmetry)

    def _smoothness(self) -> str:
        if self.smoothness == -1:
            return "not continuous"
        return {0: "continuous", oo: "smooth"}.get(self.smoothness, f"C{self.smoothness}")

    def __repr__(self):
        width = max(len(label) for label, _ in self.rows())
        return "\n".join(f"{label:{width}}  {_short(value)}" for label, value in self.rows())

    def _latex(self, printer: LatexPrinter) -> str:
        rows = [rf"\text{{{label}}} & {_typeset([value], printer)}" for label, value in self.rows()]
        return r"\begin{array}{ll} " + r" \\[0.4em] ".join(rows) + r" \end{array}"


def summary(expr: Expr, x: Symbol) -> Summary:
    """Everything at once, for the card at the head of a chapter."""
    expr = _checked(expr, x)
    found = {f.name: globals()[f.name](expr, x) for f in fields(Summary) if f.name not in ("expr", "x")}
    return Summary(expr, x, **found)


def _listed(items: Iterable[sp.Basic]) -> sp.Basic | str:
    items = sp.Tuple(*items)
    return items if len(items) > 1 else items[0] if items else "none"


# What comes in

_SWITCHES = (Piecewise, Abs, Max, Min, sp.sign, Heaviside)
_WAVES = (sp.sin, sp.cos)
_HYPERBOLIC = (sp.sinh, sp.cosh, sp.tanh, sp.sech, sp.asinh)
_SMOOTH = (Primitive, sp.exp, sp.log, sp.erf, sp.erfc, sp.atan, *_WAVES, *_HYPERBOLIC)


def _expression(expr: Expr) -> Expr:
    try:
        result = sp.sympify(expr)
    except (sp.SympifyError, TypeError) as error:
        raise ValueError(f"got {expr!r}; expected is a SymPy formula") from error
    if isinstance(expr, (bool, str)) or not isinstance(result, Expr) or result.is_Matrix:
        raise ValueError(f"got {expr!r}; expected is a SymPy formula")
    return result


def _checked(expr: Expr, x: Symbol) -> Expr:
    """The formula, if x is a real symbol, all parameters are real symbols, and its values are real and finite."""
    if not (isinstance(x, Symbol) and x.is_extended_real and x.is_nonnegative is None and x.is_nonpositive is None):
        raise ValueError(f"the variable is {x!r}; expected is a Symbol declared real=True and nothing more")
    expr = _expression(expr)
    if expr.has(sp.nan, sp.zoo, oo, -oo, sp.I):
        raise ValueError(f"got {expr}; expected is a formula with real, finite values")
    unknown = {f.func.__name__ for f in expr.atoms(sp.Function) if f.has(x) and not isinstance(f, _SWITCHES + _SMOOTH)}
    if unknown:
        raise ValueError(f"{expr} has {', '.join(sorted(unknown))}; expected are {_names(_SMOOTH + _SWITCHES)}")
    vague = [s.name for s in expr.free_symbols if not s.is_extended_real]
    if vague:
        raise ValueError(f"{expr} has symbols not known to be real: {', '.join(sorted(vague))}; substitute a number")
    _pieces(expr, x)
    return expr


def _names(functions: Iterable[type]) -> str:
    return ", ".join(f.__name__ for f in functions)


def _trials(free: Iterable[Symbol]) -> list[dict[Symbol, Rational]]:
    """Three sets of values for the parameters, in keeping with their signs; one empty set if there are none."""
    names = sorted(free, key=lambda s: s.name)
    trials: list[dict] = [{} for _ in range(3 if names else 1)]
    for i, symbol in enumerate(names):
        values = [Rational(3, 8), Rational(13, 8), Integer(5)]
        if symbol.is_integer or (symbol.is_positive and symbol.is_negative):
            raise ValueError(f"{symbol} is {symbol.assumptions0}; expected is a parameter that is real or positive")
        if symbol.is_nonpositive:
            values = [-v for v in values]
        elif not symbol.is_nonnegative:
            values[1] = -values[1]
        for j, trial in enumerate(trials):
            trial[symbol] = values[(i + j) % 3]
    return trials


# Numbers

_MPMATH = {
    "sigma": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "Phi": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    "phi": lambda x: mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi),
    "tanh": mp.tanh,
    "expm1": mp.expm1,
    "cosatan": lambda x: 1 / mp.sqrt(1 + x * x),
}


_FAILURES = (ArithmeticError, ValueError, TypeError, NameError, AttributeError, NotImplementedError)
"""What mpmath raises where a formula has no value, or a function that it does not know."""


@lru_cache(maxsize=512)
def _compiled(expr: Expr, variables: tuple[Symbol, ...]) -> Callable:
    return sp.lambdify(variables, expr, modules=[_MPMATH, "mpmath"], cse=True)


def _evaluate(expr: Expr, variables: tuple[Symbol, ...] = (), values: tuple = (), wanted: int = 20) -> mpf:
    """The value, with so many digits right: computed twice, with ever more digits until the two agree.

    A value that cannot be told from 0 with 2000 digits is taken to be 0.
    """
    function = _compiled(expr, variables)
    for digits in (wanted + 20, 300, 2000):
        results = []
        for extra in (0, 15):
            with mp.workdps(digits + extra):
                try:
                    results.append(mp.mpmathify(function(*(_mp(v) for v in values))))
                except _FAILURES as error:
                    raise ValueError(f"{expr} has no value{_at(values)}; expected is a real number") from error
        rough, fine = results
        imaginary = isinstance(fine, mpmath.mpc) and abs(fine.imag) > mpf(10) ** -30 * abs(fine)
        if imaginary or not mp.isfinite(fine):
            raise ValueError(f"{expr} has the value {mp.nstr(fine, 6)}{_at(values)}; expected is a real number")
        if fine.real and abs(fine - rough) <= mpf(10) ** -wanted * abs(fine):
            return fine.real
    return mpf(0)


def _at(values: tuple) -> str:
    return f" at {', '.join(mp.nstr(_mp(v), 6) for v in values)}" if values else ""


def _mp(value: Expr | mpf) -> mpf:
    return mpf(value.p) / value.q if isinstance(value, Rational) else value


def _number(value: Expr, trial: dict[Symbol, Rational]) -> mpf:
    """A constant, or infinity, as an mpmath number, at one set of values of the parameters."""
    value = value.subs(trial)
    if value in (oo, -oo):
        return mp.inf if value == oo else mp.ninf
    return _evaluate(value)


def _sign(value: Expr, rounded: bool = True) -> int:
    """Sign of a constant.

    Args:
        value: The constant, with parameters or not.
        rounded: Whether it may carry the rounding error of a numerical zero, so that tiny counts as 0.

    Raises:
        ValueError: The sign depends on the parameters.
    """
    value = sp.sympify(value)
    if value in (oo, -oo):
        return 1 if value == oo else -1
    if value.is_Rational:
        return int(sp.sign(value))
    found = set()
    for trial in _trials(value.free_symbols):
        number = _number(value, trial)
        tiny = rounded and value.has(Float) and abs(number) < mpf(10) ** -40
        found.add(0 if tiny else int(mp.sign(number)))
    if len(found) > 1:
        names = ", ".join(sorted(s.name for s in value.free_symbols))
        raise ValueError(f"the sign of {value} depends on {names}; substitute a number")
    return found.pop()


def _compare(a: Expr, b: Expr) -> int:
    return 0 if a == b else _sign(a - b)


def _ordered(key: Callable[..., Expr]) -> Callable:
    return cmp_to_key(lambda a, b: _compare(key(a), key(b)))


def _extreme(values: list[Expr], sign: int) -> Expr:
    """The largest (1) or smallest (-1) of some numbers; of equal ones, an exact one."""
    best = values[0]
    for value in values[1:]:
        order = _compare(value, best) * sign
        if order > 0 or (order == 0 and best.has(Float)):
            best = value
    return best


def _absolute(value: Expr) -> Expr:
    return -value if _sign(value) < 0 else value


def _between(low: Expr, high: Expr) -> Expr:
    """A point inside an interval."""
    if low == -oo:
        return Integer(0) if high == oo else high - 1
    return low + 1 if high == oo else (low + high) / 2


# Cases: where they meet, and which one holds


@dataclass(frozen=True)
class _Piece:
    """A smooth formula on an open interval."""

    low: Expr
    high: Expr
    formula: Expr


@lru_cache(maxsize=512)
def _pieces(expr: Expr, x: Symbol) -> tuple[_Piece, ...]:
    """The formula without cases, between the points where its cases meet."""
    cuts = [-oo, *_switching_points(expr, x), oo]
    pieces: list[_Piece] = []
    for low, high in pairwise(cuts):
        formula = _resolved(expr, x, _between(low, high))
        _assert_defined(formula, x, low, high)
        if low != -oo:
            _assert_defined(_resolved(expr, x, low), x, low, low)
        if pieces and pieces[-1].formula == formula and _same_at(expr, x, low, formula):
            pieces[-1] = _Piece(pieces[-1].low, high, formula)
        else:
            pieces.append(_Piece(low, high, formula))
    return tuple(pieces)


def _assert_defined(formula: Expr, x: Symbol, low: Expr, high: Expr) -> None:
    """Raises a ValueError unless a formula is real and finite, at a point or at probes inside an interval."""
    for node in formula.atoms(sp.Pow, sp.log):
        divisor = node.args[0]
        harmless = divisor.is_positive or divisor.is_negative or not divisor.has(x)
        if low != high and not harmless and (node.exp.is_negative if node.is_Pow else True):
            zeros = _zeros(divisor, x, low, high)
            if zeros or zeros is None:
                raise ValueError(f"{formula} has no value where {divisor} is 0; expected are real numbers everywhere")
    for trial in _trials((formula.free_symbols | low.free_symbols | high.free_symbols) - {x}):
        ends = _number(low, trial), _number(high, trial)
        for number in ends[:1] if low == high else _grid(*ends, oscillating=False)[10::30]:
            _evaluate(formula.subs(trial), (x,), (number,))


def _same_at(expr: Expr, x: Symbol, at: Expr, formula: Expr) -> bool:
    return _compare(_resolved(expr, x, at).subs(x, at), formula.subs(x, at)) == 0


def _switching_points(expr: Expr, x: Symbol) -> list[Expr]:
    """Where the cases of a formula may meet, in ascending order."""
    points: list[Expr] = []
    for switch in _switching_functions(expr, x):
        for piece in _pieces(switch, x):
            ends = [end for end in (piece.low, piece.high) if abs(end) != oo]
            zeros = _zeros(piece.formula, x, piece.low, piece.high) or ()
            points += [p for p in (*ends, *zeros) if all(_compare(p, q) != 0 for q in points)]
    return sorted(points, key=_ordered(lambda p: p))


def _switching_functions(expr: Expr, x: Symbol) -> set[Expr]:
    """The functions of x whose sign decides which case holds."""
    found = set()
    for node in expr.atoms(*_SWITCHES):
        if isinstance(node, Piecewise):
            relations = {r for _, condition in node.args for r in condition.atoms(sp.core.relational.Relational)}
            found |= {r.lhs - r.rhs for r in relations}
        elif isinstance(node, (Max, Min)):
            found |= {a - b for i, a in enumerate(node.args) for b in node.args[:i]}
        else:
            found.add(node.args[0])
    return {f for f in found if f.has(x)}


def _resolved(expr: Expr, x: Symbol, at: Expr) -> Expr:
    """The formula without cases that holds at one point and, between switching points, around it."""
    if not expr.has(*_SWITCHES):
        return expr
    if isinstance(expr, Piecewise):
        for value, condition in expr.args:
            if _holds(condition, x, at):
                return _resolved(value, x, at)
        raise ValueError(f"the cases of {expr} leave a gap at {at}; end with (expression, True)")
    args = [_resolved(a, x, at) for a in expr.args]
    signs = {a: _sign(a.subs(x, at)) for a in args[:1]} if isinstance(expr, (Abs, sp.sign, Heaviside)) else {}
    if isinstance(expr, Abs):
        return signs[args[0]] * args[0]
    if isinstance(expr, sp.sign):
        return Integer(signs[args[0]])
    if isinstance(expr, Heaviside):
        return {1: Integer(1), -1: Integer(0), 0: args[1]}[signs[args[0]]]
    if isinstance(expr, (Max, Min)):
        wanted = 1 if isinstance(expr, Max) else -1
        best = args[0]
        for other in args[1:]:
            if _sign((other - best).subs(x, at)) == wanted:
                best = other
        return best
    return expr.func(*args)


def _holds(condition: sp.Basic, x: Symbol, at: Expr) -> bool:
    if condition in (sp.true, sp.false):
        return bool(condition)
    if isinstance(condition, sp.And):
        return all(_holds(c, x, at) for c in condition.args)
    if isinstance(condition, sp.Or):
        return any(_holds(c, x, at) for c in condition.args)
    if isinstance(condition, sp.Not):
        return not _holds(condition.args[0], x, at)
    if isinstance(condition, sp.core.relational.Relational):
        sign = _sign(_resolved(condition.lhs - condition.rhs, x, at).subs(x, at))
        return bool(condition.func(Integer(sign), Integer(0)))
    raise ValueError(f"the condition is {condition}; expected are comparisons joined by &, | and ~")


def _piece_at(expr: Expr, x: Symbol, at: Expr) -> _Piece:
    """The piece in which a point lies, or the one to its left if it lies between two."""
    return next(p for p in _pieces(expr, x) if p.high == oo or _compare(at, p.high) <= 0)


def _breaks(expr: Expr, x: Symbol, order: int) -> set[Expr]:
    """Where pieces meet and one of the derivatives up to this order jumps."""
    return {k.x for k in kinks(expr, x) if k.order < order}


# Derivatives, values and limits


@lru_cache(maxsize=512)
def _derived(formula: Expr, x: Symbol, k: int) -> Expr:
    return formula if k == 0 else derivative(_derived(formula, x, k - 1), x)


@lru_cache(maxsize=1024)
def _one_sided(piece: _Piece, k: int, x: Symbol, at: Expr, side: str = "+") -> Expr:
    """The value of the k-th derivative of a piece at a point of it, or its limit at an end."""
    formula = _derived(piece.formula, x, k)
    if at in (oo, -oo):
        return _limit(formula, x, at)
    value = formula.subs(x, at)
    if at.has(Float):
        return value if value.is_Rational else Float(_evaluate(value, wanted=50), 50)
    if value.has(sp.nan, sp.zoo, oo):
        value = sp.limit(elementary(formula), x, at, side)
    return _tidy(value)


@lru_cache(maxsize=512)
def _point(expr: Expr, x: Symbol, at: Expr) -> Point:
    formula = _resolved(expr, x, at)
    return Point(at, _one_sided(_Piece(-oo, oo, formula), 0, x, at), not at.has(Float))


def _coefficients(formula: Expr, x: Symbol, n: int) -> list[Expr]:
    """Taylor coefficients about 0 up to x**n, from those of the parts: much faster than SymPy's series."""
    zeros = [Integer(0)] * (n + 1)
    if not formula.has(x):
        return [formula, *zeros[1:]]
    if formula == x:
        return [Integer(0), Integer(1), *zeros[1:]][: n + 1]
    if formula.is_Add:
        return [sp.Add(*c) for c in zip(*(_coefficients(a, x, n) for a in formula.args), strict=True)]
    if formula.is_Mul:
        parts = [_coefficients(a, x, n) for a in formula.args]
        return reduce(_product, parts)
    y = sp.Dummy("y", real=True)
    inner, *others = formula.args
    start, *slopes = _coefficients(inner, x, n)
    outer = formula.func(y, *others)
    result = zeros
    for k in range(n, -1, -1):  # Horner's scheme
        factor = _tidy(_derived(outer, y, k).subs(y, start)) / sp.factorial(k)
        result = _product(result, [Integer(0), *slopes])
        result[0] += factor
    return result


def _product(a: list[Expr], b: list[Expr]) -> list[Expr]:
    """Coefficients of the product of two truncated power series."""
    return [sp.expand(sum(a[i] * b[k - i] for i in range(k + 1))) for k in range(len(a))]


@lru_cache(maxsize=512)
def _contact(expr: Expr, x: Symbol, left: _Piece, right: _Piece) -> Expr:
    """How many derivatives agree where two pieces meet; oo if the pieces are equal there."""
    at = left.high
    if _compare(_point(expr, x, at).value, _one_sided(left, 0, x, at, "-")) != 0:
        return -1
    if equal(left.formula, right.formula):
        return oo
    for k in range(HIGHEST_ORDER + 1):
        sides = _one_sided(left, k, x, at, "-"), _one_sided(right, k, x, at, "+")
        if not all(map(_is_finite, sides)) or _generic_sign(sides[0] - sides[1]) != 0:
            return k - 1
    return HIGHEST_ORDER


def _generic_sign(value: Expr) -> int:
    """Sign of a constant, or 1 if it depends on the parameters: generically not 0."""
    try:
        return _sign(value)
    except ValueError:
        return 1


@lru_cache(maxsize=512)
def _limit(formula: Expr, x: Symbol, end: Expr) -> Expr:
    """Limit at -oo or oo: term by term where that is possible, which is faster."""
    terms = sp.Add.make_args(sp.expand_mul(formula))
    if len(terms) > 1:
        found = []
        for term in terms:
            found.append(_limit_of(term, x, end))
            if found[-1] is None or not _is_finite(found[-1]):
                break
        else:
            return _tidy(sp.Add(*found))
    value = _limit_of(formula, x, end)
    if value is None:
        value = _limit_by_parts(formula, x, end)
    if value.has(sp.nan, sp.zoo):
        raise ValueError(f"SymPy finds no limit of {formula} as {x} goes to {end}; expected is a formula that has one")
    return value


def _limit_by_parts(formula: Expr, x: Symbol, end: Expr) -> Expr:
    """The limit from those of the parts, by continuity; nan if they do not decide it."""
    if isinstance(formula, (sp.Add, sp.Mul, sp.exp, sp.erf, sp.erfc, Primitive)):
        return formula.func(*(_limit(part, x, end) for part in formula.args))
    return sp.nan


def _limit_of(formula: Expr, x: Symbol, end: Expr) -> Expr | None:
    try:
        value = sp.limit(elementary(formula), x, end)
    except (NotImplementedError, ValueError, TypeError, sp.PoleError):
        return None
    if value.has(sp.AccumBounds):
        return value if isinstance(value, sp.AccumBounds) else sp.AccumBounds(-oo, oo)
    return None if value.has(sp.Limit, sp.nan, sp.zoo, x) else _tidy(value)


def _is_finite(value: Expr) -> bool:
    return not value.has(oo, -oo, sp.zoo, sp.nan, sp.AccumBounds)


def _ends(limit: Expr) -> tuple[Expr, ...]:
    """A limit, or the infinite ends of an oscillation; its finite ends are not always sharp."""
    return tuple(e for e in (limit.min, limit.max) if e.is_infinite) if isinstance(limit, sp.AccumBounds) else (limit,)


def _asymptote(formula: Expr, x: Symbol, end: Expr) -> Expr | None:
    slope = _limit_of(formula / x, x, end)
    if slope is None or not _is_finite(slope):
        return None
    offset = _limit_of(formula - slope * x, x, end)
    if offset is None or not _is_finite(offset):
        return None
    return slope * x + offset


def _tidy(value: Expr) -> Expr:
    """A constant in its shortest form; with exp(W(z)) = z / W(z), Lambert's W comes out as it is written by hand."""
    value = sp.sympify(value)
    if value.is_Rational or value.is_Symbol or not value.args or isinstance(value, sp.AccumBounds):
        return value
    if value.has(Float) or not _is_finite(value):
        return value
    plain = _without_towers(elementary(value))
    forms = [value, plain, sp.simplify(plain)]
    if plain.has(sp.LambertW):
        forms.append(sp.factor(sp.cancel(sp.together(plain))))
    if forms[2].has(sp.erf, sp.erfc) and not value.has(sp.erf, sp.erfc):
        forms = forms[:1]
    return min(forms, key=sp.count_ops)


def _without_towers(plain: Expr) -> Expr:
    """The formula with z / W(z) for exp(W(z))."""
    if not plain.has(sp.LambertW):
        return plain
    return plain.replace(sp.exp, lambda power: sp.Mul(*map(_exponential, sp.Add.make_args(sp.expand(power)))))


def _exponential(power: Expr) -> Expr:
    n, rest = power.as_coeff_Mul()
    if isinstance(rest, sp.LambertW) and n.is_Integer:
        return (rest.args[0] / rest) ** n
    return sp.exp(power)


# Zeros


@lru_cache(maxsize=512)
def _zeros(formula: Expr, x: Symbol, low: Expr, high: Expr) -> tuple[Expr, ...] | None:
    """All zeros of a smooth formula inside an interval, in ascending order, or None if it is 0 throughout."""
    if not formula.has(x):
        return None if formula == 0 or _generic_sign(formula) == 0 else ()
    if _vanishes_as_rational(formula):
        return None
    trials = _trials((formula.free_symbols | low.free_symbols | high.free_symbols) - {x})
    candidates = [c for c in _exact_zeros(formula, x) if c.is_extended_real and not c.has(sp.nan, sp.zoo, oo)]
    matched = [_matched(formula, x, low, high, candidates, trial) for trial in trials]
    if trials[0] and (len(set(matched)) > 1 or any(zero.has(Float) for zero in matched[0])):
        names = ", ".join(sorted(s.name for s in trials[0]))
        raise ValueError(f"the zeros of {formula} have no one closed form in {names}; substitute a number")
    return matched[0]


def _matched(
    formula: Expr, x: Symbol, low: Expr, high: Expr, candidates: list[Expr], trial: dict[Symbol, Rational]
) -> tuple[Expr, ...]:
    """The zeros at one set of values of the parameters: each the exact candidate that it equals, or a number."""
    formula = formula.subs(trial)
    bounds = _number(low, trial), _number(high, trial)
    zeros: list[tuple[mpf, Expr]] = []
    for candidate in candidates:
        with mp.workdps(80):
            number = _at_digits(candidate.subs(trial), 80)
            fits = bounds[0] < number < bounds[1] and all(abs(number - z) > mpf(10) ** -40 for z, _ in zeros)
            if fits and _is_zero_at(formula, x, number):
                zeros.append((number, candidate))
    for number in _scanned(formula, x, *bounds):
        known = [z for z, _ in zeros if abs(z - number) <= mpf(10) ** -30 * max(1, abs(z))]
        if not known:
            zeros.append((number, _recognised(formula, x, number)))
    return tuple(zero for _, zero in sorted(zeros, key=lambda pair: pair[0]))


def _at_digits(value: Expr, digits: int) -> mpf:
    with mp.workdps(digits):
        return mp.mpmathify(_compiled(value, ())()).real


def _is_zero_at(formula: Expr, x: Symbol, number: mpf) -> bool:
    """Whether the value at a number given with 80 digits is tiny beside the values around."""
    function = _compiled(formula, (x,))
    with mp.workdps(80):
        step = mpf(10) ** -6 * max(1, abs(number))
        try:
            around = max(abs(function(number + step)), abs(function(number - step)))
            return abs(function(number)) <= mpf(10) ** -45 * around
        except _FAILURES:
            return False


def _recognised(formula: Expr, x: Symbol, number: mpf) -> Expr:
    """A zero as a simple multiple of pi if that is proved, for formulas with sine and cosine; else its 50 digits."""
    with mp.workdps(50):
        if formula.has(*_WAVES):
            multiple = sp.nsimplify(Float(number / mp.pi, 45), rational=True, tolerance=Float(10) ** -30)
            if multiple.q <= 12 and sp.simplify(formula.subs(x, multiple * sp.pi)) == 0:
                return multiple * sp.pi
        return Float(number, 50)


def _scanned(formula: Expr, x: Symbol, low: mpf, high: mpf) -> list[mpf]:
    """Zeros as numbers: where the sign changes on the grid, and where the curve touches zero between grid points."""
    grid = _grid(low, high, formula.has(*_WAVES))
    values = [_evaluate(formula, (x,), (at,)) for at in grid]
    function = _compiled(formula, (x,))

    def slope(at: mpf) -> mpf:
        h = mpf(10) ** -50
        return function(at + h) - function(at - h)

    zeros = [at for at, value in zip(grid, values, strict=True) if value == 0]
    for i in range(len(grid) - 1):
        if values[i] * values[i + 1] < 0:
            zeros.append(_bisected(function, grid[i], grid[i + 1], 70))
    for i in range(1, len(grid) - 1):
        before, here, after = values[i - 1 : i + 2]
        if min(before * here, here * after) > 0 and abs(before) > abs(here) < abs(after):
            bottom = _bisected(slope, grid[i - 1], grid[i + 1], 150)
            with mp.workdps(150):
                if abs(function(bottom)) < mpf(10) ** -40 * abs(here):
                    zeros.append(bottom)
    return zeros


def _grid(low: mpf, high: mpf, oscillating: bool) -> list[mpf]:
    """Points inside an interval, dense around 0 or around a finite end."""
    reach = OSCILLATING_REACH if oscillating else REACH
    if mp.isinf(low) and mp.isinf(high):
        return _spread(mpf(0), -reach, reach, oscillating)
    if mp.isinf(high):
        return _spread(low, 0, reach, oscillating)
    if mp.isinf(low):
        return _spread(high, -reach, 0, oscillating)
    return [low + (high - low) * i / 256 for i in range(1, 256)]


def _spread(origin: mpf, low: int, high: int, even: bool) -> list[mpf]:
    """Grid from low to high as seen from an origin, which is left out if it is an end."""
    n = 300
    if even:
        offsets = [mpf(high if i > 0 else -low) * i / (2 * n) for i in range(-2 * n, 2 * n + 1)]
    else:
        last = mp.asinh(100 * max(high, -low))
        offsets = [mp.sinh(last * i / n) / 100 for i in range(-n, n + 1)]
    return [origin + t for t in offsets if (t or low * high) and low <= t <= high]


def _bisected(function: Callable, low: mpf, high: mpf, digits: int) -> mpf:
    """Zero of a function that changes its sign between two numbers."""
    with mp.workdps(digits):
        rising = function(high) > 0
        while high - low > mpf(10) ** -55 * max(1, abs(low)):
            middle = (low + high) / 2
            if (function(middle) > 0) == rising:
                high = middle
            else:
                low = middle
        return (low + high) / 2


def _exact_zeros(formula: Expr, x: Symbol) -> list[Expr]:
    """Candidates for zeros in closed form, real or not; they are checked by the caller."""
    rational, exponents = _in_powers(elementary(formula))
    numerator = sp.factor(sp.fraction(sp.together(rational))[0])
    found = [Integer(0)]
    for factor in sp.Mul.make_args(numerator):
        base = factor.as_base_exp()[0]
        generators = [g for g in exponents if base.has(g)]
        if not base.has(x, *generators) or base in exponents or len(generators) > 1:
            continue
        if not base.is_polynomial(x, *generators):
            continue
        if not generators:
            found += sp.roots(base, x, cubics=False, quartics=False)
        elif exponents[generators[0]].is_polynomial(x):
            found += _exponential_zeros(base, x, generators[0], exponents[generators[0]])
    return [_tidy(c) for c in dict.fromkeys(found)]


def _exponential_zeros(base: Expr, x: Symbol, E: Symbol, exponent: Expr) -> list[Expr]:
    """Zeros of a polynomial in x and E = exp(exponent).

    Without x, they are logarithms. With two terms, they come from a exp(k x) + b x + c = 0, that is,
    x = -c/b - W(z)/k with z = (k a / b) exp(-k c / b).
    """
    if not base.has(x):
        levels = [level for level in sp.roots(base, E, cubics=False, quartics=False) if level.is_positive]
        return [zero for level in levels for zero in sp.roots(exponent - sp.log(level), x)]
    terms = sp.Poly(base, E).terms()
    if len(terms) != 2:
        return []
    ((i,), a), ((j,), rest) = terms
    k, shift = sp.Poly(exponent * (i - j), x).coeff_monomial(x), exponent.subs(x, 0) * (i - j)
    if a.has(x):
        a, rest, k, shift = rest, a, -k, -shift
    if a.has(x) or sp.degree(exponent, x) != 1 or sp.degree(rest, x) != 1:
        return []
    b, c = sp.Poly(rest, x).all_coeffs()
    z = k * a / b * sp.exp(shift - k * c / b)
    return [-c / b - sp.LambertW(z, branch) / k for branch in ((0, -1) if z.is_negative else (0,))]


def _in_powers(expr: Expr) -> tuple[Expr, dict[Symbol, Expr]]:
    """Exponentials as small integer powers of new positive symbols, so that the formula is rational in them."""
    counts: dict[Expr, set[Rational]] = {}
    for e in expr.atoms(sp.exp):
        for n, rest in _terms(e.exp):
            if rest.free_symbols:
                counts.setdefault(rest, set()).add(abs(n))
    units = {rest: sp.gcd_list(list(ns)) for rest, ns in counts.items()}
    exponents: dict[Expr, Symbol] = {}

    def as_power(power: Expr) -> Expr:
        result = Integer(1)
        for n, rest in _terms(power):
            if not rest.free_symbols:
                result *= sp.exp(n * rest)
                continue
            unit = units[rest] if max(counts[rest]) <= 12 * units[rest] else abs(n)
            result *= exponents.setdefault(unit * rest, sp.Dummy("E", positive=True)) ** (n / unit)
        return result

    replaced = expr.xreplace({e: as_power(e.exp) for e in sp.ordered(expr.atoms(sp.exp)) if e.exp.free_symbols})
    return replaced, {symbol: exponent for exponent, symbol in exponents.items()}


def _terms(power: Expr) -> list[tuple[Rational, Expr]]:
    return [term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(power))]


# Between the zeros of a derivative, it keeps its sign


@dataclass(frozen=True)
class _Stretch:
    """A part of a piece on which a derivative is positive (1), negative (-1) or 0 throughout."""

    low: Expr
    high: Expr
    piece: _Piece
    rises: int


def _stretches(expr: Expr, x: Symbol) -> tuple[_Stretch, ...]:
    return _split(expr, x, 1)


def _bends(expr: Expr, x: Symbol) -> tuple[_Stretch, ...]:
    return _split(expr, x, 2)


@lru_cache(maxsize=256)
def _split(expr: Expr, x: Symbol, k: int) -> tuple[_Stretch, ...]:
    """The real line cut where pieces meet and where the k-th derivative is 0."""
    found = []
    for piece in _pieces(expr, x):
        slope = _derived(piece.formula, x, k)
        zeros = _zeros(slope, x, piece.low, piece.high)
        if zeros is None:
            found.append(_Stretch(piece.low, piece.high, piece, 0))
            continue
        cuts = [piece.low, *zeros, piece.high]
        for low, high in pairwise(cuts):
            sign = _sign(slope.subs(x, _between(low, high)), rounded=False)
            found.append(_Stretch(low, high, piece, sign))
    return tuple(found)


def _cuts(expr: Expr, x: Symbol) -> list[Expr]:
    return [stretch.high for stretch in _stretches(expr, x)[:-1]]


def _is_critical(expr: Expr, x: Symbol, cut: Expr) -> bool:
    """Whether the formula has the slope 0 at a zero of the slope inside a piece, or where two pieces meet."""
    meets = [p for p in _pieces(expr, x) if cut in (p.low, p.high)]
    if not meets:
        return True
    smooth = cut not in _breaks(expr, x, 1)
    return smooth and _generic_sign(_one_sided(meets[0], 1, x, cut, "-")) == 0


def _oscillates(expr: Expr, x: Symbol) -> bool:
    """Whether the sign of the slope may go on changing: the formula has a sine, and no slope at the ends but 0."""
    if not any(wave.has(x) for wave in expr.atoms(*_WAVES)):
        return False
    slopes = [end.slope for end in saturation(expr, x)]
    return any(isinstance(s, sp.AccumBounds) or s == 0 for s in slopes)


def _supremum(expr: Expr, x: Symbol, of: Callable[[Expr], Expr]) -> Bound:
    """The supremum of the slope, or of a function of it."""
    values: list[tuple[Expr, Expr | Interval, bool]] = []
    jumps, kinked = _breaks(expr, x, 0), _breaks(expr, x, 1)
    for bend in _bends(expr, x):
        if bend.rises == 0:
            slope = _one_sided(bend.piece, 1, x, _between(bend.low, bend.high))
            values.append((of(slope), Interval.open(bend.low, bend.high), True))
        for end, side in ((bend.low, "+"), (bend.high, "-")):
            for slope in _ends(_one_sided(bend.piece, 1, x, end, side)):
                values.append((of(slope), end, abs(end) != oo and end not in kinked))
    values += [(of(oo if _sign(k.jump) >= 0 else -oo), k.x, False) for k in kinks(expr, x) if k.x in jumps]
    best = _extreme([value for value, _, _ in values], 1)
    ties = [(at, reached) for value, at, reached in values if _compare(value, best) == 0]
    reached = any(r for _, r in ties)
    places = list(dict.fromkeys(at for at, r in ties if r == reached))
    intervals = [p for p in places if isinstance(p, Interval)]
    places = [p for p in places if p in intervals or not any(p in (i.start, i.end) for i in intervals)]
    return Bound(best, tuple(places), reached, not best.has(Float))


def _rate(piece: _Piece, x: Symbol, end: Expr) -> Expr | None:
    """What a slope that goes to 0 is asymptotically equal to: c x**p exp(u), guessed from two values, then proved."""
    slope = _derived(piece.formula, x, 1)
    if slope == 0:
        return Integer(0)
    trial = _trials(slope.free_symbols - {x})[0]
    sign = 1 if end == oo else -1
    near, far = mpf(300 * sign), mpf(600 * sign)
    exponents = {e.exp for e in elementary(slope).atoms(sp.exp) if e.exp.is_polynomial(x) and e.exp.has(x)}
    for u in sorted({Integer(0)}.union(*({n * e for n in (-2, -1, 1, 2)} for e in exponents)), key=sp.count_ops):
        growth = []
        for at in (near, far):
            value = abs(_evaluate(slope.subs(trial), (x,), (at,)))
            growth.append(mp.log(value) - _evaluate(u.subs(trial), (x,), (at,)) if value else mp.inf)
        power = (growth[1] - growth[0]) / mp.log(2)
        if not mp.isfinite(power) or abs(power) > 12 or abs(power - mp.nint(power)) > mpf("0.05"):
            continue
        shape = x ** int(mp.nint(power)) * sp.exp(u)
        try:
            factor = _limit(sp.expand_mul(slope) / shape, x, end)
        except ValueError:
            continue
        if _is_finite(factor) and factor != 0:
            return factor * shape
    return None


# Equality


def _differs(difference: Expr) -> bool:
    """Whether the two sides differ clearly at some point, which settles the matter without a proof."""
    symbols = tuple(sorted(difference.free_symbols, key=lambda s: s.name))
    if any(s.is_integer or s.is_extended_real is False for s in symbols):
        return False
    for values in ((-2.625, 0.8125, 3.4375), (0.34375, -1.1875, -4.25), (5.5625, 2.375, -0.28125)):
        point = [mpf(values[i % 3]) * (1 + i // 3) for i in range(len(symbols))]
        point = [-v if (s.is_nonnegative and v < 0) or (s.is_nonpositive and v > 0) else v
                 for s, v in zip(symbols, point, strict=True)]  # fmt: skip
        with mp.workdps(50):
            try:
                if abs(_compiled(difference, symbols)(*point)) > mpf(10) ** -25:
                    return True
            except _FAILURES:
                continue
    return False


def _vanishes(expr: Expr) -> bool:
    """Whether a formula is proved to be 0."""
    expr = sp.sympify(expr)
    if expr.has(*_SWITCHES):
        return _vanishes_by_cases(expr)
    if _vanishes_as_rational(expr) or _vanishes_by_derivative(expr):
        return True
    plain = elementary(expr)
    return sp.count_ops(plain) < 150 and sp.simplify(plain) == 0


@lru_cache(maxsize=512)
def _vanishes_as_rational(expr: Expr) -> bool:
    """Whether a formula is 0 as a rational function of its symbols, of exponentials and of other functions."""
    plain = _without_towers(elementary(expr)).rewrite(sp.erf)
    plain = plain.replace(lambda e: isinstance(e, (sp.sinh, sp.cosh, sp.tanh, sp.coth, sp.sech, sp.csch)),
                          lambda e: e.rewrite(sp.exp))  # fmt: skip
    rational, exponents = _in_powers(plain)
    if rational == 0:
        return True
    try:
        vanishes = sp.cancel(sp.together(rational)) == 0
    except (sp.PolynomialError, NotImplementedError):
        return False
    return vanishes or (not exponents and sp.expand(rational) == 0)


def _vanishes_by_derivative(expr: Expr) -> bool:
    """Whether the derivative in some variable is 0 and so is the value at 0, for formulas smooth on the whole line."""
    for v in sorted(expr.free_symbols, key=lambda s: s.name):
        if v.is_extended_real and v.is_nonnegative is None and v.is_nonpositive is None and _smooth_everywhere(expr):
            start = expr.subs(v, 0)
            if _vanishes_as_rational(derivative(expr, v)) and (start == 0 or sp.simplify(elementary(start)) == 0):
                return True
    return False


def _smooth_everywhere(expr: Expr) -> bool:
    """Whether a formula is evidently smooth for all real values of its symbols."""
    if not expr.free_symbols or expr.is_Symbol:
        return True
    if isinstance(expr, sp.log):
        return bool(expr.args[0].is_positive) and _smooth_everywhere(expr.args[0])
    if expr.is_Pow and not isinstance(expr, sp.exp):
        powers = expr.exp.is_Integer and (expr.exp.is_nonnegative or expr.base.is_positive)
        return bool(powers or (expr.base.is_positive and expr.exp.is_number)) and _smooth_everywhere(expr.base)
    return isinstance(expr, (sp.Add, sp.Mul, *_SMOOTH)) and all(_smooth_everywhere(a) for a in expr.args)


def _vanishes_by_cases(expr: Expr) -> bool:
    """Whether each case is proved to be 0, where the conditions are simple ones on one real variable."""
    deciding = {s for node in expr.atoms(*_SWITCHES) for s in _decided_by(node)}
    if len(deciding) == 1 and (v := deciding.pop()).is_extended_real and v.is_nonnegative is v.is_nonpositive is None:
        try:
            switches = _switching_functions(expr, v)
            solvable = all(_solvable(p.formula, v) for s in switches for p in _pieces(s, v))
            meets = _switching_points(expr, v)
            cuts = [-oo, *meets, oo]
            inner = [_between(low, high) for low, high in pairwise(cuts)]
            if solvable and not any(m.has(Float) for m in meets):
                at_meets = (_resolved(expr, v, m).subs(v, m) for m in meets)
                return all(map(_vanishes, [*(_resolved(expr, v, at) for at in inner), *at_meets]))
        except ValueError:
            pass
    return sp.count_ops(expr) < 150 and sp.simplify(sp.piecewise_fold(expr)) == 0


def _solvable(formula: Expr, v: Symbol) -> bool:
    """Whether all zeros are certain to be found: a polynomial in v, or in one exponential, of degree 2 or less."""
    rational, exponents = _in_powers(elementary(formula))
    numerator = sp.fraction(sp.together(rational))[0]
    unknowns = [s for s in (v, *exponents) if numerator.has(s)]
    if not unknowns:
        return True
    unknown = unknowns[0]
    linear = unknown == v or (exponents[unknown].is_polynomial(v) and sp.degree(exponents[unknown], v) == 1)
    return len(unknowns) == 1 and linear and numerator.is_polynomial(unknown) and sp.degree(numerator, unknown) <= 2


def _decided_by(node: Expr) -> set[Symbol]:
    """The symbols on which it depends which case of a node holds."""
    if isinstance(node, Piecewise):
        return {s for _, condition in node.args for s in condition.free_symbols}
    return node.free_symbols if isinstance(node, (Max, Min)) else node.args[0].free_symbols
