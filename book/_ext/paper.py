"""Pages on paper: a block above the title that only paper shows, and a menu that prints with solutions or without.

`paper.css` lays the page out, `paper.js` makes light of dark and narrow of wide. `?print=solutions` behind a page's
address is the switch as a link.
"""

import html

LICENCE = "Text and figures: CC BY 4.0. Code: MIT."


def add_head(app, pagename, templatename, context, doctree):  # noqa: ARG001
    """Put the book's title, authors and licence in front of the body."""
    if context.get("body") and doctree is not None:
        title, author = (html.escape(text) for text in (app.config.html_title, app.config.author))
        context["body"] = (
            f'<div class="paper-head"><p><strong>{title}</strong></p><p>{author}. {LICENCE}</p></div>{context["body"]}'
        )
        if pagename == app.config.root_doc:
            context["body"] += '<p class="paper-pdf"></p>'  # pdf.py puts a link there


def add_buttons(app, pagename, templatename, context, doctree):  # noqa: ARG001
    """Let the theme's button for printing say what it prints, and add one for solutions where there are some."""
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [])
        for at, button in enumerate(buttons):
            if button.get("label") == "download-pdf-button":
                button |= {"javascript": "printPage(false)", "text": "Print", "tooltip": "Print, or save as PDF"}
                if 'class="solution ' in context.get("body", ""):
                    button |= {"tooltip": "Print, or save as PDF, without the solutions"}
                    solutions = button | {
                        "javascript": "printPage(true)",
                        "text": "Print with solutions",
                        "tooltip": "Print, or save as PDF, with the solutions",
                        "label": "print-solutions-button",
                    }
                    buttons.insert(at + 1, solutions)
                break


def setup(app):
    """Register the changes; the theme makes its buttons at 501."""
    app.add_css_file("paper.css", media="print")
    app.add_js_file("paper.js")
    app.connect("html-page-context", add_head)
    app.connect("html-page-context", add_buttons, priority=900)
    return {"parallel_read_safe": True}
