"""Servers that get into trouble, and what a client tells of them: for tests of fail-over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, TypeAlias

from cenote import Server
from cenote.errors import CenoteError
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.client.together_aio import Gate

Trouble: TypeAlias = Literal["killed", "frozen", "cut"]
"""``"killed"``: a server that has lost everything when it is back. ``"frozen"``: it has not, but
nobody is told that it is down. ``"cut"``: it can not be reached, and knows of nothing."""


class Log:
    """What a client has told of its servers.

    Attributes:
        events: ``("down", name)`` and ``("up", name)``, in order.
        down: Set when a server has been told of that is down.
        up: The same, of one that is back.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.down = Gate()
        self.up = Gate()

    def on_node_down(self, name: str, reason: str) -> None:
        assert reason
        self.events.append(("down", name))
        self.down.set()

    def on_node_up(self, name: str) -> None:
        self.events.append(("up", name))
        self.up.set()


class World:
    """Some memcacheds, of which any may get into trouble.

    Args:
        stack: Ends them.
        name: What their names begin with.
        count: How many.
        proxied: Whether each is behind a proxy. Without, they can not be cut off.

    Attributes:
        memcacheds: The servers themselves.
        proxies: What is before each of them, if anything.
        servers: What a client takes, by way of the proxies.
        log: What a client tells of them, that was made with its callbacks.
    """

    def __init__(self, stack: ExitStack, name: str, count: int, *, proxied: bool = True) -> None:
        self.memcacheds = [stack.enter_context(MemcachedServer()) for _ in range(count)]
        urls = [memcached.url for memcached in self.memcacheds]
        self.proxies: list[FaultProxy] = []
        if proxied:
            ends = [memcached.endpoint for memcached in self.memcacheds]
            self.proxies = [stack.enter_context(FaultProxy(end)) for end in ends]
            urls = ["{}:{}".format(*proxy.address) for proxy in self.proxies]
        self.servers = [Server.at(url, name=f"{name}-{n}") for n, url in enumerate(urls)]
        self.log = Log()

    def strike(self, how: Trouble, number: int = 0) -> None:
        """Get a server into trouble."""
        if how == "killed":
            self.memcacheds[number].kill()
        elif how == "frozen":
            self.memcacheds[number].pause()
        else:
            self.proxies[number].refuse()
            self.proxies[number].hang_up()

    def mend(self, how: Trouble, number: int = 0) -> None:
        """Get it out of the trouble it is in."""
        if how == "killed":
            self.memcacheds[number].start()
        elif how == "frozen":
            self.memcacheds[number].resume()
        else:
            self.proxies[number].start()


async def try_to(call: Callable[..., Any], *arguments: Any) -> Any:
    """Make a call; return what it answers, or fails with."""
    try:
        return await call(*arguments)
    except CenoteError as error:
        return error
