"""What is found, as objects that a notebook shows as mathematics."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from itertools import groupby

import sympy as sp
from sympy import Expr, Float, Interval, oo
from sympy.printing.latex import LatexPrinter

from actlib.formula.analysis.refusals import InfinitelyManyError, NotDecidedError, RefusedError

__all__ = [
    "Bound",
    "Extremum",
    "Kink",
    "Point",
    "Refusal",
    "Saturation",
    "Shown",
    "known",
    "listed",
    "short",
    "typeset",
]


class Shown:
    """A result that a notebook shows as mathematics, or as one line where it cannot, made of the same pieces.

    As with SymPy's own objects, repr is what str is.
    """

    def _pieces(self) -> list[str | sp.Basic]:
        """Words and SymPy objects, in order; spaces belong to the words."""
        raise NotImplementedError

    def __repr__(self):
        return "".join(str(short(piece)) for piece in self._pieces())

    def _latex(self, printer: LatexPrinter) -> str:
        """What SymPy's printer calls, for a result inside of a tuple or a list as well."""
        return typeset(self._pieces(), printer)

    def _repr_latex_(self):
        return rf"$\displaystyle {sp.latex(self)}$"


_SIGNS = {"≈ ": r" \approx ", " → ": r" \to ", " ~ ": r" \sim "}


def typeset(pieces: Iterable[str | sp.Basic], printer: LatexPrinter) -> str:
    """LaTeX of words and SymPy objects in order."""
    texts = []
    for words, group in groupby(pieces, lambda piece: isinstance(piece, str) and piece not in _SIGNS):
        if words:
            texts.append(rf"\text{{{''.join(group)}}}")
        else:  # the braces keep a minus from being taken for a difference
            texts += [_SIGNS.get(p) or f"{{{printer._print(short(p))}}}" for p in group]
    return "".join(texts)


def short(piece: str | sp.Basic) -> str | sp.Basic:
    """Long decimal numbers cut to six digits."""
    return piece if isinstance(piece, str) else piece.xreplace({f: f.n(6) for f in piece.atoms(Float)})


def _rounded(value: Expr) -> list[str | sp.Basic]:
    return ["≈ ", value] if value.has(Float) else [value]


def _place(at: Expr | sp.Set) -> list[str | sp.Basic]:
    if isinstance(at, sp.Set):
        return ["on ", at]
    families = [", for every integer ", *at.free_symbols] if any(s.is_integer for s in at.free_symbols) else []
    return ["towards " if at in (oo, -oo) else "at ", *_rounded(at), *families]


def _places(ats: Iterable[Expr | sp.Set]) -> list[str | sp.Basic]:
    return [piece for i, at in enumerate(ats) for piece in ([" and "] if i else []) + _place(at)]


@dataclass(frozen=True, repr=False)
class Point(Shown):
    """A point of the curve; ``exact`` is False where its place is a number of 50 digits."""

    x: Expr
    value: Expr
    exact: bool = True

    def _pieces(self):
        return [*([] if self.exact else ["≈ "]), sp.Tuple(self.x, self.value)]


@dataclass(frozen=True, repr=False)
class Extremum(Shown):
    """A strict local extremum; ``kind`` is "minimum" or "maximum"."""

    x: Expr
    value: Expr
    kind: str
    exact: bool = True

    def _pieces(self):
        return [self.kind, " ", *_rounded(self.value), " ", *_place(self.x)]


@dataclass(frozen=True, repr=False)
class Kink(Shown):
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
class Bound(Shown):
    """A supremum and where it lies.

    Attributes:
        value: The supremum, oo if there is none.
        at: Points, intervals, or -oo and oo: where it is reached, or else where it is approached; empty where that
            depends on parameters.
        reached: Whether it is a maximum.
        exact: Whether ``value`` is exact.
    """

    value: Expr
    at: tuple[Expr | Interval, ...]
    reached: bool
    exact: bool = True

    def _pieces(self):
        name = "maximum" if self.reached else "supremum"
        if not self.at:
            return [name, " ", self.value, "; where depends on ", *listed_names(self.value)]
        how = ", reached " if self.reached else ", not reached, approached "
        return [name, " ", *_rounded(self.value), how, *_places(self.at)]


@dataclass(frozen=True, repr=False)
class Saturation(Shown):
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


@dataclass(frozen=True, repr=False)
class Refusal(Shown):
    """What is not said, and why; it stands where a result would."""

    why: str
    short: str = "no method is known"

    @classmethod
    def of(cls, error: RefusedError) -> "Refusal":
        """What an error says."""
        if isinstance(error, InfinitelyManyError):
            return cls(str(error), "infinitely many")
        if isinstance(error, NotDecidedError):
            return cls(str(error), str(error))
        return cls(str(error))

    def _pieces(self):
        return [self.why]


def known(result: object) -> str:
    """How a result is known: "exact", "certified" (all digits but the last of a number), or "refused"."""
    if isinstance(result, Refusal):
        return "refused"
    if isinstance(result, sp.Basic):
        return "certified" if result.has(Float) else "exact"
    if isinstance(result, (list, tuple)):
        parts = {known(part) for part in result}
    elif is_dataclass(result):
        parts = {known(getattr(result, f.name)) for f in fields(result)}
    else:
        parts = set()
    return next((word for word in ("refused", "certified") if word in parts), "exact")


def listed_names(value: Expr) -> list[str | sp.Basic]:
    """The parameters of a value, with commas."""
    symbols = sorted(value.free_symbols, key=lambda s: s.name)
    return [piece for i, s in enumerate(symbols) for piece in ([", "] if i else []) + [s]]


def listed(items: Iterable[sp.Basic]) -> sp.Basic | str:
    """One object, a tuple of several, or the word that there is none."""
    items = sp.Tuple(*items)
    return items if len(items) > 1 else items[0] if items else "none"
