"""A bibliography without the roles that docutils gives it: a list whose items are none makes screen readers stumble."""

ROLES = {
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' role="doc-biblioentry"': "",
}


def mend(app, pagename, templatename, context, doctree):  # noqa: ARG001
    """Take the roles out of the body of a page."""
    for role, instead in ROLES.items():
        context["body"] = context.get("body", "").replace(role, instead)


def setup(app):
    """Register the change."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True}
