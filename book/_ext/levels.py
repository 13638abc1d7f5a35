"""Exercises by level: `book/exercises.yml` gives each a level, which it shows, and the teacher's page lists all."""

import html
import pathlib
import re

import collected
import yaml
from docutils import nodes
from readable import shortened, text_of
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node

FILE = "book/exercises.yml"
LEVELS = {1: "A few lines", 2: "A proof or a measurement", 3: "Several steps"}
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


def by_level(app) -> collected.Groups:
    """Links to all exercises, for the page that lists them."""
    graded, known = levels(pathlib.Path(app.srcdir)), exercises(app)
    for level, meaning in LEVELS.items():
        of_level = {label: found for label, found in known.items() if graded.get(label) == level}
        yield (
            f"Level {level}. {meaning}",
            [
                f'<a href="../{page}.html#{label}">{name}</a>: {html.escape(shortened(text, LENGTH), quote=False)}'
                for label, (page, name, text) in of_level.items()
            ],
        )


def setup(app):
    """Register it."""
    app.connect("html-page-context", mark, priority=400)
    collected.register(app, "exercises", by_level)
    return {"parallel_read_safe": True}
