"""Errors in one line: the library's own words, or those of what lies beneath a failed connect."""

from __future__ import annotations

import pytest

from cenote.cli.failures import one_line
from cenote.errors import ConnectFailed, InvalidKey


def failed_with(cause: BaseException | None) -> ConnectFailed:
    error = ConnectFailed("the pool is down, it is probed until it recovers")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InvalidKey("the key is empty"), "the key is empty"),
        (InvalidKey(), "InvalidKey"),
        (InvalidKey("first line\n  second line"), "first line second line"),
        (ConnectionRefusedError(111, "can not connect to a:1"), "can not connect to a:1"),
        (OSError("no number"), "no number"),
        (failed_with(None), "the pool is down, it is probed until it recovers"),
        (failed_with(ConnectionRefusedError(111, "refused")), "refused"),
        (failed_with(failed_with(TimeoutError("too slow"))), "too slow"),
    ],
)
def test_an_error_is_one_line(error: Exception, says: str) -> None:
    assert one_line(error) == says
