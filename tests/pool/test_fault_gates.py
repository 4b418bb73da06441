"""{ok, error, slow, never} for each of connect, check, ping, reset, close: all 1024 combinations.

The pure build's run takes every third of them, in which each behaviour still meets each other.

Strategy: in virtual time, callers come and go, some of them cancelled, some asking for a second
connection while they hold one, and each operation behaves as the combination says. Waiters may have
a burst, and the pool is paused for a while. Every call ends by its deadline, whatever happens
underneath; then either everything heals, and the pool must serve again and lose nothing, or the
pool is closed as it is, and must end in time, with no task left. Slow operations pass a quarter of
a second after they have begun.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from cenote.errors import ConnectFailed, NestedAcquire, PoolClosed, PoolTimeout
from tests.pool.async_world import World
from tests.pool.doubles import Behaviour, GatedConnector
from tests.pool.virtual_time import VirtualLoop
from tests.thorough import THOROUGH

pytestmark = pytest.mark.proof

TIMEOUT = 2.0  # of each caller
STEP = 0.25
PAUSE, RESUME = 5, 8  # steps
GRACE = 0.2  # that what hangs has to end when close cancels it

Combination = dict[str, Behaviour]
each_connect = pytest.mark.parametrize("connect", Behaviour, ids=lambda one: f"connect {one.value}")
each_close = pytest.mark.parametrize("close", Behaviour, ids=lambda one: f"close {one.value}")


def combinations(connect: Behaviour, close: Behaviour) -> list[Combination]:
    every = [
        {"connect": connect, "close": close, "check": check, "ping": ping, "reset": reset}
        for check, ping, reset in itertools.product(Behaviour, repeat=3)
    ]
    return every if THOROUGH else every[::3]


def world_of(combination: Combination) -> World:
    world = World(
        GatedConnector(clean=False, **combination),
        max_size=2,
        burst=1,
        burst_after=0.3,
        nested="error",
        timeout=TIMEOUT,
        connect_timeout=0.6,
        backoff_base=0.05,
        backoff_cap=0.4,
        check_after=0.1,
        keepalive=0.7,
    )
    world._watching = False  # it would keep the loop too busy for time to pass
    return world


class Caller:
    """Comes for a connection, holds it for a while, and may be cancelled at some time.

    A greedy one tries to have another at the same time.
    """

    def __init__(
        self, world: World, name: str, cancel_after: float | None, *, greedy: bool
    ) -> None:
        self._world = world
        self._name = name
        self._greedy = greedy
        self.cancelled = False
        self.task = asyncio.create_task(self._call())
        if cancel_after is not None:
            asyncio.get_running_loop().call_later(cancel_after, self._cancel)

    def _cancel(self) -> None:
        self.cancelled = self.task.cancel()

    async def _call(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._world.pool.connection() as resource:
                assert loop.time() <= began + TIMEOUT
                resource.hold(self._name)
                try:
                    await asyncio.sleep(0.1)
                    if self._greedy:
                        await self._want_more()
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError:
                    resource.tainted = True
                    raise
                finally:
                    resource.let_go()
        except (PoolTimeout, ConnectFailed, PoolClosed):
            assert loop.time() <= began + TIMEOUT + 1e-6

    async def _want_more(self) -> None:
        try:
            async with self._world.pool.connection(0.05) as resource:
                resource.hold(f"{self._name}, once more")
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    resource.tainted = True
                    raise
                finally:
                    resource.let_go()
        except (PoolTimeout, ConnectFailed, PoolClosed, NestedAcquire):
            return

    async def ended(self) -> None:
        await asyncio.wait([self.task])
        assert self.task.cancelled() == self.cancelled
        if not self.cancelled:
            await self.task


async def trouble(world: World) -> list[Caller]:
    """Let callers come for four seconds while everything behaves as it was told."""
    callers = []
    for step in range(16):
        if step % 2 == 0:
            cancel_after = (None, 0.0, 0.1, 0.45)[step // 2 % 4]
            greedy = step // 2 % 3 != 0
            callers.append(Caller(world, f"caller {step}", cancel_after, greedy=greedy))
        if step == PAUSE:
            world.pool.pause()
            assert world.pool.try_acquire() is None
        elif step == RESUME:
            world.pool.resume()
        await asyncio.sleep(STEP)
        for gate in world.connector.gates.values():
            gate.open_all()
        world.check()
    return callers


async def heal_and_serve(combination: Combination) -> None:
    world = world_of(combination)
    callers = await trouble(world)
    for operation in world.connector.behaviour:
        world.connector.behaviour[operation] = Behaviour.OK
    for gate in world.connector.gates.values():
        gate.open_all()
    await asyncio.sleep(2.0)  # what hangs is given up meanwhile
    for caller in callers:
        await caller.ended()
    await asyncio.gather(*(world.use(f"after {number}") for number in range(4)))
    await asyncio.sleep(0.05)
    await world.end()


async def close_as_it_is(combination: Combination) -> None:
    world = world_of(combination)
    callers = await trouble(world)
    began = asyncio.get_running_loop().time()
    report = await world.pool.close(timeout=0.4)
    assert asyncio.get_running_loop().time() <= began + 0.4 + GRACE
    assert report.abandoned == 0, f"{report}: no caller holds a connection for so long"
    assert world.pool._actor.idle
    for caller in callers:
        await caller.ended()
    assert all(resource.closes == 1 for resource in world.connector.resources)
    ours = {asyncio.current_task()}
    assert asyncio.all_tasks() == ours, "the pool has left tasks behind"


@each_connect
@each_close
def test_every_call_ends_and_the_pool_heals(connect: Behaviour, close: Behaviour) -> None:
    for combination in combinations(connect, close):
        run(heal_and_serve, combination)


@each_connect
@each_close
def test_a_pool_in_trouble_closes_in_time(connect: Behaviour, close: Behaviour) -> None:
    for combination in combinations(connect, close):
        run(close_as_it_is, combination)


def run(scenario, combination: Combination) -> None:
    reported: list[dict] = []
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
            runner.run(scenario(combination))
        assert not reported, f"the loop was told of {reported}"
    except BaseException as error:
        error.add_note(", ".join(f"{name}: {how.value}" for name, how in combination.items()))
        raise
