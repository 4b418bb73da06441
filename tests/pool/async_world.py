"""An asyncio pool, its connector, and actors: what scenarios of the asyncio driver are made of.

Strategy: actors do no more than hold a connection for some turns of the loop, and state who holds
what, so that the doubles can object. While a world exists the invariants are asserted once a turn.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cenote.pool.aio import AsyncPool
from tests.pool.doubles import GatedConnector, Resource
from tests.pool.invariants import Ledger, assert_at_rest, assert_ended, assert_sound
from tests.pool.virtual_time import ManualClock, VirtualLoop

_PATIENCE = 300  # turns of the loop


class World:
    """One pool under proof.

    Args:
        connector: Under the test's control; by default one that always succeeds at once.
        options: The pool's; nothing happens by the mere passing of time unless asked for.
    """

    def __init__(self, connector: GatedConnector | None = None, **options: Any) -> None:
        self.connector = GatedConnector() if connector is None else connector
        quiet: dict[str, Any] = {"max_idle": None, "max_lifetime": None, "timeout": 60.0}
        quiet["clock"] = _clock()
        self.pool: AsyncPool[Resource] = AsyncPool(self.connector, **(quiet | options))
        self.core = self.pool._core
        self.ledger = Ledger(self.core.max_size)
        self.ledger.resources = self.connector.resources
        self.lost = 0  # leases that the scenario drops on purpose
        self.broken: list[BaseException] = []
        self._watching = True
        self._watch()

    def _watch(self) -> None:
        """Assert the invariants at each turn; what fails is raised by ``rest``."""
        if not self._watching:
            return
        try:
            self.check()
        except AssertionError as error:
            self.broken.append(error)
            return
        asyncio.get_running_loop().call_soon(self._watch)

    def check(self) -> None:
        """Assert the invariants now; a resource counts from when the pool has heard of it."""
        self.ledger.resources = self.connector.resources[: self.core.roster.created]
        assert_sound(self.core, self.ledger, self.pool.clock())

    async def use(self, name: str, turns: int = 2, timeout: float | None = None) -> Resource:
        """Hold a connection for some turns; return it."""
        async with self.pool.connection(timeout) as resource:
            resource.hold(name)
            try:
                await pass_turns(turns)
            except BaseException:
                resource.tainted = True
                raise
            finally:
                resource.let_go()
        return resource

    async def rest(self) -> None:
        """Let everything slow through, and wait until nothing is under way; nothing may be lost."""
        for _ in range(_PATIENCE):
            for gate in self.connector.gates.values():
                gate.open_all()
            if self._at_rest():
                break
            await asyncio.sleep(0)
        if self.broken:
            raise self.broken[0]
        self.check()
        assert_at_rest(self.core, self.ledger)

    def _at_rest(self) -> bool:
        core = self.core
        return core.size == len(core.stack.idle) and not core.waiters and self.pool._actor.idle

    async def end(self) -> None:
        """Close the pool: everything is closed once, nothing runs on."""
        self._watching = False
        if not self.pool._is_closed():
            await self.rest()
        await self.pool.close()
        self.assert_ended()

    def assert_ended(self) -> None:
        """Assert that the closed pool has let go of everything, and does nothing any more."""
        self.ledger.resources = self.connector.resources
        assert_ended(self.core, self.ledger)
        assert self.core.roster.lost == self.lost, "a finalizer had to save a connection"
        assert self.pool._actor.idle
        assert self.pool._actor._timer is None


def _clock() -> ManualClock:
    """Return the time of a virtual loop; in a real loop a pool's time stands still."""
    loop = asyncio.get_running_loop()
    return loop.clock if isinstance(loop, VirtualLoop) else ManualClock()


async def pass_turns(turns: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(turns):
        await asyncio.sleep(0)
