"""What the library sets itself to reach, beside what was measured. Nothing depends on it but what is shown."""

import statistics
from collections.abc import Iterable, Iterator

from actlib import ACTIVATIONS
from actlib.accuracy import SINGLE_BAR
from actlib.book import float32
from actlib.book.measurements import ROW
from benchmarks.peers import BOTH, COMPILED, GRADIENT, IN_DEPTH, IN_STEPS, OURS, ROWS, STEP, TASKS, TORCH, VALUE

FEW, LATENCY, CACHED, LARGE_ON_CPU, LARGE_ON_GPU = 2**4, 2**10, 2**18, 2**22, 2**26
"""Sizes at which the bars stand."""
DTYPES = ("float32", "bfloat16")
LIGER_ROW = 65536
"""Length of the longest rows that Liger takes."""


def bars(rows: list[dict], *, gpu: bool) -> list[dict]:
    """The bars for this kind of device."""
    return list(gpu_bars(rows) if gpu else [*exactness_bars(), *cpu_bars(rows)])


def bar(
    name: str,
    where: str,
    found: dict[str, float],
    expected: Iterable[str],
    limit: float,
    *,
    least: bool = False,
    mean: bool = False,
) -> dict:
    """One of the bars: how the worst case, or the geometric mean of all, stands to the limit.

    A figure counts as it is shown, to two decimals. It is only met if every case was measured.

    Args:
        name: What is to be reached.
        where: For which cases.
        found: The figure of each case that was measured.
        expected: All cases.
        limit: What it may be at most; with `least`, at least.
        least: Whether more is better.
        mean: Whether the geometric mean counts, and not the worst.
    """
    meets = lambda value: value >= limit if least else value <= limit
    shown = {case: round(value, 2) for case, value in found.items()}
    worst = (min if least else max)(found, key=found.get, default=None)
    figure = shown.get(worst)
    if mean and found:
        figure = round(statistics.geometric_mean(found.values()), 2)
    missed = figure is not None and not meets(figure)
    unmeasured = [case for case in expected if case not in found]
    return {
        "bar": name,
        "where": where,
        "figure": figure,
        "limit": limit,
        "least": least,
        "met": False if missed else None if unmeasured else True,
        "cases": len(found),
        "worst": worst,
        "misses": {} if mean else {case: value for case, value in shown.items() if not meets(value)},
        "unmeasured": unmeasured,
    }


def cpu_bars(rows: list[dict]) -> Iterator[dict]:
    """Value plus gradient on many elements, calls on few, over the functions in depth; and training steps."""
    many, some = (
        {label(r): r for d in DTYPES for r in chosen(rows, d, n, BOTH) if r["function"] in IN_DEPTH}
        for n in (LARGE_ON_CPU, CACHED)
    )
    where, expected = f"{BOTH}, 4 Mi elements, both types", cases(IN_DEPTH, BOTH, usual_row=ROW)
    eager = over(TORCH, many)
    yield bar("time over torch's, geometric mean", where, eager, expected, 0.7, mean=True)
    yield bar("time over torch's, the slowest", where, eager, expected, 1.0)
    peers = [over(peer, many, OURS + COMPILED) for peer in (TORCH, TORCH + COMPILED)]
    best = {case: max(peer[case] for peer in peers) for case in peers[0] if case in peers[1]}
    name = "compiled: time over the better of torch's eager and compiled"
    yield bar(f"{name}, geometric mean", where, best, expected, 0.8, mean=True)
    yield bar(f"{name}, the slowest", where, best, expected, 1.1)
    yield bar(
        "time over torch's, the slowest", f"{BOTH}, 256 Ki elements, both types", over(TORCH, some), expected, 1.2
    )
    for elements, size in ((FEW, "16"), (LATENCY, "1 Ki")):
        for task in (VALUE, BOTH):
            some = [r for d in DTYPES for r in chosen(rows, d, elements, task) if r["function"] in IN_DEPTH]
            found, expected = over(TORCH, {label(r): r for r in some}), cases(IN_DEPTH, task, usual_row=elements)
            name = "time of a call over torch's, geometric mean"
            yield bar(name, f"{task}, {size} elements", found, expected, 3.0, mean=True)
    steps = over(TORCH, {r["function"]: r for r in rows if r["task"] == STEP})
    where = "training step, four layers of 64 units, a batch of 32"
    yield bar("time over torch's, the slowest", where, steps, IN_STEPS, 1.3)


def exactness_bars() -> Iterator[dict]:
    """Errors in float32, as far as all its numbers have been tried; those in half precision are bars of the tests."""
    kept, elementwise = float32.stored(), [name for name, a in ACTIVATIONS.items() if a.op is not None]
    for i, what in enumerate(("value", "slope")):
        largest = {
            name: max(worst.error for worst in kept[name].errors[OURS][i : None if i else 1])
            for name in elementwise
            if name in kept
        }
        where = f"{what}, every float32 number, on the CPU"
        yield bar("largest error in ulp", where, largest, elementwise, SINGLE_BAR)


def gpu_bars(rows: list[dict]) -> Iterator[dict]:
    """Bandwidth and peers at 64 Mi elements, and the time of a call at 1 Ki."""
    by_task = {t: [r for d in DTYPES for r in chosen(rows, d, LARGE_ON_GPU, t, every_row=True)] for t in TASKS}
    for task in (VALUE, GRADIENT):
        where = f"{task}, 64 Mi elements"
        here = {label(r): r for r in by_task[task]}
        shares = {
            case: r["bytes to copy"] / r["ratio to copy"][OURS][1]
            for case, r in here.items()
            if OURS in r["ratio to copy"]
        }
        for name, by_row, least in (("share", False, 0.9), ("rows: share", True, 0.85)):
            functions = [f for f in ACTIVATIONS if (ACTIVATIONS[f].op is None) == by_row]
            some = {case: share for case, share in shares.items() if here[case]["function"] in functions}
            yield bar(f"{name} of the copy's bandwidth", where, some, cases(functions, task), least, least=True)
        by_torch = cases([f for f in ACTIVATIONS if ACTIVATIONS[f].torch], task)
        by_liger = cases(["swiglu", "geglu", "softmax"], task, LIGER_ROW)
        for peer, expected in ((TORCH, by_torch), (TORCH + COMPILED, by_torch), ("liger", by_liger)):
            yield bar(f"time over that of {peer}", where, over(peer, here), expected, 1.0)
    swiglu = over(TORCH, {label(r): r for r in by_task[BOTH] if r["function"] == "swiglu"})
    faster = {case: 1 / t for case, t in swiglu.items()}
    name = "SwiGLU: times as fast as torch's composition"
    yield bar(name, f"{BOTH}, 64 Mi elements", faster, cases(["swiglu"], BOTH), 1.6, least=True)
    for task in TASKS:
        here = {label(r): r for d in DTYPES for r in chosen(rows, d, LATENCY, task)}
        expected = cases([f for f in ACTIVATIONS if ACTIVATIONS[f].torch], task, usual_row=LATENCY)
        yield bar("time of a call over torch's", f"{task}, 1 Ki elements", over(TORCH, here), expected, 3.0)


def over(peer: str, rows: dict[str, dict], ours: str = OURS) -> dict[str, float]:
    """Our time over a peer's, of the cases where both were measured."""
    quotients = {case: row["quotients"].get(ours, {}).get(peer) for case, row in rows.items()}
    return {case: three[1] for case, three in quotients.items() if three}


def cases(functions: Iterable[str], task: str, longest: int = max(ROWS), usual_row: int | None = None) -> list[str]:
    """All cases of a task at the size of a bar; of softmax, all lengths of rows, unless one is usual."""
    rows = {
        "softmax": [usual_row] if usual_row else [n for n in ROWS if n <= longest],
        "log_softmax": [ROW],
        "softmax_with_sink": [ROW],
    }
    return [
        label({"function": f, "dtype": d, "task": task} | ({"row": n} if n else {}))
        for d in DTYPES
        for f in functions
        for n in rows.get(f, [None])
    ]


def chosen(rows: list[dict], dtype: str, elements: int, task: str | None, *, every_row: bool = False) -> list[dict]:
    """Entries of a type, a size and a task; of rows, those of the usual length alone unless every one is asked for."""
    usual = min(elements, ROW)
    return [
        r
        for r in rows
        if (r["dtype"], r["elements"]) == (dtype, elements)
        and task in (None, r["task"])
        and (every_row or r.get("row", usual) == usual)
    ]


def label(row: dict) -> str:
    """A case, as a reader would call it."""
    length = f" in rows of {row['row']:,}" if "row" in row else ""
    return f"{row['function']}{length}, {row['dtype']}, {row['task']}"
