"""Asking for credentials from an event loop; a caller limits the time by a cancel.

Strategy: a coroutine function is awaited. A plain function may wait for a vault, so it is called in
a thread of the loop's own; one that hangs is left behind.
"""

from __future__ import annotations

import asyncio
from inspect import isawaitable

from cenote.connection.credentials import (
    AnyCredentials,
    Credentials,
    checked,
    is_coroutine_source,
)


async def ask(credentials: AnyCredentials | None) -> Credentials | None:
    """Return the credentials of the moment.

    Raises:
        ConfigurationError: What was asked returned something else.
        Exception: What the callable raised, as it is.
    """
    if credentials is None or isinstance(credentials, Credentials):
        return credentials
    if is_coroutine_source(credentials):
        return checked(await credentials())
    answer = await asyncio.to_thread(credentials)
    return checked(await answer if isawaitable(answer) else answer)
