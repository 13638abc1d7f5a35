"""How the book judges: a claim, the conditions it is tested under, and a verdict from a 95% interval and a margin.

A claim states what is measured, one number a seed, and the margin: the smallest effect that a user would care about.
A judge turns the measurements of one condition into an effect with its interval, and says what follows:

- it holds: the interval lies beyond the margin, or, for "no difference", inside of plus or minus the margin;
- it does not hold: the interval lies on the other side of the margin, or, for "no difference", outside of it;
- not decided: anything else.

A claim on which its conditions disagree depends on them. What a theorem or a definition decides is proved or refuted,
and is never mixed with measurements. Claims, conditions and verdicts are keys; words stand beside them.
"""

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

LEVEL = 0.95
FOUR_OF_FIVE = 0.8
"""How often an effect must be found to count as detectable."""


def seeds(count: int) -> list[int]:
    """The seeds of what is reported: 0, 1, 2, ..., unless ACTLIB_FIRST_SEED in the environment says where to begin."""
    first = int(os.environ.get("ACTLIB_FIRST_SEED", "0"))
    return list(range(first, first + count))


def tuning_seeds(count: int) -> list[int]:
    """Seeds apart from those of `seeds`, to choose learning rates and gains with."""
    return [seed + 500 for seed in seeds(count)]


class Verdict(StrEnum):
    """What is said of a claim: a key, whose words `str` gives."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_DECIDED = "not decided"
    DEPENDS = "depends"
    PROVED = "proved"
    REFUTED = "refuted"

    @property
    def style(self) -> str:
        """The style sheet's class."""
        return _STYLES[self.name]


_STYLES = {
    "HOLDS": "act-holds",
    "DOES_NOT_HOLD": "act-fails",
    "NOT_DECIDED": "act-open",
    "DEPENDS": "act-part",
    "PROVED": "act-proved",
    "REFUTED": "act-refuted",
}


class Reading(StrEnum):
    """How a claim fails to hold, where that can be said."""

    NONE = ""
    REVERSED = "the reverse holds"
    NEGLIGIBLE = "no difference that matters"
    NOT_LARGER = "not larger"
    LARGER = "larger"
    SMALLER = "smaller"
    NEVER = "never seen"


@dataclass(frozen=True)
class Outcome:
    """What the measurements of one condition say.

    Attributes:
        verdict: HOLDS, DOES_NOT_HOLD or NOT_DECIDED; PROVED or REFUTED.
        effect: The effect with its interval, in words.
        margin: The margin, in words.
        visible: The smallest effect that so many seeds would have found four times out of five, in words, if any.
        reading: How the claim fails, where it does.
        interval: Estimate, lower and upper end of the interval.
        condition: The condition's words.
    """

    verdict: Verdict
    effect: str
    margin: str = ""
    visible: str = ""
    reading: Reading = Reading.NONE
    interval: tuple[float, ...] = ()
    condition: str = ""

    def __repr__(self):
        begin = f"{self.condition}: " if self.condition else ""
        reading = f" ({self.reading})" if self.reading else ""
        return f"{begin}{self.effect}: {self.verdict}{reading}"

    @property
    def found(self) -> str:
        """The effect; where nothing is decided, with what could have been detected."""
        if self.verdict is not Verdict.NOT_DECIDED:
            return self.effect
        return f"{self.effect}; " + (
            f"detectable from {self.visible}" if self.visible else "too few to detect anything"
        )


class Judge:
    """What judges share."""

    def combine(self, verdicts: Sequence[Verdict]) -> Verdict:
        """The claim's verdict from those of its conditions: theirs if they agree; open if it holds under none."""
        if len(set(verdicts)) == 1:
            return verdicts[0]
        shown = {Verdict.HOLDS, Verdict.PROVED} & set(verdicts)
        return Verdict.DEPENDS if shown or Verdict.NOT_DECIDED not in verdicts else Verdict.NOT_DECIDED


@dataclass(frozen=True, kw_only=True)
class _Mean(Judge):
    """What judges of numbers share: the mean over the seeds, with the interval of the t distribution.

    Attributes:
        margin: The smallest effect that matters; a factor above 1 where `ratio`.
        unit: Of the effect.
        ratio: Whether the effect is the factor between the two, in the geometric mean: for losses, norms and times.
        digits: How many are shown after the decimal point.
        scale: By what the effect is multiplied when it is shown: 100 for percentage points.
    """

    margin: float
    unit: str = ""
    ratio: bool = False
    digits: int = 2
    scale: float = 1

    def __post_init__(self):
        if self.margin < (1 if self.ratio else 0):
            raise ValueError(f"a margin is at least {'1, as a factor' if self.ratio else 0}, but {self.margin} came")

    def judge(
        self,
        a: Sequence[float],
        b: Sequence[float] | float | None = None,
        noise: float = 0,
        shared: float = 0,
    ) -> Outcome:
        """The verdict on "a is larger than b", or "a is like b", from one number a seed; one seed decides nothing.

        Args:
            a: Measurements.
            b: With the same seeds; or one number to compare with, 0 (or 1, for a ratio) if none is given.
            noise: The margin is at least this: what two runs of the same function differ by.
            shared: Standard error that all seeds have in common, of test images that they share, say, and that their
                spread does not show; of the logarithm, for a ratio.

        Raises:
            ValueError: There are not as many of one as of the other, or a number is not finite or, for a ratio, not
                positive.
        """
        a = [float(v) for v in a]
        b = (1.0 if self.ratio else 0.0) if b is None else b
        b = [float(b)] * len(a) if isinstance(b, (int, float)) else [float(v) for v in b]
        if len(a) != len(b):
            raise ValueError(f"expected as many numbers on both sides, but {len(a)} and {len(b)} came")
        if not all(math.isfinite(v) and (v > 0 or not self.ratio) for v in a + b):
            raise ValueError(f"expected finite{' positive' if self.ratio else ''} numbers, but {a} and {b} came")
        to, back = (math.log, math.exp) if self.ratio else (float, float)
        margin = to(max(self.margin, noise))
        if len(a) < 2:
            return Outcome(
                Verdict.NOT_DECIDED, f"{len(a)} seed{'s' * (len(a) != 1)} left", self._margin_shown(back(margin)), ""
            )
        differences = [to(u) - to(v) for u, v in zip(a, b, strict=True)]
        mean, half, seen = _t_interval(differences, shared)
        low, high = mean - half, mean + half
        verdict, reading = self._rule(low, high, margin)
        return Outcome(
            verdict,
            f"{self._shown(back(mean))} ({self._number(back(low))} to {self._number(back(high))})",
            self._margin_shown(back(margin)),
            self._shown(back(margin + seen)),
            reading,
            (back(mean), back(low), back(high)),
        )

    def _number(self, value: float) -> str:
        text = f"{value * self.scale:.{self.digits}f}"
        return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")

    def _shown(self, value: float) -> str:
        if not self.ratio:
            return f"{self._number(value)} {self.unit}".rstrip()
        return f"{self._number(value)} × {self.unit}" if self.unit else f"× {self._number(value)}"

    def _margin_shown(self, margin: float) -> str:
        return self._shown(margin)


class Larger(_Mean):
    """Judges "a is larger than b, by more than the margin"."""

    def _rule(self, low: float, high: float, margin: float) -> tuple[Verdict, Reading]:
        return _larger(low, high, margin)


class Alike(_Mean):
    """Judges "there is no, or little, difference": one smaller than the margin."""

    def _rule(self, low: float, high: float, margin: float) -> tuple[Verdict, Reading]:
        if -margin < low and high < margin:
            return Verdict.HOLDS, Reading.NONE
        if low >= margin:
            return Verdict.DOES_NOT_HOLD, Reading.LARGER
        if high <= -margin:
            return Verdict.DOES_NOT_HOLD, Reading.SMALLER
        return Verdict.NOT_DECIDED, Reading.NONE

    def _margin_shown(self, margin: float) -> str:
        return f"{'× or ÷' if self.ratio else '±'} {self._number(margin)} {self.unit}".rstrip()


class AtLeast(_Mean):
    """Judges "a is as large as b, or larger": not smaller by more than the margin."""

    def _rule(self, low: float, high: float, margin: float) -> tuple[Verdict, Reading]:
        if low > -margin:
            return Verdict.HOLDS, Reading.NONE
        return (Verdict.DOES_NOT_HOLD, Reading.SMALLER) if high < -margin else (Verdict.NOT_DECIDED, Reading.NONE)

    def _margin_shown(self, margin: float) -> str:
        return self._shown(1 / margin if self.ratio else -margin)


def _larger(low: float, high: float, margin: float) -> tuple[Verdict, Reading]:
    """What an interval says of "larger by more than the margin"."""
    if low > margin:
        return Verdict.HOLDS, Reading.NONE
    if high > margin:
        return Verdict.NOT_DECIDED, Reading.NONE
    if high < -margin:
        return Verdict.DOES_NOT_HOLD, Reading.REVERSED
    return Verdict.DOES_NOT_HOLD, Reading.NEGLIGIBLE if low > -margin else Reading.NOT_LARGER


def _t_interval(values: Sequence[float], shared: float = 0) -> tuple[float, float, float]:
    """Mean, half the width of its interval, and how far beyond the margin an effect is found four times out of five."""
    from scipy.stats import t

    error, free = math.hypot(statistics.stdev(values) / math.sqrt(len(values)), shared), len(values) - 1
    half = t.ppf((1 + LEVEL) / 2, free) * error
    return statistics.mean(values), half, half + t.ppf(FOUR_OF_FIVE, free) * error


@dataclass(frozen=True, kw_only=True)
class Often(Judge):
    """Judges "it happens in more than this share of runs", from one yes or no a run, with the exact interval.

    Attributes:
        margin: The share.
        unit: What is counted.
        among: Of how many conditions the one may be picked in which it happened most often. With more than one, each
            interval is wider, so that all of them together are right in 95% of the cases (Bonferroni).
    """

    margin: float
    unit: str = "runs"
    among: int = 1

    def judge(self, happened: Sequence[bool]) -> Outcome:
        """The verdict, from what happened in each run."""
        from scipy.stats import beta, binomtest

        count, runs = sum(map(bool, happened)), len(happened)
        if not runs:
            raise ValueError("expected at least one run, but none came")
        interval = lambda k: binomtest(k, runs).proportion_ci(1 - (1 - LEVEL) / self.among, method="exact")
        low, high = interval(count)
        seen = next((k for k in range(runs + 1) if interval(k).low > self.margin), None)
        often = f"{beta.ppf(FOUR_OF_FIVE, seen, runs - seen + 1):.0%}" if seen else ""
        return Outcome(
            Verdict.HOLDS
            if low > self.margin
            else Verdict.DOES_NOT_HOLD
            if high < self.margin
            else Verdict.NOT_DECIDED,
            f"{count} of {runs} {self.unit} ({low:.0%} to {high:.0%})",
            f"{self.margin:.0%}",
            often,
            Reading.NEVER if count == 0 and high < self.margin else Reading.NONE,
            (count / runs, low, high),
        )


class Exists(Often):
    """Judges "it may happen": it holds if it happens often enough under one of the conditions."""

    def combine(self, verdicts: Sequence[Verdict]) -> Verdict:
        """HOLDS if it does under one condition; DOES_NOT_HOLD if it does not under any."""
        if Verdict.HOLDS in verdicts:
            return Verdict.HOLDS
        return verdicts[0] if len(set(verdicts)) == 1 else Verdict.NOT_DECIDED


@dataclass(frozen=True, kw_only=True)
class MoreOften(Judge):
    """Judges "a succeeds more often than b", from pairs of yes and no: Tango's interval, and McNemar's exact test.

    Attributes:
        margin: Smallest difference of the two shares that matters.
    """

    margin: float

    def judge(self, a: Sequence[bool], b: Sequence[bool]) -> Outcome:
        """The verdict, from whether each of the two succeeded, seed by seed."""
        from scipy.stats import binomtest

        if len(a) != len(b) or not len(a):
            raise ValueError(f"expected as many of one as of the other, but {len(a)} and {len(b)} came")
        pairs = [(bool(u), bool(v)) for u, v in zip(a, b, strict=True)]
        only_a, only_b, n = pairs.count((True, False)), pairs.count((False, True)), len(pairs)
        low, high = paired_shares(only_a, only_b, n)
        chance = lambda k, m: binomtest(k, k + m).pvalue if k + m else 1.0  # McNemar's exact test
        beyond = lambda k: paired_shares(k, 0, n)[0] > self.margin and chance(k, 0) < 1 - LEVEL
        seen = next((k for k in range(n + 1) if beyond(k)), None)
        verdict, reading = _larger(low, high, self.margin)
        if verdict is Verdict.HOLDS and chance(only_a, only_b) >= 1 - LEVEL:
            verdict = Verdict.NOT_DECIDED
        return Outcome(
            verdict,
            f"{only_a} of {n} pairs only in the first, {only_b} only in the second "
            f"(difference {low:+.0%} to {high:+.0%})".replace("-", "−"),
            f"{self.margin:.0%}",
            f"a difference of {seen / n:.0%}" if seen else "",
            reading,
            ((only_a - only_b) / n, low, high),
        )


def paired_shares(only_a: int, only_b: int, pairs: int) -> tuple[float, float]:
    """Interval of the difference between two shares that were measured in pairs.

    Source: Tango (1998), the score interval; unlike the usual one it is sound for few pairs, and where all agree.

    Args:
        only_a: Pairs in which only the first succeeded.
        only_b: Pairs in which only the second did.
        pairs: Their number.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    def score(delta: float) -> float:
        b = -only_a - only_b + (2 * pairs - only_a + only_b) * delta
        root = math.sqrt(max(b * b + 8 * pairs * only_b * delta * (1 - delta), 0))
        share = (root - b) / (4 * pairs)  # of "only the second", at its most likely if the difference is delta
        spread = math.sqrt(max(pairs * (2 * share + delta * (1 - delta)), 1e-300))
        return (only_a - only_b - pairs * delta) / spread

    z, edge = norm.ppf((1 + LEVEL) / 2), 1 - 1e-9
    low = brentq(lambda d: score(d) - z, -edge, edge) if score(-edge) > z else -1.0
    high = brentq(lambda d: score(d) + z, -edge, edge) if score(edge) < -z else 1.0
    return low, high


@dataclass(frozen=True)
class Theorem(Judge):
    """Decides by proof: the chapter's assertions check what it says."""

    def judge(self, true: bool, argument: str) -> Outcome:
        """PROVED or REFUTED, with the argument in a few words."""
        return Outcome(Verdict.PROVED if true else Verdict.REFUTED, argument)


@dataclass
class Claim:
    """A claim, as it is tested.

    Attributes:
        key: Its name, one a claim of a chapter.
        says: What is said, in words.
        judge: How it is judged.
        conditions: The words of each condition, by its key.
        outcomes: What was found, by condition.
    """

    key: str
    says: str
    judge: Judge
    conditions: Mapping[str, str]
    outcomes: dict[str, Outcome] = field(default_factory=dict, init=False)

    def test(self, condition: str, *measured, **options) -> Outcome:
        """Judges what was measured under a condition; see the judge for what it takes.

        Raises:
            KeyError: The claim has no such condition.
        """
        if condition not in self.conditions:
            raise KeyError(f"the conditions of {self.key!r} are {', '.join(self.conditions)}, but {condition!r} came")
        outcome = replace(self.judge.judge(*measured, **options), condition=self.conditions[condition])
        self.outcomes[condition] = outcome
        return outcome

    def effect(self, *measured, **options) -> str:
        """The effect with its interval, in words, of measurements that belong to none of the conditions."""
        return self.judge.judge(*measured, **options).effect

    @property
    def verdict(self) -> Verdict:
        """What all conditions together say.

        Raises:
            ValueError: Some of them have not been tested.
        """
        missing = [condition for condition in self.conditions if condition not in self.outcomes]
        if missing:
            raise ValueError(f"{self.key!r} has not been tested under: {', '.join(missing)}")
        return self.judge.combine([self.outcomes[condition].verdict for condition in self.conditions])

    @property
    def ruling(self) -> str:
        """The verdict; where it depends, on what."""
        return ruling(self.verdict, {words: self.outcomes[c].verdict for c, words in self.conditions.items()})


def ruling(verdict: Verdict, conditions: Mapping[str, Verdict]) -> str:
    """A claim's verdict; where it depends, the conditions by what was found under them."""
    return by_verdict(conditions) if verdict is Verdict.DEPENDS else str(verdict)


def by_verdict(conditions: Mapping[str, Verdict]) -> str:
    """Conditions, by their words, sorted by what was found under them."""
    under: dict[Verdict, list[str]] = {}
    for words, found in conditions.items():
        under.setdefault(found, []).append(f"“{words}”")
    return "; ".join(f"{found}: {', '.join(words)}" for found, words in under.items())


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the seeds, as a reader wants them: 0.234 ± 0.001."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
