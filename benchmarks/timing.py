"""Times of several contenders, which take turns."""

import gc
import itertools
import math
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmarks import pages
from benchmarks.peers import Calls, Sets

BURST = 2e-3
"""For how many seconds a contender is called before the next takes its turn."""
ENOUGH, FEWEST = 1.0, 5
"""After so many seconds no further round begins, if there were so many rounds; so that slow cases do not take hours."""
AT_MOST = 1 << 28
"""Bytes that all sets of inputs together may take, unless one alone takes more."""

MOST_SETS = 16
DISTURBED = 0.02
"""Share of the time that threads may wait for a processor before a turn is taken again."""


def interleaved(
    tasks: dict[str, Calls],
    rounds: int,
    device: torch.device,
    refresh: dict[str, Callable[[], object]] | None = None,
    patience: float = 0,
) -> dict[str, list[float]]:
    """Seconds a call of each task, in each round; the order is reversed from round to round.

    Args:
        tasks: For each contender the calls, one for each set of inputs; they are called in turn.
        rounds: How often each contender has its turn, at most.
        device: Where the work is done.
        refresh: For a contender that spoils its inputs, what makes them good again, outside of what is timed.
        patience: For so many seconds in all, turns are taken again in which threads had to wait for a processor; of
            those of a contender in a round the one counts in which they waited least.
    """
    times = {name: [] for name in tasks}
    for turn in turns(tasks, rounds, device, refresh, patience):
        times[turn.contender].append(turn.seconds)
    return times


@dataclass(frozen=True)
class Turn:
    """What a turn of a contender has shown.

    Attributes:
        contender: Its name.
        seconds: Mean time of a call.
        faults: Mean number of page faults of a call; None where the system does not tell.
        waited: For what share of the time a thread of the process had work, but no processor, the threads' shares added
            up; None where the system does not tell.
    """

    contender: str
    seconds: float
    faults: float | None
    waited: float | None


def turns(
    tasks: dict[str, Calls],
    rounds: int,
    device: torch.device,
    refresh: dict[str, Callable[[], object]] | None = None,
    patience: float = 0,
    fewest: int = FEWEST,
    shuffle: Callable[[list[str]], None] | None = None,
) -> Iterator[Turn]:
    """Every turn of every contender, as `interleaved` says.

    Args:
        tasks: As there.
        rounds: As there.
        device: As there.
        refresh: As there.
        patience: As there.
        fewest: After so many rounds, no further one begins if they took long enough.
        shuffle: Puts the names in another order, in place, for every other round; the next reverses it.
    """
    refresh = refresh or {}
    repeats = {}
    for name, calls in tasks.items():
        for call in (calls * 2)[:2]:
            call()
        repeats[name] = fitting(timed(name, (calls * 3)[:3], device).seconds)
    queues = {name: itertools.cycle(calls) for name, calls in tasks.items()}
    order = list(tasks)
    begun = time.perf_counter()
    with without_collector():
        for number in range(rounds):
            if number >= fewest and time.perf_counter() - begun > ENOUGH:
                break
            if shuffle and number % 2 == 0:
                shuffle(order)
            for name in order[:: -1 if number % 2 else 1]:
                if name in refresh:
                    refresh[name]()
                turn = timed(name, list(itertools.islice(queues[name], repeats[name] + 1)), device)
                while patience > 0 and (turn.waited or 0) > DISTURBED:
                    since = time.perf_counter()
                    if name in refresh:
                        refresh[name]()
                    again = timed(name, list(itertools.islice(queues[name], repeats[name] + 1)), device)
                    turn = min(turn, again, key=lambda t: math.inf if t.waited is None else t.waited)
                    patience -= time.perf_counter() - since
                repeats[name] = fitting(turn.seconds)
                yield turn


def fitting(one: float) -> int:
    """How many calls fit into a burst, by the seconds that one takes."""
    return max(1, min(10_000, int(BURST / max(one, 1e-7))))


def timed(contender: str, calls: Calls, device: torch.device) -> Turn:
    """A turn: the calls, one after the other; the first does not count."""
    # On a CPU, threads of the contender before go to sleep during the first. A GPU is busy with it while the next calls
    # are queued: what is measured is the time of the GPU where a call takes it longer than Python, and that of Python
    # where it does not.
    first, *calls = calls
    first()
    before = waiting(), pages.faults()
    seconds = seconds_of(calls, device)
    faults, waited = pages.faults(), waiting()
    if before[1] is not None:
        faults = (faults - before[1]) / len(calls)
    waited = None if None in (before[0], waited) else (waited - before[0]) / len(calls) / max(seconds, 1e-9)
    return Turn(contender, seconds, faults, waited)


def waiting() -> float | None:
    """For how many seconds threads of this process have had work but no processor; None where that is not told."""
    try:
        threads = list(pathlib.Path("/proc/self/task").iterdir())
        return sum(int((thread / "schedstat").read_text(encoding="ascii").split()[1]) for thread in threads) / 1e9
    except (OSError, IndexError):  # another system; one that does not count it; a thread that has just ended
        return None


def seconds_of(calls: Calls, device: torch.device) -> float:
    """Mean time of the calls."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for call in calls:
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / len(calls)
    start = time.perf_counter()
    for call in calls:
        call()
    return (time.perf_counter() - start) / len(calls)


@contextmanager
def without_collector() -> Iterator[None]:
    """Keeps Python's collector from stopping a contender in its turn."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def input_sets(inputs: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Sets:
    """So many sets of inputs that those of a call have left the cache before their turn comes again.

    All hold the same numbers. Several times the size of the cache, since what is computed passes through it too; small
    sizes, where it is the call that takes the time, stay in the cache.
    """
    size = (inputs + 1) * math.prod(shape) * dtype.itemsize
    count = max(1, min(math.ceil(4 * cache_size(device) / size), AT_MOST // size, MOST_SETS))
    first = [torch.randn(shape, device=device).to(dtype) for _ in range(inputs + 1)]
    sets = [first] + [[t.clone() for t in first] for _ in range(count - 1)]
    return [(tuple(xs), g) for *xs, g in sets]


def cache_size(device: torch.device) -> int:
    """Bytes of the last level of cache; an average machine's where that is not told."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    told = []
    for file in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        number, unit = re.fullmatch(r"(\d+)([KMG]?)", file.read_text(encoding="utf-8").strip()).groups()
        told.append(int(number) << {"": 0, "K": 10, "M": 20, "G": 30}[unit])
    return max(told, default=32 << 20)
