"""An error, put as one line for a person at a terminal."""

from __future__ import annotations

from cenote.errors import ConnectFailed, ConnectRejected


def one_line(error: BaseException) -> str:
    """Return what an error says; of a failed connect, what the connecting itself died of.

    A pool says how often it has tried and what it will do next: a command that ends now has no use
    for that.
    """
    said = isinstance(error, ConnectRejected)  # what is wrong, and what to change
    if isinstance(error, ConnectFailed) and error.__cause__ is not None and not said:
        return one_line(error.__cause__)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
