"""The verdicts of the chapters: the table at the end of each, and what later chapters read of all of them."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actlib.book.evidence import Claim, Verdict, by_verdict, ruling
from actlib.book.measurements import RESULTS
from actlib.book.tables import Table, cell, group, td

FILE = RESULTS / "verdicts.json"
RECORD = "application/vnd.actlib.verdicts+json"
"""The type under which a table of verdicts carries what it says, for programs."""


def outcomes(*claims: Claim) -> Table:
    """What was found under each condition, and the smallest effect that so many seeds would have found.

    Args:
        claims: Of several, each is named in front of its conditions.
    """
    header = ["condition", "effect (95% interval)", "detectable from", "verdict"]
    rows = []
    for claim in claims:
        for place, o in enumerate(claim.outcomes.values()):
            named = [] if len(claims) == 1 else [claim.says if place == 0 else ""]
            rows.append([*named, o.condition, o.effect, o.visible or "—", o.verdict])
    return Table(header if len(claims) == 1 else ["claim", *header], rows)


class VerdictTable(Table):
    """All claims of a chapter: each with its conditions, effects with their intervals, margins and verdicts."""

    def __init__(self, *claims: Claim):
        rows = []
        for claim in claims:
            first = claim.says
            if claim.verdict is Verdict.DEPENDS or len(claim.conditions) > 1:
                rows.append([first, "", "", "", claim.verdict])
                first = ""
            for condition in claim.conditions:
                o = claim.outcomes[condition]
                what = f"{o.found} ({o.reading})" if o.reading else o.found
                rows.append([first, o.condition, what, o.margin or "—", o.verdict])
        super().__init__(["claim", "condition", "effect (95% interval)", "margin", "verdict"], rows)
        self.caption = '<a href="judging.html">How this book judges</a>'
        self.record = [
            {
                "key": claim.key,
                "claim": claim.says,
                "verdict": claim.verdict.name,
                "conditions": [
                    [c, words, claim.outcomes[c].found, claim.outcomes[c].verdict.name]
                    for c, words in claim.conditions.items()
                ],
            }
            for claim in claims
        ]

    def _repr_html_(self):
        """A claim's row spans its conditions' columns and tells their margin, where that is one."""
        header = ["condition", "effect (95% interval)", "verdict"]
        return self._page("act-table act-verdicts", header, map(_group, grouped(self.rows)))

    def _repr_mimebundle_(self, **_):
        return {"text/plain": repr(self), "text/html": self._repr_html_(), RECORD: self.record}


class Found(Table):
    """Claims of other chapters, each with what was found under its conditions and a link to its chapter's table."""

    def __init__(self, *trials: "Trial"):
        rows = []
        for t in trials:
            first = f"{t.claim} ({t.link})"
            if len(t.conditions) > 1:
                rows.append([first, "", "", t.verdict])
                first = ""
            rows += [
                ["" if i else first, t.words[c], t.effects[c], verdict]
                for i, (c, verdict) in enumerate(t.conditions.items())
            ]
        super().__init__(["claim", "condition", "effect (95% interval)", "verdict"], rows)

    def _repr_html_(self):
        bodies = (_group([[*row[:3], "—", row[3]] for row in rows]) for rows in grouped(self.rows))
        return self._page("act-table act-verdicts", self.header[1:], bodies)


class Sayings(Table):
    """What is said, each with the claims that test it and their verdicts.

    Args:
        said: The claims, by what is said; a text where no claim tests it.
    """

    def __init__(self, said: Mapping[str, Sequence["Trial"] | str]):
        rows = []
        for words, trials in said.items():
            if isinstance(trials, str):
                rows.append([words, trials, "", "—"])
                continue
            rows += [
                ["" if i else words, t.claim, t.ruling if t.verdict is Verdict.DEPENDS else "", t.verdict]
                for i, t in enumerate(trials)
            ]
        super().__init__(["what is said", "tested as", "depending on", "verdict"], rows)

    def _repr_html_(self):
        return self._page("act-table act-verdicts", self.header[1:], map(self._body, grouped(self.rows)))

    def _body(self, rows: Sequence[Sequence]) -> str:
        return group(rows[0][0], "".join(_row([*row[:3], "—", row[3]], False) for row in rows))


def grouped(rows: Iterable[Sequence]) -> list[list[Sequence]]:
    """Rows in groups, of which each begins with a row whose first cell is not empty."""
    groups: list[list[Sequence]] = []
    for row in rows:
        groups += [[]] if row[0] else []
        groups[-1].append(row)
    return groups


def _group(rows: Sequence[Sequence]) -> str:
    """The body of a table for one claim, from its rows of `VerdictTable`."""
    (says, condition, *_, verdict), conditions = rows[0], rows[1:]
    if condition:  # the only one, in the same row
        conditions, verdict = rows, ""
    margins = {row[3] for row in conditions}
    same = margins.pop() if len(margins) == 1 else ""
    margin = "" if same in ("", "—") else f"<br/><em>margin: {cell(same)[0]}</em>"
    head = f'<tr><th scope="rowgroup" colspan="2">{cell(says)[0]}{margin}</th>{td(verdict)}</tr>'
    return f"<tbody>{head}{''.join(_row(row, not same) for row in conditions)}</tbody>"


def _row(row: Sequence, with_margin: bool) -> str:
    _, condition, effect, margin, verdict = row
    aside = f" <em>(margin: {cell(margin)[0]})</em>" if with_margin and margin != "—" else ""
    return f'<tr><th scope="row">{cell(condition)[0]}</th><td>{cell(effect)[0]}{aside}</td>{td(verdict)}</tr>'


@dataclass(frozen=True)
class Trial:
    """A claim that a chapter has tested.

    Attributes:
        chapter: Name of the chapter's file, without its ending.
        title: Its heading.
        key: The claim's key within the chapter.
        claim: What is said.
        verdict: The verdict.
        conditions: The verdict under each condition.
        words: The words of each condition.
        effects: What was found under each condition.
    """

    chapter: str
    title: str
    claim: str
    verdict: Verdict
    key: str
    conditions: Mapping[str, Verdict]
    words: Mapping[str, str]
    effects: Mapping[str, str]

    @property
    def link(self) -> str:
        """Its chapter's table of verdicts, as `Table` takes a link."""
        return f"[{self.title}]({self.chapter}.html#the-verdicts)"

    @property
    def ruling(self) -> str:
        """The verdict; where it depends, on what."""
        return ruling(self.verdict, self._found())

    def by_verdict(self) -> str:
        """Its conditions in words, sorted by what was found under them."""
        return by_verdict(self._found())

    def _found(self) -> dict[str, Verdict]:
        return {self.words[c]: verdict for c, verdict in self.conditions.items()}

    @classmethod
    def of(cls, row: Mapping) -> "Trial":
        """From what `record` gives."""
        rows = row["conditions"]  # a list, because notebooks sort the keys of mappings
        conditions = {
            "conditions": {key: Verdict[name] for key, _, _, name in rows},
            "words": {key: words for key, words, _, _ in rows},
            "effects": {key: effect for key, _, effect, _ in rows},
        }
        return cls(**row | {"verdict": Verdict[row["verdict"]]} | conditions)

    def record(self) -> dict:
        """What is kept of it."""
        rows = [[key, self.words[key], self.effects[key], verdict.name] for key, verdict in self.conditions.items()]
        kept = {name: getattr(self, name) for name in ("chapter", "title", "claim", "key")}
        return kept | {"verdict": self.verdict.name, "conditions": rows}


def stored(file: pathlib.Path = FILE) -> list[Trial]:
    """All claims that the chapters have tested, as `store` has kept them."""
    return [Trial.of(row) for row in json.loads(file.read_text(encoding="utf-8"))]


def store(book: pathlib.Path, file: pathlib.Path = FILE) -> None:
    """Keeps all claims that the chapters have tested, for the chapters that look back on them."""
    rows = ",\n".join(json.dumps(trial.record(), ensure_ascii=False) for trial in of(book))
    file.write_text(f"[\n{rows}\n]\n", encoding="utf-8", newline="\n")


def find(trials: Sequence[Trial], chapter: str, key: str) -> Trial:
    """A chapter's claim of this key.

    Raises:
        LookupError: There is none, or more than one.
    """
    found = [t for t in trials if (t.chapter, t.key) == (chapter, key)]
    if len(found) != 1:
        raise LookupError(f"expected one claim {key!r} of {chapter}, but there are {len(found)}")
    return found[0]


def of(book: pathlib.Path) -> list[Trial]:
    """All claims that the chapters have tested, read from the tables of verdicts that stand in them.

    Args:
        book: The folder of the chapters.

    Raises:
        LookupError: A chapter from 0 to 10 has no such table.
    """
    trials = []
    for file in sorted([*book.glob("0[0-9]_*.ipynb"), *book.glob("10_*.ipynb")]):
        found = read(file.stem, json.loads(file.read_text(encoding="utf-8"))["cells"])
        if not found:
            raise LookupError(f"{file} has no table of verdicts")
        trials += found
    return trials


def read(chapter: str, cells: Sequence[Mapping]) -> list[Trial]:
    """The claims that the cells of a chapter have tested.

    Args:
        chapter: Name of its file, without the ending.
        cells: As a notebook holds them, with their outputs.
    """
    title = next("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").splitlines()[0]
    outputs = [o.get("data", {}) for c in cells for o in c.get("outputs", [])]
    rows = [row for data in outputs for row in data.get(RECORD, [])]
    return [Trial.of({"chapter": chapter, "title": title.removeprefix("# ")} | row) for row in rows]
