"""References: whatever is printed is cited, whatever is cited is there, and nothing is there twice.

Every chapter cites with a prefix of its own, `c4-he2015`, by which its last cell lists what it alone cites. The entry
is called `he2015`, whoever cites it: so a work that several chapters cite still has a single entry.
"""

import collections
import re

import pytest
from conftest import ROOT
from pybtex.database import parse_file, parse_string
from test_book import NOTEBOOKS, prose

WORKS = parse_file(ROOT / "book" / "references.bib", encoding="utf-8").entries
CITED = re.compile(r"\{cite(?::\w+)?\}`([^`]*)`")
PREFIX = re.compile(r"```\{bibliography\}\n:filter: docname in docnames\n:keyprefix: (\w+-)\n```")


def cited(path):
    return [key.strip() for keys in CITED.findall(prose(path)) for key in keys.split(",")]


def signs(work):
    """What no two works have in common: their title with the first author, and each of their numbers."""
    author = work.persons["author"][0]
    who = "".join(author.last_names or author.first_names)
    plain = lambda text: re.sub(r"\\\W\{?|[^\w]", "", text).casefold()
    text = " ".join(work.fields.values())
    numbers = re.findall(r"\b10\.\d{4,}/[^\s},]+|(?<!\d)\d{4}\.\d{4,5}(?!\d)", text)
    return {(plain(who), plain(work.fields["title"])), *(number.casefold() for number in numbers)}


def twice(works):
    """The keys of entries that are one work."""
    found = collections.defaultdict(set)
    for key, work in works.items():
        for sign in signs(work):
            found[sign].add(key)
    return {tuple(sorted(keys)) for keys in found.values() if len(keys) > 1}


def test_every_work_is_cited():
    assert sorted(set(WORKS) - {key.partition("-")[2] for path in NOTEBOOKS for key in cited(path)}) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_citation_has_the_prefix_of_its_page_and_leads_to_a_work(path):
    (prefix,) = PREFIX.findall(prose(path))
    assert cited(path)
    assert not [key for key in cited(path) if not key.startswith(prefix) or key.removeprefix(prefix) not in WORKS]


def test_every_page_has_a_prefix_of_its_own():
    prefixes = [prefix for path in NOTEBOOKS for prefix in PREFIX.findall(prose(path))]
    assert len(set(prefixes)) == len(prefixes) == len(NOTEBOOKS)


def test_no_work_stands_twice():
    assert twice(WORKS) == set()


@pytest.mark.parametrize(
    ("second", "same"),
    [
        ("title = {A {Work} on things}, author = {Doe, Jane and Roe, R.}, year = 2016", True),
        ("title = {Another}, author = {Roe, R.}, doi = {10.1000/XYZ}", True),
        ("title = {Another}, author = {Roe, R.}, url = {https://arxiv.org/abs/1511.06434}", True),
        ("title = {A work on things}, author = {Roe, R.}, year = 2015", False),
        ("title = {A work on things, continued}, author = {Doe, Jane}, year = 2015", False),
    ],
)
def test_a_second_entry_of_a_work_is_found(second, same):
    first = "title = {A work on Things}, author = {Doe, Jane}, doi = {10.1000/xyz}, note = {arXiv:1511.06434}"
    works = parse_string(f"@misc{{doe2015, {first}}} @misc{{other, {second}}}", "bibtex").entries
    assert twice(works) == ({("doe2015", "other")} if same else set())
