"""What a formula costs: functions of one library beside each other, with what was measured kept round by round.

All contenders take turns, in an order that is shuffled for a round and reversed for the next, on the same input in
every call: up to 256 Ki elements input and result stay in the cache, so that arithmetic and the call are what is timed,
and at 16 Mi both come from memory. ReLU has two turns a round, under two names: what these differ by is noise.

A file of results, one for each device, is an object with

    device, threads, date, versions     as in `report.py`
    rounds      how often each contender had its turn
    rows        [{pages, elements, task, function, faults, waited, seconds}]

"pages" says where memory came from: "reused", "fresh" or "default", see `pages.py`; the last two for a few functions.
A task is "value" or "value and gradient", forward and backward. A function bears the name of the registry where it is
PyTorch's, "actlib" before it where it is ours; "copy" copies the input into a new tensor, and in the second task the
gradient at the output, too; "relu again" is "relu". "seconds" is the time of a call in each round. Medians over the
rounds are "faults", the page faults of a call, and "waited", the share of its time in which a thread found no processor
free; null where the system does not tell.

`actlib.book.costs.formula_costs` reads all this.
"""

import concurrent.futures
import functools
import math
import multiprocessing
import pathlib
import random
import statistics
from collections.abc import Callable, Iterable

import torch
import tqdm

from actlib import ACTIVATIONS
from actlib.book.costs import AGAIN, OURS, FormulaCosts
from actlib.book.measurements import file_of
from benchmarks import pages, report, timing
from benchmarks.peers import BOTH, COPY, VALUE, Calls, Case, Peer

FUNCTIONS = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": functools.partial(torch.nn.functional.gelu, approximate="tanh"),
    "softplus": torch.nn.functional.softplus,
    "mish": torch.nn.functional.mish,
}
"""PyTorch's, by their names in the registry; called as directly as they can be, since a layer of Python takes time."""
CONTENDERS: dict[str, Callable] = {
    COPY: torch.clone,
    **FUNCTIONS,
    AGAIN: FUNCTIONS["relu"],
    **{OURS + name: ACTIVATIONS[name].function for name in FUNCTIONS},
}
FEW = (COPY, "relu", AGAIN, "sigmoid", "tanh")
"""Measured with fresh memory, too, and with what the system does by default."""
TASKS = (VALUE, BOTH)
ELEMENTS = (2**10, 2**14, 2**18, 2**22, 2**24)
ROUNDS = 25
PATIENCE = 6
"""Seconds for each task at a size in which turns are taken again, because the machine did something else."""
RESERVE = 16
"""Tensors for which memory is kept: inputs, results, and what lies between."""
CPU = torch.device("cpu")


def run(elements: tuple[int, ...], rounds: int, patience: float, threads: int, folder: pathlib.Path) -> None:
    """Measures, keeps the results and prints what was found."""
    modes = pages.available()
    if modes != pages.MODES:
        print("Memory cannot be held for reuse here, without glibc: it comes as the system hands it out.")
    rows = []
    for mode in modes:
        names = tuple(CONTENDERS) if mode == modes[0] else FEW
        # How memory is got is chosen before anything else is done, so that each has a process of its own.
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            rows += process.submit(measured, mode, names, elements, rounds, patience, threads).result()
    torch.set_num_threads(threads)
    results = report.about(CPU) | {"rounds": rounds, "rows": rows}
    file = file_of(folder, results["device"])
    report.keep(results, file)
    show(FormulaCosts(**results), modes[0])
    print(f"Medians of {rounds} rounds on {results['device']}. Kept in {file}")


def measured(
    mode: str, names: tuple[str, ...], elements: tuple[int, ...], rounds: int, patience: float, threads: int
) -> list[dict]:
    """The rows of a mode of memory, where it is something else than the default at a size; for a process of its own."""
    pages.choose(mode, RESERVE * max(elements) * torch.float32.itemsize)
    torch.set_num_threads(threads)
    elements = [n for n in elements if mode != pages.FRESH or n * torch.float32.itemsize >= pages.FRESH_FROM]
    rows = []
    total = len(elements) * len(TASKS) * rounds
    with tqdm.tqdm(total=total, unit="round", desc=f"{mode} memory") as progress:
        for size in elements:
            for task in TASKS:
                rows += timed(mode, names, size, task, rounds, patience, progress.update)
    return rows


def timed(
    mode: str,
    names: tuple[str, ...],
    elements: int,
    task: str,
    rounds: int,
    patience: float,
    after_round: Callable[[], object],
) -> list[dict]:
    """The rows of a task at a size."""
    case = Case("relu", torch.float32, elements, None, CPU, (task,))
    random_numbers = torch.Generator().manual_seed(0)
    x, g = (torch.randn(case.shape, generator=random_numbers) for _ in range(2))
    tasks = {name: calls_of(name, case, task, x, g) for name in names}
    return rows_of(tasks, mode, elements, task, rounds, patience, after_round)


def rows_of(
    tasks: dict[str, Calls],
    mode: str,
    elements: int,
    task: str,
    rounds: int,
    patience: float,
    after_round: Callable[[], object],
) -> list[dict]:
    """The rows of contenders that take turns, in an order that is shuffled for a round and reversed for the next."""
    taken = {name: [] for name in tasks}
    shuffle = random.Random(elements).shuffle
    turns = timing.turns(tasks, rounds, CPU, fewest=rounds, shuffle=shuffle, patience=patience)
    for number, turn in enumerate(turns, 1):
        taken[turn.contender].append(turn)
        if number % len(tasks) == 0:
            after_round()
    return [
        {"pages": mode, "elements": elements, "task": task, "function": name}
        | {what: median_of(getattr(turn, what) for turn in taken[name]) for what in ("faults", "waited")}
        | {"seconds": [float(f"{turn.seconds:.4g}") for turn in taken[name]]}
        for name in tasks
    ]


def median_of(values: Iterable[float | None]) -> float | None:
    """The median to five digits; None where something is not known."""
    values = list(values)
    return None if None in values else float(f"{statistics.median(values):.5g}")


def calls_of(name: str, case: Case, task: str, x: torch.Tensor, g: torch.Tensor) -> Calls:
    """The call that a task consists of."""
    if name == COPY and task == BOTH:  # the gradient of a copy is the one at its output, without anything done
        return [lambda: (x.clone(), g.clone())]
    return Peer(name, "", lambda _: CONTENDERS[name]).calls(case, task, [((x,), g)])


def show(costs: FormulaCosts, mode: str) -> None:
    """Prints medians over those of ReLU, by size; what ReLU itself takes; and where time goes with fresh memory."""
    for task in TASKS:
        show_ratios(costs, mode, (task,))
        for one in costs.pages:
            print(f"{one} memory: microseconds / page faults of a call")
            for name in FEW:
                cells = [cell(costs, name, n, task, one) for n in costs.elements]
                print(f"  {name:22}" + "".join(f"{c:>17}" for c in cells))


def show_ratios(costs: FormulaCosts, mode: str, tasks: Iterable[str] = TASKS) -> None:
    """Prints medians over those of ReLU, by size, and the noise."""
    for task in tasks:
        print(f"\n{task}, {mode} memory: time over that of PyTorch's ReLU")
        print(f"{'elements':24}" + "".join(f"{n:>17,}" for n in costs.elements))
        for name in costs.functions:
            ratios = [statistics.median(costs.ratio(name, "relu", n, task, mode)) for n in costs.elements]
            print(f"{name:24}" + "".join(f"{r:17.2f}" for r in ratios))
        noise = [max(abs(math.log(r)) for r in costs.noise(n, task, mode)) for n in costs.elements]
        print(f"{'relu again, at worst':24}" + "".join(f"{math.exp(n):17.2f}" for n in noise))


def cell(costs: FormulaCosts, function: str, elements: int, task: str, mode: str) -> str:
    """Microseconds and page faults of a call."""
    if elements not in costs.sizes(mode):
        return "-"
    time = statistics.median(costs.seconds(function, elements, task, mode))
    faults = costs.faults(function, elements, task, mode)
    return f"{time * 1e6:,.1f}" + ("" if faults is None else f"/{faults:,.0f}")
