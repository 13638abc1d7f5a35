"""Figures and tables that cells made get a number and an anchor; figures can be downloaded.

Each number is a link to its own place, which `book.js` copies when it is clicked. The teacher's page lists the figures.
"""

import html
import pathlib
import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from actlib.book import plain

PLACES = re.compile(
    r'<figure class="act-figure">(?P<drawn>.*?)(?:<figcaption>(?P<said>.*?)</figcaption>)?</figure>'
    r'|aria-label="Table">(?P<table><table class="[^"]*")>(?:<caption>(?P<head>.*?)</caption>)?',
    re.DOTALL,
)
DRAWN = re.compile(r'<figure class="act-figure" id="(?P<anchor>[\w-]+)">.*?(?P<svg><svg.*?</svg>)', re.DOTALL)
"""A figure as it is written."""

FOLDER = "figures"
MARK = "<!--figures-->"


class Numbered:
    """Gives the numbers of one page."""

    def __init__(self, chapter: str):
        self._chapter, self._counts = chapter, {"Figure": 0, "Table": 0}

    def __call__(self, found: re.Match) -> str:
        """The figure, or the beginning of the table, with its number."""
        if found["table"]:
            anchor, name, link = self._next("Table")
            head = f"{link} {found['head']}" if found["head"] else link
            return f'aria-label="{name}">{found["table"]} id="{anchor}"><caption>{head}</caption>'
        anchor, _, link = self._next("Figure")
        said = f"{link} {found['said']}" if found["said"] else link
        return f'<figure class="act-figure" id="{anchor}">{found["drawn"]}<figcaption>{said}</figcaption></figure>'

    def _next(self, kind: str) -> tuple[str, str, str]:
        self._counts[kind] += 1
        number = f"{self._chapter}{self._counts[kind]}"
        anchor = f"{kind.lower()}-{number.replace('.', '-')}"
        return anchor, f"{kind} {number}", f'<a class="act-number-link" href="#{anchor}">{kind} {number}.</a>'


def number(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Number what a page shows; chapters without a number give none."""
    chapter = app.env.toc_secnumbers.get(pagename, {}).get("", ())
    numbered = Numbered("".join(f"{part}." for part in chapter))
    context["body"] = PLACES.sub(numbered, context.get("body", ""))


def standalone(svg: str) -> str:
    """A figure's SVG as a file of its own, in the colours of a light page."""
    svg = re.sub(r"var\((--act-[\w-]+)(?:, *#\w+)?\)", lambda m: plain.LIGHT[m[1]], svg)
    svg = svg.replace("currentColor", plain.INK)
    return svg if 'xmlns="' in svg else svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)


def _name(anchor: str) -> str:
    kind, _, number = anchor.partition("-")
    return f"{kind.capitalize()} {number.replace('-', '.')}"


def write(app, error) -> None:
    """Write the figures as files, and their list into the page that asks for it."""
    if error or app.builder.format != "html":
        return
    target = pathlib.Path(app.outdir, "_static", FOLDER)
    target.mkdir(parents=True, exist_ok=True)
    groups = []
    for page in sorted(app.env.found_docs):
        items = []
        for found in DRAWN.finditer(pathlib.Path(app.outdir, f"{page}.html").read_text(encoding="utf-8")):
            file = f"{pathlib.PurePosixPath(page).name}-{found['anchor']}.svg"
            (target / file).write_text(standalone(found["svg"]), encoding="utf-8", newline="\n")
            about = re.search(r'aria-label="([^"]*)"', found["svg"])[1]
            items.append(
                f'<li><a href="../{page}.html#{found["anchor"]}">{_name(found["anchor"])}</a> '
                f'(<a href="../_static/{FOLDER}/{file}" download>SVG</a>): {about}</li>'
            )
        if not items:
            continue
        title = html.escape(app.env.titles[page].astext())
        groups.append(f"<details><summary>{title}: {len(items)}</summary><ul>{''.join(items)}</ul></details>")
    for page in app.env.found_docs:
        file = pathlib.Path(app.outdir, f"{page}.html")
        text = file.read_text(encoding="utf-8")
        if MARK in text:
            file.write_text(text.replace(MARK, "".join(groups)), encoding="utf-8", newline="\n")


class Figures(SphinxDirective):
    """All figures of the book, to be downloaded."""

    def run(self) -> list[nodes.Node]:
        """A place for them: they are known when all pages are written."""
        return [nodes.raw("", MARK, format="html")]


def setup(app):
    """Register it, before Chinese is marked."""
    app.add_directive("figures", Figures)
    app.connect("html-page-context", number, priority=400)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
