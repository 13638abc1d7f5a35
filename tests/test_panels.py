"""Figures of several panels on a phone: the panels stand below each other, whole and legible."""

import pytest
from conftest import Visit

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1000, "height": 800}
SEVERAL = {
    "00_principles": 5,
    "02_tanh": 6,
    "03_relu": 5,
    "06_swish": 6,
    "07_softmax": 3,
    "10_compare": 4,
    "judging": 0,
}
"""How many figures at least have panels side by side; the two panels in `judging` stand below each other anyway."""

FIGURES = """() => Object.fromEntries([...document.querySelectorAll('.act-figure:not(.act-moves)')]
    .map((figure) => [figure.id, figure.querySelector('svg[role="img"]')])
    .map(([id, picture]) => [id, (%s)(picture)]))"""

WORDS = """(picture) => {
    const whole = picture.getBoundingClientRect();
    const scale = picture.viewBox.baseVal.width / whole.width;
    return [...picture.querySelectorAll('text')].map((text) => {
        const box = text.getBoundingClientRect();
        const [left, right] = [box.left, box.right].map((x) => (x - whole.left) * scale);
        const [top, bottom] = [box.top, box.bottom].map((y) => (y - whole.top) * scale);
        const group = text.closest('g[id*="-axes_"]') ?? text.closest('g[id*="-text_"]');
        return {group: group.id, said: text.textContent, left, top, right, bottom};
    });
}"""

VIEWS = """(picture) => [...picture.parentElement.querySelectorAll('.act-panels svg')].map((view) => {
    const {x, y, width, height} = view.viewBox.baseVal;
    const box = view.getBoundingClientRect();
    const groups = [...view.children].map((use) => use.getAttribute('href').slice(1));
    const edges = {left: x, top: y, right: x + width, bottom: y + height};
    return {groups, ...edges, scale: box.width / width, begin: box.left, end: box.right};
})"""


@pytest.fixture(scope="module", params=SEVERAL)
def phone(request, browser, address):
    """A page that was wide and is narrow now; what its figures say, and the views of them."""
    with Visit(browser, f"{address}/book/{request.param}.html", viewport=DESK) as visit:
        words = visit.page.evaluate(FIGURES % WORDS)
        visit.page.set_viewport_size(PHONE)
        if SEVERAL[request.param]:
            visit.page.wait_for_selector(".act-panels svg")
        else:
            visit.page.wait_for_function("performance.getEntriesByType('resource').some((e) => /panels/.test(e.name))")
        yield visit.page, words, visit.page.evaluate(FIGURES % VIEWS), SEVERAL[request.param]
        assert not visit.trouble + visit.foreign


def test_panels_stand_below_each_other(phone):
    page, _, views, several = phone
    stacked = [found for found in views.values() if found]
    assert len(stacked) >= several
    assert bool(stacked) == bool(several)
    for view in (view for found in stacked for view in found):
        assert view["begin"] >= 0
        assert view["end"] <= PHONE["width"]
        assert 10 * view["scale"] > 9  # pixels of the smallest letters
    for picture in page.locator(".act-stacked > svg").all():
        assert picture.bounding_box()["width"] <= 1
        assert picture.get_attribute("aria-label")
    assert page.locator(".act-panels:not([aria-hidden=true])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_every_word_is_in_a_view(phone):
    _, words, views, _ = phone
    for figure, found in views.items():
        for word in words[figure] if found else ():
            whole = [
                view
                for view in found
                if word["group"] in view["groups"]
                and view["left"] <= word["left"] + 0.5
                and view["right"] >= word["right"] - 0.5
                and view["top"] <= word["top"] + 0.5
                and view["bottom"] >= word["bottom"] - 0.5
            ]
            assert whole, str((figure, word, [view for view in found if word["group"] in view["groups"]]))


def test_every_panel_has_numbers_beside_it(phone):
    page, *_ = phone
    bare = page.evaluate(
        """() => [...document.querySelectorAll('.act-panels svg')].filter((view) => {
            const groups = [...view.children].map((use) => document.getElementById(use.getAttribute('href').slice(1)));
            const [axes] = groups.filter((group) => group.id.includes('-axes_'));
            const [, heights] = axes?.querySelectorAll(':scope > g[id*="matplotlib.axis"]') ?? [];
            return axes && groups.length === 1 && heights && !heights.querySelector('text');
        }).length"""
    )
    assert bare == 0


def test_paper_and_a_wide_window_have_the_picture(phone):
    page, *_ = phone
    for change, back, figures in (
        (lambda: page.emulate_media(media="print"), lambda: page.emulate_media(media="screen"), ".act-figure"),
        # Where a figure answers to the reader, it takes the place of the picture.
        (lambda: page.set_viewport_size(DESK), lambda: page.set_viewport_size(PHONE), ".act-figure:not(.act-moves)"),
    ):
        change()
        for picture in page.locator(f"{figures} .act-stacked > svg").all():
            assert picture.bounding_box()["width"] > 200
        assert not any(views.is_visible() for views in page.locator(".act-panels").all())
        back()
