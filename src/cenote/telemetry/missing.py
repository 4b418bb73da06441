"""What an exporter says when the library it needs is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Name the extra to be installed if an import in the block finds no library.

    Raises:
        ImportError: A library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "cenote":
            raise
        message = f"{error.name} is not installed: pip install 'cenote[{extra}]'"
        raise ImportError(message, name=error.name) from error
