"""A chart of how to choose, whose every arrow leads from a place in a network to a function by way of a verdict.

What an arrow says is looked up, not copied: it has words for a claim that holds, for one that does not hold, and for
one that is not decided or depends on its conditions. Where a chapter's verdict changes, so do the words. The advice
changes with them, unless the arrow says what else it leans on.
"""

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actlib.book import verdicts
from actlib.book.evidence import Verdict
from actlib.book.tables import Table, cell, group

Words = tuple[str, str]
"""What to take, and why."""
FEW = 3
"""Conditions that an arrow has room for."""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """From a place to a function.

    Attributes:
        where: The place, in words.
        chapter: Name of the file of the chapter that has tested the claim, without its ending.
        key: The claim's key.
        condition: The key of the condition that counts: PyTorch's default weights, where the claim was tested with
            them; empty for the claim's verdict as a whole.
        holds: What to take and why, if the claim holds or is proved.
        fails: Likewise, if it does not hold or is refuted.
        open: Likewise, if it is not decided, or depends on its conditions.
        anyhow: What the advice leans on, if it is the same whatever the verdict.
    """

    where: str
    chapter: str
    key: str
    condition: str = ""
    holds: Words
    fails: Words
    open: Words
    anyhow: str = ""

    def trial(self, trials: Sequence[verdicts.Trial]) -> verdicts.Trial:
        """The claim."""
        return verdicts.find(trials, self.chapter, self.key)

    def verdict(self, trials: Sequence[verdicts.Trial]) -> Verdict:
        """What has become of it, under the condition that counts.

        Raises:
            LookupError: There is no such claim, or it has no such condition.
        """
        trial = self.trial(trials)
        return trial.conditions[self.condition] if self.condition else trial.verdict

    def under(self, trials: Sequence[verdicts.Trial]) -> str:
        """The words of the condition that counts; empty for the claim as a whole."""
        return self.trial(trials).words[self.condition] if self.condition else ""

    def words(self, trials: Sequence[verdicts.Trial]) -> Words:
        """What to take, and why; where it depends, on what."""
        take, why = self._found(trials)
        return take, f"{self.anyhow}; {why}" if self.anyhow else why

    def _found(self, trials: Sequence[verdicts.Trial]) -> Words:
        match self.verdict(trials):
            case Verdict.HOLDS | Verdict.PROVED:
                return self.holds
            case Verdict.DOES_NOT_HOLD | Verdict.REFUTED:
                return self.fails
            case Verdict.DEPENDS:
                take, why = self.open
                return take, f"{why} ({_on_what(self.trial(trials))})"
        return self.open


def _on_what(trial: verdicts.Trial) -> str:
    """What a claim depends on: its conditions by verdict, or how many there are of each kind, if there are many."""
    if len(trial.conditions) <= FEW:
        return trial.by_verdict()
    count = collections.Counter(trial.conditions.values())
    return f"{', '.join(f'{v} under {k}' for v, k in count.items())} of {len(trial.conditions)} conditions"


class Chart(Table):
    """Arrows from places to functions, in groups under a question each.

    Args:
        arrows: By the question that leads to them.
        trials: The claims of the chapters, as `verdicts.stored` gives them.
    """

    def __init__(self, arrows: Mapping[str, Sequence[Arrow]], trials: Sequence[verdicts.Trial]):
        self.groups = {
            question: [
                (
                    a.where,
                    why,
                    ", ".join(filter(None, (t.link, a.under(trials)))),
                    a.verdict(trials),
                    take,
                )
                for a in leading
                for t in [a.trial(trials)]
                for take, why in [a.words(trials)]
            ]
            for question, leading in arrows.items()
        }
        rows = []
        for question, leading in self.groups.items():
            rows.append([question, "", ""])
            rows += [[where, f"{why} ({at}: {verdict})", take] for where, why, at, verdict, take in leading]
        super().__init__(
            ["where", "why", "take"], rows, "From a place in a network, by what speaks for it, to a function"
        )

    def _repr_html_(self):
        bodies = (group(question, "".join(map(_row, arrows))) for question, arrows in self.groups.items())
        return self._page("act-table act-chart", self.header, bodies)


def _row(row: Sequence) -> str:
    where, why, at, verdict, take = row
    found = f'<em>{cell(at)[0]}: <strong class="{verdict.style}">{verdict}</strong></em>'
    return (
        f'<tr><th scope="row">{cell(where)[0]}</th><td>{cell(why)[0]}<br/>{found}</td>'
        f"<td><strong>{cell(take)[0]}</strong></td></tr>"
    )
