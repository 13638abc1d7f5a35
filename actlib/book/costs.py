"""What a formula costs: times of functions of one library beside each other, round by round, as they were kept.

`measurements.stored_cost` has what a function costs in different libraries, as medians. Here all contenders took turns
in every round, so that what else the machine did hits a round as a whole: ratios within a round are what to judge by,
and `noise` is how far such a ratio is from one where the function is the same.

    costs = formula_costs()
    costs.ratio("tanh", "relu", 2**18)  # one number a round
    costs.noise(2**18)                  # likewise, of ReLU to ReLU
"""

import json
import pathlib
import statistics
from dataclasses import dataclass, field

from actlib.book.evidence import Alike
from actlib.book.measurements import RESULTS

COST = RESULTS / "cost"
LAYERS = RESULTS / "layers"
"""What `python -m benchmarks --layers` keeps, for `formula_costs`: feed-forward layers in place of functions."""
AGAIN = "relu again"
"""A second contender that is PyTorch's ReLU."""
OURS = "actlib "
"""What stands before the name of a function of ours."""


@dataclass(frozen=True)
class FormulaCosts:
    """What `python -m benchmarks --formulas` has kept of a device; float32.

    Functions are PyTorch's where they bear their name in the registry, such as "tanh" or "gelu_tanh", and ours with
    "actlib" before it: "actlib tanh". Besides, "copy" is a copy of the input into a new tensor, and "relu again" is
    "relu", measured twice. A task is "value" or "value and gradient"; in the latter, "copy" copies the gradient at the
    output, too. Memory is "reused", as in training; "fresh", so that the system clears every page of a result; or
    "default", what the system does by itself. The last two were measured for "copy", "relu", "relu again", "sigmoid"
    and "tanh". Every call has the same input, which stays in the cache where it is small.

    Attributes:
        device: What it was measured on, with the number of threads.
        threads: That number.
        date: When, as YYYY-MM-DD.
        versions: By name, of all that took part.
        rounds: How many there were.
        rows: What stands in the file, as `benchmarks/formulas.py` says.
    """

    device: str
    threads: int
    date: str
    versions: dict[str, str]
    rounds: int
    rows: list[dict] = field(repr=False)

    @property
    def elements(self) -> list[int]:
        """The sizes, ascending."""
        return sorted({row["elements"] for row in self.rows})

    @property
    def functions(self) -> list[str]:
        """All names that `seconds` takes."""
        return list(dict.fromkeys(row["function"] for row in self.rows))

    @property
    def tasks(self) -> list[str]:
        """All that was done: "value" and "value and gradient"."""
        return list(dict.fromkeys(row["task"] for row in self.rows))

    @property
    def pages(self) -> list[str]:
        """How memory was got: "reused", "fresh" and "default"; where the first two cannot be had, the last alone."""
        return list(dict.fromkeys(row["pages"] for row in self.rows))

    def sizes(self, pages: str = "reused") -> list[int]:
        """The numbers of elements measured with such memory, ascending: small pieces are never fresh.

        Raises:
            LookupError: There is no such memory; the message says which there is.
        """
        self._check("pages", pages)
        return sorted({row["elements"] for row in self.rows if row["pages"] == pages})

    def seconds(self, function: str, elements: int, task: str = "value", pages: str = "reused") -> list[float]:
        """Time of a call, in each round.

        Args:
            function: One of `functions`.
            elements: One of `elements`.
            task: One of `tasks`.
            pages: How memory was got, one of `pages`.

        Raises:
            LookupError: That was not measured; the message says what was.
        """
        return self._row(function, elements, task, pages)["seconds"]

    def ratio(self, a: str, b: str, elements: int, task: str = "value", pages: str = "reused") -> list[float]:
        """How many times as long as function b function a took, in each round; see `seconds`."""
        times = (self.seconds(name, elements, task, pages) for name in (a, b))
        return [one / other for one, other in zip(*times, strict=True)]

    def mean_ratio(self, a: str, b: str, elements: int, task: str = "value", pages: str = "reused") -> str:
        """The geometric mean of `ratio` over the rounds, as a table shows it."""
        return f"{statistics.geometric_mean(self.ratio(a, b, elements, task, pages)):.2f}"

    def noise(self, elements: int, task: str = "value", pages: str = "reused") -> list[float]:
        """Time of PyTorch's ReLU over that of the same function in another turn, in each round; see `seconds`."""
        return self.ratio("relu", AGAIN, elements, task, pages)

    def noise_factor(self, elements: int, task: str = "value", pages: str = "reused") -> float:
        """The factor, at least 1, by which two measurements of one function may differ; see `noise`.

        It is the end that lies farther from 1 of the 95% interval of the geometric mean: what no margin may be below.
        """
        _, low, high = Alike(margin=1, ratio=True).judge(self.noise(elements, task, pages)).interval
        return max(high, 1 / low)

    def faults(self, function: str, elements: int, task: str = "value", pages: str = "reused") -> float | None:
        """Page faults of a call, the median over the rounds; None where the system did not tell; see `seconds`."""
        return self._row(function, elements, task, pages)["faults"]

    def _row(self, function: str, elements: int, task: str, pages: str) -> dict:
        wanted = {"function": function, "elements": elements, "task": task, "pages": pages}
        for name, value in wanted.items():
            self._check(name, value)
        for row in self.rows:
            if wanted.items() <= row.items():
                return row
        raise LookupError(f"{function} was not measured with {pages} memory at {elements} elements")

    def _check(self, name: str, value: object) -> None:
        known = {"function": self.functions, "elements": self.elements, "task": self.tasks, "pages": self.pages}[name]
        if value not in known:
            raise LookupError(f"{name} is one of {', '.join(map(str, known))}, but {value!r} came")


def formula_costs(folder: pathlib.Path | str = COST) -> FormulaCosts:
    """What formulas cost, as it was kept. Timings differ from run to run, so no chapter measures them itself.

    Args:
        folder: One file a device; the first in the order of names counts.

    Raises:
        LookupError: There is no file.
    """
    for file in sorted(pathlib.Path(folder).glob("*.json")):
        return FormulaCosts(**json.loads(file.read_text(encoding="utf-8")))
    raise LookupError(f"nothing is kept in {folder}: run python -m benchmarks --formulas")
