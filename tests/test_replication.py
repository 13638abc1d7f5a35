"""Chapters are run again at other first seeds, and compared."""

import ast

import nbformat
import pytest
from conftest import ROOT

from actlib.book import replication, verdicts
from actlib.book.evidence import Verdict

CELL = """
import random
from actlib.book import evidence, verdicts

claim = evidence.Claim("moves", "it is large", evidence.Larger(margin=1), {"first": "one", "second": "two"})
claim.test("first", [seed + i for i, seed in enumerate(evidence.seeds(3))])
claim.test("second", [2.0, 2.1, 1.9])
verdicts.VerdictTable(claim)
"""
HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.NOT_DECIDED


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """A chapter with a verdict that depends on the first seed, and one that does not."""
    path = tmp_path_factory.mktemp("book") / "01_function.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# A heading"), nbformat.v4.new_code_cell(CELL)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.kernelspec = kernel
    nbformat.write(notebook, path)
    return path


def test_chapter_is_run_at_another_first_seed(chapter, monkeypatch):
    monkeypatch.setenv("ACTLIB_FIRST_SEED", "0")
    before = chapter.read_bytes()
    (here,) = replication.run(chapter, 0)
    (there,) = replication.run(chapter, 1000)
    assert here.conditions == {"first": OPEN, "second": HOLDS}
    assert there.conditions == {"first": HOLDS, "second": HOLDS}
    assert chapter.read_bytes() == before


def trial(**conditions):
    return verdicts.Trial("01", "title", "claim", Verdict.DEPENDS, "key", conditions, {}, {})


def test_lost_gained_and_flipped_are_counted():
    stored = [trial(a=HOLDS, b=OPEN, c=FAILS, d=Verdict.PROVED, e=OPEN)]
    runs = [
        [trial(a=FAILS, b=HOLDS, c=OPEN, d=Verdict.PROVED, e=HOLDS)],
        [trial(a=HOLDS, b=OPEN, c=HOLDS, d=Verdict.REFUTED, e=FAILS)],
        [trial(a=HOLDS, b=OPEN, c=OPEN, d=Verdict.PROVED, e=HOLDS)],
    ]
    found = {r.condition: r for r in replication.compare(stored, runs)}
    assert {c: (r.lost, r.gained, r.flips) for c, r in found.items()} == {
        "a": (0, 0, 1),
        "b": (0, 1, 0),
        "c": (2, 0, 1),
        "d": (0, 0, 1),
        "e": (0, 3, 1),
    }
    assert [c for c, r in found.items() if r.mostly_lost] == ["c"]
    assert [c for c, r in found.items() if not r.seeded] == ["d"]
    with pytest.raises(LookupError):
        replication.compare(stored, [[]])


def timed():
    """The claims that a cell of a chapter tests against noise, as times are: by chapter and key."""
    found = set()
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = nbformat.read(path, nbformat.NO_CONVERT).cells
        trees = [ast.parse(c.source) for c in cells if c.cell_type == "code"]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        made = [n for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)]
        made = [n for n in made if ast.unparse(n.value.func) == "evidence.Claim"]
        keys = {n.targets[0].id: n.value.args[0].value for n in made if "Theorem" not in ast.unparse(n.value)}
        for tree in trees:
            calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".test")]
            if any(k.arg == "noise" for call in calls for k in call.keywords):
                names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
                found |= {(path.stem, keys[name]) for name in names & keys.keys()}
    return found


def test_times_are_known_as_such():
    assert timed() == replication.TIMED
    for row in replication.stored():
        if (row.chapter, row.key) in replication.TIMED:
            assert {*row.found} == {row.stored}


def test_what_was_found_is_kept(tmp_path):
    found = replication.compare([trial(a=HOLDS, b=OPEN)], [[trial(a=FAILS, b=HOLDS)]])
    replication.keep(found, [7], tmp_path / "kept.json")
    assert replication.stored(tmp_path / "kept.json") == found
    assert replication.first_seeds(tmp_path / "kept.json") == [7]


def test_replication_is_of_the_verdicts_that_the_chapters_have():
    """Whoever changes a chapter's verdicts runs `make replicate` again."""
    now = {(t.chapter, t.key, c): v for t in verdicts.of(ROOT / "book") for c, v in t.conditions.items()}
    kept = {(r.chapter, r.key, r.condition): r.stored for r in replication.stored()}
    assert kept == now
    assert len(set(replication.first_seeds())) >= 5
    assert 0 not in replication.first_seeds()


def test_no_run_says_the_reverse_of_a_verdict():
    assert [row for row in replication.stored() if row.flips and row.decided] == []
