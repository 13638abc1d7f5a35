"""Chapters are run again at other first seeds, and compared."""

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


def test_flips_and_moves_are_counted():
    stored = [trial(a=HOLDS, b=OPEN, c=FAILS, d=Verdict.PROVED)]
    runs = [[trial(a=FAILS, b=HOLDS, c=OPEN, d=Verdict.PROVED)], [trial(a=HOLDS, b=OPEN, c=HOLDS, d=Verdict.REFUTED)]]
    found = replication.compare(stored, runs)
    assert [(r.condition, r.flips, r.moves) for r in found] == [("a", 1, 0), ("b", 0, 1), ("c", 1, 1), ("d", 1, 0)]
    with pytest.raises(LookupError):
        replication.compare(stored, [[]])


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


def test_no_verdict_flips_at_other_seeds():
    assert [row for row in replication.stored() if row.flips] == []
