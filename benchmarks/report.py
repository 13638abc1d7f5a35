"""What is kept and shown: JSON, a table, figures, and the bars with what was measured.

A file of results, one for each device, is an object with

    device      what it was measured on, as a reader would call it
    threads     of torch, and as many of JAX
    pages       where memory came from on a CPU while times were taken: "reused", "fresh" or "default", see `pages.py`
    date        of the last run that added to it
    versions    by name: python, of all packages that took part, and "actlib source", a digest of its code
    rounds      how often each contender had its turn, at most
    missing     [{name, reason, install}]: peers that took no part; install is null where nothing can be done
    failed      [{function, dtype, elements, row?, contender, task, reason}]: single cases that raised an error
    rows        [{function, dtype, elements, row?, task, rounds, bytes to copy, ratio to copy,
                quotients, seconds?}]; of training steps, too: see `steps.py`
    memory      [{function, dtype, elements, row?, contender, kept, kept inputs, kept output, peak}]
    bars        [{bar, where, figure, limit, least, met, cases, worst, misses, unmeasured}]: "least" says that the limit
                is one from below; "met" is null where it is not missed, but some cases were not measured; "cases" is
                how many were; misses: {case: figure}

"row" is the length of the rows of a function of rows; where the number of elements is what varies it is 1,024. A task
is "value", "gradient" (backward, forward done before), "value and gradient" or "training step". All figures of time are
[lower quartile, median, upper quartile] over the rounds:

    ratio to copy   by contender: its time over that of copying as many elements, in the same round
    quotients       for "actlib" and "actlib compiled", by contender: its time over that contender's, in the same round
    seconds         by contender, on GPUs alone: time of a call
    bytes to copy   the least that the task must move through memory, in times of what the copy moves; this over the
                    ratio is the share of the copy's bandwidth

Memory is in bytes: "kept" from forward until backward, "kept inputs" and "kept output" how many of these the caller
holds anyhow, "peak" the most at once in value and gradient, beyond the inputs; null where the system does not tell.

`actlib.measurements.stored_results` reads all this.
"""

import collections
import datetime
import hashlib
import json
import pathlib
import platform
import statistics

import torch

import actlib
from actlib.book.measurements import device_name, file_of
from benchmarks.bars import label
from benchmarks.peers import (
    COMPILED,
    COPY,
    OURS,
    TASKS,
    TORCH,
    YARDSTICK,
    versions,
)

CONTENDERS = (TORCH, TORCH + COMPILED, OURS, OURS + COMPILED, "jax", "liger", YARDSTICK)
"""As the columns of a table."""
MOST_NAMED = 8
"""Of more cases than these, a line says but how many they are."""
KEY = ("function", "dtype", "elements", "row", "task", "contender")
"""What tells an entry of a list in the results from the others."""


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile, to four digits."""
    if len(values) == 1:
        values = values * 2
    return [float(f"{q:.4g}") for q in statistics.quantiles(values, n=4, method="inclusive")]


def row_of(case_and_task: dict, moved: float, times: dict[str, list[float]], *, gpu: bool) -> dict:
    """The entry of a task, from the times of each contender in each round."""

    def over(name: str, other: str) -> list[float]:
        return quartiles([a / b for a, b in zip(times[name], times[other], strict=True)])

    ours = [name for name in (OURS, OURS + COMPILED) if name in times]
    row = case_and_task | {"rounds": len(times[COPY]), "bytes to copy": moved}
    row["ratio to copy"] = {name: over(name, COPY) for name in times}
    row["quotients"] = {o: {n: over(o, n) for n in times if n not in (o, COPY, YARDSTICK)} for o in ours}
    if gpu:
        row["seconds"] = {name: quartiles(values) for name, values in times.items()}
    return row


def about(device: torch.device) -> dict:
    """What was measured, on what, and when."""
    return {
        "device": named(device),
        "threads": torch.get_num_threads(),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version()} | versions() | {"actlib source": source_digest()},
    }


def made(
    device: torch.device, pages: str | None, rounds: int, missing: list, failed: list, rows: list, memory: list
) -> dict:
    """The results of a run."""
    return about(device) | {
        "pages": pages,
        "rounds": rounds,
        "missing": missing,
        "failed": failed,
        "rows": rows,
        "memory": memory,
    }


def named(device: torch.device) -> str:
    """What it was measured on, as a reader would call it, with the number of threads on a CPU."""
    threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} threads"
    return device_name(device) + threads


def source_digest() -> str:
    """Eight digits that change with the code that is measured."""
    digest = hashlib.sha256()
    package = pathlib.Path(actlib.__file__).parent
    for file in sorted(set(package.rglob("*.py")) - set((package / "book").rglob("*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def merged(new: dict, file: pathlib.Path) -> dict:
    """The new results among those that the file has, if these come from the same code and versions; or else alone."""
    if not file.exists():
        return new
    old = json.loads(file.read_text(encoding="utf-8"))
    if any(old.get(k) != new.get(k) for k in ("device", "threads", "versions", "pages", "rounds")):
        return new
    key = lambda entry: tuple(entry.get(k) for k in KEY)
    measured = {key(row)[:-1] for row in new["rows"]} | {key(entry) for entry in new["memory"]}
    lists = {}
    for name in ("failed", "rows", "memory"):
        replaced = {key(entry) for entry in new[name]}
        rest = [e for e in old[name] if key(e) not in replaced and not (name == "failed" and key(e)[:-1] in measured)]
        lists[name] = rest + new[name]
    # What was not compared this time may have been before.
    lists["missing"] = [
        m for m in new.get("missing", ()) if not any(m["name"] in row["ratio to copy"] for row in lists["rows"])
    ]
    return new | lists


def write(results: dict, file: pathlib.Path) -> None:
    """Keeps the results in the order of the registry."""
    order = list(actlib.ACTIVATIONS)
    rank = lambda e: (order.index(e["function"]), e["dtype"] != "float32", e["elements"], e.get("row") or 0)
    keep(results | {name: sorted(results[name], key=rank) for name in ("failed", "rows", "memory")}, file)


def keep(results: dict, file: pathlib.Path) -> None:
    """Writes results, an entry of a list a line."""
    lines = []
    for name, value in results.items():
        if isinstance(value, list):
            entries = ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            text = f"[\n  {entries}\n ]" if value else "[]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f" {json.dumps(name)}: {text}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def why_missing(one: dict) -> str:
    """A line on a peer that takes no part."""
    return f"{one['name']}: {one['reason']}" + (f"; to compare it, {one['install']}" if one["install"] else "")


def show(results: dict, file: pathlib.Path) -> None:
    """Prints the smallest and the largest size, memory, what is missing or failed, and the bars."""
    sizes = sorted({row["elements"] for row in results["rows"]})
    for elements in dict.fromkeys(sizes[:1] + sizes[-1:]):
        print(f"\n{elements:,} elements: time over a copy's; in brackets actlib's share of the copy's bandwidth")
        table([row for row in results["rows"] if row["elements"] == elements])
    memory_table(results["memory"])
    for one in results["missing"]:
        print(f"Not compared: {why_missing(one)}")
    for one in results["failed"]:
        print(f"Failed: {label(one)}, {one['elements']:,} elements, {one['contender']}: {one['reason']}")
    print("\nBars:")
    for one in results["bars"]:
        show_bar(one)
    memory = f", {results['pages']} memory" if results["pages"] else ""
    print(f"\nMedians of up to {results['rounds']} rounds on {results['device']}{memory}. Kept in {file}")


def show_bar(one: dict) -> None:
    """Prints a bar: whether it is met, the figure, and all that misses it."""
    state = (
        "met" if one["met"] else "MISSED" if one["met"] is False else "incomplete" if one["cases"] else "not measured"
    )
    text = f"{one['bar']}, {one['where']}: {'at least' if one['least'] else 'at most'} {one['limit']:.2f}"
    if one["cases"]:
        text += f"; it is {one['figure']:.2f}, of {one['cases']} the worst is {one['worst']}"
    print(f"{state:>12}  {text}")
    for name, value in one["misses"].items():
        print(f"{'':16}{value:.2f} {name}")
    if one["cases"] and one["unmeasured"]:
        several = len(one["unmeasured"]) > MOST_NAMED
        names = f"{len(one['unmeasured'])} cases" if several else "; ".join(one["unmeasured"])
        print(f"{'':16}not measured: {names}")


def table(rows: list[dict]) -> None:
    """The medians, a line a case."""
    names = [n for n in CONTENDERS if any(n in row["ratio to copy"] for row in rows)]
    print(f"{'':54}" + "".join(f"{n:>17}" for n in names))
    for row in rows:
        ratios = row["ratio to copy"]
        cells = [f"{ratios[n][1]:.2f}" if n in ratios else "-" for n in names]
        share = f" [{row['bytes to copy'] / ratios[OURS][1]:4.0%}]" if OURS in ratios else ""
        print(f"{label(row):54}" + "".join(f"{c:>17}" for c in cells) + share)


def memory_table(entries: list[dict]) -> None:
    """Bytes an element: kept for backward beyond inputs and output, and at the peak."""
    if not entries:
        return
    names = [n for n in CONTENDERS if any(n == e["contender"] for e in entries)]
    print("\nBytes an element: kept for backward (of these in inputs and output) / peak of value and gradient")
    print(f"{'':54}" + "".join(f"{n:>17}" for n in names))
    cases = collections.defaultdict(dict)
    for e in entries:
        kept, held = e["kept"] / e["elements"], (e["kept inputs"] + e["kept output"]) / e["elements"]
        text = f"{kept:.3g} ({held:.3g})" + ("" if e["peak"] is None else f" / {e['peak'] / e['elements']:.3g}")
        cases[f"{e['function']}, {e['dtype']}"][e["contender"]] = text
    for name, cells in cases.items():
        print(f"{name:54}" + "".join(f"{cells.get(n, '-'):>17}" for n in names))


def draw(results: pathlib.Path, device: str, folder: pathlib.Path) -> None:
    """Draws for each function of the device's results the time and the share of the copy's bandwidth over the size."""
    from actlib.book import figures, measurements

    folder.mkdir(parents=True, exist_ok=True)
    (stored,) = (r for r in measurements.stored_results(results) if r.device == device)
    for function in stored.functions:
        for task in TASKS:
            costs = {d: c for d in ("float32", "bfloat16") if (c := stored.cost(function, d, task)).elements}
            if not costs:
                continue
            for quantity in ("seconds" if stored.gpu else "times", "shares"):
                figure, _ = figures.cost_figure(costs, quantity)
                alt = f"{function}, {task}, on {device}: {quantity} over the number of elements"
                name = f"{file_of(folder, device).stem}-{function}-{task}-{quantity}".replace(" ", "-")
                (folder / f"{name}.svg").write_text(figures.Figure(figure, alt).svg, encoding="utf-8", newline="\n")
