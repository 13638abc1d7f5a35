"""The chart of how to choose says what the verdicts say, and something else if they change."""

import dataclasses

import bs4
import nbformat
import pytest
from conftest import ROOT

from actlib.book import choosing, plain, verdicts
from actlib.book.evidence import Verdict

CHAPTER = nbformat.read(ROOT / "book" / "10_compare.ipynb", nbformat.NO_CONVERT)


def arrows():
    """Those of the chapter, from where they are made."""
    (source,) = [cell.source for cell in CHAPTER.cells if "ARROWS = {" in cell.source]
    names = {"choosing": choosing}
    exec(source, names)
    return names["ARROWS"]


ALL = [arrow for group in arrows().values() for arrow in group]


def made_up(arrow, verdict):
    """The claim that an arrow leans on, with another verdict."""
    trial = arrow.trial(verdicts.stored())
    conditions = dict.fromkeys(trial.conditions, verdict)
    return [dataclasses.replace(trial, verdict=verdict, conditions=conditions)]


@pytest.mark.parametrize("arrow", ALL, ids=lambda a: a.where)
def test_words_of_an_arrow_change_with_its_verdict(arrow):
    said = {verdict: arrow.words(made_up(arrow, verdict)) for verdict in Verdict}
    assert said[Verdict.PROVED] == said[Verdict.HOLDS]
    assert said[Verdict.REFUTED] == said[Verdict.DOES_NOT_HOLD]
    reasons = {why for _, why in (said[v] for v in (Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.NOT_DECIDED))}
    assert len(reasons) == 3
    assert said[Verdict.DEPENDS] not in (said[Verdict.HOLDS], said[Verdict.DOES_NOT_HOLD])


@pytest.mark.parametrize("arrow", ALL, ids=lambda a: a.where)
def test_advice_changes_with_the_verdict_or_says_what_else_it_leans_on(arrow):
    takes = {arrow.words(made_up(arrow, v))[0] for v in (Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.NOT_DECIDED)}
    if arrow.anyhow:
        assert len(takes) == 1
        assert all(arrow.words(made_up(arrow, v))[1].startswith(arrow.anyhow) for v in Verdict)
    else:
        assert arrow.holds[0] != arrow.fails[0]


@pytest.mark.parametrize("arrow", ALL, ids=lambda a: a.where)
def test_an_arrow_leans_on_default_weights_where_they_were_tested(arrow):
    conditions = arrow.trial(verdicts.stored()).conditions
    defaults = [c for c in conditions if "default" in c.replace("-", " ").split()]
    assert arrow.condition in (defaults or [""])


def test_chart_shows_verdicts_and_leads_to_their_chapters():
    arrow = ALL[0]
    for verdict in (Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.NOT_DECIDED):
        trials = made_up(arrow, verdict)
        page = choosing.Chart({"Where?": [arrow]}, trials)._repr_html_()
        soup = bs4.BeautifulSoup(page, "html.parser")
        take, why = arrow.words(trials)
        assert [cell.text for cell in soup.select("tbody th")] == ["Where?", arrow.where]
        assert soup.select("td")[1].text == take
        assert why in soup.select("td")[0].text
        assert soup.select_one(f".{verdict.style}").text == verdict
        assert soup.select_one("td a")["href"].startswith(f"{arrow.chapter}.html#")
        ((data, _),) = plain.outputs(page, "text")
        assert take in data["text/markdown"]


def test_an_arrow_that_depends_says_on_what():
    words = {"one": "in the one case", "two": "in the other"}
    trial = verdicts.Trial("01_a", "A", "it is", Verdict.DEPENDS, "is", {}, words, {})
    found = {"one": Verdict.HOLDS, "two": Verdict.NOT_DECIDED}
    trials = [dataclasses.replace(trial, conditions=found)]
    sure, open_ = ("this", "it is"), ("either", "it may be")
    arrow = choosing.Arrow(where="here", chapter="01_a", key="is", holds=sure, fails=sure, open=open_)
    assert arrow.words(trials) == ("either", "it may be (holds: “in the one case”; not decided: “in the other”)")
    assert dataclasses.replace(arrow, anyhow="so it is").words(trials)[1].startswith("so it is; it may be (")
    with pytest.raises(KeyError):
        dataclasses.replace(arrow, condition="three").words(trials)


def test_many_conditions_are_counted():
    found = dict(zip("abcd", (Verdict.HOLDS, Verdict.NOT_DECIDED, Verdict.HOLDS, Verdict.DOES_NOT_HOLD), strict=True))
    trial = verdicts.Trial("01_a", "A", "it is", Verdict.DEPENDS, "is", found, {c: c for c in found}, {})
    words = ("this", "it is")
    arrow = choosing.Arrow(where="here", chapter="01_a", key="is", holds=words, fails=words, open=words)
    _, said = arrow.words([trial])
    assert said == "it is (holds under 2, not decided under 1, does not hold under 1 of 4 conditions)"


def test_chart_of_the_chapter_is_that_of_the_stored_verdicts():
    (shown,) = [
        output.data["text/plain"]
        for cell in CHAPTER.cells
        if cell.cell_type == "code" and "choosing.Chart(" in cell.source
        for output in cell.outputs
    ]
    assert shown == repr(choosing.Chart(arrows(), verdicts.stored()))
