"""What was measured on some machine, and kept: it differs from machine to machine, so the chapters show it from here.

Two things are kept, one file a machine: times, as the benchmark takes them, and the results of functions that are not
ours. PyTorch's depend on the processor in their last digits. With ACTLIB_MEASURE=1 in the environment the chapters
measure these anew, on the machine at hand, and keep them; `python -m actlib.book.measurements` runs them so.
"""

import argparse
import collections
import functools
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from numpy.typing import NDArray
from torch import Tensor

from actlib.accuracy import Profile, profile

Errors = dict[str, dict[str, NDArray]]

RESULTS = pathlib.Path(__file__).parent / "results"
SPEED = RESULTS / "speed"
PEERS = RESULTS / "peers"


def device_name(device: torch.device) -> str:
    """What something is measured on, as a reader would call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"


def machine() -> str:
    """What PyTorch's results hang on here: processor, instruction set, version of PyTorch."""
    return f"{device_name(torch.device('cpu'))}, torch {torch.__version__.partition('+')[0]}"


def _processor() -> str:
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, encoding="utf-8", check=False
        )
        return asked.stdout.strip() or platform.machine()
    try:
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        model = None
    return model[1].strip() if model else platform.processor() or platform.machine()


def file_of(folder: pathlib.Path, device: str) -> pathlib.Path:
    """Where the results of a device are kept."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}.json"


@dataclass(frozen=True)
class Kept:
    """A measurement that was kept.

    Attributes:
        value: Numbers, text, lists and dictionaries of such.
        machine: What it was taken on: processor, instruction set, version of PyTorch.
    """

    value: object
    machine: str


def kept(key: str, measure: Callable[[], object], folder: pathlib.Path = PEERS) -> Kept:
    """A measurement whose digits depend on the processor, from what is kept.

    Args:
        key: Its name, one a measurement.
        measure: Takes it; called only with ACTLIB_MEASURE=1 in the environment, and what it gives is kept then.
        folder: One file a machine; the first one that has the key counts.

    Raises:
        LookupError: Nothing is kept under this name.
    """
    if os.environ.get("ACTLIB_MEASURE") == "1":
        return _keep(key, measure(), folder)
    for file in sorted(folder.glob("*.json")):
        report = _read(file, file.stat().st_mtime_ns)
        if key in report:
            return Kept(**report[key])
    raise LookupError(f"nothing is kept of {key!r} in {folder}: run ACTLIB_MEASURE=1 once, which measures it here")


@functools.cache
def _read(file: pathlib.Path, _changed: int) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def _keep(key: str, value: object, folder: pathlib.Path) -> Kept:
    file = file_of(folder, device_name(torch.device("cpu")))
    report = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    report[key] = {"machine": machine(), "value": value}
    rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(report.items()))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8", newline="\n")
    return Kept(**json.loads(json.dumps(report[key])))


def errors(
    key: str, inputs: Tensor, judge: Callable[[Mapping], Errors], ours: Mapping, others: Mapping
) -> dict[str, dict[str, Profile]]:
    """Errors in ulp of functions that are the same everywhere, beside what is kept of the others.

    Args:
        key: Name of what is kept, for instance "sigmoid, bfloat16".
        inputs: What the errors are drawn over.
        judge: Errors by kind ("value", "slope") and by name of functions, as `accuracy.Reference.errors` gives them.
        ours: Functions by name, judged here and now.
        others: Functions by name; called only where measurements are taken, see `kept`.

    Returns:
        Profiles by kind and by name.
    """
    found = {
        kind: {name: profile(inputs, one) for name, one in by_name.items()} for kind, by_name in judge(ours).items()
    }
    for name, function in others.items():

        def measure(name: str = name, function: Callable = function) -> dict:
            return {kind: profile(inputs, one[name]).rounded() for kind, one in judge({name: function}).items()}

        store = kept(f"{key}: {name}", measure)
        for kind, row in store.value.items():
            found.setdefault(kind, {})[name] = Profile.of(row, store.machine)
    return found


@dataclass(frozen=True)
class Cost:
    """How long a function takes, as the benchmark has measured it and kept.

    Attributes:
        device: What it was measured on.
        elements: The sizes, ascending; or the lengths of rows, where it is these that vary.
        times: For each contender ("actlib", "torch", "torch relu" ...) the median time at each size, as a multiple of
            the time that copying as many numbers takes; NaN where it was not measured.
        shares: Likewise, the share of the copy's bandwidth: the least that must be moved through memory, over the time.
        seconds: Likewise, the time of a call; for GPUs alone.
    """

    device: str
    elements: list[int]
    times: dict[str, list[float]]
    shares: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, contender: str, to: str) -> list[float]:
        """How many times as long as another the contender takes, at each size."""
        return [a / b for a, b in zip(self.times[contender], self.times[to], strict=True)]


ROW = 1024
"""Length of the rows of softmax in the benchmark, where it is the number of elements that varies."""


@dataclass(frozen=True)
class Results:
    """What the benchmark has kept of a device; `benchmarks/report.py` says what stands in the lists.

    Attributes:
        device: What it was measured on.
        gpu: Whether that is a GPU.
        date: When, as YYYY-MM-DD.
        versions: By name, of all that took part.
        missing: Peers that took no part, and why.
        rows: The times.
        memory: Bytes kept for backward, and peak bytes.
        bars: What the library sets itself to reach, beside what was measured.
        pages: Where memory came from on a CPU: "reused", "fresh" or "default"; empty where that was not written down.
    """

    device: str
    gpu: bool
    date: str
    versions: dict[str, str]
    missing: list[dict]
    rows: list[dict] = field(repr=False)
    memory: list[dict] = field(repr=False)
    bars: list[dict] = field(repr=False)
    pages: str = ""

    @property
    def functions(self) -> list[str]:
        """The functions that were measured."""
        return list(dict.fromkeys(row["function"] for row in self.rows))

    def cost(self, function: str, dtype: str = "float32", task: str = "value") -> Cost:
        """The times of a function over the number of elements; empty where there are none.

        Args:
            function: Its name in the registry.
            dtype: "float32" or "bfloat16".
            task: "value", "gradient" or "value and gradient".
        """
        rows = [r for r in self._rows(function, dtype, task) if r.get("row") in (None, min(ROW, r["elements"]))]
        return self._cost("elements", rows)

    def cost_by_row(self, function: str, dtype: str = "float32", task: str = "value") -> Cost:
        """The times of a function of rows over their length, at the number of elements that has most lengths."""
        rows = [r for r in self._rows(function, dtype, task) if "row" in r]
        counts = collections.Counter(r["elements"] for r in rows)
        most = max(counts, key=lambda n: (counts[n], n), default=0)
        return self._cost("row", [r for r in rows if r["elements"] == most])

    def _rows(self, function: str, dtype: str, task: str) -> list[dict]:
        wanted = {"function": function, "dtype": dtype, "task": task}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def _cost(self, by: str, rows: list[dict]) -> Cost:
        rows = sorted(rows, key=lambda row: row[by])
        names = list(dict.fromkeys(name for row in rows for name in row["ratio to copy"]))
        missing = [math.nan] * 3

        def medians(name: str, kind: str) -> list[float]:
            return [row.get(kind, {}).get(name, missing)[1] for row in rows]

        times = {name: medians(name, "ratio to copy") for name in names}
        least = [row.get("bytes to copy", math.nan) for row in rows]
        shares = {
            n: [b / t for b, t in zip(least, ts, strict=True)] for n, ts in times.items() if n not in _OTHER_BYTES
        }
        seconds = {name: medians(name, "seconds") for name in names} if self.gpu else {}
        return Cost(self.device, [row[by] for row in rows], times, shares, seconds)


_OTHER_BYTES = ("copy", "torch relu")  # these do not compute the function, and move less


def stored_results(results: pathlib.Path | str = SPEED) -> list[Results]:
    """What the benchmark has kept, device by device: those on CPUs first, in the order of the files' names.

    Args:
        results: The folder of the benchmark's results, one file a device.
    """
    found = []
    for file in sorted(pathlib.Path(results).glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        gpu = any("seconds" in row for row in report["rows"])
        lists = {name: report.get(name, []) for name in ("missing", "rows", "memory", "bars")}
        about = {name: report.get(name) or "" for name in ("date", "pages")}
        found.append(Results(report["device"], gpu, versions=report.get("versions", {}), **about, **lists))
    return sorted(found, key=lambda r: r.gpu)


def stored_cost(
    function: str, dtype: str = "float32", task: str = "value", results: pathlib.Path | str = SPEED
) -> Cost:
    """What the benchmark has kept of a function. Timings differ from run to run, so no chapter measures them itself.

    Args:
        function: Its name in the registry.
        dtype: "float32" or "bfloat16".
        task: "value", "gradient" or "value and gradient".
        results: The folder of the benchmark's results, one file a device; the first file on a CPU that has the function
            counts.

    Raises:
        LookupError: No file on a CPU has such a row.
    """
    for kept in stored_results(results):
        if not kept.gpu and (cost := kept.cost(function, dtype, task)).elements:
            return cost
    wanted = {"function": function, "dtype": dtype, "task": task}
    raise LookupError(f"no result in {results} has {wanted}: run python -m benchmarks {function}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Executes the chapters with measuring switched on; outputs are not stored."""
    import nbclient
    import nbformat
    import tqdm

    parser = argparse.ArgumentParser(prog="python -m actlib.book.measurements", description=main.__doc__)
    parser.add_argument("chapters", nargs="*", type=pathlib.Path, metavar="NOTEBOOK", help="default: all of book/")
    paths = parser.parse_args(arguments).chapters or sorted(pathlib.Path("book").glob("*.ipynb"))
    os.environ["ACTLIB_MEASURE"] = "1"
    paths = [p for p in paths if re.search(r"measurements\.(errors|kept)", p.read_text(encoding="utf-8"))]
    for path in tqdm.tqdm(paths):
        nbclient.execute(nbformat.read(path, nbformat.NO_CONVERT), cwd=path.parent, timeout=None)


if __name__ == "__main__":
    main()
