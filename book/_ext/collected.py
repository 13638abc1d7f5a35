"""Lists of what all pages hold: a directive keeps a place, which is filled when all pages are written."""

import html
import pathlib
from collections.abc import Callable, Iterable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Groups = Iterable[tuple[str, list[str]]]
"""Titles, and what is listed under each, as HTML."""


def register(app: Sphinx, name: str, groups: Callable[[Sphinx], Groups]) -> None:
    """Register a directive of this name, in whose place the groups stand, folded; those without items are left out."""
    place = f"<!--{name}-->"

    class Collected(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            return [nodes.raw("", place, format="html")]

    def write(app, error) -> None:
        if error or app.builder.format != "html":
            return
        listed = "".join(_fold(title, items) for title, items in groups(app) if items)
        for page in app.env.found_docs:
            file = pathlib.Path(app.outdir, f"{page}.html")
            text = file.read_text(encoding="utf-8")
            if place in text:
                file.write_text(text.replace(place, listed), encoding="utf-8", newline="\n")

    app.add_directive(name, Collected)
    app.connect("build-finished", write)


def _fold(title: str, items: list[str]) -> str:
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f"<details><summary>{html.escape(title)}: {len(items)}</summary><ul>{listed}</ul></details>"
