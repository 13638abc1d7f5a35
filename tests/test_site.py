"""What the site does for a reader, mostly in a real browser: code, search, citing, teaching, reading."""

import collections
import functools
import json
import pathlib
import re
import struct
import xml.etree.ElementTree as ET

import bs4
import citation
import docutils.utils
import families
import lean
import levels
import numbering
import pydata_sphinx_theme
import pytest
import readable
import sphinx_design
import yaml
from conftest import ROOT, Visit
from docutils import nodes
from pybtex.backends.plaintext import Backend as PlainText
from pybtex.database import parse_string
from pybtex.style.formatting.unsrt import Style as UnsrtStyle

import actlib
from actlib.book import verdicts
from actlib.book.tables import Table

FOLDS = {
    "Bookkeeping",
    "Imports and symbols",
    "The claims in full",
    "Code of this figure",
    "Code of this table",
    "Code of what follows",
    "How this is checked",
    "How this is measured",
    "How this was measured",
    "How this was measured and drawn",
}
STATIC = [
    pathlib.Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static",
    pathlib.Path(sphinx_design.__file__).parent / "static",
]
"""Where style sheets come from."""

CHINESE = re.compile(r"[\u3400-\u9fff]")
NOTEBOOKS = sorted(path.stem for path in (ROOT / "book").glob("*.ipynb"))

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


@functools.cache
def parsed(site, name):
    """A page of the book, which tests read and leave as it is."""
    return bs4.BeautifulSoup((site / "book" / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


# -- Code


@every_notebook
def test_folded_code_says_what_it_is(site, name):
    labels = [summary.get_text() for summary in parsed(site, name).select("details.hide > summary")]
    assert labels
    assert set(labels) <= FOLDS


@every_notebook
def test_tables_hold_no_raw_formulas(site, name):
    assert not [cell for cell in parsed(site, name).select(".act-table :is(th, td, caption)") if "$" in cell.get_text()]


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


# -- What pages load


@pytest.mark.parametrize(("sheet", "left"), [
    (".fa-a:before{b:c}.fa-x:before{b:c}", ".fa-a:before{b:c}"),
    (".fa-x,.fa-a{b:c}", ".fa-x,.fa-a{b:c}"),
    (".fa-x,p{b:c}", ".fa-x,p{b:c}"),
    (".fa-a.fa-x,.fa-x p{b:c}", ""),
    ("@media print{.fa-x{b:c}p{b:c}}", "@media print{p{b:c}}"),
    ("p:not(.fa-x,.fa-y){b:c}", "p:not(.fa-x,.fa-y){b:c}"),
    ("/*! whose */.fa-x{b:c}", "/*! whose */.fa-x{b:c}"),
])  # fmt: skip
def test_rules_for_nothing_are_left_out(sheet, left):
    assert lean.pruned(sheet, "fa-", {"fa-a"}) == left


@pytest.mark.parametrize(("path", "prefix"), lean.SHEETS.items())
def test_style_sheets_keep_what_pages_use(site, path, prefix):
    used = set()
    for page in site.rglob("*.html"):
        if "_static" not in page.parts:
            classes = " ".join(re.findall('class="([^"]*)"', page.read_text(encoding="utf-8"))).split()
            used |= {name for name in classes if name.startswith(prefix)}
    known = (site / "_static" / path).read_text(encoding="utf-8")
    (theirs,) = (folder / path for folder in STATIC if (folder / path).exists())
    styled = set(re.findall(rf"\.({prefix}[\w-]+)", theirs.read_text(encoding="utf-8")))
    assert len(used & styled) > 10
    assert used & styled <= set(re.findall(rf"\.({prefix}[\w-]+)", known))


# -- Search

FIRST = {
    "dying relu": "03_relu.html#its-units-may-die",
    "死亡": "03_relu.html#its-units-may-die",
    "siwang": "03_relu.html#its-units-may-die",
    "梯度消失": "00_principles.html#what-a-layer-does-to-a-gradient",
    "vanishing gradient": "01_sigmoid.html#its-gradients-vanish",
    "relu vanishing gradients": "03_relu.html#it-mitigates-vanishing-gradients",
    "LambertW": "06_swish.html#where-the-minimum-lies",
    "bias shift": "05_elu.html#why-should-the-mean-matter",
    "softmax overflow": "07_softmax.html#a-thousand",
    "swiglu parameters": "09_swiglu.html#how-wide-at-equal-parameters",
    "bǎohé": "02_tanh.html#which-units-get-stuck",
    "baohe": "02_tanh.html#which-units-get-stuck",
    "饱和": "02_tanh.html#which-units-get-stuck",
    "why can SiLU's gradient exceed 1": "06_swish.html#the-derivative",
    "SiLU gradient exceeds 1": "06_swish.html#the-derivative",
    "swish slope > 1": "06_swish.html#the-derivative",
    "gradient of softmax": "07_softmax.html#the-derivative",
    "dead neurons": "03_relu.html#its-units-may-die",
    "normalization": "02_tanh.html#normalisation-takes-over",
    "1.702": "08_gelu.html#the-smallest-largest-error",
}
"""What is searched for, and the section that must come first."""

RAW = r"[\\{}$]|\^|Contents|```|import |</?[a-z]+>"
"""What no excerpt may have: LaTeX, code, markup, the table of contents."""


@pytest.fixture(scope="module")
def search(browser, address):
    """A page with the search opened from the keyboard, as a reader does; and where what it finds leads."""
    with Visit(browser, f"{address}/book/intro.html") as visit:
        visit.page.keyboard.press("Control+k")
        visit.page.wait_for_selector(".act-hits-status", state="attached")
        yield visit
        assert visit.trouble + visit.foreign == []


def hits(page, query):
    """Where the hits lead that stand below the field, once it was typed into."""
    page.locator("dialog input").fill(query)
    return [link.get_attribute("href").rpartition("/")[2] for link in page.locator("dialog .act-hits a").all()]


@pytest.mark.parametrize("query", FIRST)
def test_search_finds_the_section_as_it_is_typed(search, query):
    assert hits(search.page, query)[:1] == [FIRST[query]]
    shown = search.page.locator("dialog .act-hits li").all_inner_texts()
    assert not [text for text in shown if re.search(RAW, text)]


def test_chinese_term_that_was_found_is_shown_and_says_that_it_is_chinese(search):
    hits(search.page, "死亡")
    term = search.page.locator("dialog .act-hits li").first.locator(".act-hit-term")
    assert "dead unit" in term.inner_text()
    assert term.locator('[lang="zh-Hans"]').first.inner_text() == "死亡单元"


def test_nothing_found_is_said(search):
    assert hits(search.page, "qqqqzzzz") == []
    assert search.page.locator("dialog [role=status]").inner_text() == "Nothing found."


def test_hits_are_reached_by_arrows_and_followed(search):
    hits(search.page, "dying relu")
    search.page.locator("dialog input").focus()
    search.page.keyboard.press("ArrowDown")
    search.page.keyboard.press("Enter")
    search.page.wait_for_url(f"**/{FIRST['dying relu']}")


@pytest.mark.parametrize(("page", "form"), [("search", "main form.bd-search"), ("genindex", "dialog form.bd-search")])
def test_magnifier_stands_beside_what_is_typed(browser, address, page, form):
    with Visit(browser, f"{address}/{page}.html") as visit:
        visit.page.keyboard.press("Control+k")
        glass = visit.page.locator(f"{form} .fa-magnifying-glass").bounding_box()
        field = visit.page.locator(f"{form} input")
        begins = field.evaluate("e => e.getBoundingClientRect().x + parseFloat(getComputedStyle(e).paddingLeft)")
        assert glass["x"] + glass["width"] < begins


def test_search_works_on_a_page_opened_as_a_file(browser, site):
    with Visit(browser, f"{site.as_uri()}/search.html?q=dying+relu") as visit:
        first = visit.page.locator("#search-results a").first
        assert first.get_attribute("href").endswith(FIRST["dying relu"])


def test_records_have_clean_text(site):
    script = (site / "_static" / "search" / "records.js").read_text(encoding="utf-8")
    records = json.loads(re.fullmatch(r"bookSearch\.ready\((.*)\);\n", script, re.DOTALL)[1])["records"]
    sections = [record for record in records if "k" not in record]
    assert len(sections) > 300
    assert not [record["a"] for record in sections if re.search(r"[\\{}$]|\bimport ", record["s"])]


@pytest.mark.parametrize(("latex", "text"), [
    (r"x \le 0", "x ≤ 0"),
    (r"\sigma(\beta x)", "σ(β x)"),
    ("2^{-32}", "2⁻³²"),
    (r"\tfrac12", "1/2"),
    (r"\sqrt{2}", "√2"),
    (r"\operatorname{ReLU}(x)", "ReLU(x)"),
    (r"\begin{pmatrix} a \end{pmatrix}", "…"),
])  # fmt: skip
def test_formulas_are_said_in_letters(latex, text):
    assert readable.formula(latex) == text


@pytest.mark.parametrize("name", ["glossary", "03_relu", "differences"])
def test_chinese_says_that_it_is(site, name):
    for text in parsed(site, name).select_one("article").find_all(string=CHINESE):
        assert text.find_parent(attrs={"lang": "zh-Hans"}) or text.find_parent(["svg", "script"]), text


@pytest.mark.parametrize("name", ["reference", "reference_formulas"])
def test_signatures_are_python_whose_types_are_links(site, name):
    signatures = parsed(site, name).select("dt.sig")
    assert len(signatures) > 10
    assert not [one.get_text() for one in signatures if re.search("[~<]", one.get_text())]


# -- What a page says of itself


def heads(site):
    """Of each page its head; templates lie in _static."""
    pages = [
        page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts and page != site / "index.html"
    ]
    return {
        page.relative_to(site).as_posix(): bs4.BeautifulSoup(
            page.read_text(encoding="utf-8").partition("</head>")[0], "html.parser"
        )
        for page in pages
    }


def test_every_page_names_the_book_and_says_what_it_is_about(site):
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    found = heads(site)
    assert "404.html" in found
    for name, head in found.items():
        assert book in head.title.get_text(), name
        if name == "404.html":
            continue
        (about,) = head.select('meta[name="description"]')
        assert 60 < len(about["content"]) <= 202, name
        assert not re.search(RAW, about["content"]), name
        for what in ("og:title", "og:description", "og:site_name", "og:type"):
            assert head.select_one(f'meta[property="{what}"]')["content"], name
    abouts = [head.select_one('meta[name="description"]')["content"] for name, head in found.items() if "/" in name]
    assert len(set(abouts)) == len(abouts)


def test_site_has_no_page_that_no_reader_needs(site):
    assert not list(site.glob("*-*.html"))


def test_known_address_gives_canonical_links_a_picture_and_a_map(published_site):
    address = "https://ada.github.io/curves/"
    for name, head in heads(published_site).items():
        if name != "404.html":
            assert head.select_one('link[rel="canonical"]')["href"] == f"{address}{name}"
            assert head.select_one('meta[property="og:image"]')["content"] == f"{address}_static/cover.png"
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    listed = [place.text for place in ET.parse(published_site / "sitemap.xml").iter(f"{space}loc")]
    assert f"{address}book/03_relu.html" in listed
    assert all((published_site / place.removeprefix(address)).exists() for place in listed)


def test_missing_page_leads_back_from_anywhere(published_site):
    page = bs4.BeautifulSoup((published_site / "404.html").read_text(encoding="utf-8"), "html.parser")
    (base,) = page.select("base")
    assert base["href"] == "https://ada.github.io/curves/"
    first = page.select_one("[href], [src]")
    assert first is base
    links = [link["href"] for link in page.select("main section a")]
    assert links
    assert all((published_site / link).exists() for link in links)


def test_picture_of_the_book_is_as_large_as_it_says(site):
    head = (site / "_static" / "cover.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">II", head[16:]) == families.COVER


def test_picture_in_the_readme_is_that_of_the_registry():
    """Its last digits may differ between processors."""
    stored = (ROOT / "book" / "_static" / "cover.svg").read_text(encoding="utf-8")
    drawn = families.cover(yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"])
    number = re.compile(r"-?\d+\.\d+")
    assert number.sub("", stored) == number.sub("", drawn)
    assert list(map(float, number.findall(stored))) == pytest.approx(list(map(float, number.findall(drawn))), abs=0.11)


# -- To cite and to teach


@every_notebook
def test_figures_and_tables_have_numbers_and_anchors(site, name):
    page = parsed(site, name)
    for kind, selector in {"figure": "figure.act-figure", "table": ".cell_output table.act-table"}.items():
        shown = page.select(selector)
        anchors = [one.get("id", "") for one in shown]
        assert len(set(anchors)) == len(anchors)
        for count, one in enumerate(shown, 1):
            link = one.select_one(".act-number-link")
            assert link["href"] == f"#{one['id']}"
            assert link["title"] == f"Copies the link to this {kind}"
            assert re.fullmatch(rf"{kind}-(\d+-)?{count}", one["id"])
            assert link.get_text().lower().rstrip(".").replace(" ", "-").replace(".", "-") == one["id"]


@every_notebook
def test_tables_say_what_they_are_of(site, name):
    for caption in parsed(site, name).select(".cell_output table.act-table > caption"):
        number, words = re.fullmatch(r"(Table [\d.]+) (.+)", caption.get_text()).groups()
        assert re.search(r"[^\W\d_]{3}", words), number
        assert not re.search(RAW, words), number


@every_notebook
def test_no_two_tables_say_that_they_are_of_the_same(site, name):
    captions = parsed(site, name).select(".cell_output table.act-table > caption")
    told = [caption.decode_contents().removeprefix(str(caption.a)) for caption in captions]
    assert sorted(set(told)) == sorted(told)


def test_tables_of_one_section_say_what_tells_them_apart():
    table = '<div aria-label="Table"><table class="act-table"><tbody>{}</tbody></table></div>'
    row = '<tr><th scope="row">{}</th><td>1</td></tr>'
    shown = [table.format("".join(map(row.format, rows))) for rows in (("gain", "loss &lt; 1: mean"), ("gain", "rate"))]
    document = docutils.utils.new_document("page")
    document += nodes.section("", nodes.title("", "Depth"), *(nodes.raw("", html, format="html") for html in shown))
    assert numbering.captions(document) == ["Depth (loss &lt; 1)", "Depth (rate)"]


def test_table_of_outcomes_names_its_claim():
    trial = next(t for t in verdicts.stored() if t.chapter == "06_swish" and len(t.conditions) > 1)
    rows = [[trial.words[c], trial.effects[c], "—", verdict] for c, verdict in trial.conditions.items()]
    for page, told in (("06_swish", trial.claim), ("09_swiglu", "depth: effect and verdict")):
        table = Table(["condition", "effect (95% interval)", "detectable from", "verdict"], rows)
        document = docutils.utils.new_document(f"{page}.ipynb")
        section = nodes.section("", nodes.title("", "Depth"), nodes.raw("", table._repr_html_(), format="html"))
        document += section
        assert [words.casefold() for words in numbering.captions(document)] == [told.casefold()]


def test_captions_are_whole_where_tables_scroll(browser, address):
    measured = """tables => tables.filter((t) => t.offsetWidth > t.parentElement.clientWidth)
        .map((t) => [t.caption.offsetWidth, t.parentElement.clientWidth])"""
    with Visit(browser, f"{address}/book/10_compare.html", viewport={"width": 390, "height": 844}) as visit:
        widths = visit.page.locator(".act-scroll > table.act-table:has(> caption)").evaluate_all(measured)
    assert len(widths) > 5
    assert not [caption for caption, box in widths if caption > box]


def test_outcomes_on_a_phone_show_their_verdicts(browser, address):
    fits = """tables => tables.filter((t) => t.offsetWidth && t.offsetWidth > t.parentElement.clientWidth).length"""
    with Visit(browser, f"{address}/book/06_swish.html", viewport={"width": 390, "height": 844}) as visit:
        outcomes = visit.page.locator("table.act-outcomes")
        assert outcomes.count() > 8
        assert outcomes.evaluate_all(fits) == 0


def test_caption_comes_from_the_cell_or_else_from_the_heading():
    table = '<div aria-label="Table"><table class="act-table">{}<thead><tr>{}</tr></thead></table></div>'
    plainly, own, judged = (
        nodes.raw("", table.format(*parts), format="html")
        for parts in (("", ""), ("<caption>Own</caption>", ""), ("", numbering.JUDGED))
    )
    cells = [
        nodes.container("", *shown) for shown in ([plainly.deepcopy()], [plainly, own, judged.deepcopy()], [judged])
    ]
    for cell, said in zip(cells, ("What is kept", ["First"], []), strict=True):
        cell["cell_metadata"] = {"caption": said} if said else {}
    document = docutils.utils.new_document("page")
    document += nodes.section("", nodes.title("", "Is it so?"), *cells)
    told = list(numbering.captions(document))
    assert told == ["What is kept", "First", "Own", "Is it so? Effect and verdict", "Is it so? Effect and verdict"]
    assert '<caption><a class="act-number-link" href="#table-3-1"' in numbering.PLACES.sub(
        numbering.Numbered("3."), plainly.astext()
    )


def test_number_says_that_it_can_be_clicked(browser, address):
    opacity = "link => getComputedStyle(link, '::after').opacity"
    with Visit(browser, f"{address}/book/03_relu.html") as visit:
        link = visit.page.locator("figure .act-number-link").nth(1)
        assert link.evaluate(opacity) == "0"
        link.focus()
        assert float(link.evaluate(opacity)) > 0.5
        table = visit.page.locator("caption").nth(1)
        table.hover()
        assert float(table.locator(".act-number-link").evaluate(opacity)) > 0.5
    with Visit(browser, f"{address}/book/03_relu.html", has_touch=True, is_mobile=True) as visit:
        assert float(visit.page.locator("figure .act-number-link").first.evaluate(opacity)) > 0.5


def test_number_copies_the_address_of_its_figure(browser, address):
    url = f"{address}/book/03_relu.html"
    with Visit(browser, url, permissions=["clipboard-read", "clipboard-write"]) as visit:
        link = visit.page.locator("figure .act-number-link").nth(1)
        assert link.inner_text() == "Figure 3.2."
        link.click()
        visit.page.wait_for_selector("[data-copied]")
        assert visit.page.evaluate("navigator.clipboard.readText()") == f"{url}#figure-3-2" == visit.page.url


def test_book_is_cited_as_its_one_file_says(site):
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    book = about["preferred-citation"]
    assert {"cff-version", "message", "title", "authors"} <= set(about)
    assert {"type", "title", "authors"} <= set(book)
    assert about["cff-version"] == "1.2.0"
    assert (about["title"], book["title"], str(book["year"])) == (config["title"],) * 2 + (config["copyright"],)
    assert citation.authors(book) == citation.authors(about) == [config["author"]]
    assert about["version"] == actlib.__version__
    page = parsed(site, "cite")
    entry = page.select_one("pre").get_text()
    (work,) = parse_string(entry, "bibtex").entries.values()
    assert work.type == "misc"
    assert dict(work.fields) == {
        "title": f"{{{book['title']}}}",
        "year": config["copyright"],
        "howpublished": f"Jupyter Book, version {actlib.__version__}",
    }
    assert [str(person) for person in work.persons["author"]] == [f"{{{config['author']}}}"]
    (formatted,) = UnsrtStyle().format_entries([work])
    assert formatted.text.render(PlainText()).startswith(f"{config['author']}. {book['title']}. Jupyter Book, version")
    assert (site / "CITATION.cff").read_bytes() == (ROOT / "CITATION.cff").read_bytes()


def test_citation_has_the_address_where_it_is_known(published_site):
    entry = parsed(published_site, "cite").select_one("pre").get_text()
    (work,) = parse_string(entry, "bibtex").entries.values()
    assert work.fields["url"] == "https://ada.github.io/curves/"


def test_authors_may_be_people():
    people = [{"given-names": "Ada", "family-names": "Byron"}, {"name": "A group"}]
    book = {"title": "T", "year": 2026, "authors": people}
    (work,) = parse_string(citation.bibtex(book, "1"), "bibtex").entries.values()
    assert [str(person) for person in work.persons["author"]] == ["Byron, Ada", "{A group}"]
    assert citation.sentence(book) == "Ada Byron, A group (2026). T."


def test_every_exercise_has_a_level_and_is_listed_for_teachers(site):
    graded = levels.levels(ROOT)
    asked = {}
    for name in NOTEBOOKS:
        for exercise in parsed(site, name).select("div.exercise"):
            asked[exercise["id"]] = name
            assert exercise.select_one(".act-level").get_text() == f"level {graded[exercise['id']]}"
    assert set(asked) == set(graded)
    assert set(graded.values()) == set(levels.LEVELS)
    listed = {link["href"] for link in parsed(site, "teach").select("article details a")}
    assert {f"../book/{name}.html#{label}" for label, name in asked.items()} <= listed


def test_every_figure_can_be_downloaded(site):
    links = [link["href"] for link in parsed(site, "teach").select("article a[download]")]
    assert len(links) == sum(len(parsed(site, name).select("figure.act-figure")) for name in NOTEBOOKS)
    for link in links:
        svg = (site / "book" / link).resolve().read_text(encoding="utf-8")
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(r"var\(--|currentColor", svg)


def test_licences_name_all_that_the_site_carries(site):
    rows = {row.th.get_text(): row for row in parsed(site, "licences").select(".act-table tbody tr")}
    pinned = json.loads((ROOT / "book" / "_web" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert {name: rows[name].td.get_text() for name in pinned} == pinned
    extensions = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]["extensions"]
    static = {"sphinx_togglebutton", "sphinx_copybutton", "myst_nb", "sphinx_design", "sphinx_book_theme"}
    assert static <= set(extensions)
    assert {name.replace("_", "-") for name in static} <= set(rows)
    for row in rows.values():
        assert all(cell.get_text() for cell in row.select("td"))
        for link in row.select("a"):
            assert len((site / "book" / link["href"]).read_text(encoding="utf-8")) > 500


# -- A long page in parts


def test_long_page_is_folded_and_opens_where_a_link_leads(browser, address):
    page_of = f"{address}/book/differences.html"
    with Visit(browser, page_of, viewport={"width": 1400, "height": 900}) as visit:
        page = visit.page
        open_ = page.locator("details.act-section[open]")
        page.wait_for_function("document.querySelector('article').scrollHeight < 12_000", timeout=5_000)
        assert (open_.count(), page.locator("details.act-section").count() > 20) == (0, True)
        page.locator(".act-parts a", has_text="3. ReLU").click()
        open_.first.wait_for()
        assert open_.locator("summary").inner_text().startswith("3. ReLU")
        assert 0 <= open_.bounding_box()["y"] < 500
    for anchor in ("diff-trial", "swiglu-still-on-trial"):
        with Visit(browser, f"{page_of}#{anchor}") as visit:
            assert visit.page.locator("details.act-section[open] h3").inner_text().startswith("SwiGLU: still on trial?")
            visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
            assert visit.page.locator("details.act-section:not([open])").count() == 0
            visit.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
            assert visit.page.locator("details.act-section[open]").count() == 1
    with Visit(browser, page_of, java_script_enabled=False) as visit:
        assert visit.page.locator("details.act-section:not([open])").count() == 0


def test_list_of_parts_counts_the_verdicts(site):
    page = parsed(site, "differences")
    for entry in page.select(".act-parts li"):
        place = page.select_one(f'[id="{entry.a["href"][1:]}"]')
        part = place.find_parent("details", class_="act-section") or place.select_one("details.act-section")
        counted = {
            span["class"][0]: int(re.search(r"\d+", span.get_text())[0]) for span in entry.select(".act-tally > span")
        }
        shown = collections.Counter(
            cell["class"][0]
            for table in part.select("table:has(th[scope=rowgroup])")
            for body in table.select("tbody")
            for cell in body.select("td[class]")[: None if table.th.get_text() == "tested as" else 1]
        )
        assert counted == shown
    assert len(page.select(".act-parts .act-tally")) > 10


# -- Reading

PAST_ITS_FORMULA = """() => [...document.querySelectorAll("article p mjx-container")].filter((formula) => {
    const next = formula.parentElement.nextSibling;
    if (next?.nodeType !== 3 || !/^[,.;:!?)]/.test(next.data)) return false;
    const range = document.createRange();
    range.setStart(next, 0);
    range.setEnd(next, 1);
    const [mark, last] = [range.getBoundingClientRect(), [...formula.getClientRects()].at(-1)];
    return mark.width && mark.left < last.left;
}).map((formula) => formula.closest("p").textContent.slice(0, 80))"""

LINES = """() => [...document.querySelectorAll("article section > p:not(:has(mjx-container, code))")]
    .flatMap((p) => {
        const range = document.createRange();
        range.selectNodeContents(p);
        const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.bottom / 8))).size;
        return lines > 3 ? [p.textContent.length / (lines - 0.5)] : [];
    }).sort((a, b) => a - b)"""


def test_lines_have_about_75_characters(browser, address):
    with Visit(browser, f"{address}/book/03_relu.html", viewport={"width": 1400, "height": 900}) as visit:
        lengths = visit.page.evaluate(LINES)
        assert len(lengths) > 3
        assert 65 <= lengths[len(lengths) // 2] <= 82


@pytest.mark.parametrize("width", [390, 1024, 1400])
def test_no_line_begins_with_what_follows_a_formula(browser, address, width):
    with Visit(browser, f"{address}/book/07_softmax.html", viewport={"width": width, "height": 900}) as visit:
        assert visit.page.evaluate(PAST_ITS_FORMULA) == []


@pytest.mark.parametrize("name", ["07_softmax", "10_compare"])
def test_text_ends_within_60_tab_stops(browser, address, name):
    """The sections are listed for the keyboard where the text begins; formulas are no stops."""
    with Visit(browser, f"{address}/book/{name}.html", viewport={"width": 1400, "height": 900}) as visit:
        page = visit.page
        assert page.locator('article mjx-container[tabindex="0"]').count() == 0
        last = page.locator(".act-skip a").last
        for _ in range(57):
            page.keyboard.press("Tab")
            if last.evaluate("e => e === document.activeElement"):
                break
        assert last.is_visible()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        inside = "link => document.querySelector(link).contains(document.activeElement)"
        assert page.evaluate(inside, last.get_attribute("href"))


@pytest.fixture
def term(browser, address):
    """A term of a chapter, on a page that is left untroubled, and the note that shall stand beside it."""
    with Visit(browser, f"{address}/book/03_relu.html", has_touch=True) as visit:
        link = visit.page.locator("article p a:has(> .std-term)").first
        link.scroll_into_view_if_needed()
        yield link, visit.page.locator("#act-term")
        assert visit.trouble + visit.foreign == []


@pytest.mark.parametrize("way", ["hover", "focus", "tap"])
def test_term_shows_its_entry(term, way):
    link, note = term
    place = link.page.url
    getattr(link, way)()
    note.wait_for()
    assert note.locator('[lang="zh-Hans"]').inner_text() == "修正线性单元"
    assert len(note.locator("p").inner_text()) > 30
    assert link.get_attribute("aria-describedby") == note.get_attribute("id")
    assert link.page.url == place
    link.page.keyboard.press("Escape")
    assert not note.is_visible()


def test_second_tap_follows_the_term(term):
    link, note = term
    link.tap()
    note.wait_for()
    link.tap()
    link.page.wait_for_url("**/glossary.html#*")
