"""What the site does for a reader, in a real browser: code, search, terms, phone, citations."""

import bs4
import pytest
from conftest import ROOT, Visit

FOLDS = {
    "Bookkeeping",
    "Code of this figure",
    "Code of this table",
    "Code of what follows",
    "How this is checked",
    "How this is measured",
    "How this was measured",
    "How this was measured and drawn",
}
NOTEBOOKS = sorted(path.stem for path in (ROOT / "book").glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def parsed(site, name):
    return bs4.BeautifulSoup((site / "book" / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


# -- Code


@every_notebook
def test_folded_code_says_what_it_is(site, name):
    labels = [summary.get_text() for summary in parsed(site, name).select("details.hide > summary")]
    assert labels
    assert set(labels) <= FOLDS


@pytest.mark.parametrize("name", NOTEBOOKS[:1])
def test_code_of_a_figure_stands_on_it(site, name):
    for fold in parsed(site, name).select("details.hide:has(> summary)"):
        drawn = fold.parent.select_one(".cell_output figure")
        assert (fold.summary.get_text() in ("Code of this figure", "How this was measured and drawn")) == bool(drawn)


def test_one_switch_for_all_code_is_remembered(browser, address):
    with Visit(browser, f"{address}/book/01_sigmoid.html") as visit:
        page = visit.page
        every, open_ = page.locator("details.hide"), page.locator("details.hide[open]")
        switch = page.get_by_role("button", name="Show all code")
        assert (every.count() > 5, open_.count(), switch.get_attribute("aria-pressed")) == (True, 0, "false")
        switch.click()
        assert (open_.count(), switch.get_attribute("aria-pressed")) == (every.count(), "true")
        page.goto(f"{address}/book/02_tanh.html")
        assert open_.count() == every.count()
        switch.click()
        page.reload()
        assert open_.count() == 0
        assert visit.trouble == []
