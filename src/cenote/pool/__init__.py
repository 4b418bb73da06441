"""Connection pools for anything that is dear to open: generic, for threads and for asyncio.

Strategy: one pure state machine (``core.py``) decides; thin drivers act (``sync.py``,
``aio.py``). The uncontended path (``fast.py``) is an atomic pop and an append, compiled where
possible. This package imports nothing of cenote but its errors and the implementation switch.
"""

from __future__ import annotations

from cenote.pool.aio import AsyncPool
from cenote.pool.connector import AsyncConnector, Connector, Verdict
from cenote.pool.keyed_aio import AsyncKeyedPool
from cenote.pool.keyed_sync import KeyedPool
from cenote.pool.observer import Observer
from cenote.pool.options import PoolOptions
from cenote.pool.stats import CloseReport, Holder, PoolStats
from cenote.pool.sync import Pool
from cenote.pool.thread_mapped_sync import ThreadMappedPool

__all__ = [
    "AsyncConnector",
    "AsyncKeyedPool",
    "AsyncPool",
    "CloseReport",
    "Connector",
    "Holder",
    "KeyedPool",
    "Observer",
    "Pool",
    "PoolOptions",
    "PoolStats",
    "ThreadMappedPool",
    "Verdict",
]
