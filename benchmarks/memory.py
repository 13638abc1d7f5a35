"""Memory: what is kept from forward until backward, and the peak of both."""

import gc
import pathlib
import re
import statistics
from collections.abc import Callable

import torch

from benchmarks import pages
from benchmarks.peers import BOTH, Case, Peer, Sets

REPEATS = 3


def measured(case: Case, peer: Peer, sets: Sets) -> list[dict]:
    """Bytes kept and peak bytes of a function; none for a function that the peer does not have."""
    sets = [(tuple(x.clone() for x in xs), g) for xs, g in sets] if peer.spoils_inputs else sets
    calls = peer.calls(case, BOTH, sets)
    if calls is None:
        return []
    highest = peak(calls[0], case.device)
    return [case.key | {"contender": peer.name} | peer.kept(case, sets[0][0]) | {"peak": highest}]


def peak(task: Callable[[], object], device: torch.device) -> int | None:
    """Most bytes that stand at once during a call, beyond those before it; None where that cannot be told.

    On a GPU, those of torch's allocator. On a CPU, pages of the process, whichever thread or library asks for them: the
    system counts them to about 0.2 MB.
    """
    task()  # what is made once is not counted
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        task()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if pages.FRESH not in pages.available():
        return None
    return statistics.median_low(peak_pages(task) for _ in range(REPEATS))


def peak_pages(task: Callable[[], object]) -> int:
    """By how much the process grows at most."""
    process = pathlib.Path("/proc/self")
    # Freed memory must go back to the system, or what takes its place is not seen. This slows later allocations: times
    # are measured before.
    pages.choose(pages.FRESH)
    gc.collect()
    pages.give_back()
    (process / "clear_refs").write_text("5", encoding="ascii")  # sets the highest mark to what stands now
    before = resident("VmRSS")
    task()
    return resident("VmHWM") - before


def resident(mark: str) -> int:
    """Bytes of the process in memory: now ("VmRSS") or at most ("VmHWM")."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{mark}:\s+(\d+) kB", status)[1]) << 10
