"""Text of pages as one would say it on the telephone: no markup, no code, formulas in letters where that can be."""

import html
import html.entities
import re
from collections.abc import Iterable

from docutils import nodes
from sphinx import addnodes

CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")

SYMBOLS = {
    "varphi": "φ",
    "varepsilon": "ε",
    "infty": "∞",
    "cdot": "·",
    "le": "≤",
    "ge": "≥",
    "ne": "≠",
    "to": "→",
    "approx": "≈",
    "pm": "±",
    "times": "×",
    "odot": "⊙",
    "partial": "∂",
    "sum": "∑",
    "int": "∫",
    "dots": "…",
    "ldots": "…",
    "cdots": "…",
    "sim": "~",
    "mapsto": "↦",
    "langle": "⟨",
    "rangle": "⟩",
    "sqrt": "√",
    "|": "‖",
    "top": "ᵀ",
    "prod": "∏",
    "oplus": "⊕",
    "otimes": "⊗",
    "in": "∈",
}
NAMES = "log ln exp tanh cosh sinh sin cos max min"
LAYOUT = r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|[,;!: ])"
RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
LOWERED = str.maketrans("0123456789+-−ij", "₀₁₂₃₄₅₆₇₈₉₊₋₋ᵢⱼ")
UNKNOWN = re.compile(r"[\\{}^_&]")


def formula(latex: str) -> str:
    """A short formula in letters; an ellipsis for one that needs two dimensions."""
    text = re.sub(LAYOUT, "", latex.replace("\n", " "))
    text = re.sub(
        r"\\(?:operatorname|mathrm|mathbf|mathbb|mathsf|mathit|text)\*? ?(?:\{([^{}]*)\}|(\w))", r"\1\2", text
    )
    text = re.sub(r"\\[td]?frac ?(\w)(\w)", r"\1/\2", text)
    text = re.sub(r"\\[td]?frac\{(\w+)\}\{(\w+)\}", r"\1/\2", text)
    text = re.sub(r"\\sqrt\{([^{}\\]*)\}", lambda m: f"√{m[1]}" if len(m[1]) == 1 else f"√({m[1]})", text)
    text = re.sub(r"\\([A-Za-z]+|\|)", lambda m: SYMBOLS.get(m[1]) or _named(m[1]), text)
    text = re.sub(r"\^(?:\{([0-9+−-]+|n)\}|([0-9n]))", lambda m: (m[1] or m[2]).translate(RAISED), text)
    text = re.sub(r"_(?:\{([0-9+−-]+)\}|([0-9ij]))", lambda m: (m[1] or m[2]).translate(LOWERED), text)
    return "…" if UNKNOWN.search(text) else " ".join(text.replace("-", "−").split())


def _named(name: str) -> str:
    """A Greek letter, or the name of a function; anything else as it came."""
    code = html.entities.name2codepoint.get(name)
    return chr(code) if code else name if name in NAMES.split() else f"\\{name}"


def is_section(node: nodes.Node) -> bool:
    """Whether a node is a section of the book; exercises and solutions hold some that have no title."""
    return isinstance(node, nodes.section) and len(node) and isinstance(node[0], nodes.title)


def text_of(node: nodes.Node, below: bool = True) -> str:
    """What a node says; without code, pictures and display formulas, and of a section without its title.

    Args:
        node: Of a resolved page.
        below: Whether sections in it are said, too.
    """
    return " ".join("".join(_pieces(node, below)).split())


def _pieces(node: nodes.Node, below: bool) -> Iterable[str]:
    if isinstance(node, nodes.Text):
        yield node.astext()
    elif isinstance(node, nodes.math):
        yield formula(node.astext())
    elif isinstance(node, nodes.raw):
        yield from _tables(node.astext()) if "html" in node.get("format", "").split() else ()
    elif not isinstance(node, LEFT_OUT):
        for child in node.children:
            if (is_section(child) and not below) or (is_section(node) and isinstance(child, nodes.title)):
                continue
            yield from _pieces(child, below)
        if not isinstance(node, nodes.Inline | nodes.TextElement) or isinstance(node, BLOCKS):
            yield " "


def shortened(text: str, length: int) -> str:
    """The words of a text that fit."""
    return text if len(text) <= length else f"{text[: text.rindex(' ', 0, length)]} …"


LEFT_OUT = (
    *(nodes.math_block, nodes.literal_block, nodes.doctest_block, nodes.image, nodes.comment, nodes.Invisible),
    *(nodes.target, nodes.system_message, addnodes.index, addnodes.desc_signature),
)
BLOCKS = (nodes.paragraph, nodes.title, nodes.term, nodes.rubric, nodes.caption)


def _tables(markup: str) -> Iterable[str]:
    """Heads of the tables and captions that cells show; numbers tell a searcher nothing."""
    for part in re.findall(r"<(?:th|figcaption|caption)\b[^>]*>(.*?)</(?:th|figcaption|caption)>", markup, re.S):
        text = re.sub(r"\\\((.*?)\\\)", lambda m: formula(html.unescape(m[1])), part, flags=re.S)
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
        if re.search(r"[^\W\d_]{3}", text) and not UNKNOWN.search(text):
            yield f"{text} "
