"""What the chapters say of a claim, and how they come to say it."""

import json
import pathlib
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from actlib.book.measurements import RESULTS

VERDICTS_FILE = RESULTS / "verdicts.json"
HOLDS, IN_PART, FAILS = VERDICTS = ("holds", "holds in part", "does not hold")


def verdict(findings: Sequence[bool]) -> str:
    """What measured findings, each for or against a claim, make of it: it holds, holds in part, or does not hold."""
    return HOLDS if all(findings) else IN_PART if any(findings) else FAILS


@dataclass(frozen=True)
class Trial:
    """A claim that a chapter has tested, as its table of verdicts has it.

    Attributes:
        chapter: Name of the chapter's file, without its ending.
        title: Its heading.
        claim: What is said.
        measured: What was found.
        verdict: "holds", "holds in part" or "does not hold".
    """

    chapter: str
    title: str
    claim: str
    measured: str
    verdict: str


def stored_verdicts(file: pathlib.Path = VERDICTS_FILE) -> list[Trial]:
    """All claims that the chapters have tested, as `store_verdicts` has kept them."""
    return [Trial(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def store_verdicts(book: pathlib.Path, file: pathlib.Path = VERDICTS_FILE) -> None:
    """Keeps all claims that the chapters have tested, for the chapters that look back on them."""
    rows = ",\n".join(json.dumps(asdict(trial), ensure_ascii=False) for trial in verdicts_of(book))
    file.write_text(f"[\n{rows}\n]\n", encoding="utf-8", newline="\n")


def verdicts_of(book: pathlib.Path) -> list[Trial]:
    """All claims that the chapters have tested, read from the tables of verdicts that stand in them.

    Args:
        book: The folder of the chapters.

    Raises:
        LookupError: A chapter on a function has no such table.
    """
    trials = []
    for file in sorted(book.glob("0[0-9]_*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        title = next("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").splitlines()[0]
        shown = ["".join(o.get("data", {}).get("text/plain", [])) for c in cells for o in c.get("outputs", [])]
        tables = [[line.split(" | ") for line in text.splitlines()[1:]] for text in shown]
        rows = [row for table in tables if all(row[-1] in VERDICTS for row in table) for row in table]
        if not rows:
            raise LookupError(f"{file} has no table of verdicts")
        trials += [Trial(file.stem, title.removeprefix("# "), row[0], row[-2], row[-1]) for row in rows]
    return trials


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the seeds, as a reader wants them: 0.234 ± 0.001."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def clearly_above(larger: Sequence[float], smaller: Sequence[float]) -> bool:
    """Whether the one is above the other, seed by seed, by more than chance explains.

    A paired t-test, one-sided, at the level of 2.5%. Where it is False, noise could turn the order.

    Args:
        larger: One measurement a seed.
        smaller: The other measurement, with the same seeds.
    """
    from scipy.stats import ttest_rel

    differences = [a - b for a, b in zip(larger, smaller, strict=True)]
    if max(differences) - min(differences) < 1e-12:  # no spread: no test is needed, and none is possible
        return differences[0] > 0
    return bool(ttest_rel(larger, smaller, alternative="greater").pvalue < 0.025)
