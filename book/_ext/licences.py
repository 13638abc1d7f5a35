"""What the site carries that others made: versions and licences, as the packages themselves name them."""

import html
import importlib.metadata
import json
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import npm
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

WEB = pathlib.Path(__file__).parents[1] / "_web"
FOLDER = "licences"

PACKAGES = {
    "sphinx": "style and scripts of the pages",
    "sphinx-book-theme": "style and scripts of the pages",
    "pydata-sphinx-theme": "style and scripts of the pages",
    "sphinx-copybutton": "buttons that copy code",
    "sphinx-togglebutton": "folds of solutions",
    "sphinx-design": "grids and cards",
    "sphinx-exercise": "style of exercises",
    "sphinx-proof": "style of theorems",
    "myst-nb": "style of cells",
    "sphinx-mathjax-offline": "brings MathJax",
    "sympy": "derives formulas in the explorer",
    "mpmath": "numbers of many digits in the explorer",
}
"""Python packages from which files come, and for what."""

NPM = {
    "uplot": "draws in the explorer",
    "pyodide": "Python in the explorer",
    "minisearch": "searches",
}
"""Packages of npm, likewise."""

INSIDE = (
    ("MathJax", "Apache-2.0", "formulas, with its TeX fonts", "sphinx-mathjax-offline"),
    ("Bootstrap", "MIT", "style and scripts of the pages", "pydata-sphinx-theme"),
    ("Font Awesome Free", "CC-BY-4.0 (icons), OFL-1.1 (fonts), MIT (code)", "icons", "pydata-sphinx-theme"),
    ("clipboard.js", "MIT", "buttons that copy code", "sphinx-copybutton"),
    ("CPython", "PSF-2.0", "the standard library in the explorer", "pyodide"),
)
"""What such a package brings along: name, licence, for what, in which package."""


class Work(NamedTuple):
    """A work of others: its text of a licence, where there is one, lies beside the page."""

    name: str
    version: str
    licence: str
    purpose: str
    text: str


def of_python(name: str) -> tuple[str, str, str]:
    """Version, licence and text of an installed package."""
    meta = importlib.metadata.metadata(name)
    named = meta.get("License-Expression") or ""
    kinds = [kind.rpartition(" :: ")[2] for kind in meta.get_all("Classifier", []) if kind.startswith("License")]
    licence = named or ", ".join(kinds) or (meta.get("License") or "").split("\n")[0]
    files = importlib.metadata.files(name) or ()
    texts = [file for file in files if re.match("(licen[cs]e|copying)", file.name, re.I) and ".dist-info" in str(file)]
    text = texts[0].locate().read_text(encoding="utf-8") if texts else ""
    return meta["Version"], licence, text


def of_npm(folder: pathlib.Path) -> tuple[str, str, str]:
    """Version, licence and text of a package of npm."""
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    texts = sorted(file for file in folder.iterdir() if re.match("(licen[cs]e|copying)", file.name, re.I))
    return package["version"], package["license"], texts[0].read_text(encoding="utf-8") if texts else ""


def works(cache: pathlib.Path) -> Iterator[Work]:
    """All of them."""
    for name, purpose in NPM.items():
        version, licence, text = of_npm(cache / "node_modules" / name)
        yield Work(name, version, licence, purpose, text)
    for name, purpose in PACKAGES.items():
        version, licence, text = of_python(name)
        yield Work(name, version, licence, purpose, text)
    for name, licence, purpose, package in INSIDE:
        yield Work(name, f"as in {package}", licence, purpose, "")


class Licences(SphinxDirective):
    """A table of all that the site carries."""

    def run(self) -> list[nodes.Node]:
        """The table; texts of licences are put where it links them."""
        self.env.note_reread()
        cache = pathlib.Path(self.env.srcdir, "_build", "node")
        npm.fetched(WEB, cache)
        target = pathlib.Path(self.env.app.outdir, "_static", FOLDER)
        target.mkdir(parents=True, exist_ok=True)
        rows = []
        for work in works(cache):
            licence = html.escape(work.licence)
            if work.text:
                (target / f"{work.name}.txt").write_text(work.text, encoding="utf-8", newline="\n")
                licence = f'<a href="../_static/{FOLDER}/{work.name}.txt">{licence}</a>'
            cells = (html.escape(work.version), licence, html.escape(work.purpose))
            rows.append(f'<tr><th scope="row">{work.name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
        head = "".join(f'<th scope="col">{title}</th>' for title in ("work", "version", "licence", "for"))
        table = f'<table class="act-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        return [
            nodes.raw("", f'<div class="act-scroll" role="region" aria-label="Licences">{table}</div>', format="html")
        ]


def setup(app):
    """Register the directive."""
    app.add_directive("licences", Licences)
    return {"parallel_read_safe": True}
