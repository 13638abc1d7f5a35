"""Why something is not said: refusals are ValueErrors with words for the reader."""

__all__ = [
    "ArgumentError",
    "InfinitelyManyError",
    "NoMethodError",
    "NotDecidedError",
    "RefusedError",
    "UndecidedSignError",
]


class ArgumentError(ValueError):
    """The question cannot be asked: the words name what is wrong with an argument."""


class RefusedError(ValueError):
    """The question is understood, but there is no proved answer to it."""


class InfinitelyManyError(RefusedError):
    """What is asked for are infinitely many points, and no family of them is known."""


class NoMethodError(RefusedError):
    """No method here decides it."""


class UndecidedSignError(RefusedError):
    """A sign that depends on parameters, or that no precision tells from 0."""


class NotDecidedError(RefusedError):
    """It was not decided in the time given."""
