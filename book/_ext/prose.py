"""Prose in MyST, which only this site understands, as Markdown that every notebook shows.

Only what is MyST is changed: directives, roles, targets, links within the book. What the site knows of the pages gives
their addresses, and the numbers of exercises and theorems. An unknown directive or role is an error.
"""

import functools
import html
import posixpath
import re
import textwrap
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

from docutils import nodes
from markdown_it.renderer import RendererHTML
from mdit_py_plugins.anchors.index import slugify
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from readable import is_section
from sphinx import addnodes

CONTAINERS = {"grid", "grid-item", "tab-set", "container", "div"}
TITLED = {"admonition", "card", "grid-item-card", "margin", "sidebar", "tab-item", "topic"}
"""Boxes whose argument is their title; that of notes is text, and their own name the title."""
NOTES = {"attention", "caution", "danger", "error", "hint", "important", "note", "seealso", "tip", "warning"}
STATEMENTS = {
    *("axiom", "theorem", "lemma", "definition", "remark", "conjecture", "corollary", "example", "property"),
    *("observation", "proposition", "assumption"),
}
"""Directives of sphinx-proof that have numbers."""

HTML = re.compile(r"</?(details|summary|br|sub|sup|kbd)\s*/?>|<a id=\"[^\"]+\">|</a>", re.IGNORECASE)
"""Tags that front ends leave in Markdown."""

_DIRECTIVE = re.compile(r"(?P<indent> *)(?P<fence>:{3,}|`{3,}|~{3,})\{(?P<name>[\w:+-]+)\} *(?P<argument>.*)$")
_FENCE = re.compile(r"( *)(:{3,}|`{3,}|~{3,})")
_INLINE = re.compile(
    r"\{(?P<role>[\w:+-]+)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<code>(?P<fence>`+).+?(?<!`)(?P=fence)(?!`))"
    r"|\$\$(?P<display>.+?)\$\$(?P<label> *\([\w:-]+\))?"
    r"|(?P<math>(?<![\\$])\$(?!\$).+?(?<!\\)\$)"
    r"|(?P<image>!)?\[(?P<text>(?:[^\[\]`]|`[^`]*`|\[[^\]]*\])*)\]\((?P<target><[^>]*>|[^)\s]+)\)",
    re.DOTALL,
)

MYST = MdParserConfig(
    enable_extensions={
        *("amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"),
        *("strikethrough", "substitution", "tasklist"),
    }
)
PLAIN_TOKENS = re.compile(
    r"(paragraph|heading|bullet_list|ordered_list|list_item|blockquote|em|strong|link|table|thead|tbody|tr|th|td)"
    r"_(open|close)|inline|text|text_special|softbreak|hardbreak|code_inline|code_block|fence|hr|html_block|html_inline"
    r"|math_inline|math_block|math_inline_double"
)


def is_notebook(env, page: str) -> bool:
    """Whether the source of a page is a notebook."""
    return page in env.found_docs and env.doc2path(page).endswith(".ipynb")


def has_plain(env, page: str) -> bool:
    """Whether a page has a plain notebook: if it is one itself, and if it is the glossary, which all others link."""
    glossary = {place[0] for (kind, _), place in env.get_domain("std").objects.items() if kind == "term"}
    return is_notebook(env, page) or page in glossary


def fragment(heading: str) -> str:
    """What leads to a heading, behind #. What would end a link is encoded, and no more: JupyterLab decodes nothing."""
    return urllib.parse.quote(heading.replace(" ", "-"), safe="-.,:;?!/&=+@$~")


def unknown(markdown: str) -> list[str]:
    """What a text has that is not Markdown as all front ends know it, judged by the parser of the site."""
    found, tokens = [], create_md_parser(MYST, RendererHTML).parse(markdown)
    while tokens:
        token = tokens.pop(0)
        tokens = (token.children or []) + tokens
        if token.type == "fence" and token.info.startswith("{"):
            found.append(f"```{token.info}")
        elif token.type in ("html_block", "html_inline"):
            found += [tag for tag in re.findall(r"<[^>]*>", token.content) if not HTML.fullmatch(tag)]
        elif not PLAIN_TOKENS.fullmatch(token.type) or token.attrGet("class"):
            found.append(f"{token.type}: {token.content or token.attrs}")
        elif token.type == "text":
            found += re.findall(r"\{[\w:+-]+\}(?=`|$)|^:\w+:|:{3,}|\[\^[^\]]+\]", token.content)
    return found


class Links:
    """Where the links of a page lead, and what the site calls what it has counted.

    Args:
        app: Sphinx, with all pages read.
        page: Name of the page.
    """

    def __init__(self, app, page: str):
        self.app, self.env, self.page = app, app.env, page
        self.site = app.config.html_baseurl or ""
        self.standard = app.env.get_domain("std")

    def address(self, page: str, anchor: str = "") -> str:
        """Of a place in the site; without a known address of that, of a chapter's notebook or of a page beside them."""
        end = f"#{anchor}" if anchor else ""
        if self.site:
            return f"{self.site}{page}.html{end}"
        if has_plain(self.env, page):
            return f"{posixpath.basename(page)}.ipynb"
        return f"../{page}.html{end}"

    def place(self, target: str) -> tuple[str, str, str]:
        """Page, anchor and title that a label or the name of a page stands for."""
        name = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), re.sub(r"\.(md|ipynb)$", "", target)))
        if name in self.env.found_docs:
            return name, "", self.env.titles[name].astext()
        label = target.lower()
        if label in self.standard.labels:
            return tuple(map(str, self.standard.labels[label]))
        if label in self.standard.anonlabels:
            return (*self.standard.anonlabels[label], "")
        for page, kinds in self.env.toc_fignumbers.items():
            if any(target in numbers for numbers in kinds.values()):
                return page, target, ""
        raise LookupError(f"no page and no label is called {target!r}")

    def term(self, name: str) -> str:
        """Address of a term in the glossary."""
        terms = {n: (n, place) for (kind, n), place in self.standard.objects.items() if kind == "term"}
        found = terms.get(name) or {n.lower(): entry for n, entry in terms.items()}.get(name.lower())
        if found is None:
            raise LookupError(f"the glossary has no {name!r}")
        spelt, (page, anchor) = found
        return self.address(page, anchor) if self.site else f"{self.address(page)}#{fragment(spelt)}"

    def number(self, kind: str, label: str) -> str:
        """Such as 7.1 for an exercise, a theorem, a figure."""
        page = self.place(label)[0]
        return ".".join(map(str, self.env.toc_fignumbers[page][kind][label]))

    def sections(self) -> list[str]:
        """The numbers of the page's headings, in order; empty where there is none."""
        numbers, document = self.env.toc_secnumbers.get(self.page, {}), self.env.get_doctree(self.page)
        anchors = ["" if s.parent is document else f"#{s['ids'][0]}" for s in document.findall(is_section)]
        return [".".join(map(str, numbers.get(anchor, ()))) for anchor in anchors]

    def equation(self, label: str) -> str:
        """Its number."""
        number = self.env.get_domain("math").get_equation_number_for(label)
        if number is None:
            raise LookupError(f"no equation is called {label!r}")
        return str(number)

    def cited(self, style: str, keys: str) -> str:
        """Authors and years of works, each a link to its entry."""
        domain = self.env.get_domain("cite")
        empty = addnodes.pending_xref("", refdomain="cite", reftype=style, reftarget=keys)
        node = domain.resolve_xref(self.env, self.page, self.app.builder, style, keys, empty, nodes.inline())
        text = self.markdown(node)
        return re.sub(r"^\\\[(.*)\\\]$", r"(\1)", text) if style == "p" else text

    @functools.cached_property
    def bibliography(self) -> str:
        """The works that the page cites, as a list."""
        tree = self.env.get_and_resolve_doctree(self.page, self.app.builder)
        works = [self.markdown(entry.children[-1]) for entry in tree.findall(nodes.citation)]
        return "\n".join(f"- {' '.join(work.split())}" for work in works)

    def _references(self) -> str:
        number = ".".join(map(str, self.env.toc_secnumbers.get(self.page, {}).get("#references", ())))
        return f"#{fragment(numbered('References', number))}"

    def markdown(self, node: nodes.Node) -> str:
        """Of text with emphasis and links, as citations are."""
        if isinstance(node, nodes.Text):
            return re.sub(r"([\\`*_\[\]$])", r"\\\1", node.astext())
        inner = "".join(map(self.markdown, node.children))
        match node:
            case nodes.reference():
                if "refuri" in node and re.match("https?:", node["refuri"]):
                    return f"[{inner}]({node['refuri']})"
                anchor = node.get("refid") or node["refuri"].partition("#")[2]
                return f"[{inner}]({self.address(self.page, anchor) if self.site else self._references()})"
            case nodes.emphasis():
                return f"*{inner}*"
            case nodes.strong():
                return f"**{inner}**"
            case nodes.raw():
                return ""
        return inner


class Prose:
    """Turns the prose of one page into Markdown; remembers, cell by cell, where headings are and solutions go on.

    Args:
        links: Where links lead.
        cells: The sources of all Markdown cells of the page, in order: links to headings may lead ahead.
    """

    def __init__(self, links: Links, cells: Iterable[str]):
        self.links = links
        self.headings: dict[str, str] = {}
        self.linked: set[str] = set()
        self.solution = ""
        self.level = 1
        self._label = ""
        self._numbers = links.sections()
        self._count = 0
        self.roles: dict[str, Callable[[str], str]] = {
            "term": self._term,
            "ref": self._reference,
            "doc": self._reference,
            "numref": self._numbered,
            "prf:ref": self._numbered,
            "eq": lambda label: f"({links.equation(label)})",
            "cite": lambda keys: links.cited("p", keys),
            "cite:p": lambda keys: links.cited("p", keys),
            "cite:t": lambda keys: links.cited("t", keys),
            "math": lambda formula: f"${formula}$",
            "index": lambda text: re.sub(r"\s*<[^>]*>$", "", text),
            "sub": lambda text: f"<sub>{text}</sub>",
            "sup": lambda text: f"<sup>{text}</sup>",
        }
        for source in cells:
            self._survey(source.split("\n"))
        if self._count != len(self._numbers):
            raise ValueError(f"the page has {len(self._numbers)} headings, but {self._count} were found in its source")

    def _survey(self, lines: list[str]) -> None:
        """Finds headings and what leads to them."""
        label, end = "", ""
        for line in lines:
            if end:
                end = "" if line.strip().startswith(end) and not line.strip().strip(end[0]) else end
            if found := _DIRECTIVE.match(line):
                exercise = found["name"] == "exercise"
            elif (fence := _FENCE.match(line)) and not end and line.strip().strip(fence[2][0]):
                end = fence[2]
            elif (option := re.match(r":label: (\S+)", line)) and exercise:
                self.headings[option[1]] = f"Exercise {self.links.number('exercise', option[1])}"
            elif target := re.fullmatch(r"\(([\w-]+)\)=", line):
                label = target[1]
            elif not end and (heading := re.match(r"(#+) +(.*)", line)):
                text = self._plain_text(heading[2])
                named = numbered(text, self._number())
                self.headings[slugify(text)] = named
                if label:
                    self.headings[label] = named
                label = ""

    def _number(self) -> str:
        """That of the next heading; behind the last comes the first, since a page is gone through more than once."""
        self._count += 1
        return self._numbers[(self._count - 1) % len(self._numbers)] if self._numbers else ""

    def _plain_text(self, heading: str) -> str:
        text = re.sub(r"\{[\w:+-]+\}`([^`<]*?)(?: <[^`>]*>)?`", r"\1", heading)
        return re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", text).strip()

    # -- Blocks

    def parts(self, source: str) -> list[tuple[str, str]]:
        """The Markdown of a cell, in parts: outside of solutions, and inside with the exercise's label."""
        found: list[tuple[str, str]] = []
        rest = source.split("\n")
        while rest:
            at = next((i for i, line in enumerate(rest) if self._gate(line)), len(rest))
            if (text := self.blocks(rest[:at])).strip():
                found.append((self.solution, text))
            if at < len(rest):
                gate = self._gate(rest[at])
                _, _, after = self._directive(rest, at)
                self.solution = gate["argument"].strip() if gate["name"] == "solution-start" else ""
                at = after
            rest = rest[at:]
        return found

    def _gate(self, line: str) -> re.Match | None:
        found = _DIRECTIVE.match(line)
        return found if found and found["name"] in ("solution-start", "solution-end") else None

    def _directive(self, lines: list[str], at: int) -> tuple[dict[str, str], list[str], int]:
        """Options and body of the directive that begins at a line, and the line after it."""
        opened = _DIRECTIVE.match(lines[at])
        closing = re.compile(rf" *{re.escape(opened['fence'][0])}{{{len(opened['fence'])},}} *$")
        end = next((i for i in range(at + 1, len(lines)) if closing.match(lines[i])), None)
        if end is None:
            raise ValueError(f"this directive does not end: {lines[at]}")
        body, options = lines[at + 1 : end], {}
        while body and (option := re.fullmatch(r":([\w-]+):\s*(.*)", body[0].strip())):
            options[option[1]] = option[2]
            body = body[1:]
        return options, textwrap.dedent("\n".join(body)).strip("\n").split("\n"), end + 1

    def blocks(self, lines: list[str]) -> str:
        """Markdown of lines of MyST."""
        done, text, at = [], [], 0

        def flush() -> None:
            if any(line.strip() for line in text):
                done.append(self._text("\n".join(text).strip("\n")))
            text.clear()

        while at < len(lines):
            line = lines[at]
            if opened := _DIRECTIVE.match(line):
                flush()
                options, body, at = self._directive(lines, at)
                if made := self._made(opened["name"], opened["argument"].strip(), options, body):
                    done.append(made)
                continue
            if fence := _FENCE.match(line):
                flush()
                end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[2]), None)
                if end is None:
                    raise ValueError(f"this block does not end: {line}")
                done.append("\n".join(lines[at : end + 1]))
                at = end + 1
                continue
            if line.startswith('<div class="act-flow"'):
                flush()
                end = next(i for i in range(at, len(lines)) if "</div>" in lines[i]) + 1
                done.append(self._flow("\n".join(lines[at:end])))
                at = end
                continue
            if target := re.fullmatch(r"\(([\w-]+)\)=", line):
                self._label = target[1]
            elif heading := re.match(r"(#+) ", line):
                flush()
                self.level = len(heading[1])
                done.append(self._heading(line))
            elif re.match(r"(%|\+\+\+)( |$)", line):
                flush()
            else:
                text.append(line)
            at += 1
        flush()
        return "\n\n".join(done)

    def _heading(self, line: str) -> str:
        """A heading with its number, and an anchor if a link of the page leads to it: front ends differ in theirs."""
        number = self._number()
        marks, _, text = line.partition(" ")
        named = numbered(self._plain_text(text), number)
        return f"{self._anchor(named)}{marks} {numbered(self._text(text.strip()), number)}"

    def _anchor(self, text: str) -> str:
        return f'<a id="{html.escape(text.replace(" ", "-"))}"></a>\n\n' if text in self.linked else ""

    def _made(self, name: str, argument: str, options: dict[str, str], body: list[str]) -> str:
        """Markdown of a directive."""
        kind = name.removeprefix("prf:")
        if name == "index":
            return ""
        if name == "exercise":
            text = self.headings[options["label"]]
            title = f" ({self._text(argument)})" if argument else ""
            return f"{self._anchor(text)}### {text}{title}\n\n{self.blocks(body)}"
        if name == "solution":
            return details(f"Solution to {self.headings[argument]}", self.blocks(body))
        if name == "dropdown" or "dropdown" in options.get("class", ""):
            return details(argument or name.capitalize(), self.blocks(body))
        if name == "glossary":
            return self._glossary(body)
        if name == "bibliography":
            return self.links.bibliography
        if name == "math":
            return self._formula("\n".join([argument, *body]).strip(), options.get("label", ""))
        if name in ("code", "code-block"):
            return "\n".join([f"```{argument}", *body, "```"])
        if name in CONTAINERS:
            return self.blocks(body)
        if name.startswith("prf:") and kind in STATEMENTS:
            number = f" {self.links.number(kind, options['label'])}" if "label" in options else ""
            title = f" ({self._text(argument)})" if argument else ""
            return quoted(f"**{kind.capitalize()}{number}**{title}\n\n{self.blocks(body)}")
        if name == "prf:proof":
            return quoted(f"*Proof.* {self.blocks([argument, *body] if argument else body)}")
        if name in TITLED | NOTES:
            if name in TITLED:
                title, text = argument, body
            else:
                title, text = name.capitalize(), [argument, *body] if argument else body
            return quoted(f"**{self._text(title)}**\n\n{self.blocks(text)}" if title else self.blocks(text))
        raise LookupError(f"plain notebooks know no directive {{{name}}}: teach it to book/_ext/plain.py")

    def _glossary(self, body: list[str]) -> str:
        """Terms as headings, so that links lead to them."""
        lines = [f"### {line}" if line[:1].strip() else self._text(line.strip()) for line in body]
        return re.sub(r"\n{3,}", "\n\n", "\n\n".join(lines))

    def _flow(self, source: str) -> str:
        """The stations of a diagram, in a line."""
        spans = ET.fromstring(source.replace("<br>", " "))
        return quoted(" ".join("".join(span.itertext()) for span in spans))

    # -- What stands in a line

    def _text(self, text: str) -> str:
        return _INLINE.sub(self._inline, text)

    def _inline(self, found: re.Match) -> str:
        if role := found["role"]:
            if role not in self.roles:
                raise LookupError(f"plain notebooks know no role {{{role}}}: teach it to book/_ext/plain.py")
            return self.roles[role](found["content"])
        if formula := found["display"]:
            return self._formula(formula, (found["label"] or "").strip(" ()"), exactly=True)
        if found["code"] or found["math"]:
            return found[0]
        if found["image"]:
            raise LookupError(f"plain notebooks carry no files of images: {found[0]}")
        return self._link(self._text(found["text"]), found["target"].strip("<>"))

    def _formula(self, formula: str, label: str = "", exactly: bool = False) -> str:
        tag = rf" \tag{{{self.links.equation(label)}}}" if label else ""
        return f"$${formula}{tag}$$" if exactly else f"$$\n{formula}{tag}\n$$"

    def _link(self, text: str, target: str) -> str:
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        if target.startswith("#"):
            if target[1:] not in self.headings:
                raise LookupError(f"this page has no heading {target!r}")
            return f"[{text}]({self._local(target[1:])})"
        page, anchor, title = self.links.place(target)
        if page == self.links.page and target in self.headings:
            return f"[{text or title}]({self._local(target)})"
        return f"[{text or title}]({self.links.address(page, anchor)})"

    def _local(self, name: str) -> str:
        heading = self.headings[name]
        self.linked.add(heading)
        return f"#{fragment(heading)}"

    def _split(self, content: str) -> tuple[str, str]:
        named = re.fullmatch(r"(.*?)\s*<([^>]+)>", content, re.DOTALL)
        return (named[1], named[2]) if named else ("", content)

    def _term(self, content: str) -> str:
        title, name = self._split(content)
        return f"[{title or name}]({self.links.term(' '.join(name.split()))})"

    def _reference(self, content: str) -> str:
        return self._link(*self._split(content))

    def _numbered(self, content: str) -> str:
        title, label = self._split(content)
        if not title:
            page = self.links.place(label)[0]
            kinds = self.links.env.toc_fignumbers[page]
            kind = next(kind for kind, numbers in kinds.items() if label in numbers)
            title = f"{kind.capitalize()} {self.links.number(kind, label)}"
        return self._link(title, label)


def numbered(heading: str, number: str) -> str:
    """A heading behind its number, if it has one."""
    return f"{number}. {heading}" if number else heading


def quoted(text: str) -> str:
    """A block quote. Formulas go into one line: front ends look for them before they know what is quoted."""
    text = re.sub(r"\$\$.+?\$\$", lambda m: " ".join(m[0].split()), text, flags=re.DOTALL)
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def details(summary: str, text: str) -> str:
    """Text to be unfolded."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"
