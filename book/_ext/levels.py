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
LENGTH = 130
TITLE = re.compile(
    r'(?P<head><div class="exercise admonition" id="(?P<label>[\w-]+)">\s*(?:<span id="[^"]*"></span>\s*)*'
    r'<p class="admonition-title"><span class="caption-number">(?P<name>[^<]*?) ?</span>)'
)


def levels(root: pathlib.Path) -> dict[str, int]:
    """The level of each exercise, by label."""
    return yaml.safe_load((root / FILE).read_text(encoding="utf-8"))


def collect(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Let each exercise say its level; keep what it asks for."""
    if doctree is None:
        return
    graded = levels(pathlib.Path(app.srcdir))
    asked = {
        label: " ".join(text_of(child) for child in node[1:])
        for node in doctree.findall(_is_exercise)
        for label in [node.get("label", "")]
    }

    def titled(found: re.Match) -> str:
        label = found["label"]
        name = found["name"] if "." in found["name"] else f"{app.env.titles[pagename].astext()}, {found['name']}"
        app.exercises[label] = (pagename, name, asked.get(label, ""))
        if label not in graded:
            return found["head"]
        return f'{found["head"]}<span class="act-level">level {graded[label]}</span>'

    context["body"] = TITLE.sub(titled, context.get("body", ""))


def _is_exercise(node: nodes.Node) -> bool:
    return isinstance(node, exercise_node | exercise_enumerable_node)


def write(app, error) -> None:
    """Put the list into the page that asks for it."""
    if error or app.builder.format != "html":
        return
    graded = levels(pathlib.Path(app.srcdir))
    groups = []
    for level, meaning in LEVELS.items():
        of_level = {label: found for label, found in app.exercises.items() if graded.get(label) == level}
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
    app.exercises = {}
    app.add_directive("exercises", Exercises)
    app.connect("html-page-context", collect, priority=400)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
