"""Figures and tables for notebooks outside of the site, where neither its style sheet nor its scripts are at hand.

The site shows inline SVG that takes the page's colours, and HTML tables whose formulas MathJax typesets. Elsewhere both
are lost: JupyterLab and GitHub take SVG out of the outputs of a notebook that they do not trust, and VS Code, Colab and
GitHub typeset no formula in HTML. What all of them show, unexecuted too, on light and on dark pages:

- a figure as PNG on a white card. (SVG as an output of its own is shown by none of them for certain.) Its text is set
  in Matplotlib's own font, so that the picture is the same on every machine. A caption follows, and the alternative
  text to unfold, because JupyterLab hands on none of a PNG.
- a table as Markdown, with formulas between dollar signs and verdicts marked by characters.

Both are made from the HTML of the site, be it of an object or of a stored output, by the same function.
"""

import base64
import html
import importlib.util
import math
import pathlib
import re
import xml.etree.ElementTree as ET

from actlib.book.figures import Figure
from actlib.book.tables import Table

Output = tuple[dict[str, str], dict[str, object]]
"""Data and metadata of an output, by MIME type."""

LIGHT = {
    "--act-1": "#0072b2",
    "--act-2": "#d55e00",
    "--act-3": "#008561",
    "--act-4": "#b8558d",
    "--act-5": "#a97000",
    "--act-6": "#2f8fc4",
    "--act-muted": "#808080",
}
"""What the variables of the site's style sheet are on a light page."""
INK = "#1f2328"
MARKS = {
    "act-holds": "●",
    "act-part": "◐",
    "act-fails": "○",
    "act-open": "◌",
    "act-proved": "■",
    "act-refuted": "□",
}
_FONT = "DejaVu Sans"
_PIXELS = 96 / 72  # a point of SVG in pixels of a page
_MARGIN = 12  # points of white around a picture: names of curves may stand out a little
_SHARP = 2  # pixels of the picture for each of the page, in both directions


def show(site: str = "") -> None:
    """Lets this notebook show figures and tables as any front end can; without a notebook, does nothing.

    Args:
        site: Address of the book's pages, where links lead, ending in a slash; without it they lead to notebooks
            beside this one.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if (shell := get_ipython()) is not None:
        for kind in (Figure, Table):
            shell.display_formatter.ipython_display_formatter.for_type(kind, lambda shown: _display(shown, site))


def _display(shown: Figure | Table, site: str) -> None:
    from IPython.display import display

    for data, metadata in outputs(shown._repr_html_(), repr(shown), site):
        display(data, metadata=metadata, raw=True)


def outputs(page: str, text: str, site: str = "") -> list[Output]:
    """What any front end shows in place of HTML that `Figure` or `Table` has made for the site.

    Args:
        page: The HTML.
        text: The same in plain text.
        site: As for `show`.

    Returns:
        One output, or two: a figure and what is said of it.

    Raises:
        ValueError: The HTML is neither a figure's nor a table's.
    """
    if page.startswith('<figure class="act-figure">'):
        return _figure(page, text, site)
    if page.startswith(('<div class="act-scroll', '<details class="act-fold">')):
        return [({"text/markdown": _table(_parsed(page), site), "text/plain": text}, {})]
    raise ValueError(f"expected the HTML of a figures.Figure or a tables.Table, but this came: {page[:80]!r}")


def _parsed(page: str) -> ET.Element:
    # In formulas, tables have & and < as they are.
    return ET.fromstring(re.sub(r"\\\(.*?\\\)", lambda m: html.escape(html.unescape(m[0]), quote=False), page))


def _figure(page: str, text: str, site: str) -> list[Output]:
    start, end = page.index("<svg"), page.index("</svg>") + len("</svg>")
    rest = _parsed(page[:start] + page[end:])
    svg = page[start:end]
    alt = html.unescape(re.search(r'aria-label="([^"]*)"', svg)[1])
    width, height = (n * _PIXELS for n in _card(svg))
    size = {"width": math.ceil(width), "height": math.ceil(height)}
    # nbconvert, and so GitHub, reads `alt`; VS Code has a name of its own for it.
    metadata = {"image/png": {**size, "alt": alt}, "vscode_altText": alt}
    picture = ({"image/png": base64.b64encode(png(svg)).decode(), "text/plain": text}, metadata)
    caption = rest.find("figcaption")
    said = "" if caption is None else _inline(caption, site)
    described = f"<details><summary>Description of the figure</summary>\n\n{_escaped(alt)}\n\n</details>"
    return [picture, ({"text/markdown": f"{said}\n\n{described}".strip(), "text/plain": _text(said) or text}, {})]


def _card(svg: str) -> tuple[float, float]:
    """Width and height, in points, with the margin."""
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    return width + 2 * _MARGIN, height + 2 * _MARGIN


def png(svg: str) -> bytes:
    """A figure's SVG as a picture, on white, in the site's colours of a light page."""
    if importlib.util.find_spec("resvg_py") is None:
        raise ModuleNotFoundError("resvg-py is missing, which draws figures: pip install 'actlib[chapters]'")
    import matplotlib
    import resvg_py

    svg = re.sub(r"var\((--act-[\w-]+), *#\w+\)", lambda m: LIGHT[m[1]], svg).replace("currentColor", INK)
    svg = svg.replace("system-ui, sans-serif", f"'{_FONT}'")
    width, height = _card(svg)
    box = f'viewBox="{-_MARGIN} {-_MARGIN} {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    svg = re.sub(r'viewBox="[^"]*" width="[^"]*"', box, svg, count=1)
    fonts = sorted(str(f) for f in pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"))
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg, background="white", zoom=_PIXELS * _SHARP, font_files=fonts, skip_system_fonts=True
        )
    )


def _table(root: ET.Element, site: str) -> str:
    head = [_inline(cell, site) for cell in root.iterfind(".//thead//th")]
    gap = ET.Element("td")  # Markdown has no cell that spans two columns
    rows = [
        [part for cell in row for part in (cell, *[gap] * (int(cell.get("colspan", 1)) - 1))]
        for row in root.iterfind(".//tbody/tr")
    ]
    columns = max([len(head), *map(len, rows)])
    numbers = [
        [row[i].get("class") == "act-number" for row in rows if i < len(row) and (row[i].text or len(row[i]))]
        for i in range(columns)
    ]
    aligned = ["--:" if i and all(of_column) and of_column else ":--" for i, of_column in enumerate(numbers)]
    cells = [head or [""] * columns, aligned, *([_marked(cell, site) for cell in row] for row in rows)]
    lines = [f"| {' | '.join(row + [''] * (columns - len(row)))} |" for row in cells]
    caption = root.find(".//caption")
    if caption is not None:
        lines = [_inline(caption, site), "", *lines]
    if root.tag == "details":
        lines = [f"<details><summary>{html.escape(root.find('summary').text)}</summary>", "", *lines, "", "</details>"]
    return "\n".join(lines)


def _marked(cell: ET.Element, site: str) -> str:
    text, mark = _inline(cell, site), MARKS.get(cell.get("class"))
    return f"**{mark}\N{NO-BREAK SPACE}{text.replace(' ', chr(0xA0))}**" if mark else text


def _inline(element: ET.Element, site: str) -> str:
    """Markdown, in one line, of what stands in an element."""
    parts = [_escaped(element.text or "")]
    for child in element:
        inner = _inline(child, site)
        match child.tag:
            case "code":
                parts.append(f"`{''.join(child.itertext())}`".replace("|", r"\|"))
            case "a":
                parts.append(f"[{inner}]({address(child.get('href'), site)})")
            case "em" | "i":
                parts.append(f"*{inner}*")
            case "strong" | "b":
                parts.append(f"**{inner}**")
            case "sub" | "sup":
                parts.append(f"<{child.tag}>{inner}</{child.tag}>")
            case "br":
                parts.append("<br>")
            case tag:
                raise ValueError(f"expected text, code, links or emphasis in a cell or caption, but <{tag}> came")
        parts.append(_escaped(child.tail or ""))
    return "".join(parts)


def address(page: str, site: str) -> str:
    """Where a link from one chapter's page to another's leads from a notebook."""
    if re.match(r"[a-z]+:", page):
        return page
    return f"{site}book/{page}" if site else re.sub(r"\.html(#.*)?$", ".ipynb", page)


def _escaped(text: str) -> str:
    """Text with nothing in it that Markdown would take for its own, and formulas between dollar signs."""
    parts = re.split(r"\\\((.*?)\\\)", " ".join(text.split("\n")))
    parts[::2] = [re.sub(r"([\\`*_|\[\]$~])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    # A bar would end the cell of a table.
    parts[1::2] = ["$" + part.strip().replace(r"\|", r"\Vert ").replace("|", r"\vert ") + "$" for part in parts[1::2]]
    return "".join(parts)


def _text(markdown: str) -> str:
    return html.unescape(re.sub(r"\\([\\`*_|\[\]$~])", r"\1", markdown))
