"""The explorer page in a real browser: its numbers, its controls, its link; and formulas of one's own."""

import json
import math
import pathlib
import re
import zipfile
from xml.etree import ElementTree

import mpmath
import pytest
import torch
from conftest import Visit, barriers
from formulas import every_activation
from test_typed import HOSTILE

import actlib
from actlib import ACTIVATIONS
from actlib.formula.parser import FormulaError, parse

PATIENCE = 300_000
"""Milliseconds; how fast the machine is, is no matter of these tests."""

generator = torch.Generator().manual_seed(7)
POINTS = [
    *((2 * torch.rand(150, dtype=torch.float64, generator=generator) - 1) * 6).tolist(),
    *((2 * torch.rand(40, dtype=torch.float64, generator=generator) - 1) * 40).tolist(),
    *(-3.0, -1.0, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 1.0, 3.0, 6.0),
]


@pytest.fixture(scope="module")
def page(browser, address):
    """The explorer, for tests that only ask its modules."""
    with Visit(browser, f"{address}/book/explorer.html") as visit:
        yield visit.page


@pytest.fixture
def visit(browser, address):
    """Opens the explorer; afterwards nothing must have gone wrong on any visit."""
    visits = []

    def opened(state="", **options):
        visits.append(Visit(browser, f"{address}/book/explorer.html{state}", **options))
        visits[-1].page.set_default_timeout(PATIENCE)
        return visits[-1].page

    yield opened
    trouble = [v.trouble + v.foreign for v in visits]
    for v in visits:
        v.page.close()
    assert not any(trouble), trouble


def in_javascript(page, name, parameters):
    """Value, slope and second derivative at each of the points, computed by the page."""
    text = page.evaluate(
        """async ([name, points, parameters]) => {
            const { ACTIVATIONS } = await import('../_static/explorer/functions.js');
            const { derivatives } = ACTIVATIONS.find((about) => about.name === name);
            return JSON.stringify(points.map((x) => derivatives(x, ...parameters).map(String)));
        }""",
        [name, POINTS, parameters],
    )
    rows = [[float(v.replace("Infinity", "inf")) for v in row] for row in json.loads(text)]
    return torch.tensor(rows, dtype=torch.float64).T


def in_torch(activation, others, parameters):
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    columns = [torch.full_like(x, value) for value in others]
    run = activation.entry if activation.op is None else activation.op
    found = [run(x, *columns, *parameters)]
    for _ in range(2):
        last = found[-1]
        (slope,) = torch.autograd.grad(last.sum(), x, create_graph=True) if last.requires_grad else (None,)
        found.append(torch.zeros_like(x) if slope is None else slope)
    return torch.stack([v.detach().expand(len(POINTS)) for v in found])


@every_activation
@pytest.mark.parametrize("setting", [0, 1], ids=["defaults", "other values"])
def test_every_function_agrees_with_torch_to_1e_12(page, activation, setting):
    """The two share the formula but no implementation of a primitive; the absolute part is for zeros of a slope."""
    others = [[1.0, 0.5], [-1.75, 2.5]][setting][: len(activation.inputs) - 1]
    symbols = () if activation.op is None else activation.op.parameters
    parameters = [activation.defaults[s.name] * (1, 1.25)[setting] for s in symbols]
    computed = in_javascript(page, activation.name, [*others, *parameters])
    torch.testing.assert_close(computed, in_torch(activation, others, parameters), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["erf", "erfc", "Phi", "Phi_tail", "phi", "sinh", "cosh", "atan", "asinh", "cosatan"])
def test_functions_are_right_to_1e_15(page, name):
    points = [i / 64 for i in range(-37 * 64, 37 * 64, 7)]
    computed = page.evaluate(
        """async ([name, points]) => {
            const primitives = await import('../_static/explorer/primitives.js');
            return points.map(primitives[name]);
        }""",
        [name, points],
    )
    exact = {
        "erf": mpmath.erf,
        "erfc": mpmath.erfc,
        "Phi": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
        "Phi_tail": lambda x: mpmath.erfc(abs(x) / mpmath.sqrt(2)) * mpmath.exp(x**2 / 2) / 2,
        "phi": lambda x: mpmath.exp(-(x**2) / 2) / mpmath.sqrt(2 * mpmath.pi),
        "cosatan": lambda x: 1 / mpmath.sqrt(1 + x * x),
    }.get(name) or getattr(mpmath, name)
    with mpmath.workdps(40):
        pairs = [(value, exact(mpmath.mpf(x))) for x, value in zip(points, computed, strict=True)]
        assert max(abs(value - right) / right for value, right in pairs if abs(right) > 1e-300) < 1e-15


def curve(page, panel=0):
    """A fingerprint of what is drawn: the data behind a panel is not in the page, so its pixels are."""
    return page.locator(".exp-panel canvas").nth(panel).evaluate("canvas => canvas.toDataURL()")


def test_choosing_draws_and_removing_clears(visit):
    page = visit("#f=relu")
    before = curve(page)
    page.select_option("#exp-add", "mish")
    assert page.locator("#act-explorer tbody tr").count() == 2
    assert curve(page) != before
    page.get_by_role("button", name="Remove mish").click()
    assert page.locator("#act-explorer tbody tr").count() == 1
    assert curve(page) == before
    page.get_by_role("button", name="Remove relu").click()
    assert page.locator("#act-explorer tbody tr").count() == 0


def test_no_more_functions_than_colours(visit):
    page = visit("#f=relu,elu,silu,gelu,mish,tanh,sigmoid")
    assert page.locator(".exp-cards li").count() == 6
    assert page.locator("#exp-add").is_disabled()


def test_a_parameter_moves_curve_and_value(visit):
    page = visit("#f=swish:1&at=2")
    before = curve(page)
    cell = page.locator("#act-explorer tbody td").first
    assert cell.inner_text() == "1.76159"
    page.get_by_role("slider", name="beta of swish").fill("0.5")
    assert curve(page) != before
    assert cell.inner_text() == f"{2 / (1 + math.exp(-1)):.6g}"
    page.get_by_role("spinbutton", name="beta of swish").fill("2")
    assert cell.inner_text() == f"{2 / (1 + math.exp(-4)):.6g}"


def test_a_jump_is_a_gap(page):
    gap = page.evaluate(
        """async () => {
            const { Plot } = await import('../_static/explorer/plot.js');
            const host = document.createElement('div');
            document.body.append(host);
            const plot = new Plot(host);
            plot.width = 400;
            plot.curves = [{ label: 'step', colour: '--act-1', evaluate: (x) => [Math.abs(x), x > 0 ? 1 : -1, 0] }];
            const { x, y } = plot.sample();
            host.remove();
            const at = (order) => y[0][order].flatMap((v, i) => (v === null ? [x[i]] : []));
            return [at(0), at(1), at(2)];
        }"""
    )
    assert [len(g) for g in gap] == [0, 1, 0]
    assert abs(gap[1][0]) < 1e-6


def state(page):
    page.wait_for_function("location.hash.includes('at=')")
    page.wait_for_timeout(300)
    return dict(part.split("=", 1) for part in page.evaluate("location.hash.slice(1)").split("&"))


def test_the_link_restores_the_state(visit):
    page = visit("#f=swish:0.5,hardsigmoid&x=-2.5,4&d=0,2&at=-1.25")
    assert state(page) == {"f": "swish:0.5,hardsigmoid", "x": "-2.5,4", "d": "0,2", "at": "-1.25"}
    assert page.locator(".exp-head").all_inner_texts() == ["swish\n×", "hardsigmoid\n×"]
    assert page.locator(".exp-panel:visible").count() == 2
    assert page.locator("#exp-x").input_value() == "-1.25"
    page.select_option("#exp-add", "gelu")
    page.get_by_role("spinbutton", name="beta of swish").fill("3")
    page.get_by_label("f′", exact=True).check()
    page.get_by_role("button", name="Zoom in").click()
    page.locator("#exp-x").fill("0.5")
    left = state(page)
    assert left["f"] == "swish:3,hardsigmoid,gelu"
    assert (left["d"], left["at"]) == ("0,1,2", "0.5")
    other = visit(page.evaluate("location.hash"))
    assert state(other) == left
    assert [curve(other, panel) for panel in range(3)] == [curve(page, panel) for panel in range(3)]


@pytest.mark.parametrize(
    "broken",
    [
        "#f=nothing",
        "#f=__proto__,constructor,toString",
        "#f=swish:NaN&x=5,-5&d=7&at=x",
        "#f=swish:1e999&x=-1e300,1e300",
        "#f=<script>alert(1)</script>&own=<img src=x onerror=alert(1)>&with=__proto__:1",
        "#%%%&&&===",
        "#own=" + "x" * 100_000,
    ],
    ids=str.__len__,
)
def test_a_broken_link_does_no_harm(visit, broken):
    page = visit(broken)
    left = state(page)
    assert left["d"] == "0,1,2" or "d=" in broken
    assert all(name.split(":")[0] in ACTIVATIONS for name in left["f"].split(",") if name)
    assert left["x"] == "-6,6"
    assert page.locator("#act-explorer script, #act-own script, #act-own img").count() == 0


def test_the_pointer_reads_values_and_a_drag_zooms(visit):
    page = visit("#f=tanh")
    box = page.locator(".exp-panel .u-over").first.bounding_box()
    at = lambda share: (box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    page.mouse.move(*at(0.75))
    x = float(page.locator("#exp-x").input_value())
    assert abs(x - 3) < 0.05
    assert page.locator("#act-explorer tbody td").first.inner_text() == f"{math.tanh(x):.6g}"
    page.mouse.move(*at(0.5))
    page.mouse.down()
    page.mouse.move(*at(0.6))
    page.mouse.move(*at(0.75))
    page.mouse.up()
    low, high = map(float, state(page)["x"].split(","))
    assert abs(low) < 0.05
    assert abs(high - 3) < 0.05
    page.mouse.dblclick(*at(0.5))
    assert state(page)["x"] == "-6,6"


def test_fingers_read_and_zoom(visit):
    page = visit("#f=tanh", has_touch=True, viewport={"width": 390, "height": 844})
    over = page.locator(".exp-panel .u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    touch = lambda kind, finger, share: over.dispatch_event(
        kind,
        {
            "pointerId": finger,
            "pointerType": "touch",
            "clientX": box["x"] + share * box["width"],
            "clientY": box["y"] + 20,
            "bubbles": True,
        },
    )
    touch("pointerdown", 1, 0.25)
    assert abs(float(page.locator("#exp-x").input_value()) + 3) < 0.1
    touch("pointerdown", 2, 0.75)
    touch("pointermove", 1, 0.0)
    touch("pointermove", 2, 1.0)
    low, high = map(float, state(page)["x"].split(","))
    assert abs(low + 3) < 0.1
    assert abs(high - 3) < 0.1


def test_keys_read_and_zoom(visit):
    page = visit("#f=tanh&at=1")
    page.locator(".exp-area").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#exp-x").input_value() == "1.12"
    page.keyboard.press("Shift+ArrowRight")
    assert state(page)["x"] == "-4.8,7.2"
    page.keyboard.press("0")
    page.keyboard.press("+")
    assert state(page)["x"] == "-4,4"
    page.keyboard.press("-")
    assert state(page)["x"] == "-6,6"


def test_the_keyboard_alone_reaches_everything(visit):
    page = visit("#f=swish,softplus")
    wanted = page.evaluate(
        """() => {
            const inside = document.querySelectorAll('#act-explorer, #act-own');
            const reachable = 'a, button, input, select, summary, [tabindex]';
            const all = [...inside].flatMap((e) => [...e.querySelectorAll(reachable)]);
            window.wanted = new Set(all.filter((e) => !e.disabled && e.checkVisibility()));
            return window.wanted.size;
        }"""
    )
    assert wanted > 20
    page.locator("#exp-add").focus()
    for _ in range(2 * wanted):
        visible = page.evaluate(
            """() => {
                const e = document.activeElement;
                window.wanted.delete(e);
                const ring = getComputedStyle(e);
                const ours = e.closest('#act-explorer, #act-own');
                return !ours || ring.outlineStyle !== 'none' || ring.boxShadow !== 'none';
            }"""
        )
        assert visible, "focus must be seen"
        page.keyboard.press("Tab")
    assert page.evaluate("[...window.wanted].map((e) => e.outerHTML.slice(0, 80))") == []


def test_dark_and_light_differ_and_follow_the_switch(visit):
    page = visit("#f=gelu", color_scheme="light")
    light = curve(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("before => document.querySelector('.exp-panel canvas').toDataURL() !== before", arg=light)


def requests(page):
    return page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")


def test_python_is_fetched_only_when_asked(visit):
    page = visit("#own=x*sigma(x)")
    page.wait_for_timeout(500)
    assert page.locator("#exp-formula").input_value() == "x*sigma(x)"
    assert page.locator("#act-own canvas").count() == 3
    assert not [url for url in requests(page) if "pyodide" in url or "python" in url or "worker" in url]


def test_a_function_of_the_library_is_drawn_below(visit):
    page = visit("#f=relu&own=x*sigma(x)")
    alone = page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()")
    page.select_option("#exp-beside", "gelu")
    assert page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()") != alone
    assert "gelu: f = 0.841345" in page.locator(".exp-values").inner_text()
    assert state(page)["beside"] == "gelu"
    other = visit(page.evaluate("location.hash"))
    assert other.locator("#exp-beside").input_value() == "gelu"
    assert "gelu: f = 0.841345" in other.locator(".exp-values").inner_text()
    assert 0 <= other.locator("#act-own").bounding_box()["y"] < 600  # which is what the link is about


def test_values_of_ones_own_are_read_where_a_number_is_typed(visit):
    page = visit("#f=relu&own=x*sigma(x)")
    page.locator("#exp-own-x").fill("2")
    assert f"f = {2 / (1 + math.exp(-2)):.6g}" in page.locator(".exp-values").inner_text()
    assert state(page)["ownat"] == "2"
    other = visit(page.evaluate("location.hash"))
    assert other.locator("#exp-own-x").input_value() == "2"
    assert f"f = {2 / (1 + math.exp(-2)):.6g}" in other.locator(".exp-values").inner_text()
    other.locator("#act-own .exp-area").focus()
    other.keyboard.press("ArrowRight")
    assert other.locator("#exp-own-x").input_value() == "2.12"


def test_plots_have_a_caption(visit):
    page = visit("#f=silu,swish:2&d=0,1&own=x*tanh(x)")
    captions = page.locator(".exp-caption").all_inner_texts()
    assert captions == [
        "Value (f), slope (f′) of silu, swish (beta 2).",
        "Value (f), slope (f′), second derivative (f″) of f(x) = x*tanh(x).",
    ]


def test_where_two_curves_are_farthest_apart_is_told(visit):
    page = visit("#own=x*sigma(x)&beside=gelu")
    told = lambda: re.search(r"at x ≈ (−?[\d.]+): by ([\d.]+)\.", page.locator(".exp-values").inner_text()).groups()
    x = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    gap, at = (actlib.silu(x) - actlib.gelu(x)).abs().max(0)
    place, by = (float(number.replace("−", "-")) for number in told())
    assert abs(place) == pytest.approx(abs(x[at].item()), abs=0.01)
    assert by == pytest.approx(gap.item(), rel=1e-3)
    page.locator("#act-own").get_by_role("button", name="Zoom in").click()
    page.locator("#act-own").get_by_role("button", name="Move right").click()
    assert told()


def test_curves_that_coincide_are_named(visit):
    page = visit("#f=silu,swish:1&own=x*sigma(x)&beside=silu")
    said = page.locator("#act-explorer .exp-together")
    assert "f, f′, f″ of silu and swish (beta 1) coincide in the whole window." in said.inner_text()
    page.get_by_role("spinbutton", name="beta of swish").fill("2")
    assert "whole" not in said.inner_text()
    assert "f, f′, f″ of silu and your formula" in page.locator("#act-own .exp-together").inner_text()
    page.select_option("#exp-add", "relu")
    page.get_by_role("button", name="Remove silu").click()
    page.get_by_role("button", name="Remove swish").click()
    assert said.is_hidden()


@pytest.mark.parametrize("where", ["#act-explorer", "#act-own"])
def test_pictures_are_saved(visit, where):
    page = visit("#f=silu,swish:1&own=where(x < 1, x, 0)&beside=silu")
    saved = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.locator(where).get_by_role("button", name=f"Download as {kind}").click()
        names = {"#act-explorer": "silu-swish", "#act-own": "silu-own"}
        assert download.value.suggested_filename == f"{names[where]}-curves.{kind.lower()}"
        saved[kind] = pathlib.Path(download.value.path()).read_bytes()
    assert saved["PNG"].startswith(b"\x89PNG")
    root = ElementTree.fromstring(saved["SVG"])
    inside = [e.tag.rpartition("}")[2] for e in root.iter()]
    assert set(inside) == {"svg", "title", "rect", "path", "text"}
    curves = [e.get("d") for e in root.iter() if e.get("stroke-linejoin") and "h" not in e.get("d")]
    assert len(curves) == 6
    assert all("NaN" not in d for d in curves)
    dashed = [e for e in root.iter() if e.get("stroke-dasharray")]
    assert bool(dashed) == (where == "#act-explorer")


def test_a_link_is_copied(visit):
    page = visit("#f=tanh", permissions=["clipboard-read", "clipboard-write"])
    page.locator("#exp-x").fill("0.25")
    copy = page.locator("#act-explorer").get_by_role("button", name="Copy a link")
    copy.click()
    page.wait_for_function("button => button.textContent === 'Copied'", arg=copy.element_handle())
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.evaluate("location.href")
    assert "at=0.25" in copied


def test_python_starts_when_the_field_is_entered_and_again_after_a_stop(visit):
    page = visit("#own=x*sigma(x)")
    page.evaluate(
        """() => {
            window.workers = [];
            window.Worker = class {
                constructor(url) { workers.push(this); this.running = true; }
                terminate() { this.running = false; }
                postMessage(message) { this.asked = message; }
            };
        }"""
    )
    tell = lambda message: page.evaluate("(data) => workers.at(-1).onmessage({ data })", message)
    running = lambda: page.evaluate("workers.map((w) => w.running)")
    page.locator("#exp-formula").focus()
    assert running() == [True]
    assert page.locator("#act-own progress").is_hidden()
    page.locator(".exp-derive").click()
    shown = [page.locator("#act-own progress").get_attribute("value")]
    for message in ({"kind": "loaded", "loaded": 10**6}, {"kind": "loaded", "loaded": 10**9}, {"kind": "starting"}):
        tell(message)
        shown.append(page.locator("#act-own progress").get_attribute("value"))
    tell({"kind": "ready"})
    shown.append(page.locator("#act-own progress").get_attribute("value"))
    assert [float(v) for v in shown] == sorted({float(v) for v in shown})
    assert page.locator("#exp-status").inner_text() == "Step 4 of 4: SymPy derives…"
    assert page.evaluate("workers[0].asked.formula") == "x*sigma(x)"
    page.get_by_role("button", name="Stop").click()
    assert running() == [False, True]
    assert page.locator("#exp-status").inner_text() == "Stopped."


def type_and_wait(page, text):
    """Types a formula, and ends the pause after it by hand: the pause in milliseconds; what is drawn is drawn then."""
    return page.evaluate(
        """async (text) => {
            const set = window.setTimeout;
            const asked = [];
            window.setTimeout = (then, after) => asked.push([then, after]);
            const input = document.getElementById('exp-formula');
            input.value = text;
            input.dispatchEvent(new Event('input'));
            window.setTimeout = set;
            const [[draw, pause]] = asked.filter(([then]) => then.name === 'draw');
            draw();
            await null;  // uPlot paints in a microtask
            return pause;
        }""",
        text,
    )


def test_what_is_typed_is_drawn_within_300_milliseconds_without_python(visit):
    page = visit()
    page.evaluate("() => { window.Worker = class { constructor() { throw Error('asked for') } } }")
    assert page.locator("#act-own canvas").count() == 0
    drawn = set()
    for text in ("x*sigma(x)", "x*sigma(beta*x) + 1", "log(x)", "where(x > 0, x, alpha*(exp(x) - 1))"):
        assert type_and_wait(page, text) < 300
        drawn.add(page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()"))
        assert page.locator("#exp-status.exp-wrong").count() == 0
    assert len(drawn) == 4
    assert page.locator("#act-own").get_by_role("slider", name="alpha").count() == 1


@pytest.mark.parametrize("size", [(1200, 700), (390, 600)])
def test_what_is_drawn_comes_into_view(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    field = page.locator("#exp-formula")
    field.evaluate("e => e.scrollIntoView({block: 'end'})")
    field.fill("x*sigma(x)")
    page.wait_for_function(
        "document.querySelector('#act-own .exp-figure').getBoundingClientRect().top < 0.75 * innerHeight"
    )
    assert field.evaluate("e => e.getBoundingClientRect().top") > 0


def test_a_slip_gets_the_words_of_python_at_once(visit):
    page = visit()
    for text in ("x*sigma(x", "2x", "floor(x)", "x/0"):
        type_and_wait(page, text)
        with pytest.raises(FormulaError) as error:
            parse(text)
        said = page.locator("#exp-status.exp-wrong").inner_text()
        assert said.rstrip(".").lower() == str(error.value).lower()
        assert page.locator("#exp-formula").get_attribute("aria-invalid") == "true"
    type_and_wait(page, "x")
    assert page.locator("#exp-status.exp-wrong").count() == 0


def test_pythons_code_takes_over_and_draws_the_same(own):
    assert own.derive("x*sigma(beta*x)") == "Derived."
    page = own.page
    derived = page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()")
    type_and_wait(page, "x")
    type_and_wait(page, "x*sigma(beta*x)")
    assert page.locator(".exp-result").inner_text() == ""
    assert page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()") == derived


class Own:
    """A page on which formulas are derived, one after another."""

    def __init__(self, page):
        self.page = page
        page.evaluate(f"document.getElementById('act-own').dataset.seconds = {PATIENCE // 1000}")

    def derive(self, text):
        """The status when all is done; what is shown then stays in the page."""
        self.page.fill("#exp-formula", text)
        self.page.locator(".exp-derive").click()
        self.page.wait_for_function("document.querySelector('.exp-result').ariaBusy !== 'true'")
        return self.page.locator("#exp-status").inner_text()

    def told(self, label):
        return self.page.locator(f"#act-own tr:has(th:text-is('{label}')) td").last.text_content()


@pytest.fixture(scope="module")
def own(browser, address):
    visit = Visit(browser, f"{address}/book/explorer.html")
    visit.page.set_default_timeout(PATIENCE)
    yield Own(visit.page)
    trouble = visit.trouble + visit.foreign
    visit.page.close()
    assert not trouble


OWN = {
    "SiLU": ("x*sigma(x)", {"range": "exact", "monotone": "falls for 10.1%", "smoothness": "smooth"}),
    "sigmoid GELU": ("x*sigma(1.702*x)", {"Lipschitz constant": "no closed form"}),
    "softsign": ("x/(1 + abs(x))", {"symmetry": "odd", "monotone": "strictly increasing"}),
    "squared ReLU": ("max(0, x)**2", {"smoothness": "second derivative jumps", "Lipschitz constant": "unbounded"}),
    "mish": ("x*tanh(log(1+exp(x)))", {"extrema": "no closed form", "good gradients": "towards −∞"}),
    "constant": ("3", {"nonlinear": "affine", "symmetry": "even"}),
    "not differentiable": ("max(x, 0.1*x)", {"smoothness": "the slope jumps", "nonlinear": "neither affine"}),
    "jump": ("where(x > 1, x, 0)", {"smoothness": "not continuous"}),
    "without closed form": ("x*sigma(x) + cos(x)", {"extrema": "infinitely many", "Lipschitz constant": "certified"}),
    "with a parameter": ("where(x > 0, x, alpha*(exp(x) - 1))", {"smoothness": "second derivative jumps"}),
    "oscillating": ("x + 2*sin(x)**2", {"monotone": "falls for"}),
}


@pytest.mark.parametrize(("text", "expected"), OWN.values(), ids=OWN)
def test_a_formula_of_ones_own(own, text, expected):
    assert own.derive(text) == "Derived."
    for label, words in expected.items():
        assert words in own.told(label)
    page = own.page
    page.wait_for_function("document.querySelectorAll('.exp-result > .exp-formula mjx-container').length === 3")
    page.wait_for_function("!/\\\\\\(|\\\\\\[/.test(document.querySelector('.exp-result').textContent)")
    assert page.locator(".exp-result mjx-merror").count() == 0
    assert page.locator(".exp-result tbody tr").count() == 11
    assert page.locator("#act-own canvas").count() == 3
    codes = page.locator(".exp-result pre").all_text_contents()
    assert [
        next(w for w in ("Elementwise(", "@triton.jit", "def own(", "function own(") if w in code) for code in codes
    ] == ["Elementwise(", "def own(", "@triton.jit", "function own("]


def test_the_steps_of_a_derivative_unfold(own):
    assert own.derive("x*sigma(1.702*x)") == "Derived."
    page = own.page
    page.locator(".exp-steps summary").click()
    page.wait_for_function("document.querySelectorAll('.exp-steps mjx-container').length === 3")
    rules = page.locator(".exp-steps li > span").all_inner_texts()
    assert rules == ["Constant factor:", "Slope of sigma, chain rule:", "Product rule:"]


def test_where_a_formula_has_no_value_there_is_a_word(own):
    assert own.derive("log(x)").startswith("No function of all real numbers")
    assert own.page.locator("#act-own canvas").count() == 3


def test_a_parameter_of_ones_own_moves_the_curve(own):
    assert own.derive("x*sigma(beta*x)") == "Derived."
    page = own.page
    before = page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()")
    page.locator("#act-own").get_by_role("spinbutton", name="beta").fill("2")
    assert page.locator("#act-own canvas").first.evaluate("c => c.toDataURL()") != before
    assert "your formula: f = 0.880797" in page.locator(".exp-values").inner_text()
    page.get_by_role("button", name="Prove again").click()
    page.wait_for_function("document.querySelector('.exp-result').ariaBusy === 'false'")
    assert "26.1%" in own.told("monotone")
    page.wait_for_function("location.hash.includes('with=beta:2')")


def test_what_is_found_fits_a_phone_and_shuts_no_reader_out(own):
    page = own.page
    assert own.derive("where(x > 0, x, alpha*(exp(x) - 1))/beta") == "Derived."
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 720})
    assert barriers(page) == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_input_gets_a_word_and_nothing_runs(own, text):
    page = own.page
    page.evaluate("() => { window.alert = () => { throw Error('run') } }")
    assert len(own.derive(text)) > 10
    assert page.locator("#exp-status.exp-wrong").count() == 1
    assert page.locator("#act-own").locator("script, img, a, iframe").count() == 0
    assert page.locator("#act-own canvas:visible").count() == 0


def test_the_page_goes_on_after_all_that(own):
    assert own.derive("x*sigma(x)") == "Derived."


def test_what_takes_too_long_is_ended_and_the_page_goes_on(own):
    page = own.page
    page.evaluate("document.getElementById('act-own').dataset.seconds = 0.05")
    assert "did not end within 0.05 seconds" in own.derive("sin(exp(x))*tanh(x)")
    page.evaluate(f"document.getElementById('act-own').dataset.seconds = {PATIENCE // 1000}")
    assert own.derive("tanh(x)") == "Derived."


def test_opened_as_a_file_it_draws_and_says_what_it_lacks(browser, site):
    with Visit(browser, f"{(site / 'book' / 'explorer.html').as_uri()}#f=swish:2") as visit:
        assert visit.page.locator("#act-explorer canvas").count() == 3
        assert visit.page.locator("#act-explorer tbody td").first.inner_text() == f"{1 / (1 + math.exp(-2)):.6g}"
        visit.page.fill("#exp-formula", "x*tanh(x)")
        visit.page.locator(".exp-derive").click()
        assert visit.page.locator("#act-own canvas:visible").count() == 3
        assert "Serve the book" in visit.page.locator("#exp-status").inner_text()
        assert visit.trouble == []


def test_python_need_compile_nothing(site):
    with zipfile.ZipFile(site / "_static" / "explorer" / "python.zip") as archive:
        names = archive.namelist()
        assert {"sympy/__init__.pyc", "mpmath/__init__.pyc", "actlib/formula/report.pyc"} <= set(names)
        assert {pathlib.PurePosixPath(name).suffix for name in names} == {".pyc"}
        assert len({archive.read(name)[:4] for name in names}) == 1


def test_own_code_of_the_page_has_no_eval(site):
    scripts = [p for p in (site / "_static" / "explorer").glob("*.js") if p.name != "functions.js"]
    assert len(scripts) >= 6
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert not [w for w in ("eval(", "new Function", "innerHTML", "outerHTML", "document.write") if w in text]
