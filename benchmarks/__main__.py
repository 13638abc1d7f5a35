"""Measures actlib beside what a user would pick instead: `python -m benchmarks`, or `make bench`.

Every time is set against that of a copy of as many numbers into place, the least that memory allows: all contenders
take turns, in an order that is reversed from round to round, so that what else the machine does hits all of them alike.
What is kept is the median over the rounds, with the quartiles. Absolute times are kept for GPUs alone.

With --formulas, functions of one library are measured beside each other instead, and with --layers, feed-forward
layers: see `formulas.py` and `layers.py`.
"""

import argparse
import dataclasses
import functools
import gc
import pathlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import torch
import tqdm
from torch import Tensor
from torch._functorch import config as functorch_config

from actlib import ACTIVATIONS
from actlib.book.costs import COST, LAYERS
from actlib.book.measurements import ROW, SPEED, file_of
from benchmarks import bars, formulas, layers, memory, pages, report, steps, timing
from benchmarks.peers import (
    BOTH,
    COMPILED,
    COPY,
    GRADIENT,
    IN_DEPTH,
    IN_STEPS,
    OURS,
    PEERS,
    ROWS,
    TASKS,
    TORCH,
    VALUE,
    YARDSTICK,
    Case,
    Peer,
    Sets,
    function_of,
)

DTYPES = (torch.float32, torch.bfloat16)
SHORT = (2**10, 2**14, 2**18, 2**22)
FULL = tuple(2**n for n in range(10, 27, 2))
ROUNDS = 15
PATIENCE = 1.0
KEPT_AT = 2**24
"""Elements at which memory is measured."""


def main(arguments: list[str] | None = None) -> None:
    """Measures, keeps the results and prints what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="functions of the registry (default: all); others' results stay"
    )
    parser.add_argument("--elements", type=positive, nargs="+", metavar="N", help="sizes, in place of those chosen")
    parser.add_argument("--full", action="store_true", help="all sizes from 1 Ki to 64 Mi, all tasks; takes hours")
    parser.add_argument(
        "--formulas",
        action="store_true",
        help="measure instead what formulas cost: the book's functions as PyTorch computes them beside its ReLU and a "
        "copy, on the CPU, value and value with gradient, every round kept; takes a few minutes",
    )
    parser.add_argument(
        "--layers",
        action="store_true",
        help="measure instead what feed-forward layers cost, gated and plain, on the CPU, every round kept; takes "
        "some minutes; --elements are then numbers a token, multiples of 3",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        metavar="N",
        help=f"turns of each contender ({ROUNDS}; with --formulas or --layers {formulas.ROUNDS})",
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="for how long, for each task at a size, turns are taken again in which other programs had the processors "
        f"({PATIENCE}; with --formulas or --layers {formulas.PATIENCE})",
    )
    parser.add_argument(
        "--pages",
        choices=pages.MODES,
        help="where a CPU's memory comes from: reused (where that can be had), as in training; fresh for every result; "
        "default, as the system does it",
    )
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads(), metavar="N")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
    )
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR", help="where results are kept")
    parser.add_argument("--plots", type=pathlib.Path, metavar="DIR", help="draw SVG figures there")
    chosen = parser.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(ACTIVATIONS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ACTIVATIONS)}")
    apart = chosen.formulas or chosen.layers
    if chosen.patience is None:
        chosen.patience = formulas.PATIENCE if apart else PATIENCE
    if apart:
        flag = "--formulas" if chosen.formulas else "--layers"
        not_taken = ("names", "full", "pages", "no_compile", "plots")
        if chosen.device == "cuda" or any(getattr(chosen, name) for name in not_taken):
            parser.error(f"with {flag} go --elements, --rounds, --patience, --threads, --results alone, on the CPU")
        if chosen.formulas and chosen.layers:
            parser.error("--formulas and --layers are run one after the other")
        if uncut := [n for n in chosen.elements or () if chosen.layers and n % 3]:
            parser.error(f"8/3 of {uncut[0]} is no whole number: with --layers, --elements are multiples of 3")
        run, sizes, folder = (
            (formulas.run, formulas.ELEMENTS, COST) if chosen.formulas else (layers.run, layers.WIDTHS, LAYERS)
        )
        elements = tuple(sorted(set(chosen.elements or sizes)))
        run(elements, chosen.rounds or formulas.ROUNDS, chosen.patience, chosen.threads, chosen.results or folder)
        return
    chosen.device = chosen.device or ("cuda" if torch.cuda.is_available() else "cpu")
    chosen.rounds = chosen.rounds or ROUNDS
    chosen.results = chosen.results or SPEED
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda, but torch finds no GPU")
    if uncut := [n for n in chosen.elements or () if n % min(n, ROW)]:
        parser.error(f"{uncut[0]} elements cannot be cut into rows of {ROW}, as softmax needs")
    if chosen.device == "cuda" and chosen.pages:
        parser.error("--pages is about CPUs: on a GPU, torch keeps memory for reuse itself")
    where = (chosen.pages or pages.available()[0]) if chosen.device == "cpu" else None
    if where:
        try:
            pages.choose(where, formulas.RESERVE * largest(chosen) * torch.float32.itemsize)
        except pages.PagesError as error:
            parser.error(str(error))
        print(f"Memory while times are taken: {where}")
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    missing = [found for peer in PEERS if (found := peer.missing(device))]
    if chosen.no_compile:
        missing += [
            {"name": name + COMPILED, "reason": "left out by --no-compile", "install": None} for name in (TORCH, OURS)
        ]
    for one in missing:
        print(f"Not compared: {report.why_missing(one)}")
    absent = {one["name"] for one in missing}
    peers = [peer for peer in PEERS if peer.name not in absent]

    gc.collect()
    gc.freeze()  # what importing has made needs no looking through, case after case
    failed: list[dict] = []
    rows, kept = [], []
    cases = planned(chosen, device)
    keeping = [(case, peer) for case in kept_cases(chosen, device) for peer in peers if peer.name != YARDSTICK]
    with tqdm.tqdm(total=sum(len(case.tasks) for case in cases) + len(keeping), unit="case") as progress:
        for case in cases:
            for row in timed(case, peers, chosen.rounds, failed, chosen.patience):
                rows.append(row)
                progress.set_description(", ".join(map(str, (*case.key.values(), row["task"]))))
                progress.update()
        if device.type == "cpu" and not chosen.elements:
            names = [name for name in IN_STEPS if name in (chosen.names or ACTIVATIONS)]
            rows += steps.rows(names, chosen.rounds, chosen.patience)
        # Times come first: what memory needs makes later calls slower.
        for case, peer in keeping:
            progress.set_description(f"{case.function}, {case.key['dtype']}, memory of {peer.name}")
            if case.compiled:
                torch.compiler.reset()  # it refuses to compile the same code more than a few times
            with noted(failed, case, peer.name, "memory"):
                kept += memory.measured(case, peer, sets_of(case)[:1])
            progress.update()
    results = report.made(device, where, chosen.rounds, missing, failed, rows, kept)
    file = file_of(chosen.results, results["device"])
    if chosen.names or chosen.elements:
        results = report.merged(results, file)
    results["bars"] = bars.bars(results["rows"], gpu=device.type == "cuda")
    report.write(results, file)
    report.show(results, file)
    if chosen.plots:
        report.draw(file.parent, results["device"], chosen.plots)
        print(f"Figures in {chosen.plots}")


def largest(chosen: argparse.Namespace) -> int:
    """Elements of the largest inputs."""
    return max(chosen.elements or (FULL if chosen.full else SHORT))


def positive(text: str) -> int:
    """A whole number from 1 on, as an argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def planned(chosen: argparse.Namespace, device: torch.device) -> list[Case]:
    """What is timed: the functions of the bars in depth, the others as far as bars and chapters ask for it."""
    gpu = device.type == "cuda"
    most = bars.LARGE_ON_GPU if gpu else bars.LARGE_ON_CPU
    named = set(chosen.names or ACTIVATIONS)
    cases = []
    for dtype in DTYPES:
        for elements in chosen.elements or ((bars.FEW,) * (not gpu) + (FULL if chosen.full else SHORT + (most,) * gpu)):
            for function in (f for f in ACTIVATIONS if f in named):
                deep = function in IN_DEPTH or chosen.full or chosen.names or chosen.elements
                ends = elements in (bars.LATENCY, most)
                if gpu and not deep and not ends:
                    continue
                asked = chosen.elements or elements == most or (chosen.full and ends)
                # torch compiled stands in the bars of all functions on a GPU.
                both = (TORCH, OURS) if deep else (TORCH,) if gpu else ()
                compiled = both if asked and not chosen.no_compile else ()
                tasks = TASKS if deep or gpu else (VALUE, BOTH)
                # What the bars ask of the compiled functions on a CPU is value and gradient; each more takes minutes.
                compiled_tasks = TASKS if gpu or chosen.full or chosen.names else (GRADIENT, BOTH)
                case = Case(function, dtype, elements, None, device, tasks, compiled, compiled_tasks)
                if ACTIVATIONS[function].op is not None:
                    cases.append(case)
                    continue
                usual = min(elements, ROW)
                for row in sorted({usual, *(n for n in ROWS if elements == most and deep)}):
                    both = compiled if row == usual or gpu else ()
                    cases.append(dataclasses.replace(case, row=row, compiled=both))
    # Those that share their inputs follow one another.
    return sorted(cases, key=lambda c: (c.dtype != torch.float32, c.elements, c.inputs, c.shape))


def kept_cases(chosen: argparse.Namespace, device: torch.device) -> Iterable[Case]:
    """At what memory is measured."""
    elements = max(chosen.elements) if chosen.elements else KEPT_AT
    for dtype in DTYPES:
        for function in (f for f in ACTIVATIONS if f in (chosen.names or ACTIVATIONS)):
            row = min(elements, ROW) if ACTIVATIONS[function].op is None else None
            compiled = () if chosen.no_compile or function not in IN_DEPTH or dtype != torch.float32 else (TORCH, OURS)
            yield Case(function, dtype, elements, row, device, (BOTH,), compiled)


@functools.lru_cache(maxsize=1)
def shared_sets(inputs: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Sets:
    """The inputs of cases that follow one another."""
    return timing.input_sets(inputs, shape, dtype, device)


def sets_of(case: Case) -> Sets:
    """Sets of inputs for a case."""
    return shared_sets(case.inputs, case.shape, case.dtype, case.device)


def timed(case: Case, peers: list[Peer], rounds: int, failed: list[dict], patience: float = 0) -> Iterable[dict]:
    """The entry of each task of a case."""
    if case.compiled:
        torch.compiler.reset()
    sets = sets_of(case)
    targets = [torch.empty_like(xs[0]) for xs, _ in sets]
    copies = [functools.partial(target.copy_, xs[0]) for target, (xs, _) in zip(targets, sets, strict=True)]
    ours = Peer(OURS, "actlib", functools.partial(function_of, OURS))
    # A compiled backward pass would else take the memory of what it was given for its own results, and refuse to run
    # again after the same forward pass.
    with functorch_config.patch(donated_buffer=False):
        for task in case.tasks:
            expected = None
            with suppress(Exception):  # it is taken down when its turn comes
                expected = ours.results(ours.calls(case, task, sets[:1])[0]())
            calls, refresh = {COPY: copies}, {}
            for peer in peers:
                own = [(tuple(x.clone() for x in xs), g) for xs, g in sets] if peer.spoils_inputs else sets
                with noted(failed, case, peer.name, task):
                    ready = peer.calls(case, task, own)
                    if ready is None:
                        continue
                    if peer.takes is None and expected:
                        check(peer.results(ready[0]()), expected)
                    calls[peer.name] = ready
                    if peer.spoils_inputs:
                        refresh[peer.name] = functools.partial(restore, own, sets)
            del expected
            with noted(failed, case, "all", task):
                times = timing.interleaved(calls, rounds, case.device, refresh, patience)
                where = case.key | {"task": task}
                yield report.row_of(where, case.bytes_to_copy(task), times, gpu=case.device.type == "cuda")


@contextmanager
def noted(failed: list[dict], case: Case, contender: str, task: str) -> Iterator[None]:
    """Takes down an error with what it befell; a contender that fails must not end hours of measurements."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
        failed.append(case.key | {"contender": contender, "task": task, "reason": reason})


def check(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Raises ValueError unless a contender computes what the others do, as far as the first few thousand numbers say.

    Two percent of their norm are left for bfloat16 and for forms that differ.
    """
    for one, other in zip(expected, results, strict=True):
        one, other = (t.detach().reshape(-1)[:4096].float() for t in (one, other))
        deviation = ((one - other).norm() / one.norm()).item()
        if not deviation < 0.02:
            raise ValueError(f"its results are not those of actlib: they deviate by {deviation:.1%}")


def restore(spoilt: Sets, good: Sets) -> None:
    """Writes the numbers of the one sets into the other."""
    for (xs, _), (ys, _) in zip(spoilt, good, strict=True):
        for x, y in zip(xs, ys, strict=True):
            x.data.copy_(y)  # so that autograd, which would refuse to go back, does not see it


if __name__ == "__main__":
    main()
