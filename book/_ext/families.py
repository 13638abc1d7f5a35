"""The figure that opens the book: every function of the registry in a small panel, which leads to its chapter.

It is drawn from the registry whenever the book is built, as inline SVG that takes the page's colours; how many panels
stand side by side is for the page to say, by its width.
"""

import html
import pathlib
import re
from collections.abc import Callable

import numpy as np
import sympy as sp
import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from actlib import ACTIVATIONS
from actlib.activations.activation import Activation
from actlib.formula.primitives import derivative, elementary

LOW, HIGH, BOTTOM, TOP = -4.0, 4.0, -2.0, 4.0
"""The window, the same in all panels."""

PANEL = (80, 60)
"""Its width and height."""

POINTS = 97
SAME = 0.06
"""Curves that are nowhere further apart look like one, which the first of them shows; but a chapter has its panel."""

REFERENCE = "reference"
"""The page that has the functions without a chapter."""


class Families(SphinxDirective):
    """The panels, in the order of the chapters."""

    def run(self) -> list[nodes.Node]:
        """One element of HTML."""
        self.env.note_reread()  # the registry may have changed where the page has not
        panels = [self._panel(activation, curves) for activation, curves in drawn()]
        label = "The functions of this book, each with its curve, from −4 to 4"
        text = f'<div class="act-families" role="group" aria-label="{label}">{"".join(panels)}</div>'
        return [nodes.raw("", text, format="html")]

    def _panel(self, activation: Activation, curves: list[np.ndarray]) -> str:
        folder, place = self.env.docname.rpartition("/")[0], activation.chapter or REFERENCE
        if f"{folder}/{place}" not in self.env.found_docs:
            raise self.error(f"{activation.name} has the chapter {place}, which the book lacks")
        target = f"{place}.html" if activation.chapter else f"{place}.html#actlib.{activation.name}"
        name = re.sub(
            "(?<=[a-zU])(?=[A-Z][a-z])", "<wbr>", html.escape(activation.layer.__name__)
        )  # LeakyReLU: may break
        return f'<a href="{target}">{_svg(curves, len(activation.inputs) == 1)}<span>{name}</span></a>'


def drawn() -> list[tuple[Activation, list[np.ndarray]]]:
    """What has a panel, with its curves."""
    shown: list[tuple[Activation, list[np.ndarray]]] = []
    for activation in ACTIVATIONS.values():
        if len(activation.inputs) > 1 and not activation.chapter:
            continue  # variants of gates and of softmax
        curves, chapter = _curves(activation), activation.chapter
        if not any(_alike(curves, before) for other, before in shown if chapter in (None, other.chapter)):
            shown.append((activation, curves))
    return shown


COVER = (1200, 630)
"""The size of the picture that stands for the book elsewhere, as Open Graph asks for it."""

STYLE = """
rect { fill: #ffffff } text { font-family: 'DejaVu Sans', sans-serif; fill: #1f2328 }
path { fill: none; stroke-linejoin: round } .act-axis { stroke: #d6d9dd; stroke-width: 0.8 }
.act-slope { stroke: #d55e00; stroke-width: 1.2 } .act-curve { stroke: #0072b2; stroke-width: 2 }
"""


def cover(title: str) -> str:
    """A picture of the book: its title above all panels, as SVG."""
    width, height = COVER
    panels, columns = drawn(), 8
    across, down = 142, 150
    left, top = (width - across * columns + 18) / 2, height - down * -(-len(panels) // columns) - 10
    parts = []
    for number, (activation, curves) in enumerate(panels):
        row, column = divmod(number, columns)
        name = html.escape(activation.layer.__name__)
        parts.append(
            f'<g transform="translate({left + across * column:g} {top + down * row:g})"><svg width="124" height="93" '
            f'viewBox="0 0 {PANEL[0]} {PANEL[1]}">{_paths(curves, len(activation.inputs) == 1)}</svg>'
            f'<text x="62" y="114" font-size="13" text-anchor="middle">{name}</text></g>'
        )
    first, _, second = title.partition(", ")
    head = (
        f'<text x="{left:g}" y="82" font-size="52" font-weight="bold">{html.escape(first)},</text>'
        f'<text x="{left:g}" y="142" font-size="52" font-weight="bold">{html.escape(second)}</text>'
    )
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}><title>{html.escape(title)}</title><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}"/>{head}{"".join(parts)}</svg>\n'
    )


def _curves(activation: Activation) -> list[np.ndarray]:
    """Function and slope; of a gate, the curves for the values 1 and -1; of a row of three, how each entry moves."""
    x, *others = activation.inputs
    formula = activation.default_formula
    if not others:
        formulas = [formula, derivative(formula, x)]
    elif len(others) == 1:
        formulas = [formula.subs(others[0], value) for value in (1, -1)]
    else:
        formulas = [
            formula.subs(dict(zip(activation.inputs, places, strict=True)), simultaneous=True)
            for places in ((x, 0, 1), (0, x, 1), (1, x, 0))
        ]
    at = np.linspace(LOW, HIGH, POINTS)
    with np.errstate(all="ignore"):  # of cases that do not hold
        return [np.broadcast_to(_function(f, x)(at), at.shape).astype(float) for f in formulas]


def _function(formula: sp.Expr, x: sp.Symbol) -> Callable:
    return sp.lambdify(x, elementary(formula), "scipy")


def _alike(curves: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether what a panel shows is the same."""
    return len(curves) == len(others) and all(np.abs(a - b).max() < SAME for a, b in zip(curves, others, strict=True))


def _svg(curves: list[np.ndarray], with_slope: bool) -> str:
    paths = _paths(curves, with_slope)
    window = f'viewBox="0 0 {PANEL[0]} {PANEL[1]}" style="overflow: hidden"'  # curves end at the edge
    return f'<svg {window} aria-hidden="true" focusable="false">{paths}</svg>'


def _paths(curves: list[np.ndarray], with_slope: bool) -> str:
    width, height = PANEL
    across = np.linspace(0, width, POINTS)
    zero = height * TOP / (TOP - BOTTOM)
    paths = [f'<path class="act-axis" d="M0 {zero:.1f}H{width}M{width / 2} 0V{height}"/>']
    for number, curve in reversed(list(enumerate(curves))):
        kind = "act-slope" if with_slope and number else "act-curve"
        up = (TOP - np.clip(curve, BOTTOM - 2, TOP + 2)) / (TOP - BOTTOM) * height
        points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, up, strict=True))
        paths.append(f'<path class="{kind}" d="M{points}"/>')
    return "".join(paths)


if __name__ == "__main__":  # for the README: PYTHONPATH=. python book/_ext/families.py
    book = pathlib.Path(__file__).parents[1]
    title = yaml.safe_load((book.parent / "_config.yml").read_text(encoding="utf-8"))["title"]
    (book / "_static" / "cover.svg").write_text(cover(title), encoding="utf-8", newline="\n")


def setup(app):
    """Register the directive."""
    app.add_directive("families", Families)
    return {"parallel_read_safe": True}
