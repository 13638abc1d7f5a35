"""Search by section: what it looks through is made here, and the browser does the rest, with MiniSearch.

For each section, each term of the glossary and each object of the reference: its title, its page, what the index and
the glossary call what it is about, and its text. Chinese stands beside the terms, and so does its pinyin. All of it is
one script, which a page loads when the reader goes to the search field; so it works on pages opened as files, too.
"""

import json
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence

import npm
from docutils import nodes
from pypinyin import lazy_pinyin
from readable import CHINESE, is_section, text_of
from sphinx import addnodes
from sphinx.util import logging

WEB = pathlib.Path(__file__).parents[1] / "_web"
FOLDER = "search"

SYNONYMS = (
    ("slope", "derivative", "gradient"),
    ("exceed", "above", "greater", "larger", "overshoot", ">"),
    ("swish", "silu"),
    ("sigmoid", "logistic"),
    ("dead", "dies", "died", "die", "dying"),
)
"""Words that are looked for together, besides those that the glossary has as names of one thing."""


def pinyin(chinese: str) -> list[str]:
    """How each run of Chinese is typed, from each of its syllables on, so that any of its words finds it."""
    runs = re.findall(f"{CHINESE.pattern}+", chinese)
    found = []
    for run in runs:
        syllables = lazy_pinyin(run)
        found += ["".join(syllables[i:]) for i in range(len(syllables))]
    return found + [text.replace("v", "u") for text in found if "v" in text]


def glossary(document: nodes.Element) -> Iterator[tuple[list[str], list[str], str, str]]:
    """Of each entry its anchors, one a name, its names, its Chinese, and what it says."""
    for item in document.findall(nodes.definition_list_item):
        terms = [child for child in item if isinstance(child, nodes.term)]
        if terms and terms[0]["ids"]:
            said = text_of(item[-1])
            chinese, _, meaning = said.partition(". ")
            yield [term["ids"][0] for term in terms], [text_of(term) for term in terms], chinese, meaning


class Collector:
    """What is looked through, filled page by page."""

    def __init__(self):
        self.entries: list[tuple[list[str], str]] = []  # of the glossary: names, Chinese
        self.terms: dict[str, int] = {}  # by anchor: which entry
        self.records: list[dict] = []
        self.pages: set[str] = set()

    def page(self, env, name: str, document: nodes.document, numbers: Mapping[str, tuple]) -> None:
        """Take up a page."""
        self.pages.add(name)
        title = text_of(env.titles[name], below=False) or env.titles[name].astext()
        if entries := [e for g in document.findall(addnodes.glossary) for e in glossary(g)]:
            for anchors, names, chinese, meaning in entries:
                self.terms |= dict.fromkeys(anchors, len(self.entries))
                self.entries.append((names, chinese))
                self._add(name, anchors[0], ", ".join(names), title, meaning, anchors[:1], [], "term")
        kind = "object" if any(document.findall(addnodes.desc)) else "section"  # a reference explains little
        for section in document.findall(is_section):
            anchor = "" if section.parent is document else section["ids"][0]
            number = ".".join(map(str, numbers.get(f"#{anchor}" if anchor else "", ())))
            heading = f"{number}. {text_of(section[0])}" if number else text_of(section[0])
            own = [] if entries else [child for child in section if not is_section(child)]
            linked = [r for child in own for r in child.findall(nodes.reference) if list(r.findall(_is_term))]
            anchors = list(dict.fromkeys(r.get("refuri", "").rpartition("#")[2] for r in linked))
            subjects = [entry[1] for child in own for n in child.findall(addnodes.index) for entry in n["entries"]]
            text = " ".join(filter(None, (text_of(child, below=False) for child in own[1:])))
            self._add(name, anchor, heading, "" if anchor == "" else title, text, anchors, subjects, kind)
        for described in document.findall(addnodes.desc):
            signature = described[0]
            if signature.get("ids"):
                text = text_of(described[-1])
                self._add(name, signature["ids"][0], signature["ids"][0], title, text, [], [], "object")

    def _add(self, page, anchor, title, of, text, terms, subjects, kind) -> None:
        address = f"{page}.html#{anchor}" if anchor else f"{page}.html"
        about = [re.sub(r"[;!]", ",", subject) for subject in dict.fromkeys(subjects)]
        record = {"a": address, "t": title, "p": of, "s": text, "i": about, "g": terms}
        self.records.append(record | ({} if kind == "section" else {"k": kind}))

    def synonyms(self) -> list[Sequence[str]]:
        """Words of one meaning, each in one group."""
        names = [[name.casefold() for name in names if re.fullmatch(r"[^\W\d_]+", name)] for names, _ in self.entries]
        return [*SYNONYMS, *(group for group in names if len(group) > 1)]

    def script(self) -> str:
        """The script: a call with the records, the terms and what means the same."""
        by_name = {name.casefold(): place for place, (names, _) in enumerate(self.entries) for name in names}
        for record in self.records:
            heads = [subject.split(",")[0].strip().casefold() for subject in record["i"]]
            record["h"] = sorted({by_name[head] for head in heads if head in by_name})
            record["g"] = list(dict.fromkeys(self.terms[anchor] for anchor in record["g"] if anchor in self.terms))
        terms = [[names, chinese, pinyin(chinese)] for names, chinese in self.entries]
        data = {"records": self.records, "terms": terms, "synonyms": self.synonyms()}
        return f"bookSearch.ready({json.dumps(data, ensure_ascii=False, separators=(',', ':'))});\n"


def _is_term(node: nodes.Node) -> bool:
    return isinstance(node, nodes.inline) and "std-term" in node.get("classes", [])


def collect(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Take up each page as it is written, and leave the theme's buttons and fields as they are."""
    if doctree is not None:
        app.search_records.page(app.env, pagename, doctree, app.env.toc_secnumbers.get(pagename, {}))


def write(app, error) -> None:
    """Put MiniSearch and the script beside the pages, as Sphinx's own index is for its next build alone."""
    if error or app.builder.format != "html":
        return
    for page in sorted(app.env.found_docs - app.search_records.pages):  # that nothing has changed since the last build
        collect(app, page, "", {}, app.env.get_and_resolve_doctree(page, app.builder))
    target = pathlib.Path(app.outdir, "_static", FOLDER)
    target.mkdir(parents=True, exist_ok=True)
    cache = pathlib.Path(app.srcdir, "_build", "node")
    npm.fetched(WEB, cache)
    shutil.copy(cache / "node_modules" / "minisearch" / "dist" / "umd" / "index.js", target / "minisearch.js")
    (target / "records.js").write_text(app.search_records.script(), encoding="utf-8", newline="\n")
    logging.getLogger(__name__).info("search: %d records", len(app.search_records.records))


def setup(app):
    """Register it. Pages are written one after the other: none is written beside another."""
    app.search_records = Collector()
    app.connect("html-page-context", collect)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
