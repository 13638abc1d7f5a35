"""Where the memory of results comes from: pages that the process has kept, or fresh ones of the system.

A page that the system hands out must be cleared and mapped when it is first written to, a page fault, and that takes
several times as long as to write it once more. Training reuses memory: after a step or two all that the next one asks
for has been freed before, and GPUs have an allocator of torch's own that keeps it. The C library of most Linux systems,
glibc, gives pieces of more than 32 MiB back to the system as soon as they are freed.
"""

import ctypes
import functools
import os
from collections.abc import Callable

import torch

REUSED, FRESH, DEFAULT = MODES = ("reused", "fresh", "default")
"""Freed memory is kept for what comes; what is not small comes from the system, each time; as the system does it."""
FRESH_FROM = 1 << 16
"""Bytes from which a piece of memory is fresh, where it is to be."""
MOST_PIECES = 1 << 14
"""Pieces that the heap may hold: 1 GiB."""
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8  # of glibc's mallopt
SETTINGS = {
    # Nothing is mapped on its own, nothing is given back, and threads, too, take from the one heap that can grow.
    REUSED: {MMAP_MAX: 0, TRIM_THRESHOLD: -1, ARENA_MAX: 1},
    FRESH: {MMAP_MAX: 1 << 16, MMAP_THRESHOLD: FRESH_FROM, TRIM_THRESHOLD: 1 << 17, TOP_PAD: 0},
    DEFAULT: {},
}


def available() -> tuple[str, ...]:
    """The modes that can be chosen here: all with glibc, else the default alone."""
    return MODES if _glibc() else (DEFAULT,)


def choose(mode: str, reserve: int = 1 << 26) -> None:
    """Makes the process get its memory so, from now on; what was chosen before the default stays chosen.

    Call it at the start of a process. Where memory is to be fresh, gaps in the heap that would do are filled for good.

    Args:
        mode: "reused", "fresh" or "default".
        reserve: So many bytes are got at once where memory is to be reused, and kept for what comes. Take several times
            what is needed at a time: glibc leaves gaps between aligned pieces, and would ask for more.

    Raises:
        ValueError: There is no such mode.
        PagesError: It cannot be chosen here.
    """
    if mode not in MODES:
        raise ValueError(f"memory is {', '.join(MODES[:-1])} or {MODES[-1]}, but {mode!r} came")
    if mode not in available():
        raise PagesError(f"{mode} memory needs the C library glibc, which is not here; choose {DEFAULT!r}")
    for parameter, value in SETTINGS[mode].items():
        if _glibc().mallopt(parameter, value) != 1:
            raise PagesError(f"mallopt({parameter}, {value}) failed, so memory would not be {mode}")
    if mode == REUSED:
        block = _glibc().malloc(reserve)
        if not block:
            raise PagesError(f"the system has no {reserve:,} bytes to be kept for reuse")
        ctypes.memset(block, 1, reserve)
        _glibc().free(block)
        probe = lambda: torch.ones(1 << 20)
        if (found := min(faults_of(probe) for _ in range(3))) > 100:
            raise PagesError(f"a tensor still causes {found} page faults: is another allocator preloaded?")
    if mode == FRESH:
        for _ in range(MOST_PIECES):
            if min(faults_of(_touch) for _ in range(2)) >= FRESH_FROM // os.sysconf("SC_PAGESIZE"):
                return
            _glibc().malloc(FRESH_FROM)  # a piece of the heap, which no tensor gets any more
        raise PagesError(f"{FRESH_FROM:,} bytes still come from the heap: is another allocator preloaded?")


def _touch() -> None:
    """Gets a piece of memory that is to be fresh, writes to it and frees it."""
    block = _glibc().malloc(FRESH_FROM)
    ctypes.memset(block, 1, FRESH_FROM)
    _glibc().free(block)


def give_back() -> None:
    """Gives freed memory back to the system, as far as glibc can."""
    _glibc().malloc_trim(0)


class PagesError(RuntimeError):
    """Memory cannot be got as it was asked for."""


def faults() -> int | None:
    """Page faults of the process so far that needed no disk; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def faults_of(call: Callable[[], object]) -> int | None:
    """Page faults during a call."""
    before = faults()
    call()
    return None if before is None else faults() - before


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None) if os.confstr("CS_GNU_LIBC_VERSION") else None
    except (AttributeError, ValueError, OSError):  # no confstr; a C library without that name
        return None
    if library:
        library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        library.free.argtypes = [ctypes.c_void_p]
    return library
