"""Pages without what the theme loads and no page of this book uses: a chapter then stays within 3 MB.

- `fontawesome.js`, 1.5 MB, draws the icons that the theme's style sheet draws as well.
- Sphinx's search has another in its place, see `search.py`, which marks what it found by itself.
- `design-tabs.js` moves tabs, of which the book has none.
"""

import pathlib
import re

SCRIPTS = "scripts/fontawesome|searchtools|language_data|searchindex|sphinx_highlight|design-tabs"
UNUSED = re.compile(rf'\s*<script[^>]* src="[^"]*({SCRIPTS})\.js[^"]*"></script>')


def trim(app, error) -> None:
    """Take the scripts out of every page that was written."""
    if error or app.builder.format != "html":
        return
    for page in pathlib.Path(app.outdir).rglob("*.html"):
        if "_static" not in page.parts:
            text = page.read_text(encoding="utf-8")
            lean = UNUSED.sub("", text)
            if lean != text:
                page.write_text(lean, encoding="utf-8", newline="\n")


def setup(app):
    """Register the last step of a build."""
    app.connect("build-finished", trim)
    return {"parallel_read_safe": True}
