"""Figures and tables that cells made get a number and an anchor, tables a caption; figures can be downloaded.

Each number is a link to its own place, which `book.js` copies when it is clicked. The teacher's page lists the figures.
What a table does not say of itself, the metadata of its cell may say (`"caption": "What is kept"`, or a list of them),
else the claim whose outcomes it shows, or the heading under which it stands.
"""

import collections
import functools
import html
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import collected
from docutils import nodes
from readable import is_section, text_of
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node, solution_node

from actlib.book import plain, tables, verdicts

PLACES = re.compile(
    r'<figure class="act-figure">(?P<drawn>.*?)(?:<figcaption>(?P<said>.*?)</figcaption>)?</figure>'
    r'|aria-label="Table">(?P<table><table class="[^"]*")>(?:<caption>(?P<head>.*?)</caption>)?',
    re.DOTALL,
)
DRAWN = re.compile(r'<figure class="act-figure" id="(?P<anchor>[\w-]+)">.*?(?P<svg><svg.*?</svg>)', re.DOTALL)
"""A figure as it is written."""

FOLDER = "figures"

COLUMNS = re.compile(r'<th scope="col"[^>]*>(.*?)</th>')
BEGINNINGS = re.compile(r'<tr><th scope="row(?:group)?"[^>]*>(.*?)</th>')
CHAPTERS = re.compile(r'<th scope="rowgroup"[^>]*>(?:(?!</th>).)*<a [^>]*>(.*?)</a>')
ROWS = re.compile(r'<tr><th scope="row"[^>]*>(.*?)</th><td[^>]*>(.*?)</td>.*?<td[^>]*>((?:(?!<td).)*?)</td></tr>')
"""What stands in a table: titles of columns, firsts of rows, chapters of claims; conditions, effects and verdicts."""

MOST = 3
"""Of what tells a table from others of its section, so many are named."""

JUDGED = '<th scope="col">effect (95% interval)</th>'
"""In the head of a table that says what was found of a claim."""

OUTCOMES = f'<thead><tr><th scope="col">condition</th>{JUDGED}<th scope="col">detectable from</th>'
"""How the table of one claim's outcomes begins; on a phone each is a small card, as in a table of verdicts."""


class Numbered:
    """Gives the numbers of one page.

    Args:
        chapter: What stands before each number.
        captions: HTML for all tables of the page, in order; where it is empty, a table keeps a caption of its own.

    Attributes:
        names: Those given so far.
    """

    def __init__(self, chapter: str, captions: Iterable[str] = itertools.repeat("")):
        self._chapter, self._counts, self._captions = chapter, {"Figure": 0, "Table": 0}, iter(captions)
        self.names: list[str] = []

    def __call__(self, found: re.Match) -> str:
        """The figure, or the beginning of the table, with its number."""
        if found["table"]:
            anchor, name, link = self._next("Table")
            head = f"{link} {next(self._captions) or found['head'] or ''}".rstrip()
            style = found["table"]
            if found.string.startswith(OUTCOMES, found.end()):
                style = f'{style[:-1]} act-outcomes"'
            return f'aria-label="{name}">{style} id="{anchor}"><caption>{head}</caption>'
        anchor, _, link = self._next("Figure")
        said = f"{link} {found['said']}" if found["said"] else link
        return f'<figure class="act-figure" id="{anchor}">{found["drawn"]}<figcaption>{said}</figcaption></figure>'

    def _next(self, kind: str) -> tuple[str, str, str]:
        self._counts[kind] += 1
        number = f"{self._chapter}{self._counts[kind]}"
        anchor = f"{kind.lower()}-{number.replace('.', '-')}"
        self.names.append(f"{kind} {number}")
        copies = f'title="Copies the link to this {kind.lower()}"'
        return anchor, self.names[-1], f'<a class="act-number-link" href="#{anchor}" {copies}>{kind} {number}.</a>'


def prefix(env, page: str) -> str:
    """What stands before the numbers of a page: that of its chapter, if it has one."""
    return "".join(f"{part}." for part in env.toc_secnumbers.get(page, {}).get("", ()))


def captions(document: nodes.document) -> list[str]:
    """HTML of what each table says that it is about; where several say the same, what tells them apart follows."""
    told: dict[nodes.Node, Iterator[str]] = {}
    chapter = pathlib.Path(document.get("source") or "").stem
    said, shown = [], []
    for raw in document.findall(nodes.raw):
        for found in PLACES.finditer(raw.astext()):
            if found["table"]:
                table = found.string[found.end() :].partition("</table>")[0]
                shown.append(table)
                said.append(
                    found["head"]
                    or html.escape(next(_told(raw, told), "") or _claim(chapter, table) or _heading(raw, table))
                )
    alike = collections.defaultdict(list)
    for place, caption in enumerate(said):
        alike[caption].append(place)
    for caption, places in alike.items():
        if len(places) > 1:
            for place, what in zip(places, _apart([shown[place] for place in places]), strict=True):
                said[place] = f"{caption} ({html.escape(what)})" if what else caption
    return said


def _told(raw: nodes.raw, told: dict[nodes.Node, Iterator[str]]) -> Iterator[str]:
    """What the metadata of its cell say, of one table after the other."""
    cell = next((node for node in _above(raw) if "cell_metadata" in node), None)
    said = [] if cell is None else cell["cell_metadata"].get("caption", [])
    return told.setdefault(cell, iter([said] if isinstance(said, str) else said))


@functools.cache
def _claims(chapter: str) -> list[tuple[str, list[tuple[str, ...]]]]:
    """What a chapter has tested: each claim with the conditions, effects and verdicts of its outcomes, as HTML."""
    of = lambda t, c: tuple(tables.cell(value)[0] for value in (t.words[c], t.effects[c], t.conditions[c]))
    return [(t.claim, [of(t, c) for c in t.conditions]) for t in verdicts.stored() if t.chapter == chapter]


def _claim(chapter: str, table: str) -> str:
    """The claim of the chapter of which the table says what was found, if it is of one alone."""
    rows = ROWS.findall(table) if JUDGED in table else []
    for claim, known in _claims(chapter):
        if rows and len(known) == len(rows) and all(map(_same, known, rows)):
            return claim[0].upper() + claim[1:]
    return ""


def _same(known: tuple[str, ...], row: tuple[str, ...]) -> bool:
    """Whether a row shows this outcome; what is kept of an effect may say, too, what could have been found."""
    return (known[0], known[2]) == (row[0], row[2]) and known[1].startswith(row[1])


def _heading(raw: nodes.raw, table: str) -> str:
    """The heading above it, or that of the exercise; and whether it says what was found of a claim."""
    place = next(node for node in _above(raw) if is_section(node) or isinstance(node, EXERCISES))
    text = text_of(place[0])
    if JUDGED not in table:
        return text
    if text[-1] in "?!":
        return f"{text} Effect and verdict"
    return f"{text} (effect and verdict)" if ": " in text else f"{text}: effect and verdict"


def _apart(alike: Sequence[str]) -> list[str]:
    """What tells tables apart: titles of columns, chapters of claims, or what rows begin with."""
    for cells in (COLUMNS, CHAPTERS, BEGINNINGS):
        held = [list(dict.fromkeys(filter(None, map(_plain, cells.findall(table))))) for table in alike]
        shared = set.intersection(*map(set, held))
        told = [[words for words in one if words not in shared] for one in held]
        said = ["; ".join(one[:MOST] + ["…"] * (len(one) > MOST)) for one in told]
        if all(said) and len(set(said)) == len(said):
            return said
    return [""] * len(alike)


def _plain(cell: str) -> str:
    """The words of a cell, up to a colon; nothing where they hold a formula."""
    text = html.unescape(re.sub("<[^>]+>", "", cell)).partition(":")[0].strip()
    return "" if r"\(" in text else text


EXERCISES = (exercise_node, exercise_enumerable_node, solution_node)


def _above(node: nodes.Node) -> Iterator[nodes.Element]:
    while (node := node.parent) is not None:
        yield node


def number(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Number what a page shows; chapters without a number give none."""
    if doctree is not None:
        numbered = Numbered(prefix(app.env, pagename), captions(doctree))
        context["body"] = PLACES.sub(numbered, context.get("body", ""))


def names(chapter: str, pages: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    """The numbers of what cells show, cell by cell, from the HTML of their outputs."""
    numbered = Numbered(chapter)
    for outputs in pages:
        before = len(numbered.names)
        for page in outputs:
            PLACES.sub(numbered, page)
        yield numbered.names[before:]


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
