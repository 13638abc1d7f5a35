"""Times actlib beside PyTorch, eager and compiled: `python -m benchmarks`, or `make bench`.

Every figure is a ratio to a copy of as many numbers into place, timed in the same round: all contenders take turns, in
an order that is reversed from round to round, so that what else the machine does hits all of them alike. What is kept
is the median over the rounds, with the quartiles. Absolute times are kept for GPUs alone.
"""

import argparse
import datetime
import json
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable

import sympy
import torch
import tqdm

from actlib import ACTIVATIONS

RESULTS = pathlib.Path(__file__).parent / "results"
BASELINE = "copy"
YARDSTICK = "torch relu"  # the cheapest activation there is
ROW = 1024
"""Length of the rows of softmax."""


def main() -> None:
    """Measures, prints a table and keeps the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions of the registry (default: all)")
    parser.add_argument("--elements", type=int, nargs="+", default=[2**10, 2**14, 2**18, 2**22], metavar="N")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(ACTIVATIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(ACTIVATIONS)}")
    torch.set_num_threads(chosen.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    cases = [
        (name, dtype, count, task)
        for name in chosen.names or ACTIVATIONS
        for dtype in (torch.float32, torch.bfloat16)
        for count in chosen.elements
        for task in ("value", "value and gradient")
    ]
    for name, dtype, count, task in (bar := tqdm.tqdm(cases, unit="case")):
        bar.set_description(f"{name}, {str(dtype).removeprefix('torch.')}, {count:,} elements, {task}")
        tasks = contenders(name, dtype, count, device, backward=task != "value", compiled=not chosen.no_compile)
        times = interleaved(tasks, chosen.rounds, device)
        rows.append(
            {"function": name, "dtype": str(dtype).removeprefix("torch."), "elements": count, "task": task}
            | {
                "ratio to copy": {
                    k: quartiles([a / b for a, b in zip(v, times[BASELINE], strict=True)]) for k, v in times.items()
                }
            }
            | ({"seconds": {k: quartiles(v) for k, v in times.items()}} if device.type == "cuda" else {})
        )
    report = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "sympy": sympy.__version__},
        "rounds": chosen.rounds,
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', report['device'].lower()).strip('-')}.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    print_table(rows)
    print(f"\nTimes as multiples of a copy's, medians of {chosen.rounds} rounds on {report['device']}. Kept in {file}")


def contenders(
    name: str, dtype: torch.dtype, count: int, device: torch.device, *, backward: bool, compiled: bool
) -> dict[str, Callable[[], object]]:
    """What is timed against what, each a call without arguments."""
    activation = ACTIVATIONS[name]
    defaults = tuple(activation.defaults.values())
    rows = activation.op is None
    shape = (-1, min(count, ROW)) if rows else (-1,)
    inputs = [
        torch.randn(count, device=device).to(dtype).view(shape).requires_grad_(backward)
        for _ in (activation.inputs if not rows else [0])
    ]
    upstream = torch.randn(count, device=device).to(dtype).view(shape)
    functions = {
        "actlib": lambda *xs: activation.function(*xs, -1) if rows else activation.op(*xs, *defaults),
        YARDSTICK: lambda *xs: torch.relu(xs[0]),
    }
    if activation.torch:
        functions["torch"] = (lambda x: activation.torch(x, -1)) if rows else activation.torch
    if compiled:
        torch.compiler.reset()
        functions |= {
            f"{k} compiled": torch.compile(f, fullgraph=True) for k, f in functions.items() if k in ("actlib", "torch")
        }

    def task(function):
        if not backward:
            return lambda: function(*inputs)
        return lambda: torch.autograd.grad(function(*inputs), inputs, upstream, allow_unused=True)

    source, target = torch.randn(count, device=device).to(dtype), torch.empty(count, device=device, dtype=dtype)
    return {BASELINE: lambda: target.copy_(source)} | {k: task(f) for k, f in functions.items()}


def interleaved(tasks: dict[str, Callable], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds a call of each task, in each round; the order alternates."""
    for task in tasks.values():
        for _ in range(3):
            task()
    repeats = {name: max(1, int(2e-3 / max(seconds(task, 3, device), 1e-7))) for name, task in tasks.items()}
    times = {name: [] for name in tasks}
    for turn in range(rounds):
        for name in list(tasks)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(tasks[name], repeats[name], device))
    return times


def seconds(task: Callable, repeats: int, device: torch.device) -> float:
    """Mean time of a call."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            task()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / repeats
    start = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - start) / repeats


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile, to four digits."""
    return [float(f"{q:.4g}") for q in statistics.quantiles(values, n=4)]


def device_name(device: torch.device) -> str:
    """What it was measured on, as a reader would call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        model = platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {capability}, {torch.get_num_threads()} threads"


def print_table(rows: list[dict]) -> None:
    """The medians, a line a case."""
    names = sorted({k for row in rows for k in row["ratio to copy"]} - {BASELINE})
    print(f"\n{'':52}" + "".join(f"{n:>17}" for n in names))
    for row in rows:
        label = f"{row['function']}, {row['dtype']}, {row['elements']:,}, {row['task']}"
        medians = (row["ratio to copy"].get(n) for n in names)
        print(f"{label:52}" + "".join(f"{m[1]:17.2f}" if m else f"{'none':>17}" for m in medians))


if __name__ == "__main__":
    main()
