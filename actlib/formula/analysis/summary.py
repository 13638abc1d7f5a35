"""The card of a formula: all questions at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import sympy as sp
from sympy import Expr, Interval, Symbol, oo
from sympy.printing.latex import LatexPrinter

from actlib.formula.analysis import questions
from actlib.formula.analysis.constants import sign
from actlib.formula.analysis.deadline import SECONDS, limit, timed
from actlib.formula.analysis.pieces import checked, pieces
from actlib.formula.analysis.refusals import RefusedError
from actlib.formula.analysis.results import (
    Bound,
    Extremum,
    Kink,
    Point,
    Refusal,
    Saturation,
    Shown,
    listed,
    short,
    typeset,
)
from actlib.formula.analysis.scaling import scale
from actlib.formula.analysis.stretches import cycle

__all__ = ["Summary", "summary"]


@dataclass(frozen=True, repr=False)
class Summary(Shown):
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
        """Pairs of a label and a SymPy object or a text, for a table; the text is why, where nothing is said."""
        largest, symmetry = self.largest_slope, self._symmetry()
        reached = isinstance(largest, Bound) and largest.reached
        return [
            ("range", _said(lambda found: found, self.value_range)),
            ("limits at −∞ and ∞", _said(lambda found: sp.Tuple(*found), self.limits)),
            ("monotone", _said(self._monotone, self.monotone_intervals, self.kinks)),
            ("minima and maxima", _said(lambda found: listed(sp.Tuple(e.x, e.value) for e in found), self.extrema)),
            ("zero-centred", _said(lambda found: "yes" if found else "no", self.zero_centred)),
            ("symmetric about" if isinstance(symmetry, sp.Tuple) else "symmetry", symmetry),
            ("smoothness", _said(self._smoothness, self.smoothness)),
            ("inflections", _said(lambda found: listed(p.x for p in found), self.inflections)),
            ("largest slope", _said(lambda found: found.value, largest)),
            ("where" if reached else "approached at", _said(_where, largest)),
            ("Lipschitz constant", _said(lambda found: found.value, self.lipschitz)),
            ("slope vanishes towards", _said(_vanishing, self.saturation)),
        ]

    def _monotone(self, intervals: list[tuple[Interval, int]], kinks: list[Kink]) -> str:
        signs = [rises for _, rises in intervals]
        jumps = [sign(k.jump) for k in kinks if k.order < 0 and k.jump != 0]
        for way, word in ((1, "increasing"), (-1, "decreasing")):
            if all(s == way for s in signs + jumps):
                return f"strictly {word}"
            if way in signs + jumps and -way not in signs + jumps:
                return word
        return "constant" if not any(signs + jumps) else "no"

    def _symmetry(self) -> Expr | str:
        refused = [f for f in (self.parity, self.point_symmetry) if isinstance(f, Refusal)]
        if refused and not isinstance(self.parity, str):
            return refused[0].short
        if self.parity or self.point_symmetry is None:
            return self.parity or "none"
        return sp.Tuple(*self.point_symmetry)

    def _smoothness(self, order: Expr) -> str:
        if order == -1:
            return "not continuous"
        return {0: "continuous", oo: "smooth"}.get(order, f"C{order}")

    def __repr__(self):
        width = max(len(label) for label, _ in self.rows())
        return "\n".join(f"{label:{width}}  {short(value)}" for label, value in self.rows())

    def _latex(self, printer: LatexPrinter) -> str:
        rows = [rf"\text{{{label}}} & {typeset([value], printer)}" for label, value in self.rows()]
        return r"\begin{array}{ll} " + r" \\[0.4em] ".join(rows) + r" \end{array}"


def _said(say: Callable[..., sp.Basic | str], *found: object) -> sp.Basic | str:
    """A row's text or object, or why there is none."""
    refused = [f for f in found if isinstance(f, Refusal)]
    return refused[0].short if refused else say(*found)


def _where(largest: Bound) -> sp.Basic | str:
    return listed(largest.at) if largest.at else "depends on the parameters"


def _vanishing(found: tuple[Saturation, Saturation]) -> sp.Basic | str:
    return listed(s.end for s in found if s.saturates)


@timed
def summary(expr: Expr, x: Symbol) -> Summary:
    """Everything at once, for the card at the head of a chapter; in 20 s altogether.

    What is refused, or takes half of the time that is left, has a `Refusal` in its place.
    """
    end = time.monotonic() + SECONDS - 1
    expr = checked(expr, x)
    core = known.formula if (known := scale(expr, x)) else expr
    if cycle(core, x) is None:
        pieces(core, x)
    found = {}
    for field in fields(Summary):
        if field.name in ("expr", "x"):
            continue
        try:
            with limit(max((end - time.monotonic()) / 2, 0.05)):
                found[field.name] = getattr(questions, field.name)(expr, x)
        except RefusedError as error:
            found[field.name] = Refusal.of(error)
    return Summary(expr, x, **found)
