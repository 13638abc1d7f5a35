"""The book on paper: how a page prints, and all pages as one PDF."""

import importlib.util
import io
import itertools
import re
import shutil
import subprocess
import types

import bs4
import pytest
import yaml
from conftest import ROOT, Visit, need

FILES = ["book/intro", "book/01_sigmoid", "book/explorer", "book/references"]


def load_pdf():
    spec = importlib.util.spec_from_file_location("pdf", ROOT / "book" / "_ext" / "pdf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pdf = load_pdf()


@pytest.fixture(scope="module")
def printed(site, browser):
    """Some files of the book as a PDF: what was joined, the chapters, and the file read again."""
    fonts = shutil.which("fc-list") and subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=True).stdout
    need(fonts, "no font has Chinese; fonts-wqy-microhei is one")
    writer, chapters = pdf.book(site, browser, FILES)
    folder = site.parent / "paper"
    folder.mkdir(exist_ok=True)
    writer.write(folder / "part.pdf")
    return types.SimpleNamespace(chapters=chapters, read=pdf.PdfReader(folder / "part.pdf"))


def paper(browser, address, query="", **options):
    visit = Visit(browser, f"{address}/book/01_sigmoid.html{query}", **options)
    visit.page.emulate_media(media="print")
    visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    return visit


def test_every_page_of_the_book_is_printed(site):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [file for _, files in pdf.order(toc) for file in files]
    assert sorted(files) == sorted(f"book/{p.stem}" for p in (ROOT / "book").iterdir() if p.suffix in (".ipynb", ".md"))
    assert all((site / f"{file}.html").exists() for file in files)


def test_pdf_has_bookmarks_for_chapters_and_sections(printed):
    titles = [item.title for item in printed.read.outline if not isinstance(item, list)]
    assert titles == ["Contents", *(chapter.title for chapter in printed.chapters)]
    ((_, sections),) = [
        (item, below)
        for item, below in itertools.pairwise(printed.read.outline)
        if not isinstance(item, list) and item.title == "1. Sigmoid"
    ]
    assert sections[0].title == "1.1. The card"
    places = [printed.read.get_destination_page_number(item) for item in sections]
    assert places == sorted(places)
    for item in sections:
        assert item.title in printed.read.pages[printed.read.get_destination_page_number(item)].extract_text()


def test_pdf_says_where_chapters_begin(printed):
    front = len(printed.read.pages) - sum(len(chapter.reader.pages) for chapter in printed.chapters)
    assert printed.read.page_labels[: front + 2] == [*("i", "ii", "iii", "iv")[:front], "1", "2"]
    contents = "\n".join(page.extract_text() for page in printed.read.pages[1:front])
    for chapter in printed.chapters:
        first = printed.read.pages[front + chapter.start].extract_text()
        assert chapter.title in " ".join(first.split())
        assert f"{chapter.title} {chapter.start + 1}" in contents.replace("\n", " ")
        assert "".join(first.split()).startswith(f"{chapter.start + 1}{chapter.title.replace(' ', '')}")  # the foot


def test_pdf_has_text_formulas_solutions_and_chinese(printed):
    text = "\n".join(page.extract_text() for page in printed.read.pages)
    for what in ("analysis.equal(", "Solution to", "逻辑斯谛函数", "doi:10.1109/72.279181"):
        assert what in text
    assert "Code of this figure" not in text


def test_pdf_embeds_its_fonts(printed):
    fonts = {}
    for page in printed.read.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            font = font.get_object()
            font = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            fonts[font.get("/BaseFont", "/Type3")] = font
    assert len(fonts) > 3
    for font in fonts.values():
        described = font.get("/FontDescriptor", {})
        embedded = {"/FontFile", "/FontFile2", "/FontFile3"} & set(described) or "/CharProcs" in font
        assert embedded, font


def test_links_lead_into_the_pdf(printed):
    links = [a.get_object() for page in printed.read.pages for a in page.get("/Annots", [])]
    outside = [link["/A"]["/URI"] for link in links if "/A" in link]
    assert outside
    assert not [uri for uri in outside if "127.0.0.1" in uri]
    pages = {page.indirect_reference.idnum for page in printed.read.pages}
    inside = [link["/Dest"] for link in links if "/Dest" in link]
    assert len(inside) > 40
    assert {list.__getitem__(target, 0).idnum for target in inside} <= pages


def test_pdf_without_chinese_is_refused(site, browser, monkeypatch):
    monkeypatch.setattr(pdf.Chapter, "text", lambda _: "no such letter")
    with pytest.raises(ValueError, match="install a font"):
        pdf.book(site, browser, ["book/01_sigmoid"])


def test_nothing_is_too_wide_for_the_pdf(printed):
    assert [chapter.too_wide for chapter in printed.chapters] == [[]] * len(FILES)


def test_too_wide_is_noticed(browser, address):
    with Visit(browser, f"{address}/book/01_sigmoid.html", viewport={"width": 642, "height": 900}) as visit:
        visit.page.add_style_tag(content="pre { width: 800px; }")
        assert pdf.settle(visit.page)


MARKED = """() => {
    const clipped = [];
    for (const element of document.querySelectorAll('article *')) {
        if (!element.getClientRects().length || element.closest('mjx-container, svg')) continue;
        const { overflowX, overflowY } = getComputedStyle(element);
        const over = (size, style) => element[`scroll${size}`] > element[`client${size}`] + 1 && style !== 'visible';
        if (over('Width', overflowX) || over('Height', overflowY)) clipped.push(element.outerHTML.slice(0, 100));
    }
    const selector = '.admonition, figure, pre, .act-scroll, .sd-card, blockquote, tr';
    const boxes = [...document.querySelectorAll(`article :is(${selector})`)].filter((e) => e.getClientRects().length);
    const about = boxes.map((box) => [box.getBoundingClientRect().height, box.outerHTML.slice(0, 100)]);
    boxes.forEach((box, i) => {
        const host = box.matches('tr') ? box.firstElementChild : box;
        if (getComputedStyle(host).position === 'static') host.style.position = 'relative';
        for (const [edge, place] of [['b', 'top: 0'], ['e', 'bottom: 0']]) {
            const mark = Object.assign(document.createElement('span'), {textContent: `qz${i}${edge}`});
            mark.style.cssText = `position: absolute; left: 0; ${place}; font: 1px/1 sans-serif; color: #fdfdfd`;
            host.append(mark);
        }
    });
    return [clipped, about];
}"""
"""Says what is clipped, and writes the number of each box, so small that no one sees it, at its beginning and end."""

PAGE = 979
"""Pixels between the upper and the lower margin; a box as high as nearly all of that may have to be split."""


def test_tables_of_text_are_split_between_their_rows(browser, address):
    """What scrolls would go to the next page as a whole, and be cut wherever that ends."""
    with Visit(browser, f"{address}/book/differences.html") as visit:
        visit.page.emulate_media(media="print")
        boxes = visit.page.locator("article :is(div):has(> table)")
        assert boxes.count() > 40
        assert boxes.evaluate_all("all => all.filter((e) => getComputedStyle(e).overflowY !== 'visible').length") == 0


@pytest.mark.parametrize("query", ["", "?print=solutions"])
@pytest.mark.parametrize("name", ["00_principles", "03_relu", "09_swiglu"])
def test_no_box_is_split_and_nothing_clipped(browser, address, name, query):
    with Visit(browser, f"{address}/book/{name}.html{query}", viewport={"width": 642, "height": 900}) as visit:
        assert pdf.settle(visit.page) == []
        clipped, boxes = visit.page.evaluate(MARKED)
        assert clipped == []
        read = pdf.PdfReader(io.BytesIO(visit.page.pdf(format="A4", prefer_css_page_size=True, print_background=True)))
    places = {}
    for number, page in enumerate(read.pages):
        for box, edge in re.findall(r"qz(\d+)([be])", page.extract_text()):
            places[int(box), edge] = number
    assert len(boxes) > 80
    assert sum((i, edge) in places for i in range(len(boxes)) for edge in "be") > 1.95 * len(boxes)
    for i, (height, box) in enumerate(boxes):
        begins, ends = places.get((i, "b")), places.get((i, "e"))
        assert begins == ends or None in (begins, ends) or height > 0.9 * PAGE, box


def test_pages_are_offered_the_pdf_once(site, tmp_path):
    shutil.copytree(site / "book", tmp_path / "book")
    for size in (2_000_000, 3_000_000):
        pdf.offer(tmp_path, size)
    for page in (tmp_path / "book").glob("*.html"):
        links = bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(".paper-pdf a")
        assert [link["href"] for link in links] == ["../activation-functions.pdf"] * (2 if page.stem == "intro" else 1)
    assert "of 3 MB" in (tmp_path / "book" / "intro.html").read_text(encoding="utf-8")
    assert (tmp_path / "book" / "intro.html").read_text(encoding="utf-8").count("<html") == 1


def test_paper_is_light_and_the_screen_dark_again(browser, address):
    with paper(browser, address, color_scheme="dark") as visit:
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "light"
        visit.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_paper_has_a_title_block_and_nothing_to_click_at(browser, address):
    with paper(browser, address) as visit:
        head = visit.page.locator(".paper-head")
        assert head.is_visible()
        assert "Activation Functions, Derived and Measured" in head.inner_text()
        assert "CC BY 4.0" in head.inner_text()
        for gone in (
            ".bd-sidebar-primary",
            ".bd-sidebar-secondary",
            ".bd-header-article",
            ".copybtn",
            ".toggle-button",
        ):
            assert not visit.page.locator(gone).first.is_visible(), gone
        assert not visit.page.locator("details.hide").first.is_visible()
        visit.page.emulate_media(media="screen")
        assert not head.is_visible()


@pytest.mark.parametrize("query", ["", "?print=solutions"])
def test_solutions_are_printed_if_asked_for(browser, address, query):
    with paper(browser, address, query) as visit:
        solution = visit.page.locator("div.solution pre").first
        assert solution.is_visible() == bool(query)
        assert visit.page.locator("div.exercise").first.is_visible()


@pytest.mark.parametrize("name", ["Print", "Print with solutions"])
def test_menu_prints(browser, address, name):
    with Visit(browser, f"{address}/book/01_sigmoid.html") as visit:
        visit.page.evaluate("window.print = () => { window.asked = document.documentElement.className }")
        visit.page.get_by_label("Download this page").click()
        visit.page.get_by_text(name, exact=True).click()
        assert ("with-solutions" in visit.page.evaluate("window.asked")) == ("solutions" in name)


def test_menu_offers_no_solutions_where_there_are_none(site):
    assert "Print with solutions" not in (site / "book" / "glossary.html").read_text(encoding="utf-8")
