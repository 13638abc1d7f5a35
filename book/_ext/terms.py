"""The glossary on the spot: what `terms.js` shows beside a term that a reader points at, goes to, or taps."""

import json
import pathlib

from search import glossary
from sphinx import addnodes

FOLDER = "terms"


def write(app, error) -> None:
    """Write every entry into a script, which a page loads at the first term."""
    if error or app.builder.format != "html":
        return
    entries = {}
    for page in app.env.found_docs:
        if any(app.env.get_doctree(page).findall(addnodes.glossary)):
            resolved = app.env.get_and_resolve_doctree(page, app.builder)
            for list_ in resolved.findall(addnodes.glossary):
                entries |= {anchor: said for anchors, *said in glossary(list_) for anchor in anchors}
    target = pathlib.Path(app.outdir, "_static", FOLDER)
    target.mkdir(parents=True, exist_ok=True)
    data = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    (target / "entries.js").write_text(f"bookTerms.ready({data});\n", encoding="utf-8", newline="\n")


def setup(app):
    """Register the last step of a build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
