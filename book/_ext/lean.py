"""Pages without what the theme loads and no page of this book uses: a chapter then stays within 3 MB.

- `fontawesome.js`, 1.5 MB, draws the icons that the theme's style sheet draws as well.
- Sphinx's search has another in its place, see `search.py`, which marks what it found by itself.
- `design-tabs.js` moves tabs, of which the book has none.
- Of 1,900 icons and 600 classes of boxes and grids a few dozen occur; the others' rules, 0.13 MB, are left out.
"""

import pathlib
import re
from collections.abc import Set

SCRIPTS = "scripts/fontawesome|searchtools|language_data|searchindex|sphinx_highlight|design-tabs"
UNUSED = re.compile(rf'\s*<script[^>]* src="[^"]*({SCRIPTS})\.js[^"]*"></script>')

SHEETS = {"styles/pydata-sphinx-theme.css": "fa-", "sphinx-design.min.css": "sd-"}
"""Style sheets, and how the classes begin of which only those in use are kept."""

RULE = re.compile(r"([^{}]+)\{[^{}]*\}")


def pruned(sheet: str, prefix: str, used: Set[str]) -> str:
    """A style sheet without rules each of whose selectors wants a class that begins so, and that is not used."""

    def rule(found: re.Match) -> str:
        selectors = found[1]
        if "/*" in selectors or ":not(" in selectors:
            return found[0]
        wanted = [set(re.findall(rf"\.({prefix}[\w-]+)", selector)) for selector in selectors.split(",")]
        return found[0] if any(classes <= used for classes in wanted) else ""

    return RULE.sub(rule, sheet)


def trim(app, error) -> None:
    """Take the scripts out of every page that was written, and the rules out of the style sheets."""
    if error or app.builder.format != "html":
        return
    site = pathlib.Path(app.outdir)
    words = set()
    for page in site.rglob("*.html"):
        if "_static" not in page.parts:
            text = page.read_text(encoding="utf-8")
            lean = UNUSED.sub("", text)
            if lean != text:
                page.write_text(lean, encoding="utf-8", newline="\n")
            words.update(re.findall(r"[\w-]+", lean))
    for script in site.glob("_static/**/*.js"):
        if script.name != "fontawesome.js":
            words.update(re.findall(r"(?:fa|sd)-[\w-]+", script.read_text(encoding="utf-8", errors="replace")))
    for name, prefix in SHEETS.items():
        sheet = site / "_static" / name
        sheet.write_text(pruned(sheet.read_text(encoding="utf-8"), prefix, words), encoding="utf-8", newline="\n")


def setup(app):
    """Register the last step of a build."""
    app.connect("build-finished", trim)
    return {"parallel_read_safe": True}
