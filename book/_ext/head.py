"""What a page says of itself to search engines, to those who link to it, and to a browser that looks in vain.

Each page has a description, its own first words, and a picture of the book; where the site's address is known, also a
canonical link, which Sphinx makes, and a place in the site map. A page that does not exist is answered with `404.html`.
"""

import html
import pathlib
import re
from collections.abc import Iterator

import families
import matplotlib
import resvg_py
from docutils import nodes
from readable import shortened, text_of

LENGTH = 200
PICTURE = "_static/cover.png"
NOT_FOUND = "404"
MISSING = """
<section><h1>This page does not exist</h1>
<p>It may have been renamed. These do exist:</p>
<ul><li><a href="{intro}">the introduction</a>, which has all chapters beside it;</li>
<li><a href="{search}">the search</a>, by section, term, or its Chinese;</li>
<li><a href="{index}">the index</a>.</li></ul></section>
"""


def description(document: nodes.document) -> str:
    """The beginning of a page's text: whole sentences as far as they fit."""
    texts = (text_of(p) for p in document.findall(nodes.paragraph) if any(isinstance(c, nodes.Text) for c in p))
    text = next((text for text in texts if len(text) > 60), "")
    sentences = re.match(rf".{{40,{LENGTH}}}[.?!](?= )", text) if len(text) > LENGTH else None
    return sentences[0] if sentences else shortened(text, LENGTH)


def describe(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Put it into the page's head."""
    title = re.sub("<[^>]*>", "", context.get("title", "")) or app.config.html_title
    about = description(doctree or app.env.get_doctree(app.config.root_doc))
    said = {"og:type": "book" if pagename == app.config.root_doc else "article", "og:title": title}
    said |= {"og:site_name": app.config.html_title, "og:description": about}
    if site := app.config.html_baseurl:
        said |= {"og:url": f"{site}{pagename}.html", "og:image": f"{site}{PICTURE}"}
        said |= {f"og:image:{side}": str(size) for side, size in zip(("width", "height"), families.COVER, strict=True)}
    tags = [f'<meta name="description" content="{html.escape(about)}">']
    tags += [f'<meta property="{name}" content="{html.escape(html.unescape(text))}">' for name, text in said.items()]
    if pagename == NOT_FOUND:  # it is shown wherever something is missing
        tags = ['<meta name="robots" content="noindex">'] + ([f'<base href="{html.escape(site)}">'] if site else [])
    context["metatags"] = context.get("metatags", "") + "".join(tags)


def missing(app) -> Iterator[tuple[str, dict, str]]:
    """The page that says that there is none."""
    links = {"intro": f"{app.config.root_doc}.html", "search": "search.html", "index": "genindex.html"}
    yield NOT_FOUND, {"title": "Not found", "body": MISSING.format(**links)}, "page.html"


def write(app, error) -> None:
    """Draw the picture, and list the pages."""
    if error or app.builder.format != "html":
        return
    fonts = sorted(map(str, pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf")))
    drawn = resvg_py.svg_to_bytes(svg_string=families.cover(app.config.html_title), font_files=fonts)
    pathlib.Path(app.outdir, PICTURE).write_bytes(bytes(drawn))
    if site := app.config.html_baseurl:
        pages = sorted({*app.env.found_docs, "genindex"})
        listed = "".join(f"<url><loc>{html.escape(site + page)}.html</loc></url>\n" for page in pages)
        pathlib.Path(app.outdir, "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{listed}</urlset>\n',
            encoding="utf-8",
        )


def setup(app):
    """Register it, before the theme's templates are filled."""
    app.connect("html-collect-pages", missing)
    app.connect("html-page-context", describe)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
