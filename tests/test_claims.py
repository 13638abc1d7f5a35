"""Every claim of the chapters is judged by a judge that can say yes, no, the reverse, and "not decided"."""

import ast
import contextlib
import functools
import math
import random

import nbformat
import pytest
from conftest import ROOT

from actlib.book import evidence
from actlib.book.evidence import Reading, Verdict

CLEAR, OPPOSITE, NONE, TOO_LITTLE = "clear", "opposite", "none", "too little"


@functools.cache
def claims():
    """The claims of the chapters, by chapter and key: read from where they are made, without running anything."""
    found = {}
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        names = {"evidence": evidence, "math": math}
        for cell in nbformat.read(path, nbformat.NO_CONVERT).cells:
            if cell.cell_type != "code" or "evidence.Claim(" not in cell.source:
                continue
            names |= literals(cell.source)
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "evidence.Claim":
                    claim = eval(ast.unparse(node), dict(names))
                    assert (path.stem, claim.key) not in found, f"two claims of {path.stem} are called {claim.key}"
                    found[path.stem, claim.key] = claim
    return found


def literals(source):
    """What a cell gives names to that can be read without running it: the conditions that several claims share."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def made_up(judge, kind, generator):
    """What the judge takes, with an effect of this kind."""
    if isinstance(judge, (evidence.Larger, evidence.Alike, evidence.AtLeast)):
        to = math.log if judge.ratio else float
        size = max(to(judge.margin), 1e-3)
        effect, spread, seeds = {
            CLEAR: (4 * size, size / 4, 12),
            OPPOSITE: (-4 * size, size / 4, 12),
            NONE: (0, size / 4, 12),
            TOO_LITTLE: (0.5 * size, 20 * size, 3),
        }[kind]
        noise = [generator.gauss(0, 1) for _ in range(seeds)]
        middle, scale = sum(noise) / seeds, math.sqrt(sum(v * v for v in noise) / seeds)
        values = [effect + spread * (v - middle) / scale for v in noise]
        return ([math.exp(v) for v in values] if judge.ratio else values,)
    if isinstance(judge, evidence.Often):
        seldom = judge.margin / 10
        runs = math.ceil(30 / min(seldom, 1 - judge.margin))
        count = {CLEAR: runs, OPPOSITE: 0, NONE: round(seldom * runs)}
        if kind == TOO_LITTLE:
            return ([True, False] if judge.margin < 0.98 else [True, True],)
        return ([True] * count[kind] + [False] * (runs - count[kind]),)
    if isinstance(judge, evidence.MoreOften):
        runs = math.ceil(100 / max(judge.margin, 0.05))
        if kind == TOO_LITTLE:
            return [True, True, False], [False, True, True]
        first, second = {CLEAR: (True, False), OPPOSITE: (False, True), NONE: (True, True)}[kind]
        return [first] * runs, [second] * runs
    raise TypeError(f"no data for {judge}")


EXPECTED = {
    evidence.Larger: {
        CLEAR: (Verdict.HOLDS, Reading.NONE),
        OPPOSITE: (Verdict.DOES_NOT_HOLD, Reading.REVERSED),
        NONE: (Verdict.DOES_NOT_HOLD, Reading.NEGLIGIBLE),
        TOO_LITTLE: (Verdict.NOT_DECIDED, Reading.NONE),
    },
    evidence.Alike: {
        CLEAR: (Verdict.DOES_NOT_HOLD, Reading.LARGER),
        OPPOSITE: (Verdict.DOES_NOT_HOLD, Reading.SMALLER),
        NONE: (Verdict.HOLDS, Reading.NONE),
        TOO_LITTLE: (Verdict.NOT_DECIDED, Reading.NONE),
    },
    evidence.AtLeast: {
        CLEAR: (Verdict.HOLDS, Reading.NONE),
        OPPOSITE: (Verdict.DOES_NOT_HOLD, Reading.SMALLER),
        NONE: (Verdict.HOLDS, Reading.NONE),
        TOO_LITTLE: (Verdict.NOT_DECIDED, Reading.NONE),
    },
    evidence.Often: {
        CLEAR: (Verdict.HOLDS, Reading.NONE),
        OPPOSITE: (Verdict.DOES_NOT_HOLD, Reading.NEVER),
        NONE: (Verdict.DOES_NOT_HOLD, Reading.NONE),
        TOO_LITTLE: (Verdict.NOT_DECIDED, Reading.NONE),
    },
}
EXPECTED |= {evidence.Exists: EXPECTED[evidence.Often], evidence.MoreOften: EXPECTED[evidence.Larger]}

JUDGES = [
    evidence.Larger(margin=0.1),
    evidence.Larger(margin=0),
    evidence.Larger(margin=1.25, ratio=True),
    evidence.Alike(margin=0.01, scale=100),
    evidence.Alike(margin=1.1, ratio=True),
    evidence.AtLeast(margin=0.02, scale=100),
    evidence.AtLeast(margin=1.1, ratio=True),
    evidence.Often(margin=0.5),
    evidence.Exists(margin=0.05),
    evidence.Exists(margin=0.5, among=5),
    evidence.MoreOften(margin=0),
    evidence.MoreOften(margin=0.1),
]


def check(judge):
    generator = random.Random(0)
    for kind, expected in EXPECTED[type(judge)].items():
        if judge == evidence.Larger(margin=0) and kind == NONE:
            expected = EXPECTED[evidence.Larger][TOO_LITTLE]  # without a margin, nothing says "no difference"
        if isinstance(judge, evidence.MoreOften) and judge.margin == 0 and kind == NONE:
            expected = EXPECTED[evidence.MoreOften][TOO_LITTLE]
        outcome = judge.judge(*made_up(judge, kind, generator))
        assert (outcome.verdict, outcome.reading) == expected, f"{kind}: {outcome}"


@pytest.mark.parametrize("judge", JUDGES, ids=repr)
def test_judge_can_say_everything(judge):
    check(judge)


@pytest.mark.parametrize(("chapter", "key"), claims())
def test_judge_of_a_claim_can_say_everything(chapter, key):
    judge = claims()[chapter, key].judge
    if isinstance(judge, evidence.Theorem):
        assert judge.judge(True, "").verdict is Verdict.PROVED
        assert judge.judge(False, "").verdict is Verdict.REFUTED
        return
    assert judge.margin > 0, f"{chapter}, {key}: a margin of 0 cannot say that there is no difference"
    check(judge)


def test_claims_have_conditions_and_words():
    for (chapter, key), claim in claims().items():
        assert claim.conditions, (chapter, key)
        assert claim.says[0].isalnum() or claim.says[0] in "“(", (chapter, key)
        assert not claim.says.endswith("."), (chapter, key)


@pytest.mark.parametrize("judge", [evidence.Larger(margin=0.5), evidence.Alike(margin=0.5)], ids=repr)
def test_judges_are_wrong_as_seldom_as_they_say(judge):
    """At the margin itself an interval of 95% may lie beyond it by chance in one of forty trials."""
    generator = random.Random(1)
    trials = [[generator.gauss(0.5, 1) for _ in range(8)] for _ in range(4000)]
    wrong = sum(judge.judge(values).verdict is Verdict.HOLDS for values in trials) / len(trials)
    assert wrong < 0.025 + 3 * math.sqrt(0.025 * 0.975 / len(trials))


def test_interval_of_paired_shares_covers():
    """Tango's interval misses the true difference in about one of twenty trials, with few pairs, too."""
    generator = random.Random(2)
    for runs, only_a, only_b in ((10, 0.3, 0.1), (20, 0.1, 0.1), (40, 0.02, 0.3)):
        missed, trials = 0, 1500
        seen = {}
        for _ in range(trials):
            draws = [generator.random() for _ in range(runs)]
            first = sum(v < only_a for v in draws)
            second = sum(only_a <= v < only_a + only_b for v in draws)
            low, high = seen.setdefault((first, second), evidence.paired_shares(first, second, runs))
            missed += not low <= only_a - only_b <= high
        assert missed / trials < 0.08


def test_interval_of_paired_shares_where_all_pairs_agree():
    """Then the quadratic equation of the score has the roots plus and minus z^2 / (n + z^2)."""
    for runs in (5, 44, 1000):
        end = 1.959964**2 / (runs + 1.959964**2)
        assert evidence.paired_shares(0, 0, runs) == pytest.approx((-end, end), rel=1e-5)


def test_an_effect_is_seen_four_times_out_of_five():
    generator = random.Random(3)
    judge = evidence.Larger(margin=0.5)
    pilot = [generator.gauss(0, 1) for _ in range(2000)]
    scale = math.sqrt(sum(v * v for v in pilot) / len(pilot))
    error = scale / math.sqrt(10)
    from scipy.stats import t

    visible = 0.5 + (t.ppf(0.975, 9) + t.ppf(0.8, 9)) * error
    trials = [judge.judge([generator.gauss(visible, 1) for _ in range(10)]).verdict for _ in range(1500)]
    assert 0.75 < trials.count(Verdict.HOLDS) / len(trials) < 0.87
