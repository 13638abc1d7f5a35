"""Figures of the chapters that answer to the reader, in a real browser: what they say, their controls, their links."""

import math
import re
from xml.etree import ElementTree

import live
import numpy as np
import pytest
import torch
from conftest import Visit, barriers

from actlib import ACTIVATIONS

CARDS = {page: about for page, found in live.ELEMENTS.items() for about in found.values() if about["kind"] == "card"}
FIGURE, STACK = ".act-figure.act-moves", ".act-figure + .act-live"

every_card = pytest.mark.parametrize("page", CARDS)
every_page = pytest.mark.parametrize("page", live.ELEMENTS)


@pytest.fixture
def opened(browser, address):
    """Opens a chapter and comes near to what answers to the reader; afterwards nothing must have gone wrong."""
    visits = []

    def open_(page, **options):
        visits.append(Visit(browser, f"{address}/book/{page}.html", **options))
        return near(visits[-1].page)

    yield open_
    trouble = [v.trouble + v.foreign for v in visits]
    for v in visits:
        v.page.close()
    assert not any(trouble), trouble


def near(page):
    page.locator(".act-live").first.evaluate("e => e.parentElement.scrollIntoView({block: 'center'})")
    page.wait_for_function("document.querySelectorAll('.act-live[data-live]').length === 0")
    page.wait_for_function("[...document.querySelectorAll('.act-live')].every((e) => e.querySelector('canvas, svg'))")
    page.wait_for_timeout(100)
    return page


def numbers(place):
    """What is told with all digits."""
    return [float(value) for value in place.locator("data").evaluate_all("all => all.map((e) => e.value)")]


def derivatives(name, x, values):
    """Value, slope and second derivative in the first input, by autograd in float64."""
    activation = ACTIVATIONS[name]
    x = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    others = len(activation.inputs) - 1
    columns = [torch.full_like(x, value) for value in values[:others]]
    found = [(activation.entry if activation.op is None else activation.op)(x, *columns, *values[others:])]
    for _ in range(2):
        last = found[-1]
        (slope,) = torch.autograd.grad(last.sum(), x, create_graph=True) if last.requires_grad else (None,)
        found.append(torch.zeros_like(x) if slope is None else slope)
    return [value.item() for value in found]


def settings(figure):
    """The numbers beside the sliders of a card."""
    return [float(f.input_value()) for f in figure.locator(".act-sliders input[type=number]").all()]


def link(figure):
    """What the link to the explorer carries."""
    place, state = figure.get_by_role("link", name="Open in the explorer").get_attribute("href").split("#")
    assert place == "explorer.html"
    return dict(part.split("=", 1) for part in state.split("&"))


def at(figure):
    return float(figure.locator(".act-read input").input_value())


def shown(figure, name):
    """Value and derivatives, as they are told, are those of torch."""
    expected = derivatives(name, at(figure), settings(figure))
    assert numbers(figure)[:3] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def over(figure, part):
    """A point of the plot: so much of its width from the left."""
    box = figure.locator(".exp-panel .u-over").first.bounding_box()
    return box["x"] + part * box["width"], box["y"] + box["height"] / 2


# -- Cards


@every_card
def test_what_is_read_under_the_pointer_is_what_torch_computes(opened, page):
    figure = opened(page).locator(FIGURE)
    names = CARDS[page]["names"]
    low, high = CARDS[page]["home"]
    for name in names:
        if len(names) > 1:
            figure.get_by_role("combobox").select_option(name)
        shown(figure, name)
        for part in (0.2, 0.45, 0.8):
            figure.page.mouse.move(*over(figure, part))
            assert at(figure) == pytest.approx(low + part * (high - low), abs=0.05)
            shown(figure, name)
        for slider in figure.locator(".act-sliders input[type=range]").all():
            slider.focus()
            slider.press("ArrowRight")
            shown(figure, name)


@every_card
def test_link_carries_the_state_of_a_card(opened, page, browser, address):
    figure = opened(page).locator(FIGURE)
    name = CARDS[page]["names"][0]
    for field in figure.locator(".act-sliders input[type=number]").all():
        field.fill("0.75")
    figure.locator(".act-read input").fill("-1.25")
    figure.get_by_role("button", name="Zoom in").click()
    state = link(figure)
    assert state["f"] == ":".join([name, *["0.75"] * len(settings(figure))])
    assert state["at"] == "-1.25"
    href = figure.get_by_role("link", name="Open in the explorer").get_attribute("href")
    with Visit(browser, f"{address}/book/{href}") as explorer:
        rows = explorer.page.locator("#act-explorer tbody td").all_inner_texts()
        assert explorer.page.locator("#exp-x").input_value() == "-1.25"
        told = figure.locator("data").all_inner_texts()
        assert rows == told[:3]
        assert explorer.page.evaluate("new URLSearchParams(location.hash.slice(1)).get('x')") == state["x"]


def test_card_is_taken_along(opened):
    figure = opened("06_swish", permissions=["clipboard-read", "clipboard-write"]).locator(FIGURE)
    with figure.page.expect_download() as download:
        figure.get_by_role("button", name="Download as SVG").click()
    root = ElementTree.parse(download.value.path()).getroot()
    inks = [e.get("stroke") for e in root.iter() if e.get("stroke-linejoin") and "h" not in e.get("d")]
    assert len(set(inks)) == 3  # of value, slope and curvature
    assert all(inks)
    copy = figure.get_by_role("button", name="Copy a link")
    copy.click()
    figure.page.wait_for_function("button => button.textContent === 'Copied'", arg=copy.element_handle())
    shown = figure.get_by_role("link", name="Open in the explorer").evaluate("e => e.href")
    assert figure.page.evaluate("navigator.clipboard.readText()") == shown


def test_card_answers_to_keys(opened):
    figure = opened("06_swish").locator(FIGURE)
    area = figure.locator(".exp-area")
    area.focus()
    before, window = at(figure), link(figure)["x"]
    area.press("ArrowRight")
    assert at(figure) == pytest.approx(before + 0.12)
    shown(figure, "swish")
    area.press("+")
    assert link(figure)["x"] != window
    area.press("0")
    assert link(figure)["x"] == window


def test_tap_moves_what_is_read(opened):
    figure = opened("06_swish", has_touch=True, viewport={"width": 390, "height": 844}).locator(FIGURE)
    figure.locator(".exp-panel").first.scroll_into_view_if_needed()
    figure.page.touchscreen.tap(*over(figure, 0.25))
    assert at(figure) == pytest.approx(-3, abs=0.1)
    shown(figure, "swish")


def test_typed_number_that_is_none_changes_nothing(opened):
    figure = opened("06_swish").locator(FIGURE)
    before = numbers(figure)
    figure.locator(".act-read input").fill("")
    assert numbers(figure) == before


# -- Gate and value


@pytest.mark.parametrize("way", ["pointer", "keys", "tap"])
def test_point_is_moved_over_gate_and_value(opened, way):
    figure = opened("09_swiglu", has_touch=True).locator(FIGURE)
    plane = figure.locator(".act-plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"]
    if way == "pointer":
        figure.page.mouse.move(box["x"] + 5, box["y"] + 5)
        figure.page.mouse.down()
        figure.page.mouse.move(x, y)
        figure.page.mouse.up()
        figure.page.mouse.move(x + 50, y)  # let go
    elif way == "tap":
        figure.page.touchscreen.tap(x, y)
    else:
        plane.focus()
        plane.press("ArrowUp")
        plane.press("ArrowLeft")
    gate, value = (0.9, 1.1) if way == "keys" else (-3.5, 1.5)
    assert at(figure) == pytest.approx(gate, abs=0.03)
    assert settings(figure)[0] == pytest.approx(value, abs=0.03)
    shown(figure, "swiglu")
    in_value = derivatives("swiglu", at(figure), [1.0, 1.0])[0]  # it is linear in the value
    assert numbers(figure)[3] == pytest.approx(in_value, rel=1e-12)


# -- Scores and shares


@pytest.fixture
def softmax(opened):
    return opened("07_softmax", has_touch=True).locator(FIGURE)


def scores(figure):
    return [float(field.input_value()) for field in figure.locator(".act-scores input[type=number]").all()]


def right(figure, temperature=1.0):
    """The shares and the slope that are shown are those of torch; so is the length of each bar."""
    z = torch.tensor(scores(figure), dtype=torch.float64, requires_grad=True)
    shares = torch.softmax(z / temperature, 0)
    (slope,) = torch.autograd.grad(shares[0], z)
    assert numbers(figure) == pytest.approx([*shares.tolist(), slope[0].item()], rel=1e-12)
    widths = figure.locator(".act-bar").evaluate_all("all => all.map((e) => parseFloat(e.style.width))")
    assert widths == pytest.approx((100 * shares).tolist(), rel=1e-3)


def test_scores_are_pulled_by_keys_and_typed(softmax):
    right(softmax)
    softmax.get_by_role("slider", name="score of bird, slider").press("ArrowUp")
    assert scores(softmax) == [3, 2, 0.1]
    right(softmax)
    softmax.get_by_role("spinbutton", name="score of cat").fill("-2.5")
    right(softmax)
    softmax.get_by_role("spinbutton", name="temperature").fill("2.5")
    right(softmax, 2.5)
    assert link(softmax)["f"] == "softmax:0.8:0.04"
    assert link(softmax)["at"] == "-1"


@pytest.mark.parametrize("way", ["pointer", "tap"])
def test_scores_are_pulled_by_hand(softmax, way):
    slider = softmax.get_by_role("slider", name="score of dog, slider")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if way == "tap":
        softmax.page.touchscreen.tap(x, y)
    else:
        softmax.page.mouse.move(box["x"] + box["width"] * 2 / 3, y)
        softmax.page.mouse.down()
        softmax.page.mouse.move(x, y)
        softmax.page.mouse.up()
    assert scores(softmax)[1] == pytest.approx(0, abs=0.2)
    right(softmax)


def test_plot_reads_the_first_score(softmax):
    softmax.page.mouse.move(*over(softmax, 0.25))
    assert scores(softmax)[0] == pytest.approx(-3, abs=0.05)
    right(softmax)


# -- Layers


def followed(function, gain, depth):
    """Signal in the last layer, and the gradient at the first: sums over a dense grid instead of spread points."""
    z, step = np.linspace(-9, 9, 200_001, retstep=True)
    z = z + step / 2
    weights = torch.from_numpy(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step)
    q, product = gain**2, 1.0
    for _ in range(depth - 1):
        x = (math.sqrt(q) * torch.from_numpy(z)).requires_grad_()
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        product *= gain**2 * (weights * slope**2).sum().item()
        q = gain**2 * (weights * y.detach() ** 2).sum().item()
    return math.sqrt(q), math.sqrt(product)


@pytest.mark.parametrize("name", live.SEVEN)
def test_layers_are_followed_by_the_formula(opened, name):
    stack = opened("00_principles").locator(STACK)
    stack.get_by_role("combobox").select_option(name)
    for gain, depth in ((1, 20), (2.5, 12)):
        stack.get_by_role("spinbutton", name="gain").fill(str(gain))
        stack.get_by_role("spinbutton", name="layers").fill(str(depth))
        a_layer, in_all, signal = numbers(stack)
        expected_signal, expected_gradient = followed(ACTIVATIONS[name].function, gain, depth)
        assert signal == pytest.approx(expected_signal, rel=1e-4)
        assert in_all == pytest.approx(expected_gradient, rel=1e-4)
        assert a_layer == pytest.approx(in_all ** (1 / (depth - 1)), rel=1e-12)


def test_stack_says_to_which_figure_it_belongs(opened):
    stack = opened("01_sigmoid").locator(STACK)
    number = stack.evaluate("e => e.previousElementSibling.id")
    assert stack.locator(".act-caption strong").inner_text() == (
        f"{number.replace('-', ' ', 1).replace('-', '.').capitalize()}, continued."
    )


def test_lines_move_with_the_gain(opened):
    stack = opened("01_sigmoid").locator(STACK)
    lines = lambda: stack.locator("polyline").evaluate_all("all => all.map((e) => e.getAttribute('points'))")
    before = lines()
    assert [len(points.split()) for points in before] == [20, 20]
    stack.get_by_role("slider", name="gain, slider").press("ArrowRight")
    assert lines() != before


@pytest.mark.parametrize("typed", ["-3", "0", ""])
def test_refused_number_does_not_stay(opened, typed):
    stack = opened("01_sigmoid").locator(STACK)
    field, lines = stack.get_by_role("spinbutton", name="gain"), stack.locator("polyline").first
    before = field.input_value(), lines.get_attribute("points")
    field.fill(typed)
    field.press("Tab")
    assert (field.input_value(), lines.get_attribute("points")) == before


@pytest.mark.parametrize(("gain", "layers", "fate"), [("1e6", "50", "exploded"), ("0.01", "100", "vanished")])
def test_signal_that_leaves_all_bounds_is_told(opened, gain, layers, fate):
    stack = opened("00_principles").locator(STACK)
    stack.get_by_role("combobox").select_option("relu")
    stack.get_by_role("spinbutton", name="gain").fill(gain)
    stack.get_by_role("spinbutton", name="layers").fill(layers)
    assert stack.get_by_role("status").inner_text().endswith(f"the signal has {fate}.")


def test_text_says_what_is_computed(opened):
    stack = opened("00_principles").locator(STACK)
    stack.locator("mjx-container").nth(6).wait_for()
    assert stack.locator("mjx-merror").count() == 0


# -- For everybody


@every_page
def test_without_scripts_the_stored_figure_stands_there(browser, site, page):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto((site / "book" / f"{page}.html").as_uri())
    places = opened.locator(".act-live").all()
    assert len(places) == len(live.ELEMENTS[page])
    for place in places:
        assert place.bounding_box() is None or place.bounding_box()["height"] < 1
        figure = place.locator("xpath=ancestor::figure | preceding-sibling::figure[1]")
        assert figure.locator("svg").bounding_box()["height"] > 100
        assert figure.locator("figcaption").inner_text()
    context.close()


@every_page
def test_paper_has_the_stored_figure(opened, page):
    page = opened(page)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for place in page.locator(".act-live").all():
        assert not place.is_visible()
        figure = place.locator("xpath=ancestor::figure | preceding-sibling::figure[1]")
        assert figure.locator("svg").first.is_visible()
        assert all(stored.is_visible() for stored in figure.locator(".act-stored").all())
        assert not any(now.is_visible() for now in figure.locator(".act-now").all())


@every_page
def test_fits_a_phone_and_the_bytes_of_a_page(opened, page):
    page = opened(page, viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator(".act-live :is(input, select, button, canvas, svg)").all():
        if box := control.bounding_box():
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
    sizes = page.evaluate(
        """() => ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))
            .map((entry) => entry.transferSize)"""
    )
    assert sum(sizes) <= 3e6


CONTRAST = """(place) => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const light = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const page = light(getComputedStyle(document.body).backgroundColor);
    const of = (selector, what) => [...place.querySelectorAll(selector)]
        .map((e) => ratio(light(getComputedStyle(e)[what]), page));
    const style = getComputedStyle(document.documentElement);
    return {
        text: [...of('p, span, label, a', 'color'), ...of('text', 'fill')],
        ink: [...of('.exp-swatch, .act-bar', 'backgroundColor'), ...of('polyline', 'stroke'),
              ...[1, 2, 3].map((i) => ratio(light(style.getPropertyValue(`--act-${i}`)), page))],
        borders: of('button, select, input[type=number]', 'borderTopColor'),
    };
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["00_principles", "07_softmax", "09_swiglu"])
def test_is_legible(opened, page, theme):
    page = opened(page, color_scheme=theme)
    found = page.locator(".act-live").first.evaluate(CONTRAST)
    assert min(found["text"]) >= 4.5
    assert min(found["ink"]) >= 3
    assert min(found["borders"]) >= 3


def test_dark_redraws_what_is_on_canvas(opened):
    page = opened("09_swiglu", color_scheme="light")
    pictures = lambda: page.locator(f"{FIGURE} canvas").evaluate_all("all => all.map((e) => e.toDataURL())")
    light = pictures()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(300)
    assert len(light) == 4
    assert not set(light) & set(pictures())


def test_nothing_moves_by_itself(opened):
    page = opened("09_swiglu")
    moving = page.locator(".act-live *").evaluate_all("all => all.flatMap((e) => e.getAnimations()).length")
    assert moving == 0


@every_page
def test_shuts_no_reader_out(opened, page):
    assert barriers(opened(page), within=".act-live") == []


@every_page
def test_is_fetched_only_when_one_comes_near(browser, address, page):
    with Visit(browser, f"{address}/book/{page}.html", viewport={"width": 1000, "height": 200}) as visit:
        fetched = visit.page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
        far = visit.page.locator(".act-live").first.evaluate("e => e.parentElement.getBoundingClientRect().top > 1000")
        assert any("explorer/cards.js" in name for name in fetched) == (not far)


def test_works_from_a_file(browser, site):
    with Visit(browser, (site / "book" / "06_swish.html").as_uri()) as visit:
        near(visit.page)
        assert len(numbers(visit.page.locator(FIGURE))) == 3
        assert not visit.trouble


def test_place_without_a_figure_is_an_error():
    body = '<section id="a"><figure class="act-figure" id="figure-1"><svg></svg></figure></section>'
    about = live.card("Look.", "relu")
    assert re.search(r'id="figure-1"><div class="act-live" data-live=', live.placed(body, "a", about))
    assert re.search(r'</figure><div class="act-live" data-live=', live.placed(body, "a", live.stack("Look.", "relu")))
    for section in ("b", "figure-1"):
        with pytest.raises(live.ExtensionError, match=section):
            live.placed(body, section, about)
