"""Curves of the chapters that the reader moves, in a real browser: what is drawn, sliders, dragging, and no scripts."""

import math
import re

import pytest
from conftest import Visit
from scipy.special import expit, ndtr

CHAPTER = "book/08_gelu.html"
LOGISTIC, TANH = ".act-figure:has(.act-movable) >> nth=0", ".act-figure:has(.act-movable) >> nth=1"


@pytest.fixture
def page(browser, address):
    """The chapter; afterwards nothing must have gone wrong."""
    with Visit(browser, f"{address}/{CHAPTER}") as visit:
        visit.page.wait_for_selector(".act-movable [role=status]")
        yield visit.page
        assert not visit.trouble + visit.foreign


def heights(figure):
    """Of the points of the curve, in points from the upper edge."""
    path = figure.locator('[id$="-movable"] path').get_attribute("d")
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", path)[1::2]]


def swings(figure):
    """What the page says of the curve."""
    said, _ = figure.get_by_role("status").inner_text().split(" Largest")
    return [float(n.strip(" +.").replace("−", "-")) for n in said.removeprefix("Swings:").split(",")]


def test_curve_begins_where_it_was_drawn(page):
    error = lambda x: 1e2 * x * (ndtr(x) - expit(1.702 * x))
    xs = [i / 40 for i in range(201)]
    down, up = swings(page.locator(LOGISTIC))
    assert up == pytest.approx(max(map(error, xs)), abs=0.01)
    assert down == pytest.approx(min(map(error, xs)), abs=0.01)


def test_sliders_find_the_constants_of_the_chapter(page):
    """With the constants that the chapter proves to be best, all swings are equal."""
    logistic, tanh = page.locator(LOGISTIC), page.locator(TANH)
    logistic.get_by_role("spinbutton").fill("1.772934")
    down, up = swings(logistic)
    assert up == pytest.approx(-down, abs=0.01)
    for field, value in zip(tanh.get_by_role("spinbutton").all(), ("0.800157", "0.043368"), strict=True):
        field.fill(value)
    first, second, third = swings(tanh)
    assert -second == pytest.approx(first, abs=0.02)
    assert third == pytest.approx(first, abs=0.02)


def test_slider_moves_by_keys_and_goes_back(page):
    figure = page.locator(LOGISTIC)
    before = heights(figure)
    figure.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    assert heights(figure) != before
    figure.get_by_role("button").click()
    assert heights(figure) == before


def test_curve_follows_the_pointer(page):
    figure = page.locator(LOGISTIC)
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = heights(figure)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 10)
    page.mouse.up()
    after = heights(figure)
    assert after != before
    page.mouse.move(x, y + 30)  # let go
    assert heights(figure) == after


def test_without_scripts_there_is_a_picture(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / CHAPTER).as_uri())
    assert page.locator('.act-figure:has(.act-movable) svg[role="img"]').count() == 2
    assert math.isclose(page.locator(".act-movable").first.bounding_box()["height"], 0, abs_tol=1)
    context.close()


def test_works_from_a_file(browser, site):
    with Visit(browser, (site / CHAPTER).as_uri()) as visit:
        visit.page.wait_for_selector(".act-movable [role=status]")
        assert not visit.trouble
