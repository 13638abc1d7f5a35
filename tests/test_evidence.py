"""Verdicts, and the statistics behind them."""

import json

import bs4
import pytest
from conftest import ROOT

from actlib.book import evidence, plain, verdicts
from actlib.book.evidence import Verdict


def test_spread_is_mean_and_deviation():
    assert evidence.spread([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"


def _chapter(folder, name, *tables):
    heading = {"cell_type": "markdown", "source": ["# A heading\n", "\n", "and prose"]}
    outputs = [{"data": {"text/plain": [line + "\n" for line in table]}} for table in tables]
    cells = [heading, {"cell_type": "code", "source": [], "outputs": outputs}]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_chapter_without_verdicts_is_named(tmp_path):
    _chapter(tmp_path, "01_function", ["what | number", "speed | 3"])
    with pytest.raises(LookupError, match="01_function"):
        verdicts.of(tmp_path)


def test_kept_verdicts_are_those_of_the_chapters(tmp_path):
    """Chapters that look back on the others read the kept ones, so that they run without the others beside them."""
    assert verdicts.stored() == verdicts.of(ROOT / "book")
    verdicts.store(ROOT / "book", tmp_path / "verdicts.json")
    assert (tmp_path / "verdicts.json").read_bytes() == verdicts.FILE.read_bytes()


CONDITIONS = {"usual": "at the usual weights", "fourfold": "at weights × 4"}


def judged():
    """Two claims with what was found."""
    claim = evidence.Claim("learns", "it learns", evidence.Larger(margin=0.1, unit="points"), CONDITIONS)
    claim.test("usual", [1.0, 1.1, 0.9])
    claim.test("fourfold", [-1.0, -1.1, -0.9])
    proved = evidence.Claim("shape", "it rises", evidence.Theorem(), {"always": "everywhere"})
    proved.test("always", True, "its slope is positive")
    return claim, proved


def test_claim_on_which_conditions_disagree_depends_on_them():
    claim, proved = judged()
    assert claim.verdict is Verdict.DEPENDS
    assert claim.ruling == "holds: “at the usual weights”; does not hold: “at weights × 4”"
    assert (proved.verdict, proved.ruling) == (Verdict.PROVED, "proved")


def test_existence_holds_if_it_does_under_one_condition():
    claim = evidence.Claim("dies", "units may die", evidence.Exists(margin=0.1), CONDITIONS)
    claim.test("usual", [False] * 100)
    assert claim.test("fourfold", [True, False]).verdict is Verdict.NOT_DECIDED
    assert claim.verdict is Verdict.NOT_DECIDED
    claim.test("fourfold", [True] * 10)
    assert claim.verdict is Verdict.HOLDS


def test_pairs_are_told_apart_in_words():
    outcome = evidence.MoreOften(margin=0.25).judge([True, True, False] + [False] * 17, [False] * 19 + [True])
    assert outcome.effect == "2 of 20 pairs only in the first, 1 only in the second (difference −16% to +27%)"


def test_claim_says_what_was_not_tested():
    claim = evidence.Claim("learns", "it learns", evidence.Larger(margin=0.1), CONDITIONS)
    with pytest.raises(KeyError, match="conditions of 'learns' are usual, fourfold, but 'other' came"):
        claim.test("other", [1.0, 2.0])
    claim.test("usual", [1.0, 2.0])
    with pytest.raises(ValueError, match="'learns' has not been tested under: fourfold"):
        claim.verdict  # noqa: B018


@pytest.mark.parametrize(
    ("judge", "data", "message"),
    [
        (evidence.Larger(margin=1), ([1.0, 2.0], [1.0]), "as many numbers on both sides, but 2 and 1 came"),
        (evidence.Larger(margin=2, ratio=True), ([1.0, -2.0],), "finite positive numbers"),
        (evidence.Alike(margin=2), ([1.0, float("nan")],), "finite numbers"),
        (evidence.Often(margin=0.5), ([],), "at least one run"),
        (evidence.MoreOften(margin=0.5), ([True], []), "as many of one as of the other, but 1 and 0 came"),
    ],
)
def test_what_cannot_be_judged_is_refused(judge, data, message):
    with pytest.raises(ValueError, match=message):
        judge.judge(*data)


def test_a_ratio_needs_a_margin_above_one():
    with pytest.raises(ValueError, match=r"at least 1, as a factor, but 0.5 came"):
        evidence.Larger(margin=0.5, ratio=True)


def test_margin_is_never_below_the_noise():
    judge = evidence.Larger(margin=1.1, ratio=True)
    times = [1.2, 1.21, 1.19, 1.2]
    assert judge.judge(times).verdict is Verdict.HOLDS
    loud = judge.judge(times, noise=1.3)
    assert (loud.verdict, loud.margin) == (Verdict.DOES_NOT_HOLD, "× 1.30")


def test_effects_are_told_in_words():
    steps = evidence.Claim(
        "steps", "needs more", evidence.Larger(margin=1.2, ratio=True, unit="as many steps"), CONDITIONS
    )
    assert steps.effect([2.0, 2.0, 2.0]) == "2.00 × as many steps (2.00 to 2.00)"
    assert steps.test("usual", [1.0, 1.3, 1.4]).found.startswith("1.22 × as many steps (0.79 to 1.89); detectable from")
    assert list(steps.outcomes) == ["usual"]
    assert evidence.Larger(margin=1.2, ratio=True).judge([2.0, 2.0]).effect == "× 2.00 (2.00 to 2.00)"
    alike = evidence.Alike(margin=1.2, ratio=True, unit="as long").judge([2.0, 2.0])
    assert alike.margin == "× or ÷ 1.20 as long"
    assert evidence.Often(margin=0.5).judge([True]).found.endswith("; too few to detect anything")
    assert evidence.Often(margin=0.5).judge([True] * 6 + [False] * 6).found.endswith("; detectable from 87%")


def test_reading_says_how_a_claim_fails():
    """An interval that reaches across the margin on the other side: not larger, but not clearly the reverse."""
    outcome = evidence.Larger(margin=1.0).judge([-1.2, -0.2, -1.0, -0.9])
    assert (outcome.verdict, outcome.reading) == (Verdict.DOES_NOT_HOLD, evidence.Reading.NOT_LARGER)


def test_seeds_move_with_the_environment(monkeypatch):
    monkeypatch.delenv("ACTLIB_FIRST_SEED", raising=False)
    assert evidence.seeds(3) == [0, 1, 2]
    monkeypatch.setenv("ACTLIB_FIRST_SEED", "1000")
    assert evidence.seeds(3) == [1000, 1001, 1002]
    assert not set(evidence.tuning_seeds(300)) & set(evidence.seeds(300))


def test_table_of_verdicts_is_read_back(tmp_path):
    table = verdicts.VerdictTable(*judged())
    assert repr(table).splitlines()[0] == "claim | condition | effect (95% interval) | margin | verdict"
    assert 'href="judging.html"' in table._repr_html_()
    data = table._repr_mimebundle_()
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# A heading"]},
            {"cell_type": "code", "source": [], "outputs": [{"data": json.loads(json.dumps(data))}]},
        ]
    }
    (tmp_path / "01_function.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    first, second = verdicts.of(tmp_path)
    assert (first.key, first.verdict) == ("learns", Verdict.DEPENDS)
    assert first.conditions == {"usual": Verdict.HOLDS, "fourfold": Verdict.DOES_NOT_HOLD}
    assert first.words == CONDITIONS
    assert verdicts.find([first, second], "01_function", "shape") == second
    with pytest.raises(LookupError, match="one claim 'other' of 01_function, but there are 0"):
        verdicts.find([first, second], "01_function", "other")
    assert (second.key, second.verdict, second.effects) == (
        "shape",
        Verdict.PROVED,
        {"always": "its slope is positive"},
    )
    assert (first.ruling, second.ruling) == tuple(claim.ruling for claim in judged())
    assert first.by_verdict() == first.ruling
    verdicts.store(tmp_path, tmp_path / "kept.json")
    assert verdicts.stored(tmp_path / "kept.json") == [first, second]


def test_claims_are_looked_back_on():
    rows = [{"chapter": "01_function", "title": "A heading"} | row for row in verdicts.VerdictTable(*judged()).record]
    first, second = map(verdicts.Trial.of, rows)
    found = verdicts.Found(first, second)
    assert [row[:2] + row[3:] for row in found.rows] == [
        ["it learns ([A heading](01_function.html#the-verdicts))", "", Verdict.DEPENDS],
        ["", "at the usual weights", Verdict.HOLDS],
        ["", "at weights × 4", Verdict.DOES_NOT_HOLD],
        ["it rises ([A heading](01_function.html#the-verdicts))", "everywhere", Verdict.PROVED],
    ]
    assert found._repr_html_().count("<tbody>") == 2
    said = verdicts.Sayings({"“good”": [first, second], "“steep”": [second], "“new”": "see [there](page.html)"})
    assert said.rows == [
        ["“good”", "it learns", first.by_verdict(), Verdict.DEPENDS],
        ["", "it rises", "", Verdict.PROVED],
        ["“steep”", "it rises", "", Verdict.PROVED],
        ["“new”", "see [there](page.html)", "", "—"],
    ]
    assert said._repr_html_().count('scope="rowgroup"') == 3
    assert '<a href="page.html">there</a>' in said._repr_html_()


def test_outcomes_of_claims_are_listed():
    lines = repr(verdicts.outcomes(*judged())).splitlines()
    assert lines[0] == "claim | condition | effect (95% interval) | detectable from | verdict"
    assert lines[1].startswith("it learns | at the usual weights | 1.00 points (0.75 to 1.25) | ")
    assert lines[2].startswith(" | at weights × 4 | ")
    assert lines[3] == "it rises | everywhere | its slope is positive | — | proved"
    alone = repr(verdicts.outcomes(judged()[1])).splitlines()
    assert alone == [lines[0].removeprefix("claim | "), lines[3].removeprefix("it rises | ")]


def test_what_seeds_share_widens_the_interval():
    judge, values = evidence.Alike(margin=1), [0.1, -0.1, 0.2, -0.2]
    _, low, high = judge.judge(values).interval
    assert judge.judge(values, shared=0.0).interval == (_, low, high)
    assert judge.judge(values).verdict is Verdict.HOLDS
    wider = judge.judge(values, shared=1.0)
    assert wider.interval[2] > 3
    assert wider.verdict is Verdict.NOT_DECIDED


def test_the_best_of_several_needs_more():
    happened = [True] * 15 + [False] * 5
    assert evidence.Exists(margin=0.5).judge(happened).verdict is Verdict.HOLDS
    among = evidence.Exists(margin=0.5, among=5).judge(happened)
    assert among.verdict is Verdict.NOT_DECIDED
    assert among.interval[1] < evidence.Exists(margin=0.5).judge(happened).interval[1]


def test_at_least_is_said_of_what_is_not_smaller():
    judge = evidence.AtLeast(margin=0.02, unit="points", scale=100, digits=0)
    assert judge.judge([0.5, 0.51, 0.49]).verdict is Verdict.HOLDS
    assert judge.judge([0.001, -0.001, 0.0]).verdict is Verdict.HOLDS
    assert judge.judge([-0.5, -0.51, -0.49]).reading is evidence.Reading.SMALLER
    assert judge.judge([0.5, -0.5, 0.1]).verdict is Verdict.NOT_DECIDED
    assert judge.judge([0.5, 0.51, 0.49]).margin == "−2 points"
    assert evidence.AtLeast(margin=2, ratio=True).judge([1.0, 1.1, 0.9]).margin == "× 0.50"


@pytest.mark.parametrize("data", [([], []), ([1.0], [0.0])])
@pytest.mark.parametrize("judge", [evidence.Larger(margin=0.1), evidence.Alike(margin=2, ratio=True)])
def test_a_seed_alone_decides_nothing(judge, data):
    outcome = judge.judge(*([v + 1 for v in d] for d in data))
    assert outcome.verdict is Verdict.NOT_DECIDED
    assert outcome.found == ("1 seed left" if data[0] else "0 seeds left") + "; too few to detect anything"


def test_a_claim_heads_its_conditions():
    soup = bs4.BeautifulSoup(verdicts.VerdictTable(*judged())._repr_html_(), "html.parser")
    heads = soup.select("tbody > tr:first-child")
    assert [head.th["colspan"] for head in heads] == ["2", "2"]
    assert [head.th.find(string=True) for head in heads] == ["it learns", "it rises"]
    assert [head.em and head.em.text for head in heads] == ["margin: 0.10 points", None]
    assert [head.td.text for head in heads] == ["depends", ""]
    rows = [[part.text for part in row(["th", "td"])] for row in soup.select("tbody > tr:not(:first-child)")]
    assert [(row[0], row[2]) for row in rows] == [
        ("at the usual weights", "holds"),
        ("at weights × 4", "does not hold"),
        ("everywhere", "proved"),
    ]


def test_margins_stand_beside_effects_where_they_differ():
    claim = evidence.Claim(
        "costs", "it costs more", evidence.Larger(margin=1.1, ratio=True, unit="the time"), CONDITIONS
    )
    claim.test("usual", [1.5, 1.6, 1.4])
    claim.test("fourfold", [1.5, 1.6, 1.4], noise=1.3)
    soup = bs4.BeautifulSoup(verdicts.VerdictTable(claim)._repr_html_(), "html.parser")
    assert not soup.select("th em")
    assert [em.text for em in soup.select("td em")] == ["(margin: 1.10 × the time)", "(margin: 1.30 × the time)"]


def test_a_table_of_verdicts_becomes_markdown():
    table = verdicts.VerdictTable(*judged())
    ((data, _),) = plain.outputs(table._repr_html_(), repr(table))
    lines = data["text/markdown"].splitlines()
    assert lines[2] == "| condition | effect (95% interval) | verdict |"
    assert lines[4] == "| it learns<br>*margin: 0.10 points* |  | **◐\u00a0depends** |"
    assert len(lines) == 2 + 2 + 5


@pytest.mark.parametrize(
    ("verdicts", "combined"),
    [
        ("HOLDS HOLDS", "HOLDS"),
        ("HOLDS DOES_NOT_HOLD", "DEPENDS"),
        ("HOLDS NOT_DECIDED", "DEPENDS"),
        ("DOES_NOT_HOLD NOT_DECIDED", "NOT_DECIDED"),
        ("PROVED REFUTED", "DEPENDS"),
        ("REFUTED DOES_NOT_HOLD", "DEPENDS"),
    ],
)
def test_conditions_are_combined(verdicts, combined):
    """A claim that is shown under no condition does not depend on one."""
    assert evidence.Larger(margin=1).combine([Verdict[v] for v in verdicts.split()]).name == combined


@pytest.mark.parametrize("verdict", [v for v in evidence.Verdict if v is not evidence.Verdict.NOT_DECIDED], ids=str)
def test_one_condition_decides_alone(verdict):
    for judge in (evidence.Exists(margin=0.1), evidence.Often(margin=0.1)):
        assert judge.combine([verdict]) is verdict


@pytest.mark.parametrize("judge", [evidence.Often, evidence.Exists], ids=lambda j: j.__name__)
def test_what_ends_at_the_margin_is_not_said_never_to_happen(judge):
    runs = [False] * 30
    *_, high = judge(margin=0.5).judge(runs).interval
    at, above = (judge(margin=margin).judge(runs) for margin in (high, high * 1.01))
    assert (at.verdict, at.reading) == (evidence.Verdict.NOT_DECIDED, evidence.Reading.NONE)
    assert (above.verdict, above.reading) == (evidence.Verdict.DOES_NOT_HOLD, evidence.Reading.NEVER)
