"""The book: what nbval does not guard, the build, its links, and its pages in a real browser."""

import functools
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ET

import bs4
import nbformat
import pytest
import sympy as sp
import yaml
from conftest import ROOT, Visit, barriers
from falsifier import falsified
from test_analysis import SHOWN as RESULTS
from test_analysis import x
from test_paper import pdf

import actlib
import tasks
from actlib.formula import analysis
from actlib.formula.primitives import sigma

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CHAPTERS = [n for n in NOTEBOOKS if re.match(r"\d\d_", n.name)]
EXEMPT = re.compile(r"NBVAL_(IGNORE_OUTPUT|SKIP)|PYTEST_VALIDATE_IGNORE_OUTPUT")
CHINESE = r"[\u4e00-\u9fff]"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@functools.cache
def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def terms(text):
    """What the {term} roles of a text point to."""
    return {link or plain for plain, link in re.findall(r"\{term\}`([^`<]*?)(?: <([^`>]*)>)?`", text)}


@functools.cache
def glossary():
    """The entries of the glossary: names, Chinese names (the first stands in the chapters), definition."""
    body = re.search(r"```\{glossary\}\n(.*?)\n```", prose(ROOT / "book" / "glossary.md"), re.DOTALL)[1]
    entries = [re.fullmatch(r"(\S.*?)\n    (.*?)\. (.*)", e, re.DOTALL).groups() for e in body.split("\n\n")]
    return [
        (names.split("\n"), [name for name in re.split("[（）]", said) if re.search(CHINESE, name)], definition)
        for names, said, definition in entries
    ]


def texts(output):
    return [output.text] if output.output_type == "stream" else list(map(str, output.get("data", {}).values()))


def test_there_are_chapters():
    assert CHAPTERS


@every_notebook
def test_was_executed_from_top_to_bottom(path):
    # nbval passes a cell without an execution count and compares nothing.
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))


@every_notebook
def test_has_no_empty_code_cell(path):
    assert all(cell.source.strip() for cell in code_cells(path))


@every_notebook
def test_stores_no_error_and_no_warning(path):
    assert not [o for o in outputs(path) if o.output_type == "error" or o.get("name") == "stderr"]


@every_notebook
def test_hides_no_output_behind_a_semicolon(path):
    assert not [cell.source for cell in code_cells(path) if cell.source.rstrip().endswith(";")]


@every_notebook
def test_exempts_few_cells_from_comparison(path):
    tagged = [c for c in code_cells(path) if any("nbval" in tag for tag in c.metadata.get("tags", []))]
    assert len([c for c in code_cells(path) if EXEMPT.search(c.source)] + tagged) <= 2


@every_notebook
def test_figures_are_svg_with_alternative_text(path):
    # nbval never compares PNG or JPEG.
    formats = {name for o in outputs(path) for name in o.get("data", {})}
    assert not {name for name in formats if name.startswith("image/")}
    svgs = [
        svg
        for o in outputs(path)
        for svg in bs4.BeautifulSoup(o.get("data", {}).get("text/html", ""), "html.parser")("svg")
    ]
    assert all(len(svg.get("aria-label", "")) > 20 for svg in svgs)
    assert svgs or path not in CHAPTERS


@every_notebook
def test_outputs_name_no_memory_address_and_no_place(path):
    shown = [text for o in outputs(path) for text in texts(o)]
    assert not [t for t in shown if re.search(r"\b0x[0-9a-f]{6,}|/(home|root|tmp|work|Users)/|site-packages", t)]


@every_notebook
def test_results_are_stored_as_mathematics(path):
    plain = [o.data["text/plain"] for o in outputs(path) if set(o.get("data", {})) == {"text/plain"}]
    kinds = "|".join({type(result).__name__ for result, _ in RESULTS.values()} | {"Summary"})
    assert not [text for text in plain if re.search(rf"\b({kinds})\(|Interval|\b(sqrt|sigma|exp|oo)\b", text)]


@every_notebook
def test_runs_on_any_python_kernel(path):
    kernel = read(path).metadata.kernelspec
    assert (kernel.name, kernel.language) == ("python3", "python")


def test_table_of_contents_names_every_page_once():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    pages = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / "book").iterdir() if p.suffix in (".ipynb", ".md")]
    assert sorted(files) == sorted(page.as_posix() for page in pages)


def test_glossary_is_in_alphabetical_order_without_doubles():
    names = [name for names, _, _ in glossary() for name in names]
    first = [names[0].casefold() for names, _, _ in glossary()]
    assert first == sorted(first)
    assert len({name.casefold() for name in names}) == len(names)
    chinese = [name for _, names, _ in glossary() for name in names]
    assert len(set(chinese)) == len(chinese)


def test_glossary_entries_have_chinese_and_lead_to_a_chapter():
    assert not [names[0] for names, chinese, _ in glossary() if not chinese]
    assert not [names[0] for names, _, definition in glossary() if not re.search(r"\]\(\d\d_\w+\)", definition)]


def test_glossary_terms_are_linked_from_other_pages():
    others = [*NOTEBOOKS, *(page for page in (ROOT / "book").glob("*.md") if page.stem != "glossary")]
    linked = {term for page in others for term in terms(prose(page))}
    assert not [names[0] for names, _, _ in glossary() if linked.isdisjoint(names)]


@pytest.mark.parametrize("path", [*CHAPTERS, ROOT / "book" / "intro.md"], ids=lambda p: p.stem)
def test_chinese_stands_beside_a_link_to_the_term_that_has_it(path):
    entry = {name: chinese[0] for names, chinese, _ in glossary() for name in names}
    stray = []
    for line in filter(re.compile(CHINESE).search, prose(path).splitlines()):
        linked = {entry[term] for term in terms(line)}
        stray += {word.strip() for word in re.split(r"[(),;]", line) if re.search(CHINESE, word)} - linked
    assert not stray


@pytest.fixture(scope="module")
def falsified_cells(tmp_path_factory):
    """What nbval says of every cell of every notebook, with this or that in its outputs changed."""
    report = tmp_path_factory.mktemp("falsified") / "report.json"
    python_path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", "-p", "falsifier", "-p", "no:cacheprovider"]
        + list(map(str, NOTEBOOKS)),
        env={**os.environ, "FALSIFIER_REPORT": str(report), "PYTHONPATH": python_path},
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(report.read_text(encoding="utf-8"))


@every_notebook
def test_nbval_notices_any_one_falsified_output(path, falsified_cells):
    cells = [cell for cell in falsified_cells if cell["notebook"] == path.name]
    assert len(cells) == len(code_cells(path))
    assert sum(cell["changes"] for cell in cells) > 0
    assert not [cell for cell in cells if not cell["equal"]]
    assert not [cell for cell in cells if cell["unnoticed"]]
    assert sum(not cell["compared"] for cell in cells) <= 2


@pytest.mark.parametrize("path", CHAPTERS[:1], ids=lambda p: p.stem)
def test_nbval_fails_at_the_falsified_cells(path, tmp_path):
    """The same in earnest: the beginning of a chapter, up to its first figure, with every output changed, is run."""
    notebook = nbformat.from_dict(read(path))
    first = next(i for i, c in enumerate(notebook.cells) if "<svg" in str(c.get("outputs", "")))
    notebook.cells = notebook.cells[: first + 1]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs = falsified(cell.outputs)[-1][1]
    copy, report = tmp_path / path.name, tmp_path / "report.xml"
    nbformat.write(notebook, copy)
    subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", f"--junitxml={report}", str(copy)]
        + ["-c", os.devnull, "--rootdir", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    failed = [case.find("failure") is not None for case in ET.parse(report).iter("testcase")]
    assert all(failed)


@pytest.fixture(scope="session")
def pages(site):
    """The parsed pages, by path."""
    paths = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]  # templates lie there
    return {page: bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser") for page in paths}


def test_build_has_every_page(site):
    for notebook in NOTEBOOKS:
        assert (site / "book" / f"{notebook.stem}.html").exists()


def test_root_leads_to_the_introduction(site):
    assert "book/intro.html" in (site / "index.html").read_text(encoding="utf-8")


def test_every_page_leads_to_the_index(site, pages):
    sidebars = {page: soup.select(".bd-sidebar-primary nav.bd-links a") for page, soup in pages.items()}
    leading = {page for page, links in sidebars.items() for link in links if link.text.strip() == "Index"}
    assert leading == {page for page, links in sidebars.items() if links}
    assert leading >= {site / "book" / "intro.html", site / "genindex.html"}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_index_leads_into_every_chapter(site, pages, path):
    links = pages[site / "genindex.html"].select(f'.indextable a[href^="book/{path.stem}.html#"]')
    assert len({link["href"] for link in links}) >= 8


def test_reference_describes_every_public_name_by_its_docstring(site, pages):
    described = {}
    for name in ("reference", "reference_formulas"):
        for term in pages[site / "book" / f"{name}.html"].select("dt.sig[id]"):
            described[term["id"]] = term.find_next_sibling("dd").get_text(" ", strip=True)
    for name in actlib.__all__:
        prefix = "actlib.activations" if name == "ACTIVATIONS" else "actlib"
        assert len(described[f"{prefix}.{name}"]) > 20
    assert "Sigmoid linear unit, elementwise: Swish with beta 1." in described["actlib.silu"]


def test_types_in_the_reference_lead_to_where_they_are_described(site, pages):
    of_others = pages[site / "book" / "reference.html"].select("dt.sig a.reference.external")
    assert {link.get_text() for link in of_others} >= {"Tensor", "dtype", "device"}
    assert all(link["href"].endswith(f".{link.get_text()}") for link in of_others)


def test_no_internal_link_is_dead(site, pages):
    anchors = {
        page: {tag.get(name) for name in ("id", "name") for tag in soup.find_all(attrs={name: True})}
        for page, soup in pages.items()
    }
    dead = []
    for page, soup in pages.items():
        for tag in soup.select("[href], [src]"):
            url = urllib.parse.urlsplit(tag.get("href") or tag.get("src") or "")
            if url.scheme or url.netloc or (not url.path and not url.fragment):
                continue
            target = (page.parent / urllib.parse.unquote(url.path)).resolve() if url.path else page
            anchor = urllib.parse.unquote(url.fragment)
            if not target.exists() or (anchor and target in anchors and anchor not in anchors[target]):
                dead.append(f"{page.relative_to(site)}: {tag.get('href') or tag.get('src')}")
    assert not dead


def test_nothing_is_loaded_from_elsewhere(site, pages):
    foreign = [
        str(tag)
        for soup in pages.values()
        for tag in soup.select("script[src], link[href], img[src], iframe[src], source[src]")
        if re.match(r"(https?:)?//", tag.get("src") or tag.get("href")) and tag.get("rel") != ["canonical"]
    ]
    assert not foreign
    assert not [
        s for s in site.rglob("*.css") if re.search(r"url\(\s*['\"]?(https?:)?//", s.read_text(encoding="utf-8"))
    ]


def test_figures_take_the_colours_of_the_page(site):
    page = (site / "book" / f"{CHAPTERS[0].stem}.html").read_text(encoding="utf-8")
    assert "currentColor" in page
    assert "var(--act-1" in page
    variables = set(re.findall(r"var\((--act-[\w-]+)", page))
    style = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    light, dark = (
        re.search(rf"{re.escape(s)} \{{(.*?)\}}", style, re.DOTALL)[1] for s in ("html", 'html[data-theme="dark"]')
    )
    assert not {v for v in variables if f"{v}:" not in light or f"{v}:" not in dark}


def test_panels_of_the_introduction_lead_to_every_chapter(site):
    page = bs4.BeautifulSoup((site / "book" / "intro.html").read_text(encoding="utf-8"), "html.parser")
    led = {}
    for link in page.select(".act-families a"):
        file, _, place = link["href"].partition("#")
        target = bs4.BeautifulSoup((site / "book" / file).read_text(encoding="utf-8"), "html.parser")
        assert not place or target.find(id=place)
        assert link.select("svg path")
        led[link.get_text()] = file
    assert set(led.values()) >= {f"{a.chapter}.html" for a in actlib.ACTIVATIONS.values() if a.chapter}
    assert len(led) == len(page.select(".act-families a"))


REFERENCE = ["reference", "reference_formulas"]
BACK_MATTER = ["glossary", "references", "teach", "cite", "licences"]
PAGES = ["intro", "explorer", *BACK_MATTER, *REFERENCE, "../genindex", *(n.stem for n in NOTEBOOKS)]


@pytest.fixture(scope="module", params=PAGES)
def visit(browser, address, request):
    """Each page in turn, opened once for all that is asked of it."""
    with Visit(browser, f"{address}/book/{request.param}.html", color_scheme="light") as visit:
        yield visit


def test_page_loads_without_trouble(visit):
    assert visit.trouble == []
    assert visit.foreign == []


def test_all_mathematics_is_typeset(visit):
    raw = visit.page.evaluate(
        """() => {
            const walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
            const raw = [];
            while (walker.nextNode()) {
                const inCode = walker.currentNode.parentElement.closest('pre, code, script, mjx-container');
                const text = walker.currentNode.data;
                if (!inCode && /\\\\\\(|\\\\\\[|\\$\\$/.test(text)) raw.push(text);
            }
            return raw;
        }"""
    )
    assert raw == []
    has_math = visit.page.locator("article .math").count() > 0
    assert visit.page.locator("article mjx-container").count() > 0 or not has_math
    assert visit.page.locator("article mjx-merror").count() == 0


def test_all_figures_are_shown(visit):
    """Those in whose place something stands that answers to the reader are in tests/test_live.py."""
    for figure in visit.page.locator('article img, article .act-figure:not(.act-moves) svg[role="img"]').all():
        box = figure.bounding_box()
        assert box["width"] > 50
        assert box["height"] > 20


def at_width(page, width, script):
    """What a script says of a page in a window of some width."""
    desk = page.viewport_size
    page.set_viewport_size({"width": width, "height": 844})
    found = page.evaluate(script)
    page.set_viewport_size(desk)
    return found


def test_no_page_scrolls_sideways_on_a_phone(visit):
    assert at_width(visit.page, 390, "document.documentElement.scrollWidth") <= 390


def test_no_line_of_code_is_clipped(visit):
    clipped = """() => {
        const folds = [...document.querySelectorAll('article details:not([open])')];
        folds.forEach((fold) => { fold.open = true; });
        const wide = [...document.querySelectorAll('article pre')].filter((e) => e.scrollWidth > e.clientWidth + 1);
        folds.forEach((fold) => { fold.open = false; });
        return wide.map((e) => e.textContent);
    }"""
    assert at_width(visit.page, 1024, clipped) == []


def test_nothing_is_cut_on_a_phone_without_a_sign(visit):
    """What is wider than the page stands in a box that scrolls, and that fades where there is more."""
    cut = """async () => {
        window.dispatchEvent(new Event('resize'));
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const boxes = '.act-scroll, pre, mjx-container, div.math, .pst-scrollable-table-container';
        const shown = (e) => e.getClientRects().length && !e.closest('details:not([open]), .toggle-hidden');
        const wide = [...document.querySelectorAll('article :is(figure, svg, img, table, pre, mjx-container)')]
            .filter((e) => shown(e) && e.getBoundingClientRect().right > innerWidth + 1);
        const unsigned = [...document.querySelectorAll('article *')].filter((e) => shown(e)
            && e.scrollWidth > e.clientWidth + 1 && /auto|scroll|hidden/.test(getComputedStyle(e).overflowX)
            && e.clientWidth > 40 && !e.matches('.act-more, .act-less, mjx-assistive-mml'));
        return [...wide.filter((e) => !e.parentElement.closest(boxes) && !e.matches(boxes)), ...unsigned]
            .map((e) => e.outerHTML.slice(0, 120));
    }"""
    assert at_width(visit.page, 390, cut) == []


def test_no_word_of_a_table_is_broken_on_a_phone(visit):
    broken = r"""() => [...document.querySelectorAll('article .act-table :is(th, td)')].flatMap((cell) => {
        const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        const found = [];
        while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[\p{Script=Latin}\d]{2,12}/gu)) {
            const range = document.createRange();
            range.setStart(texts.currentNode, word.index);
            range.setEnd(texts.currentNode, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(word[0]);
        }
        return found;
    })"""
    assert at_width(visit.page, 390, broken) == []


def test_everything_fits_on_paper(visit):
    desk = visit.page.viewport_size
    visit.page.set_viewport_size({"width": 642, "height": 900})  # what is between the margins
    too_wide = pdf.settle(visit.page)
    visit.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    visit.page.emulate_media(media="screen")
    visit.page.set_viewport_size(desk)
    assert too_wide == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ink_stands_out_from_the_page(visit, theme):
    """Text and curves against the page: 4.5 and 3 to 1, the contrasts that WCAG 2.2 asks for."""
    visit.page.emulate_media(color_scheme=theme)
    visit.page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
    contrasts = visit.page.evaluate(
        """() => {
            const channels = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255);
            const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            const light = c => { const [r, g, b] = channels(c).map(linear); return 0.2126*r + 0.7152*g + 0.0722*b };
            const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
            const page = getComputedStyle(document.body).backgroundColor;
            const curves = [...document.querySelectorAll('.act-figure path[style*="--act-"]')]
                .map(e => getComputedStyle(e).stroke).filter(c => c.startsWith('rgb'));
            return {text: ratio(getComputedStyle(document.querySelector('article p, article td')).color, page),
                    curves: curves.map(c => ratio(c, page))};
        }"""
    )
    assert contrasts["text"] >= 4.5
    assert min(contrasts["curves"], default=3) >= 3


def test_page_transfers_at_most_3_megabytes(visit):
    sizes = visit.page.evaluate(
        """() => ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))
            .map((entry) => entry.transferSize)"""
    )
    assert len(sizes) > 10
    assert sum(sizes) <= 3e6


def test_no_page_shuts_a_reader_out(visit):
    """axe-core finds no serious or critical barrier, in light and dark, with everything unfolded; comes last."""
    assert barriers(visit.page) == []


def test_results_are_typeset(browser, address):
    """What `formula.analysis` finds is LaTeX that MathJax knows; it shows an unknown command in red."""
    shown = [result._repr_latex_() for result, _ in RESULTS.values()]
    shown += [analysis.summary(formula, x)._repr_latex_() for formula in (sigma(x), sp.Max(x, 0), x * sigma(x))]
    shown = [text.removeprefix(r"$\displaystyle ").removesuffix("$") for text in shown]
    with Visit(browser, f"{address}/book/01_sigmoid.html") as visit:
        made = [
            visit.page.evaluate("text => MathJax.tex2chtml(text).outerHTML", text) for text in [*shown, r"\nonsense"]
        ]
    assert [bool(re.search("mjx-merror|color: ?red", html)) for html in made] == [False] * len(shown) + [True]


def test_search_finds(browser, address):
    with Visit(browser, f"{address}/book/intro.html") as visit:
        visit.page.keyboard.press("Control+k")
        visit.page.keyboard.type("LambertW")
        visit.page.keyboard.press("Enter")
        visit.page.locator("#search-results li", has_text="Swish").first.wait_for()
        assert visit.trouble == []
        assert barriers(visit.page) == []


def test_previous_and_next_lead_through_the_book(browser, address):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    with Visit(browser, f"{address}/{files[0]}.html") as visit:
        for before, file in itertools.pairwise(files):
            visit.page.locator("a.right-next").click()
            visit.page.wait_for_url(f"**/{file}.html")
            assert urllib.parse.urljoin(visit.page.url, visit.page.locator("a.left-prev").get_attribute("href")) == (
                f"{address}/{before}.html"
            )
        assert visit.trouble == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_can_be_downloaded(browser, site, address, path):
    with Visit(browser, f"{address}/book/{path.stem}.html") as visit:
        visit.page.get_by_label("Download this page").click()
        with visit.page.expect_download() as download:
            visit.page.locator(".btn-download-source-button").click()
        assert download.value.suggested_filename == path.name
        plain = site / "notebooks" / path.name
        assert pathlib.Path(download.value.path()).read_bytes() == plain.read_bytes()


def test_notebooks_are_executed_in_place(tmp_path):
    file = tmp_path / "short.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")], metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, file)
    tasks.execute(tmp_path)
    assert file.read_bytes() == nbformat.writes(nbformat.read(file, nbformat.NO_CONVERT)).encode() + b"\n"
    executed = nbformat.read(file, nbformat.NO_CONVERT)
    (cell,) = executed.cells
    assert (cell.execution_count, cell.outputs[0].data["text/plain"]) == (1, "42")
    assert cell.metadata == {}
    assert executed.metadata == {"kernelspec": KERNEL}
