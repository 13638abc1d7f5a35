"""Figures and tables that cells made get a number and an anchor; figures can be downloaded.

Each number is a link to its own place, which `book.js` copies when it is clicked. The teacher's page lists the figures.
"""

import pathlib
import re

import collected

from actlib.book import plain

PLACES = re.compile(
    r'<figure class="act-figure">(?P<drawn>.*?)(?:<figcaption>(?P<said>.*?)</figcaption>)?</figure>'
    r'|aria-label="Table">(?P<table><table class="[^"]*")>(?:<caption>(?P<head>.*?)</caption>)?',
    re.DOTALL,
)
DRAWN = re.compile(r'<figure class="act-figure" id="(?P<anchor>[\w-]+)">.*?(?P<svg><svg.*?</svg>)', re.DOTALL)
"""A figure as it is written."""

FOLDER = "figures"


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


def by_page(app) -> collected.Groups:
    """Write the figures as files; links to all, for the page that lists them."""
    target = pathlib.Path(app.outdir, "_static", FOLDER)
    target.mkdir(parents=True, exist_ok=True)
    for page in sorted(app.env.found_docs):
        items = []
        for found in DRAWN.finditer(pathlib.Path(app.outdir, f"{page}.html").read_text(encoding="utf-8")):
            file = f"{pathlib.PurePosixPath(page).name}-{found['anchor']}.svg"
            (target / file).write_text(standalone(found["svg"]), encoding="utf-8", newline="\n")
            about = re.search(r'aria-label="([^"]*)"', found["svg"])[1]
            items.append(
                f'<a href="../{page}.html#{found["anchor"]}">{_name(found["anchor"])}</a> '
                f'(<a href="../_static/{FOLDER}/{file}" download>SVG</a>): {about}'
            )
        yield app.env.titles[page].astext(), items


def setup(app):
    """Register it, before Chinese is marked."""
    app.connect("html-page-context", number, priority=400)
    collected.register(app, "figures", by_page)
    return {"parallel_read_safe": True}
