"""How the book is cited, from `CITATION.cff`, the one place that says it: BibTeX, a sentence, and the file itself."""

import pathlib
import shutil

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FILE = "CITATION.cff"


def described(root: pathlib.Path) -> dict:
    """What the file says of the library and, under `preferred-citation`, of the book."""
    return yaml.safe_load((root / FILE).read_text(encoding="utf-8"))


def authors(book: dict) -> list[str]:
    """Their names; an organisation has one, a person two."""
    return [one.get("name") or f"{one['given-names']} {one['family-names']}" for one in book["authors"]]


def bibtex(book: dict, version: str, address: str = "") -> str:
    """An entry that says what the book is, and where, if the site's address is known.

    It is a `misc`, since BibTeX would ask of a book who published it; braces keep the name of a group whole.
    """
    names = " and ".join(f"{{{one['name']}}}" if "name" in one else name for one, name in _named(book))
    fields = {"author": names, "title": f"{{{book['title']}}}", "year": book["year"]}
    fields |= {"howpublished": f"Jupyter Book, version {version}"}
    fields |= {"url": address} if address else {}
    width = max(map(len, fields))
    lines = "".join(f"  {name:{width}} = {{{text}}},\n" for name, text in fields.items())
    return f"@misc{{actlib{book['year']},\n{lines}}}"


def _named(book: dict) -> list[tuple[dict, str]]:
    return list(zip(book["authors"], authors(book), strict=True))


def sentence(book: dict, address: str = "") -> str:
    """The same for a list of references."""
    where = f" {address}" if address else ""
    return f"{', '.join(authors(book))} ({book['year']}). {book['title']}.{where}"


class Citation(SphinxDirective):
    """Sentence and BibTeX."""

    def run(self) -> list[nodes.Node]:
        """A paragraph and a block that can be copied."""
        self.env.note_dependency(str(pathlib.Path(self.env.srcdir, FILE)))
        about, address = described(pathlib.Path(self.env.srcdir)), self.config.html_baseurl or ""
        book = about["preferred-citation"]
        entry = bibtex(book, about["version"], address)
        return [nodes.paragraph("", sentence(book, address)), nodes.literal_block(entry, entry, language="bibtex")]


def write(app, error) -> None:
    """Put the file beside the pages."""
    if not error and app.builder.format == "html":
        shutil.copy(pathlib.Path(app.srcdir, FILE), app.outdir)


def setup(app):
    """Register the directive, and the last step of a build."""
    app.add_directive("citation", Citation)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
