"""Exercises by level: `book/exercises.yml` gives each a level, which it shows, and the teacher's page lists all."""

import pathlib
import re

import yaml
from docutils import nodes
from readable import text_of
from sphinx.util.docutils import SphinxDirective
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node

FILE = "book/exercises.yml"
LEVELS = {1: "A few lines", 2: "A proof or a measurement", 3: "Several steps"}
MARK = "<!--exercises-->"
LEVEL = '<span class="act-level">level {}</span>'
LENGTH = 130
TITLE = re.compile(
    r'(?P<head><div class="exercise admonition" id="(?P<label>[\w-]+)">\s*(?:<span id="[^"]*"></span>\s*)*'
    r'<p class="admonition-title"><span class="caption-number">(?P<name>[^<]*?) ?</span>)'
)


def levels(root: pathlib.Path) -> dict[str, int]:
    """The level of each exercise, by label."""
    return yaml.safe_load((root / FILE).read_text(encoding="utf-8"))


def mark(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Let each exercise say its level."""
    graded = levels(pathlib.Path(app.srcdir))
    context["body"] = TITLE.sub(
        lambda m: m["head"] + (LEVEL.format(graded[m["label"]]) if m["label"] in graded else ""),
        context.get("body", ""),
    )


def exercises(app) -> dict[str, tuple[str, str, str]]:
    """Of each exercise, by label, its page, its name there, and what it asks for."""
    found = {}
    for page in sorted(app.env.found_docs):
        asked = {
            node["label"]: " ".join(text_of(child) for child in node[1:])
            for node in app.env.get_doctree(page).findall(_is_exercise)
        }
        for title in TITLE.finditer(pathlib.Path(app.outdir, f"{page}.html").read_text(encoding="utf-8")):
            name = title["name"] if "." in title["name"] else f"{app.env.titles[page].astext()}, {title['name']}"
            found[title["label"]] = (page, name, asked[title["label"]])
    return found


def _is_exercise(node: nodes.Node) -> bool:
    return isinstance(node, exercise_node | exercise_enumerable_node)


def write(app, error) -> None:
    """Put the list into the page that asks for it."""
    if error or app.builder.format != "html":
        return
    graded, known = levels(pathlib.Path(app.srcdir)), exercises(app)
    groups = []
    for level, meaning in LEVELS.items():
        of_level = {label: found for label, found in known.items() if graded.get(label) == level}
        items = "".join(
            f'<li><a href="../{page}.html#{label}">{name}</a>: {_short(text)}</li>'
            for label, (page, name, text) in sorted(of_level.items(), key=lambda item: item[1][0])
        )
        groups.append(
            f"<details><summary>Level {level}. {meaning}: {len(of_level)}</summary><ul>{items}</ul></details>"
        )
    for page in app.env.found_docs:
        file = pathlib.Path(app.outdir, f"{page}.html")
        text = file.read_text(encoding="utf-8")
        if MARK in text:
            file.write_text(text.replace(MARK, "".join(groups)), encoding="utf-8", newline="\n")


def _short(text: str) -> str:
    text = text.replace("<", "&lt;")
    return text if len(text) <= LENGTH else f"{text[: text.rindex(' ', 0, LENGTH)]} …"


class Exercises(SphinxDirective):
    """All exercises of the book by level."""

    def run(self) -> list[nodes.Node]:
        """A place for them: they are known when all pages are written."""
        return [nodes.raw("", MARK, format="html")]


def setup(app):
    """Register it."""
    app.add_directive("exercises", Exercises)
    app.connect("html-page-context", mark, priority=400)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
