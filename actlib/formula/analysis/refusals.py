"""Why something is not said: refusals are ValueErrors with words for the reader."""

__all__ = ["ArgumentError", "InfinitelyManyError", "NoMethodError", "NotDecidedError", "RefusedError"]


class ArgumentError(ValueError):
    """The question cannot be asked: the words name what is wrong with an argument."""


class RefusedError(ValueError):
    """The question is understood, but there is no proved answer to it."""


class InfinitelyManyError(RefusedError):
    """What is asked for are infinitely many points, and no family of them is known."""


class NoMethodError(RefusedError):
    """No method here decides it."""


class NotDecidedError(RefusedError):
    """It was not decided in the time given."""
