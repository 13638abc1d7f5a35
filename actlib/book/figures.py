"""The book's figures and tables: SVG and HTML that take the page's colours, and that are the same on every run.

A figure is inline SVG: its ink is the colour of the surrounding text and its curves take CSS variables, so that it is
legible on a light and on a dark page; its text is text. Coordinates are rounded to a hundredth of a point, so that the
last bits of a number, which differ between processors, do not show.
"""

import hashlib
import html
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import sympy as sp
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from actlib.accuracy import BAR, Profile
from actlib.book.measurements import Cost
from actlib.formula.source import javascript_source

BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY = PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart; f, f' and f'' are always the first three."""
MUTED = "#888888"
_INK = "#010203"  # stands for the colour of the surrounding text

_ULP_RANGE = (0.1, 4e3)

_STYLE = {
    "svg.fonttype": "none",
    "path.simplify": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "legend.labelcolor": "linecolor",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"), _INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
}


class Figure:
    """A drawn figure, shown as inline SVG with alternative text.

    Args:
        figure: The Matplotlib figure.
        alt: What a reader who does not see it should know.
        caption: A line below it; HTML is allowed.
    """

    def __init__(self, figure: MatplotlibFigure, alt: str, caption: str = ""):
        if not alt.strip():
            raise ValueError("a figure needs alternative text, but an empty one came")
        self.alt = alt
        self.caption = caption
        self.svg = _svg(figure, alt)

    def __repr__(self):
        return f"Figure: {self.alt}"

    def _repr_html_(self):
        caption = f"<figcaption>{self.caption}</figcaption>" if self.caption else ""
        return f'<figure class="act-figure"><div class="act-scroll" tabindex="0">{self.svg}</div>{caption}</figure>'


def new(
    columns: int = 1, size: tuple[float, float] = (7.0, 3.0), rows: int = 1, **options
) -> tuple[MatplotlibFigure, Axes | NDArray]:
    """An empty figure in the book's style, and its axes side by side, in rows where there are several."""
    with mpl.rc_context(_STYLE):
        figure = MatplotlibFigure(figsize=size)
        axes = figure.subplots(rows, columns, **options)
    return figure, axes


def grid(low: float, high: float, points: int) -> torch.Tensor:
    """Equally spaced float64 numbers, the same on every processor: torch.linspace's differ, and miss 0, on some."""
    return torch.from_numpy(np.linspace(low, high, points))


def lines(axes: Axes, x: NDArray, ys: Mapping[str, NDArray], colours: Sequence[str] = PALETTE, **options) -> None:
    """Curves over one x; the name of each stands at its right end, in its colour, clear of the others."""
    with mpl.rc_context(_STYLE):
        for y, colour in zip(ys.values(), colours, strict=False):
            axes.plot(x, y, color=colour, **options)
        axes.margins(x=0)
        scale = axes.transAxes.inverted()
        ends = {name: (x[i], y[i]) for name, y in ys.items() for i in [np.where(np.isfinite(y), x, -np.inf).argmax()]}
        heights = {name: scale.transform(axes.transData.transform(end))[1] for name, end in ends.items()}
        shift, floor = {}, -np.inf
        for name in sorted(ys, key=heights.get):
            floor = max(heights[name], floor + 0.075)
            shift[name] = floor - heights[name]
        points = 72 * axes.get_position().height * axes.figure.get_figheight()
        for (name, end), colour in zip(ends.items(), colours, strict=False):
            offset = (5, shift[name] * points)
            axes.annotate(name, end, offset, textcoords="offset points", va="center", color=colour)


def bands(axes: Axes, x: Sequence[float], runs: Sequence[Sequence[float]], colour: str = BLUE, label: str = "") -> None:
    """The mean of several runs at each x, and the range that they cover."""
    runs = np.asarray(runs)
    with mpl.rc_context(_STYLE):
        axes.fill_between(x, runs.min(1), runs.max(1), color=colour, alpha=0.25, linewidth=0)
        axes.plot(x, runs.mean(1), color=colour, marker="o", markersize=4, label=label)


def learning_curves(
    axes: Axes, steps: Sequence[int], runs: Mapping[str, NDArray], colours: Sequence[str] = PALETTE, digits: int = 2
) -> None:
    """Loss or accuracy over the steps of training: the median over the seeds, and the middle half of them.

    Args:
        axes: Where to draw.
        steps: When it was looked.
        runs: By name, one row a seed, one column a moment.
        colours: One a name.
        digits: Values are rounded to so many, for a training's last digits differ between processors.
    """
    ends = {}
    with mpl.rc_context(_STYLE):
        for (name, values), colour in zip(runs.items(), colours, strict=False):
            low, middle, high = np.round(np.quantile(np.asarray(values), (0.25, 0.5, 0.75), axis=0), digits)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            ends[name] = middle
    lines(axes, np.asarray(steps), ends, colours)


def by_layer(
    axes: Axes, layers: Mapping[str, Sequence[float]], colours: Sequence[str] = PALETTE, digits: int = 1
) -> None:
    """A quantity at each hidden layer, on a logarithmic axis: filled dots before training, and hollow ones after it.

    Args:
        axes: Where to draw.
        layers: By name, one positive number a layer, or two rows of them: before training, and after it.
        colours: One a name.
        digits: Their logarithms to base 10 are rounded to so many.
    """
    with mpl.rc_context(_STYLE):
        for (name, values), colour in zip(layers.items(), colours, strict=False):
            rows = np.round(np.log10(np.maximum(np.atleast_2d(values), 1e-300)), digits)
            at = np.arange(1, rows.shape[1] + 1)
            for row, style in zip(rows, ({}, {"markerfacecolor": "none", "linestyle": (0, (4, 3))}), strict=False):
                axes.plot(at, row, marker="o", color=colour, markersize=4, linewidth=1.2, label=name, **style)
                name = "_"  # the second row needs no entry of its own
        axes.set_xlabel("hidden layer")
        axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda y, _: f"$10^{{{y:g}}}$"))
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))


def curves(
    function: Callable, low: float = -6.0, high: float = 6.0, name: str = "f", points: int = 241
) -> tuple[MatplotlibFigure, Axes]:
    """A function with its first two derivatives, by autograd in float64.

    Args:
        function: A differentiable elementwise torch function.
        low: Left end.
        high: Right end.
        name: How the curves are called.
        points: How many points are drawn.

    Returns:
        The figure and its axes.
    """
    x = grid(low, high, points).requires_grad_()
    y = function(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    figure, axes = new()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    drawn = {name: y, f"{name}′": first, f"{name}″": second}
    lines(axes, x.detach().numpy(), {label: values.detach().numpy() for label, values in drawn.items()})
    axes.set_xlabel("x")
    return figure, axes


CONTENDERS = {
    "actlib": BLUE,
    "torch": ORANGE,
    "actlib compiled": SKY,
    "torch compiled": YELLOW,
    "jax": GREEN,
    "liger": PURPLE,
    "torch relu": MUTED,
}
"""Those that the benchmark compares, in their colours."""

_QUANTITIES = {
    "times": "time / copy's time",
    "shares": "share of the copy's bandwidth",
    "seconds": "time of a call (µs)",
}


def cost_figure(
    costs: Mapping[str, Cost],
    quantity: str = "times",
    contenders: Sequence[str] = tuple(CONTENDERS)[:-1],
    xlabel: str = "elements",
) -> tuple[MatplotlibFigure, NDArray]:
    """Time, or share of the copy's bandwidth, over the number of elements, as the benchmark has kept them.

    Args:
        costs: What `measurements.Results.cost` gives, by the title of the panel.
        quantity: "times", in times of the copy's; "shares"; or "seconds", for GPUs alone.
        contenders: Who is drawn, if he was measured.
        xlabel: What varies; "length of the rows" for what `cost_by_row` gives.

    Returns:
        The figure and the axes of its panels.

    Raises:
        ValueError: Another quantity came.
    """
    if quantity not in _QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(_QUANTITIES)}, but {quantity!r} came")
    figure, panels = new(len(costs), size=(7.0, 3.4), sharey=True, squeeze=False)
    unit = 1e6 if quantity == "seconds" else 1
    drawn = {}
    with mpl.rc_context(_STYLE):
        for axes, (title, cost) in zip(panels[0], costs.items(), strict=True):
            axes.set(title=title, xlabel=xlabel, xscale="log")
            if quantity == "shares":
                axes.axhline(1, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
                axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
            else:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
            for name in reversed(contenders):  # the first is drawn last, over the others
                y = np.array(getattr(cost, quantity).get(name, math.nan)) * unit
                if np.isfinite(y).any():
                    style = {"color": CONTENDERS[name], "marker": "o", "markersize": 4}
                    (drawn[name],) = axes.plot(cost.elements, y, **style)
            ticks = cost.elements[:: 1 if len(cost.elements) < 7 else 2]
            axes.set_xticks(ticks, [_binary(n) for n in ticks])
            axes.minorticks_off()
        if quantity == "shares":
            panels[0, 0].set_ylim(bottom=0)
        panels[0, 0].set_ylabel(_QUANTITIES[quantity])
        named = [name for name in contenders if name in drawn]
        handles = [drawn[name] for name in named]
        figure.legend(handles, named, loc="outside upper left", ncols=6, handlelength=1, columnspacing=1.5)
    return figure, panels[0]


def _binary(count: int) -> str:
    """1,024 as 1 Ki."""
    for power, unit in ((20, "Mi"), (10, "Ki")):
        if count >= 1 << power and count % (1 << power) == 0:
            return f"{count >> power} {unit}"
    return f"{count:,}"


def ulp_figure(errors: Mapping[str, Mapping[str, Profile]]) -> tuple[MatplotlibFigure, NDArray]:
    """Largest error in ulp within each quarter of a power of two, over every finite number of a 16-bit type.

    Args:
        errors: For each panel ("value", "slope") the errors by the name of the function.

    Returns:
        The figure and the axes of its panels.
    """
    ticks = {"2⁻⁸": -8, "1": 0, "256": 8}
    figure, panels = new(len(errors), size=(7.0, 3.2), sharey=True)
    with mpl.rc_context(_STYLE):
        for axes, (title, by_name) in zip(np.atleast_1d(panels), errors.items(), strict=True):
            # The first function is drawn last: where it is right, it covers the others.
            for (name, found), colour in reversed(list(zip(by_name.items(), PALETTE, strict=False))):
                places, largest = found.places, found.largest
                shown = np.clip(largest, *_ULP_RANGE)
                axes.step(places, shown, where="mid", label=name, color=colour)
                if np.isinf(largest).any():
                    axes.plot(places[np.isinf(largest)], shown[np.isinf(largest)], "x", color=colour, clip_on=False)
            axes.axhline(BAR, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.set(title=title, yscale="log", ylim=_ULP_RANGE, xlabel="input")
            axes.set_xticks(
                [sign * (t + 14.25) for sign in (-1, 1) for t in ticks.values()],
                [sign + name for sign in ("−", "") for name in ticks],
            )
            axes.minorticks_off()
        np.atleast_1d(panels)[0].set_ylabel("largest error (ulp)")
        np.atleast_1d(panels)[-1].legend(loc="upper center", reverse=True)
    return figure, panels


def _svg(figure: MatplotlibFigure, alt: str) -> str:
    key = hashlib.sha256(alt.encode()).hexdigest()[:8]
    with mpl.rc_context({**_STYLE, "svg.hashsalt": key}), io.StringIO() as buffer:
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Matplotlib's names are hashes of coordinates, which differ between processors in digits that no one sees.
    names = dict.fromkeys(re.findall(r'\bid="([a-z][0-9a-f]{10})"', text))
    for number, name in enumerate(names, 1):
        text = text.replace(name, f"n{number}")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{key}-", text)  # two figures of a page share no names
    text = re.sub(r'(?<= )(d|x|y|transform|points)="([^"]*)"', lambda m: f'{m[1]}="{_rounded(m[2])}"', text)
    text = text.replace(_INK, "currentColor")
    for number, colour in enumerate(PALETTE, 1):
        text = text.replace(colour, f"var(--act-{number}, {colour})")
    text = text.replace(MUTED, f"var(--act-muted, {MUTED})")
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text)
    label = html.escape(alt, quote=True)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    text = re.sub(r"<svg [^>]*>", "", text, count=1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}pt">{text.strip()}'
    )


def _rounded(text: str) -> str:
    if "scale" in text or "matrix" in text:
        return text
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)


class Movable(Figure):
    """A figure one of whose curves the reader moves, by sliders or by dragging it; without scripts it stands still.

    On the site, `movable.js` puts the sliders below it, draws the curve anew, and says how far it swings.

    Args:
        figure: The Matplotlib figure.
        alt: What a reader who does not see it should know.
        caption: A line below it; HTML is allowed.
        line: The curve, as `axes.plot` has returned it.
        formula: What it shows, in SymPy: of the symbol `x` and of those of `sliders`.
        x: What runs along the horizontal axis.
        sliders: For each constant its start, which is what is drawn, and the ends of its slider.
        unit: The curve is drawn multiplied by this.

    Raises:
        ValueError: The formula has other symbols.
    """

    def __init__(
        self,
        figure: MatplotlibFigure,
        alt: str,
        caption: str,
        *,
        line: Line2D,
        formula: sp.Expr,
        x: sp.Symbol,
        sliders: Mapping[sp.Symbol, tuple[float, float, float]],
        unit: float = 1,
    ):
        if strange := formula.free_symbols - {x, *sliders}:
            raise ValueError(f"expected a formula of {[x, *sliders]}, but {sorted(map(str, strange))} occur in it")
        line.set_gid("movable")
        super().__init__(figure, alt, caption)
        names = {symbol: sp.Symbol(f"p{number}", real=True) for number, symbol in enumerate(sliders)}
        at = sp.Symbol("x", real=True)
        source = javascript_source("curve", [at, *names.values()], [formula.subs({x: at, **names}, simultaneous=True)])
        # Where 0 and 1 lie in the picture, in points from its upper left corner.
        corner, far = line.axes.transData.transform([(0, 0), (1, 1)]) * 72 / figure.dpi
        places = [corner[0], far[0], 72 * figure.get_figheight() - corner[1], 72 * figure.get_figheight() - far[1]]
        about = {
            "source": source,
            "places": [round(float(place), 4) for place in places],
            "points": [round(float(value), 6) for value in line.get_xdata()],
            "unit": unit,
            "sliders": [
                {"name": sp.pretty(symbol), "value": value, "low": low, "high": high}
                for symbol, (value, low, high) in sliders.items()
            ],
        }
        self._about = html.escape(json.dumps(about, ensure_ascii=False), quote=True)

    def _repr_html_(self):
        controls = f'<div class="act-movable" data-curve="{self._about}"></div>'
        return super()._repr_html_().replace("</svg></div>", f"</svg></div>{controls}")
