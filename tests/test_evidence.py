"""Verdicts, and the statistics behind them."""

import json

import pytest
import torch
from conftest import ROOT

from actlib.book import evidence


@pytest.mark.parametrize(
    ("findings", "expected"),
    [([True, True], "holds"), ([True, False], "holds in part"), ([False, False], "does not hold")],
)
def test_verdict_follows_from_the_findings(findings, expected):
    assert evidence.verdict(findings) == expected


def test_spread_is_mean_and_deviation():
    assert evidence.spread([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"


def test_a_difference_is_clear_when_chance_hardly_explains_it():
    seeds = [0.90, 0.92, 0.88, 0.91, 0.89]
    assert evidence.clearly_above([s + 0.01 for s in seeds], seeds)  # the same difference each time
    assert evidence.clearly_above([0.91, 0.932, 0.889, 0.921, 0.9], seeds)
    assert not evidence.clearly_above([0.91, 0.91, 0.89, 0.9, 0.9], seeds)
    assert not evidence.clearly_above(seeds, [s + 0.01 for s in seeds])
    assert not evidence.clearly_above(seeds, seeds)


def test_chance_rarely_makes_a_clear_difference():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2000, 2, 5, generator=generator).tolist()
    share = sum(evidence.clearly_above(a, b) for a, b in draws) / len(draws)
    assert 0.015 < share < 0.035  # the level of 2.5%, with a standard error of 0.35%


def _chapter(folder, name, *tables):
    heading = {"cell_type": "markdown", "source": ["# A heading\n", "\n", "and prose"]}
    outputs = [{"data": {"text/plain": [line + "\n" for line in table]}} for table in tables]
    cells = [heading, {"cell_type": "code", "source": [], "outputs": outputs}]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_verdicts_are_read_from_the_tables_of_the_chapters(tmp_path):
    measured = ["what | number", "speed | 3"]
    verdicts = ["claim | experiment | measured | verdict", "is fast | a race | 3 of 5 | holds in part"]
    _chapter(tmp_path, "01_function", measured, verdicts)
    _chapter(tmp_path, "11_no_function", verdicts)
    (trial,) = evidence.verdicts_of(tmp_path)
    assert trial == evidence.Trial("01_function", "A heading", "is fast", "3 of 5", "holds in part")


def test_chapter_without_verdicts_is_named(tmp_path):
    _chapter(tmp_path, "01_function", ["what | number", "speed | 3"])
    with pytest.raises(LookupError, match="01_function"):
        evidence.verdicts_of(tmp_path)


def test_kept_verdicts_are_those_of_the_chapters(tmp_path):
    """Chapters that look back on the others read the kept ones, so that they run without the others beside them."""
    assert evidence.stored_verdicts() == evidence.verdicts_of(ROOT / "book")
    evidence.store_verdicts(ROOT / "book", tmp_path / "verdicts.json")
    assert (tmp_path / "verdicts.json").read_bytes() == evidence.VERDICTS_FILE.read_bytes()
