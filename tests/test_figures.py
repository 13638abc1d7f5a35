"""Figures, tables and formulas: accessible, of the page's colours, and the same on every run."""

import dataclasses
import json
import math
import re

import bs4
import numpy as np
import pytest
import sympy as sp
import torch
from IPython.core.interactiveshell import InteractiveShell

from actlib import accuracy, sigmoid
from actlib.book import display, evidence, figures, measurements, tables
from actlib.formula import analysis

x = sp.Symbol("x")


def drawn(alt="A sigmoid with its slopes"):
    figure, _ = figures.curves(sigmoid, name="σ")
    return figures.Figure(figure, alt, "A caption")


def test_figure_has_alternative_text_and_caption():
    soup = bs4.BeautifulSoup(drawn()._repr_html_(), "html.parser")
    assert soup.svg["role"] == "img"
    assert soup.svg["aria-label"] == "A sigmoid with its slopes"
    assert soup.figcaption.text == "A caption"
    assert repr(drawn()) == "Figure: A sigmoid with its slopes"


def test_figure_without_alternative_text_is_refused():
    with pytest.raises(ValueError, match="needs alternative text"):
        drawn(" ")


def test_figure_is_the_same_on_every_run():
    assert drawn().svg == drawn().svg


def test_figures_of_one_page_share_no_names():
    names = [set(re.findall(r'id="([^"]+)"', drawn(alt).svg)) for alt in ("first figure", "second figure")]
    assert names[0]
    assert not names[0] & names[1]
    referred = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawn().svg)}
    assert referred
    assert referred <= set(re.findall(r'id="([^"]+)"', drawn().svg))


def test_last_bits_do_not_show():
    assert not re.search(r' d="[^"]*\d\.\d{3}', drawn().svg)


def test_ink_and_curves_take_the_colours_of_the_page():
    svg = drawn().svg
    assert "currentColor" in svg
    assert figures._INK not in svg
    for number, colour in enumerate(figures.PALETTE[:3], 1):
        assert f"var(--act-{number}, {colour})" in svg


def test_curves_are_function_and_derivatives():
    _, axes = figures.curves(sigmoid, low=-2, high=2, points=5)
    f, slope, curvature = (line.get_ydata() for line in axes.lines[2:])
    y = 1 / (1 + np.exp(-np.linspace(-2, 2, 5)))
    np.testing.assert_allclose(f, y)
    np.testing.assert_allclose(slope, y * (1 - y))
    np.testing.assert_allclose(curvature, y * (1 - y) * (1 - 2 * y), atol=1e-15)


def test_names_at_the_ends_keep_apart():
    _, axes = figures.curves(sigmoid)
    heights = sorted(text.xyann[1] + axes.transData.transform(text.xy)[1] * 0.72 for text in axes.texts)
    assert min(np.diff(heights)) > 5


def test_ulp_figure_shows_the_largest_error_of_each_step():
    inputs = accuracy.every_finite(torch.bfloat16)
    errors = np.full(len(inputs), 0.25)
    errors[(inputs == 1.0).numpy()] = 100
    _, axes = figures.ulp_figure({"value": {"f": accuracy.profile(inputs, errors)}})
    heights = axes.lines[0].get_ydata()
    assert sorted(set(heights)) == [0.25, 100]
    assert (heights == 100).sum() == 1


def test_an_infinite_error_is_marked():
    inputs = accuracy.every_finite(torch.bfloat16)
    errors = np.where(inputs.double().numpy() > 1, np.inf, 0.25)
    _, axes = figures.ulp_figure({"value": {"f": accuracy.profile(inputs, errors)}})
    assert any(line.get_marker() == "x" for line in axes.lines)


def test_table_typesets_formulas_marks_verdicts_and_escapes_text():
    table = tables.Table(
        ["claim", "value"], [["a < b", x**2], ["`f(x)`", evidence.Verdict.DEPENDS], ["n", 12345], ["r", 0.5]]
    )
    soup = bs4.BeautifulSoup(table._repr_html_(), "html.parser")
    cells = [(cell.text, cell.get("class")) for cell in soup.select("tbody td")]
    assert cells == [
        (r"\(x^{2}\)", ["act-math"]),
        ("depends", ["act-part"]),
        ("12,345", ["act-number"]),
        ("0.5", ["act-number"]),
    ]
    assert [cell.text for cell in soup.select("tbody th")] == ["a < b", "f(x)", "n", "r"]
    assert soup.code.text == "f(x)"
    assert soup.select_one(".act-scroll")["tabindex"] == "0"
    assert repr(table).splitlines()[0] == "claim | value"


def test_ulp_table_counts_what_is_above_the_bar():
    inputs = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    ours = accuracy.profile(inputs, np.array([0.5, 0.1]))
    theirs = dataclasses.replace(accuracy.profile(inputs, np.array([0.6, np.inf])), machine="a chip")
    errors = {"value": {"ours": ours, "theirs": theirs}}
    assert tables.ulp_table(errors).caption == "theirs: measured on a chip"
    assert tables.ulp_table(errors).rows == [
        ["value", 0.5, np.inf],
        ["inputs whose value is off by more than 0.55 ulp", 0, 2],
    ]


@pytest.mark.parametrize(("quantity", "label"), [("times", "copy's time"), ("shares", "bandwidth"), ("seconds", "µs")])
def test_figure_of_costs_draws_who_was_measured(quantity, label):
    numbers = {"torch": [1.0, 0.5], "jax": [math.nan, 0.25], "liger": [math.nan, math.nan]}
    cost = measurements.Cost("a chip", [1024, 1 << 22], numbers, numbers, numbers)
    figure, (axes, _) = figures.cost_figure({"float32": cost, "bfloat16": cost}, quantity)
    assert label in axes.get_ylabel()
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1 Ki", "4 Mi"]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["torch", "jax"]
    assert "bfloat16" in figures.Figure(figure, "costs").svg


def test_figure_of_costs_refuses_other_quantities():
    with pytest.raises(ValueError, match="must be one of times, shares, seconds, but 'joules' came"):
        figures.cost_figure({}, "joules")


def test_table_has_links():
    html = tables.Table(
        ["where"], [["see [chapter 1](01_sigmoid.html#use), in (0, 1)"], ["(0, 1] (not a link)"]]
    )._repr_html_()
    assert '<a href="01_sigmoid.html#use">chapter 1</a>, in (0, 1)' in html
    assert html.count("<a ") == 1


def test_table_can_be_folded():
    rows = [["a", 1]]
    assert "<details" not in tables.Table(["", "n"], rows)._repr_html_()
    assert "<summary>The rest</summary>" in tables.Table(["", "n"], rows, fold="The rest")._repr_html_()


def test_figure_has_rows_of_axes():
    _, axes = figures.new(3, rows=2)
    assert axes.shape == (2, 3)


MATHEMATICS = {
    "two formulas": ((x**2, 1 / x), r"\left( x^{2}, \  \frac{1}{x}\right)"),
    "nested": (
        (x, [(sp.Interval(0, 1), 1)]),
        r"\left( x, \  \left[ \left( \left[0, 1\right], \  1\right)\right]\right)",
    ),
    "a result": ([analysis.Point(x, x)], r"\left[ {\left( x, \  x\right)}\right]"),
    "words": ({"relu": x, "n": None}, r"\left\{ \text{n} : \text{None}, \  \text{relu} : x\right\}"),
    "multiplicities": ({x: 2}, r"\left\{ x : 2\right\}"),
}


@pytest.mark.parametrize("name", MATHEMATICS)
def test_containers_of_formulas_are_typeset(name):
    container, latex = MATHEMATICS[name]
    assert display.latex(container) == rf"$\displaystyle {latex}$"


@pytest.mark.parametrize(
    "container", [(), (1, 2.5), ("a",), (x, torch.ones(1)), torch.Size([3]), {"a": [True]}, (x, object)]
)
def test_containers_of_anything_else_are_left_alone(container):
    assert display.latex(container) is None


def test_notebooks_typeset_containers_and_results():
    shell = InteractiveShell()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.get_ipython", lambda: shell)
        display.register()
    shown = {name: shell.display_formatter.format(c)[0] for name, (c, _) in MATHEMATICS.items()}
    assert {name: both["text/latex"] for name, both in shown.items()} == {
        name: rf"$\displaystyle {latex}$" for name, (_, latex) in MATHEMATICS.items()
    }
    assert shown["a result"]["text/plain"] == "[(x, x)]"
    assert set(shell.display_formatter.format((1, 2))[0]) == {"text/plain"}
    card, _ = shell.display_formatter.format(analysis.summary(x := sp.Symbol("x", real=True), x))
    assert card["text/plain"].splitlines()[:2] == [
        "range                   Interval(-oo, oo)",
        "limits at −∞ and ∞      (-oo, oo)",
    ]
    assert set(card) == {"text/plain", "text/latex"}


def test_layers_before_and_after_training_stand_in_one_colour_filled_and_hollow():
    _, axes = figures.new()
    figures.by_layer(axes, {"tanh": [[1, 0.1], [1, 0.01]]})
    before, after = axes.lines
    assert before.get_color() == after.get_color() == figures.BLUE
    assert [line.get_ydata().tolist() for line in (before, after)] == [[0, -1], [0, -2]]
    assert before.get_markerfacecolor() == figures.BLUE
    assert after.get_markerfacecolor() == "none"
    assert [line.get_label() for line in (before, after)] == ["tanh", "_"]


def movable(formula=None):
    a = sp.Symbol("a", positive=True)
    figure, axes = figures.new()
    points = np.linspace(0, 2, 5)
    (line,) = axes.plot(points, 10 * np.sin(3 * points))
    formula = sp.sin(a * x) if formula is None else formula
    return figures.Movable(
        figure, "A wave", "Move it", line=line, formula=formula, x=x, sliders={a: (3, 1, 5)}, unit=10
    )


def test_movable_curve_is_a_still_picture_with_what_a_script_needs():
    soup = bs4.BeautifulSoup(movable()._repr_html_(), "html.parser")
    (path,) = soup.select('svg [id$="-movable"] path')
    about = json.loads(soup.select_one(".act-movable")["data-curve"])
    assert soup.select_one(".act-movable").text == ""
    assert "return sin(p0*x);" in about["source"]
    assert about["sliders"] == [{"name": "a", "value": 3, "low": 1, "high": 5}]
    left, right, bottom, top = about["places"]
    drawn = [float(n) for n in re.findall(r"-?\d+\.?\d*", path["d"])]
    for point, px, py in zip(about["points"], drawn[::2], drawn[1::2], strict=True):
        assert px == pytest.approx(left + point * (right - left), abs=0.02)
        assert py == pytest.approx(bottom + 10 * math.sin(3 * point) * (top - bottom), abs=0.02)


def test_movable_curve_refuses_a_formula_of_something_else():
    with pytest.raises(ValueError, match=r"'y'.* occur"):
        movable(sp.Symbol("y") * x)
