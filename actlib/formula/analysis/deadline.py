"""How long a question may take: it ends by itself, whatever SymPy is about.

A second thread raises an exception in the one that works, once its time is up. Where there are no threads, as in the
browser, the loops of this package look at the clock themselves, and the page ends what goes on for too long.
"""

import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actlib.formula.analysis.refusals import ArgumentError, NoMethodError, NotDecidedError, RefusedError

__all__ = ["SECONDS", "check", "limit", "timed"]

SECONDS = 20
"""What every question may take."""

LONGEST_WORDS = 200
"""Of what another library says."""

_state = threading.local()


class _TimeUpError(BaseException):
    """Raised from outside at any point; no Exception, so that nobody takes it for one of the formula's."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Ends what takes longer.

    Raises:
        NotDecidedError: It took longer.
    """
    end = time.monotonic() + seconds
    outer = getattr(_state, "end", None)
    if outer is not None and outer <= end:
        yield
        return
    before = outer, getattr(_state, "up", None)
    up = type("_TimeUpError", (_TimeUpError,), {})
    _state.end, _state.up = end, up
    alarm = _Alarm(seconds, up)
    try:
        try:
            yield
        finally:
            alarm.cancel()
            _state.end, _state.up = before
    except up:
        _state.end, _state.up = before
        raise NotDecidedError(f"not decided within {seconds:.2g} s") from None


class _Alarm:
    """Raises an exception in the thread that made it, after some time; again and again, should anyone swallow it."""

    AGAIN = 0.2

    def __init__(self, seconds: float, kind: type):
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.fired = False
        try:
            import ctypes

            self.thread = ctypes.c_ulong(threading.get_ident())
            self.pending = ctypes.pythonapi.PyThreadState_SetAsyncExc
            self.object = ctypes.py_object(kind)
            threading.Thread(target=self.wait, args=(seconds,), daemon=True).start()
        except (ImportError, RuntimeError):  # nor has it threads
            self.over.set()

    def wait(self, seconds: float) -> None:
        while not self.over.wait(seconds):
            with self.lock:
                if not self.over.is_set():
                    self.fired = True
                    if not isinstance(sys.unraisablehook, _Unraisable):
                        sys.unraisablehook = _Unraisable(sys.unraisablehook)
                    self.pending(self.thread, self.object)
            seconds = self.AGAIN

    def cancel(self) -> None:
        self.over.set()
        with self.lock:
            if self.fired:  # not yet delivered, perhaps: it must not go off outside
                self.pending(self.thread, None)


class _Unraisable:
    """Keeps still about an alarm that went off where Python drops what is raised, and prints it.

    So it does in `__del__`, and in what is called when garbage is collected or a weak reference dies. Of whatever else
    is dropped, the hook that was there is told.
    """

    def __init__(self, other: Callable):
        self.other = other

    def __call__(self, unraisable) -> None:
        if not issubclass(unraisable.exc_type, _TimeUpError):
            self.other(unraisable)


def check() -> None:
    """Looks at the clock, for loops that may go on."""
    end = getattr(_state, "end", None)
    if end is not None and time.monotonic() > end:
        raise _state.up


def timed(question: Callable) -> Callable:
    """A question that takes no longer than `SECONDS`; questions that it asks count as its own.

    Whatever breaks on the way to its answer, here or in SymPy, is a refusal: only what is wrong with its arguments is
    an error of another kind.
    """
    signature = inspect.signature(question)

    @functools.wraps(question)
    def asked(*args, **kwargs):
        signature.bind(*args, **kwargs)
        try:
            with limit(SECONDS):
                return question(*args, **kwargs)
        except (RefusedError, ArgumentError):
            raise
        except Exception as error:
            raise NoMethodError(f"no method: on the way to the answer, {_what_broke(error)}") from error

    return asked


def _what_broke(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the formula was nested too deep"
    if isinstance(error, (MemoryError, OverflowError)):
        return "a number became too large"
    return f"a step failed ({str(error)[:LONGEST_WORDS] or type(error).__name__})"
