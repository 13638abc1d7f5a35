"""Times of several contenders, which take turns."""

import gc
import itertools
import math
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.peers import Calls, Sets

BURST = 2e-3
"""For how many seconds a contender is called before the next takes its turn."""
ENOUGH, FEWEST = 1.0, 5
"""After so many seconds no further round begins, if there were so many rounds; so that slow cases do not take hours."""
AT_MOST = 1 << 28
"""Bytes that all sets of inputs together may take, unless one alone takes more."""

MOST_SETS = 16


def interleaved(
    tasks: dict[str, Calls],
    rounds: int,
    device: torch.device,
    refresh: dict[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Seconds a call of each task, in each round; the order is reversed from round to round.

    Args:
        tasks: For each contender the calls, one for each set of inputs; they are called in turn.
        rounds: How often each contender has its turn, at most.
        device: Where the work is done.
        refresh: For a contender that spoils its inputs, what makes them good again, outside of what is timed.
    """
    refresh = refresh or {}
    repeats = {}
    for name, calls in tasks.items():
        for call in (calls * 2)[:2]:
            call()
        repeats[name] = fitting(seconds((calls * 3)[:3], device))
    queues = {name: itertools.cycle(calls) for name, calls in tasks.items()}
    times = {name: [] for name in tasks}
    begun = time.perf_counter()
    with without_collector():
        for turn in range(rounds):
            if turn >= FEWEST and time.perf_counter() - begun > ENOUGH:
                break
            for name in list(tasks)[:: -1 if turn % 2 else 1]:
                if name in refresh:
                    refresh[name]()
                turns = list(itertools.islice(queues[name], repeats[name] + 1))
                times[name].append(seconds(turns, device))
                repeats[name] = fitting(times[name][-1])
    return times


def fitting(one: float) -> int:
    """How many calls fit into a burst, by the seconds that one takes."""
    return max(1, min(10_000, int(BURST / max(one, 1e-7))))


def seconds(calls: Calls, device: torch.device) -> float:
    """Mean time of the calls, one after the other; the first does not count."""
    # On a CPU, threads of the contender before go to sleep during the first. A GPU is busy with it while the next calls
    # are queued: what is measured is the time of the GPU where a call takes it longer than Python, and that of Python
    # where it does not.
    first, *calls = calls
    first()
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
