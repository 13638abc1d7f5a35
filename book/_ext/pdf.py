"""The whole book as one PDF: the built pages, printed by Chromium in the order of `_toc.yml` and joined.

    python book/_ext/pdf.py _build/html

Solutions stand below their exercises, folded code stays out. A title page and a table of contents with page numbers
come first; chapters and sections are bookmarks, and links from chapter to chapter lead to the page in the file. The
built pages get a link to the PDF in their menu. The browser is that of the tests, see `browsers.py`.
"""

import argparse
import contextlib
import functools
import html
import http.server
import io
import os
import pathlib
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from browsers import NoBrowserError, Opener
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import ArrayObject, DictionaryObject, Fit, FloatObject, NameObject, NullObject, TextStringObject

ROOT = pathlib.Path(__file__).parents[2]
NAME = "activation-functions.pdf"
CHINESE = re.compile("[一-鿿]")

LINK = re.compile(r'<li class="paper-pdf">.*?</li>|(?<=<p class="paper-pdf">).*?(?=</p>)', re.DOTALL)
MENU = re.compile(r"(dropdown-download-buttons.*?)(</ul>)", re.DOTALL)
PLACE = '<p class="paper-pdf">'
"""What `paper.py` leaves in the introduction for a link."""

FRONT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><style>
@page {{ size: A4; margin: 22mm 24mm;
  @bottom-center {{ content: counter(page, lower-roman); font: 8pt sans-serif; color: #555; }} }}
@page :first {{ @bottom-center {{ content: none; }} }}
body {{ margin: 0; font: 10pt/1.5 "DejaVu Sans", Helvetica, Arial, sans-serif; color: #222; }}
.title {{ break-after: page; text-align: center; padding-top: 55mm; }}
.title svg {{ width: 46mm; height: auto; }}
.title h1 {{ font-size: 27pt; line-height: 1.25; margin: 14mm 0 8mm; }}
.title .licence {{ color: #555; margin-top: 70mm; font-size: 9pt; }}
h2 {{ font-size: 17pt; margin: 0 0 6mm; }}
h3 {{ font-size: 9pt; margin: 5mm 0 1mm; color: #555; letter-spacing: 0.06em; text-transform: uppercase;
  break-after: avoid; }}
a {{ display: flex; gap: 2mm; align-items: baseline; color: inherit; text-decoration: none; break-inside: avoid; }}
a.chapter {{ font-weight: bold; margin-top: 1.6mm; break-after: avoid; }}
a.section {{ font-size: 8.5pt; line-height: 1.45; padding-left: 6mm; }}
a i {{ flex: 1; border-bottom: 1px dotted #999; }}
</style></head><body>
<div class="title">{logo}<h1>{title}</h1><p>{author}</p><p class="licence">{licence}</p></div>
<h2>Contents</h2>{contents}</body></html>"""


@dataclass
class Chapter:
    """A printed page of the book.

    Attributes:
        url: Where it was printed from.
        title: Its first heading, with the number.
        sections: Anchor and heading of each section.
        reader: The PDF.
        start: Its first page in the book, from 0 behind the front matter.
        too_wide: What did not fit between the margins.
    """

    url: str
    title: str
    sections: list[tuple[str, str]]
    reader: PdfReader
    start: int
    too_wide: list[str]

    def text(self) -> str:
        """What can be read in the PDF."""
        return "\n".join(page.extract_text() for page in self.reader.pages)

    def places(self) -> dict[str, tuple[int, float]]:
        """Page in the chapter and height on it, by anchor."""
        return {
            urllib.parse.unquote(name.removeprefix("/")): (self.reader.get_destination_page_number(d), float(d.top))
            for name, d in self.reader.named_destinations.items()
        }


def order(toc: dict) -> Iterator[tuple[str, list[str]]]:
    """Captions of parts and the files in them; the introduction has no caption."""
    yield "", [toc["root"]]
    for part in toc["parts"]:
        yield part["caption"], [chapter["file"] for chapter in part["chapters"]]


@contextlib.contextmanager
def served(site: pathlib.Path) -> Iterator[str]:
    """The site's address, served to this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def anchors(site: pathlib.Path, files: list[str]) -> dict[str, set[str]]:
    """The anchors in each file that any file links to."""
    found: dict[str, set[str]] = {file: set() for file in files}
    for file in files:
        for href in re.findall(r'href="([^"]+#[^"]+)"', (site / f"{file}.html").read_text(encoding="utf-8")):
            url = urllib.parse.urlsplit(urllib.parse.urljoin(f"/{file}.html", html.unescape(href)))
            name = url.path.removeprefix("/").removesuffix(".html")
            if not url.netloc and name in found:
                found[name].add(urllib.parse.unquote(url.fragment))
    return found


def settle(page: Page) -> list[str]:
    """Lay an opened page out as on paper, and say what is wider than that."""
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready }")
    page.emulate_media(media="print")
    return page.evaluate(
        """() => {
            window.dispatchEvent(new Event('beforeprint'));
            const wide = (e) => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 0.5;
            return [...document.querySelectorAll(
                'article pre, article table, article p, article .act-figure, article mjx-container[display="true"]'
            )].filter((e) => e.getClientRects().length && wide(e)).map((e) => e.outerHTML.slice(0, 200));
        }"""
    )


def print_chapter(browser: Browser, url: str, linked: set[str], start: int) -> Chapter:
    """A page as PDF, with its pages numbered from the start."""
    page = browser.new_page(viewport={"width": 642, "height": 900}, color_scheme="light")
    page.goto(f"{url}?print=solutions", wait_until="networkidle")
    too_wide = settle(page)
    title, sections = page.evaluate(
        """() => {
            const text = (heading) => {
                const copy = heading.cloneNode(true);
                copy.querySelectorAll('.headerlink').forEach((e) => e.remove());
                return copy.textContent.trim();
            };
            const sections = [...document.querySelectorAll('article section[id] > h2')];
            return [text(document.querySelector('article h1')), sections.map((h) => [h.parentElement.id, text(h)])];
        }"""
    )
    # Chromium names the places that links on the same page lead to; these here nobody sees.
    page.evaluate(
        """(ids) => document.querySelector('article').append(...ids.map((id) => Object.assign(
            document.createElement('a'), {href: '#' + encodeURIComponent(id), hidden: true}
        )))""",
        sorted(linked | {anchor for anchor, _ in sections}),
    )
    page.add_style_tag(
        content=f"""html {{ counter-reset: page {start}; }} .paper-head {{ display: none; }}
            @page {{ @bottom-left {{ content: {css_string(title)}; font: 8pt sans-serif; color: #555; }}
                     @bottom-center {{ content: none; }}
                     @bottom-right {{ content: counter(page); font: 8pt sans-serif; color: #555; }} }}"""
    )
    data = page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
    page.close()
    return Chapter(url, title, sections, PdfReader(io.BytesIO(data)), start, too_wide)


def css_string(text: str) -> str:
    """The text as a string of CSS."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def front_matter(browser: Browser, parts: dict[str, list[Chapter]], config: dict) -> PdfReader:
    """Title page and table of contents."""
    contents = []
    for caption, chapters in parts.items():
        contents.append(f"<h3>{html.escape(caption)}</h3>" if caption else "")
        for chapter in chapters:
            places = chapter.places()
            entries = [("chapter", "", chapter.title, 0)]
            entries += [("section", f"#{a}", text, places[a][0]) for a, text in chapter.sections if a in places]
            contents += [
                f'<a class="{kind}" href="{html.escape(chapter.url + anchor)}"><span>{html.escape(text)}</span><i></i>'
                f"<span>{chapter.start + at + 1}</span></a>"
                for kind, anchor, text, at in entries
            ]
    page = browser.new_page()
    page.set_content(
        FRONT.format(
            logo=(ROOT / config["logo"]).read_text(encoding="utf-8"),
            title=html.escape(config["title"]),
            author=html.escape(config["author"]),
            licence=html.escape(config["html"]["extra_footer"]),
            contents="".join(contents),
        )
    )
    data = page.pdf(prefer_css_page_size=True, print_background=True)
    page.close()
    return PdfReader(io.BytesIO(data))


def join(front: PdfReader, chapters: list[Chapter], config: dict) -> PdfWriter:
    """One file of all, with bookmarks, page labels, and links that lead to its pages."""
    writer = PdfWriter()
    for reader in (front, *(chapter.reader for chapter in chapters)):
        for page in reader.pages:
            writer.add_page(page)
    before = len(front.pages)
    targets: dict[str, tuple[int, float | None]] = {}
    for chapter in chapters:
        targets[chapter.url] = (before + chapter.start, None)
        for anchor, (page, top) in chapter.places().items():
            targets[f"{chapter.url}#{anchor}"] = (before + chapter.start + page, top)
    bases = [""] * before + [chapter.url for chapter in chapters for _ in chapter.reader.pages]
    for base, page in zip(bases, writer.pages, strict=True):
        for annotation in page.get("/Annots", []):
            _lead(writer, annotation.get_object(), base, targets)
    writer.add_outline_item(title="Contents", page_number=1)
    for chapter in chapters:
        item = writer.add_outline_item(title=chapter.title, page_number=before + chapter.start)
        for anchor, text in chapter.sections:
            page, top = targets[f"{chapter.url}#{anchor}"]
            writer.add_outline_item(title=text, page_number=page, parent=item, fit=Fit.xyz(0, top, None))
    writer.set_page_label(0, before - 1, style=PageLabelStyle.LOWERCASE_ROMAN)
    writer.set_page_label(before, len(writer.pages) - 1, style=PageLabelStyle.DECIMAL)
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.compress_identical_objects()
    return writer


def _lead(writer: PdfWriter, link: DictionaryObject, base: str, targets: dict[str, tuple[int, float | None]]) -> None:
    """Make a link to a page of the book, or to a place on the same page, lead into the file."""
    if link.get("/Subtype") != "/Link":
        return
    name = link.get("/Dest")
    uri = f"{base}#{str(name).removeprefix('/')}" if name is not None else link.get("/A", {}).get("/URI", "")
    uri = urllib.parse.unquote(str(uri)).replace("?print=solutions", "")
    target = targets.get(uri) or targets.get(uri.split("#")[0])
    if target is None:
        if base and uri.startswith(base.split("/book/")[0]):  # a page that is not printed
            link.pop("/A", None)
        return
    page, top = target
    height = NullObject() if top is None else FloatObject(top)
    link.pop("/A", None)
    link[NameObject("/Dest")] = ArrayObject(
        [writer.pages[page].indirect_reference, NameObject("/XYZ"), FloatObject(0), height, NullObject()]
    )


def offer(site: pathlib.Path, size: int) -> None:
    """Put a link to the PDF into the menu of every page and into the introduction, in place of an older one."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        href = f"{pathlib.Path(os.path.relpath(site, page.parent)).as_posix()}/{NAME}"
        item = (
            f'<li class="paper-pdf"><a class="btn btn-sm dropdown-item" href="{href}" title="All chapters in one file">'
            '<span class="btn__icon-container"><i class="fas fa-book"></i></span>'
            '<span class="btn__text-container">The book as PDF</span></a></li>'
        )
        sentence = f'The book is <a href="{href}">one PDF</a>, too, of {size / 1e6:.0f} MB.'
        linked = MENU.sub(rf"\1{item}\2", LINK.sub("", text), count=1).replace(PLACE, PLACE + sentence)
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def book(site: pathlib.Path, browser: Browser, files: list[str] | None = None) -> tuple[PdfWriter, list[Chapter]]:
    """The book, or some files of it, as one PDF; and its chapters.

    Args:
        site: The built pages.
        browser: Chromium.
        files: Which of those in `_toc.yml`; all if none are named.

    Raises:
        ValueError: The Chinese in a file was not printed, because the machine has no font for it.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    parts = dict(order(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))
    parts = {caption: [f for f in names if files is None or f in files] for caption, names in parts.items()}
    linked = anchors(site, [file for names in parts.values() for file in names])
    printed: dict[str, list[Chapter]] = {}
    start = 0
    with served(site) as address:
        for caption, names in parts.items():
            for file in names:
                chapter = print_chapter(browser, f"{address}/{file}.html", linked[file], start)
                if CHINESE.search((site / f"{file}.html").read_text(encoding="utf-8")) and not CHINESE.search(
                    chapter.text()
                ):
                    raise ValueError(
                        f"the Chinese of {file} is not printed; install a font, such as fonts-wqy-microhei"
                    )
                printed.setdefault(caption, []).append(chapter)
                start += len(chapter.reader.pages)
        chapters = [chapter for part in printed.values() for chapter in part]
        return join(front_matter(browser, printed, config), chapters, config), chapters


def main() -> None:
    """Print, write, and link."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("site", type=pathlib.Path, help="folder of the built pages, such as _build/html")
    site = parser.parse_args().site.resolve()
    if not (site / "book").is_dir():
        parser.error(f"{site} has no built book; build it first")
    with sync_playwright() as playwright:
        try:
            browser, what = Opener(playwright.chromium).open()
        except NoBrowserError as error:
            raise SystemExit(str(error)) from error
        sys.stdout.write(f"browser: {what}\n")
        try:
            writer, chapters = book(site, browser)
        except ValueError as error:
            raise SystemExit(str(error)) from error
        finally:
            browser.close()
    for chapter in chapters:
        for element in chapter.too_wide:
            sys.stderr.write(f"{chapter.title}: wider than the page: {element}\n")
    writer.write(site / NAME)
    offer(site, (site / NAME).stat().st_size)
    sys.stdout.write(f"{len(writer.pages)} pages: {site / NAME}\n")


if __name__ == "__main__":
    main()
