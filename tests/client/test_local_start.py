"""The private server of ``local://`` is started beside an event loop, not on it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cenote.client.aio import AsyncClient
from cenote.cluster.server import LocalAddress
from cenote.errors import OperationTimeout


async def test_while_it_starts_other_tasks_go_on_and_the_timeout_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_start = threading.Event()
    monkeypatch.setattr(LocalAddress, "start", lambda self: may_start.wait(10))
    client = AsyncClient("local://", timeout=0.1)
    try:
        call = asyncio.ensure_future(client.get("k"))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not call.done()
        with pytest.raises(OperationTimeout, match="not started"):
            await call
    finally:
        may_start.set()
        await client.close()
