"""The book's tables: HTML that takes the page's colours."""

import collections
import html
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import sympy as sp

from actlib.accuracy import BAR, Profile


class Table:
    """A table of text, numbers and formulas.

    Args:
        header: Titles of the columns; empty for a table without.
        rows: The cells; a SymPy expression is typeset, text in backquotes is code, `[text](target)` is a link, and a
            verdict is marked.
        caption: A line above it.
        fold: What to click at to see it; empty for a table that stands open.
    """

    def __init__(self, header: Sequence[str], rows: Iterable[Sequence], caption: str = "", fold: str = ""):
        self.header = list(header)
        self.rows = [list(row) for row in rows]
        self.caption = caption
        self.fold = fold

    def __repr__(self):
        return "\n".join(" | ".join(map(str, row)) for row in [self.header, *self.rows] if row)

    def _repr_html_(self):
        row = lambda cells: (
            f'<tr><th scope="row"{_class(cells[0])}>{cell(cells[0])[0]}</th>{"".join(map(td, cells[1:]))}</tr>'
        )
        return self._page("act-table", self.header, [f"<tbody>{''.join(map(row, self.rows))}</tbody>"])

    def _page(self, style: str, header: Sequence[str], bodies: Iterable[str]) -> str:
        caption = f"<caption>{self.caption}</caption>" if self.caption else ""
        head = "".join(f'<th scope="col">{cell(c)[0]}</th>' for c in header)
        head = f"<thead><tr>{head}</tr></thead>" if head else ""
        # The class lets MathJax typeset formulas in here; the box scrolls on narrow screens, by keyboard too.
        table = (
            '<div class="act-scroll tex2jax_process" tabindex="0" role="region" aria-label="Table">'
            f'<table class="{style}">{caption}{head}{"".join(bodies)}</table></div>'
        )
        return f'<details class="act-fold"><summary>{self.fold}</summary>{table}</details>' if self.fold else table


def ulp_table(errors: Mapping[str, Mapping[str, Profile]]) -> Table:
    """Largest errors in ulp, and how many inputs are off by more than the bar; argument as for `figures.ulp_figure`."""
    largest = [[what, *map(_shown, by_name.values())] for what, by_name in errors.items()]
    counts = [
        [f"inputs whose {what} is off by more than {BAR} ulp", *(e.over for e in by_name.values())]
        for what, by_name in errors.items()
    ]
    machines = collections.defaultdict(list)
    for name, found in next(iter(errors.values())).items():
        machines[found.machine].append(name)
    caption = "; ".join(f"{', '.join(names)}: measured on {machine}" for machine, names in machines.items() if machine)
    return Table(["largest error in ulp", *next(iter(errors.values()))], largest + counts, caption)


def _shown(errors: Profile) -> float:
    """The largest error, to as many digits as are the same on every processor where it was not measured on one."""
    return float(f"{errors.max():.4g}") if errors.machine or errors.max() >= 1 else round(errors.max(), 2)


def cell(value: object) -> tuple[str, str]:
    """HTML of a cell and its class."""
    if isinstance(value, (sp.Basic, sp.MatrixBase)):
        return rf"\({sp.latex(value)}\)", "act-math"
    if isinstance(value, (bool, np.bool_)):
        return ("yes" if value else "no"), ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}", "act-number"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}", "act-number"
    text = html.escape(str(value), quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\[([^\]]+)\]\(([^\s)]+)\)", r'<a href="\2">\1</a>', text), getattr(value, "style", "")


def group(head: object, rows: str) -> str:
    """Rows of three columns under a heading that spans them."""
    return f'<tbody><tr><th scope="rowgroup" colspan="3">{cell(head)[0]}</th></tr>{rows}</tbody>'


def td(value: object) -> str:
    """A cell that is no header."""
    return f"<td{_class(value)}>{cell(value)[0]}</td>"


def _class(value: object) -> str:
    style = cell(value)[1]
    return f' class="{style}"' if style else ""
