"""The index in the table of contents. Sphinx makes the page; sphinx_external_toc knows only pages with a source."""

from sphinx import addnodes
from sphinx.transforms import SphinxTransform


class IndexInToc(SphinxTransform):
    """Append the index to the last part of the table of contents, which stands in the root page."""

    default_priority = 200  # after sphinx_external_toc's own transform

    def apply(self):
        """Append the entry that a `toctree` directive makes of the name `genindex`."""
        if self.env.docname == self.config.root_doc:
            *_, part = self.document.findall(addnodes.toctree)
            part["entries"].append(("Index", "genindex"))


def setup(app):
    """Register the transform."""
    app.add_transform(IndexInToc)
    return {"parallel_read_safe": True}
