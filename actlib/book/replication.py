"""Whether verdicts come out again: chapters are run at other first seeds, and compared verdict by verdict.

`python -m actlib.book.replication BOOK` runs the chapters in a folder, copies of them, and keeps what it finds; a few
minutes for each first seed. Chapters whose tables of verdicts carry no record are left out.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actlib.book import verdicts
from actlib.book.evidence import Verdict
from actlib.book.measurements import RESULTS

FILE = RESULTS / "replication.json"
FIRST_SEEDS = (1000, 2000, 3000, 4000, 5000)
TIMED = {
    ("01_sigmoid", "cost"),
    ("03_relu", "cheap"),
    ("04_leaky_relu", "dearer"),
    ("04_leaky_relu", "little-dearer"),
    ("05_elu", "dearer"),
    ("05_elu", "slightly-dearer"),
    ("06_swish", "dearer"),
    ("06_swish", "little-dearer"),
    ("08_gelu", "more-complex"),
    ("08_gelu", "hardware-copes"),
    ("08_gelu", "approximation-pays"),
    ("09_swiglu", "costs"),
    ("10_compare", "cost-shrinks"),
    ("10_compare", "cost-gone"),
}
"""The claims about stored times, by chapter and key: no seed moves them."""


@dataclass(frozen=True)
class Replicated:
    """One verdict, under one condition, as the chapter has it and as other seeds found it.

    Attributes:
        chapter: Name of the chapter's file, without its ending.
        key: The claim's key.
        condition: The condition's key.
        stored: The verdict in the chapter.
        found: The verdicts at the other first seeds.
    """

    chapter: str
    key: str
    condition: str
    stored: Verdict
    found: tuple[Verdict, ...]

    @property
    def seeded(self) -> bool:
        """Whether seeds have a say in it: neither a proof decides, nor stored times."""
        return self.stored not in (Verdict.PROVED, Verdict.REFUTED) and (self.chapter, self.key) not in TIMED

    @property
    def decided(self) -> bool:
        """Whether the chapter has it as anything but "not decided"."""
        return self.stored is not Verdict.NOT_DECIDED

    @property
    def lost(self) -> int:
        """How often it was "not decided", where the chapter has decided it."""
        return self.found.count(Verdict.NOT_DECIDED) if self.decided else 0

    @property
    def gained(self) -> int:
        """How often it was decided, where the chapter has left it open."""
        return 0 if self.decided else len(self.found) - self.found.count(Verdict.NOT_DECIDED)

    @property
    def mostly_lost(self) -> bool:
        """Whether it was lost in most runs."""
        return 2 * self.lost > len(self.found)

    @property
    def flips(self) -> int:
        """How often a run said the reverse of the chapter or, where that leaves it open, of most runs that decide."""
        sides = [self.found.count(v) for v in set(self.found) - {Verdict.NOT_DECIDED, self.stored}]
        return sum(sides) if self.decided else sum(sides) - max(sides, default=0)


def stored(file: pathlib.Path = FILE) -> list[Replicated]:
    """What `keep` has kept last."""
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return [
        Replicated(**row | {"stored": Verdict[row["stored"]], "found": tuple(Verdict[v] for v in row["found"])})
        for row in rows
    ]


def first_seeds(file: pathlib.Path = FILE) -> list[int]:
    """The first seeds of what is kept."""
    return json.loads(file.read_text(encoding="utf-8"))["first seeds"]


def keep(found: Iterable[Replicated], seeds: Sequence[int], file: pathlib.Path = FILE) -> None:
    """Keeps what was found at these first seeds."""
    names = [{**vars(row), "stored": row.stored.name, "found": [v.name for v in row.found]} for row in found]
    rows = ",\n".join(json.dumps(row) for row in names)
    file.write_text(f'{{"first seeds": {list(seeds)}, "rows": [\n{rows}\n]}}\n', encoding="utf-8", newline="\n")


def chapters(book: pathlib.Path) -> list[pathlib.Path]:
    """The chapters whose tables of verdicts carry a record."""
    return [file for file in sorted(book.glob("*.ipynb")) if verdicts.RECORD in file.read_text(encoding="utf-8")]


def compare(stored_trials: Iterable[verdicts.Trial], runs: Sequence[Iterable[verdicts.Trial]]) -> list[Replicated]:
    """Verdict by verdict, what the chapters have beside what other runs of them found.

    Raises:
        LookupError: A run lacks a claim or a condition.
    """
    others = [{(t.chapter, t.key): t.conditions for t in run} for run in runs]
    return [
        Replicated(t.chapter, t.key, condition, verdict, tuple(o[t.chapter, t.key][condition] for o in others))
        for t in stored_trials
        for condition, verdict in t.conditions.items()
    ]


def run(file: pathlib.Path, first_seed: int) -> list[verdicts.Trial]:
    """The verdicts of a chapter at another first seed; the chapter itself is not changed.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raises an error.
    """
    import nbclient
    import nbformat

    os.environ["ACTLIB_FIRST_SEED"] = str(first_seed)
    notebook = nbformat.read(file, nbformat.NO_CONVERT)
    nbclient.execute(notebook, cwd=file.parent, timeout=None)
    return verdicts.read(file.stem, notebook.cells)


def replicate(book: pathlib.Path, seeds: Sequence[int], workers: int | None = None) -> list[Replicated]:
    """Runs all chapters of a folder at other first seeds, and prints each when it is done.

    Args:
        book: The folder.
        seeds: The first seeds.
        workers: How many chapters run beside each other; as many as there are processors, if none is given.
    """
    files = chapters(book)
    context = multiprocessing.get_context("spawn")
    found: dict[int, list[verdicts.Trial]] = {seed: [] for seed in seeds}
    with concurrent.futures.ProcessPoolExecutor(workers or os.cpu_count(), context, max_tasks_per_child=1) as pool:
        jobs = {pool.submit(run, file, seed): (file, seed) for seed in seeds for file in files}
        for job in concurrent.futures.as_completed(jobs):
            file, seed = jobs[job]
            found[seed] += job.result()
            print(f"{file.name} from seed {seed}", flush=True)
    names = {file.stem for file in files}
    return compare([t for t in verdicts.of(book) if t.chapter in names], list(found.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and keeps; the exit status is 1 if a run said the reverse of a verdict."""
    parser = argparse.ArgumentParser(prog="python -m actlib.book.replication", description=main.__doc__)
    parser.add_argument("book", type=pathlib.Path, help="the folder of the chapters")
    parser.add_argument("first_seed", type=int, nargs="*", help=f"by default {FIRST_SEEDS}", default=FIRST_SEEDS)
    options = parser.parse_args(arguments)
    found = replicate(options.book.resolve(), options.first_seed)
    keep(found, options.first_seed)
    for row in found:
        if row.flips or row.lost or row.gained:
            what = "FLIPPED" if row.flips else "moved"
            print(f"{what}: {row.chapter}, {row.key}, {row.condition}: {row.stored}; {', '.join(row.found)}")
    seeded = [row for row in found if row.seeded]
    decided = [row for row in seeded if row.decided]
    print(
        f"{len(seeded)} verdicts with seeds, {len(decided)} of them decided, at {len(options.first_seed)} other first "
        f"seeds: {sum(r.lost > 0 for r in decided)} lost at least once, {sum(r.mostly_lost for r in decided)} in most "
        f"runs; {sum(r.flips > 0 for r in seeded)} flipped"
    )
    return int(any(row.flips and row.decided for row in found))


if __name__ == "__main__":
    sys.exit(main())
