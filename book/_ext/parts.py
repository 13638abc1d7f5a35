"""A page that is read in parts: each can be folded, and a list at the top, with verdicts counted, leads to them.

The parts are the tables of what is said, one a chapter, and the sections of the third level. They stand open where no
script runs and on paper; `book.js` folds them, and opens the one that a link leads into.
"""

import collections
import re

from sphinx.errors import ExtensionError

from actlib.book import plain
from actlib.book.evidence import Verdict

PAGES = {"differences"}
SAYINGS = re.compile(
    r'<div class="act-scroll[^>]*><table class="act-table act-verdicts" id="(?P<anchor>[\w-]+)"><caption><a.*?</a>'
    r" (?P<title>(?:(?!</caption>).)*)</caption><thead><tr><th scope=\"col\">tested as</th>.*?</table></div>",
    re.DOTALL,
)
SECTION = re.compile(
    r'<section id="(?P<anchor>[^"]+)">(?P<names>(?:\s*<span id="[^"]*"></span>)*)\s*'
    r'(?P<head><h3>(?P<title>.*?)<a class="headerlink.*?</h3>)(?P<text>.*?)</section>',
    re.DOTALL,
)
GROUP = re.compile(r"<h2>(?P<title>.*?)<a class=\"headerlink")
VERDICT = re.compile(r'<td class="(act-[a-z]+)">')


def tally(page: str) -> str:
    """How many verdicts of each kind a part has: one a claim, and of a claim with its conditions that above these."""
    said = "tested as</th>" in page
    bodies = re.findall(r'<tbody><tr><th scope="rowgroup".*?</tbody>', page, re.DOTALL)
    found = [VERDICT.findall(body) for body in bodies]
    counts = collections.Counter(style for styles in found for style in (styles if said else styles[:1]))
    words = {verdict.style: verdict.value for verdict in Verdict}
    told = [
        f'<span class="{style}" title="{words[style]}"><span aria-hidden="true">{mark}</span> {counts[style]}'
        f'<span class="visually-hidden"> {words[style]}</span></span>'
        for style, mark in plain.MARKS.items()
        if counts[style]
    ]
    return f' <span class="act-tally">{" ".join(told)}</span>' if told else ""


def divided(body: str) -> str:
    """The body of a page with parts that can be folded, and the list of them behind the words above its first table."""
    listed: dict[str, list[str]] = {}

    def entry(group: str, anchor: str, title: str, counted: str) -> None:
        listed.setdefault(group, []).append(f'<li><a href="#{anchor}">{title}</a>{counted}</li>')

    def sayings(found: re.Match) -> str:
        title, counted = re.sub("<[^>]*>", "", found["title"]), tally(found[0])
        entry("By chapter", found["anchor"], title, counted)
        return f'<details class="act-section" open><summary>{title}{counted}</summary>{found[0]}</details>'

    def section(found: re.Match) -> str:
        if "<section" in found["text"]:
            raise ExtensionError(f"a part holds another section: {found['anchor']}")
        counted = tally(found["text"])
        group = GROUP.findall(found.string, 0, found.start())[-1]
        entry(group, found["anchor"], found["title"], counted)
        return (
            f'<section id="{found["anchor"]}">{found["names"]}<details class="act-section" open><summary>'
            f"{found['head']}{counted}</summary>{found['text']}</details></section>"
        )

    body = SECTION.sub(section, SAYINGS.sub(sayings, body))
    groups = (f"<p>{group}</p><ul>{''.join(items)}</ul>" for group, items in listed.items())
    contents = f'<nav class="act-parts" aria-label="Parts of this page">{"".join(groups)}</nav>'
    at = body.rindex("</p>", 0, body.index("<table")) + len("</p>")
    return f"{body[:at]}{contents}{body[at:]}"


def divide(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Divide those pages that are long enough."""
    if pagename.rpartition("/")[2] in PAGES:
        context["body"] = divided(context["body"])


def setup(app):
    """Register it, after tables have their numbers."""
    app.connect("html-page-context", divide, priority=420)
    return {"parallel_read_safe": True}
