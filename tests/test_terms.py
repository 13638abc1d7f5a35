"""Terms have their Chinese where a reader first meets them, once, and as the glossary has it.

A term appears where a {term} role leads to its entry: the bare word may stand for something plainer. Pages are read in
the order of the table of contents. Its Chinese stands right behind the role, in brackets or between commas; the rest of
the English term may come between. So it is at the first role of an entry, whichever of its names that uses, and at no
other one. No page but the glossary has Chinese anywhere else, except in curled quotation marks, where somebody else
speaks.
"""

import functools
import re

import pytest
import yaml
from conftest import ROOT
from test_book import CHINESE, glossary, prose

ROLE = re.compile(
    r"\{term\}`([^`<]*?)(?: <([^`>]*)>)?`"
    r"(?:\**(?: [a-z-]+){0,2}(?: \(|, )(?P<chinese>[^(),;`]*" + CHINESE + r"[^(),;`]*)[),;])?"
)
QUOTED = re.compile(r"“[^”\n]*”")
RUN = re.compile(CHINESE + r"(?:[^()\[\],;.|`*\n]*" + CHINESE + ")?")

REJECTED = {
    "sigmoid": "S 型函数",  # tanh is one, too
    "pre-activation": "预激活值",
    "zero-centred": "以零为中心",
    "universal approximator": "万能逼近器",
    "overflow": "溢出",  # underflow is one, too
    "score": "分数",  # a fraction
    "convolutional network": "卷积网络",
    "dead unit": "死亡神经元",
    "shut unit": "关闭",
    "log-sum-exp": "对数求和指数",  # in the wrong order
    "bend": "弯曲度",
    "slope": "导数",  # the derivative
    "midpoint rule": "中点法则",
    "power iteration": "幂迭代",
    "minimax": "极小极大",
    "double rounding": "二次舍入",
    "quadrature": "数值积分",
    "mean-field theory": "平均场",
    "density": "密度",
    "entrywise product": "逐元素相乘",
    "latency": "延迟",  # of what is called, not of the call
    "soft cap": "软上限",
    "folklore": "民间说法",
    "primitive": "原函数",  # an antiderivative
}
"""Chinese that a term might have, and must not: not what textbooks say, or another thing."""


def page(stem):
    return prose(next(path for path in (ROOT / "book").glob(f"{stem}.*") if path.suffix in (".md", ".ipynb")))


@functools.cache
def order():
    """The pages in the order in which they are read, without the glossary."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    return [stem for stem in (file.removeprefix("book/") for file in files) if stem != "glossary"]


def complaints(pages, entries):
    """What is wrong with the terms of a book, page by page.

    Args:
        pages: Names and texts of its pages, in the order in which they are read.
        entries: Those of its glossary, with names and Chinese names.
    """
    chinese = {name.casefold(): (names[0], said[0]) for names, said, *_ in entries for name in names}
    seen, found = {}, {}
    for stem, text in pages:
        found[stem] = wrong = []
        for role in ROLE.finditer(text):
            link = role[2] or role[1]
            if link.casefold() not in chinese:
                wrong.append(f"{link}: not in the glossary")
                continue
            entry, right = chinese[link.casefold()]
            said = role["chinese"] and role["chinese"].strip()
            if entry in seen and said:
                wrong.append(f"{link} ({said}): its Chinese stands in {seen[entry]} already")
            elif entry not in seen and said != right:
                wrong.append(f"{link} appears for the first time: needs ({right}), has {said and f'({said})'}")
            seen.setdefault(entry, stem)
        alone = ROLE.sub(" ", QUOTED.sub(" ", text))
        wrong += [f"{run[0]}: Chinese that stands beside no term" for run in RUN.finditer(alone)]
    return found


@functools.cache
def of_the_book():
    return complaints([(stem, page(stem)) for stem in order()], glossary())


@pytest.mark.parametrize("stem", order())
def test_terms_have_their_chinese_where_they_first_appear(stem):
    wrong = of_the_book()[stem]
    assert not wrong, "\n".join([f"in {stem}:", *wrong])


@pytest.mark.parametrize("term", REJECTED)
def test_no_entry_has_the_chinese_that_was_rejected_for_it(term):
    """Nor does any page have it then, by the test above."""
    (entry,) = [said for names, said, _ in glossary() if term in names]
    assert REJECTED[term] not in entry


def test_each_difference_begins_with_words_of_the_notes_and_their_section():
    points = re.findall(r"^\((diff-[\w-]+)\)=\n### .*\n\n(.*)", page("differences"), re.MULTILINE)
    assert len(points) > 10
    begins = re.compile(rf"> “[^”]*{CHINESE}[^”]*” \((section \d|principles)\b")
    assert not [label for label, line in points if not begins.match(line)]


ENTRIES = [(["odds"], ["几率"]), (["ReLU", "rectified linear unit"], ["修正线性单元"]), (["gate"], ["门", "门控"])]
GOOD = [
    "The *{term}`odds`* (几率) and {term}`the odds again <odds>`.",
    "The {term}`rectified linear unit` (修正线性单元), or {term}`ReLU`.",
    "**{term}`Odds <odds>`** (几率, in a bet)",
    "one (an *{term}`open <gate>`* gate, 门, that is)",
    "a {term}`gate` (门), which the notes call “有门控”",
]


@pytest.mark.parametrize("text", GOOD)
def test_made_up_text_that_is_right_passes(text):
    assert complaints([("a", text)], ENTRIES) == {"a": []}


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (["no {term}`odds` at all"], "odds appears for the first time: needs (几率), has None"),
        (["{term}`odds` (可能性)"], "odds appears for the first time: needs (几率), has (可能性)"),
        (["{term}`odds` ({term}`gate`, 门)"], "odds appears for the first time"),
        (["a {term}`gate` (门控)"], "needs (门), has (门控)"),  # a variant belongs into the glossary
        (["{term}`odds`: so the odds are called (几率)"], "几率: Chinese that stands beside no term"),
        (["{term}`odds` (几率), {term}`the odds <odds>` (几率)"], "odds (几率): its Chinese stands in a already"),
        (["{term}`odds` (几率)", "and {term}`odds` (几率)"], "odds (几率): its Chinese stands in a already"),
        (["{term}`ReLU` (修正线性单元)", "{term}`rectified linear unit` (修正线性单元)"], "stands in a already"),
        (["{term}`odd` (几率)"], "odd: not in the glossary"),
        (["study notes (学习笔记)"], "学习笔记: Chinese that stands beside no term"),
        (["“{term}`gate` (门)” 和 “门”"], "和: Chinese that stands beside no term"),
    ],
)
def test_made_up_text_that_is_wrong_does_not(texts, complaint):
    found = complaints(list(zip("abc", texts, strict=False)), ENTRIES)
    assert any(complaint in said for wrong in found.values() for said in wrong)
    assert sum(map(len, found.values())) <= 2


def test_pages_are_read_in_the_order_of_the_table_of_contents():
    stems = order()
    assert stems[:3] == ["intro", "explorer", "00_principles"]
    assert stems.index("09_swiglu") < stems.index("10_compare") < stems.index("differences")
    assert "glossary" not in stems
