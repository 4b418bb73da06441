"""What contenders are made to do: one module a kind of work, the same loop for all of them.

A workload module has ``prepare(factory, place)``, which sets a contender up and returns
``run(column, seconds)``: one slice of work, measured, as a dict of figures (``rate``, ``ns``, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Group:
    """A table of the report: a workload, its columns, and where client and server run.

    ``server``: "pinned" is a memcached of one thread on the same core as the client, which takes
    the wake-up across cores out of the figures; "free" runs wherever the kernel likes; "crowded"
    also takes thousands of connections; "secured" is "pinned" with TLS, and without it on the
    second of its addresses. Slices are as short as they can be and rounds many, so that
    what is compared was measured within a second or two.

    ``servers``: how many addresses it listens on, each a server to its clients. That it is one
    process takes out of the figures what four processes cost that share a core.
    """

    name: str
    title: str
    workload: str
    columns: tuple[str, ...]
    slice_seconds: float
    rounds: int
    figure: str = "rate"
    server: Literal["pinned", "free", "crowded", "secured"] | None = None
    servers: int = 1
    connections: int = 1
    pinned: bool = False

    def load(self) -> ModuleType:
        return import_module(f"bench.workloads.{self.workload}")


GROUPS = (
    Group(
        name="single",
        title="One connection, one thread, server on the same core, operations or keys per second",
        workload="single",
        columns=("set", "get", "get 4 KB", "get_multi 100", "set_multi 100"),
        slice_seconds=0.12,
        rounds=25,
        server="pinned",
        pinned=True,
    ),
    Group(
        name="tls",
        title="The same over TLS 1.3, and plain beside it",
        workload="single",
        columns=("set", "get", "get 4 KB", "get_multi 100", "set_multi 100"),
        slice_seconds=0.12,
        rounds=25,
        server="secured",
        servers=2,
        pinned=True,
    ),
    Group(
        name="threads 8 on 8",
        title="8 threads sharing 8 connections, gets per second and the longest of them",
        workload="threads",
        columns=("8 threads",),
        slice_seconds=1.0,
        rounds=9,
        server="free",
        connections=8,
    ),
    Group(
        name="threads 32 on 8",
        title="32 threads sharing 8 connections, gets per second and the longest of them",
        workload="threads",
        columns=("32 threads",),
        slice_seconds=1.0,
        rounds=9,
        server="free",
        connections=8,
    ),
    Group(
        name="tasks",
        title="asyncio: tasks sharing one client, 10,000 keys, operations per second",
        workload="tasks",
        columns=(
            "1 task, get",
            "32 tasks, 90/10",
            "256 tasks, 90/10",
            "256 tasks, get",
            "256 tasks, set",
        ),
        slice_seconds=0.5,
        rounds=7,
        server="free",
        connections=8,
    ),
    Group(
        name="waits",
        title="asyncio: what one operation of a hundred waits at least, milliseconds",
        workload="waits",
        columns=("256 tasks, 90/10", "32 tasks, get beside 1 MB"),
        figure="p99_ms",
        slice_seconds=0.5,
        rounds=7,
        server="free",
        connections=8,
    ),
    Group(
        name="checkout",
        title="Taking an idle resource and giving it back, one thread, nanoseconds",
        workload="checkout",
        columns=("cycle",),
        figure="ns",
        slice_seconds=0.05,
        rounds=25,
        pinned=True,
    ),
    Group(
        name="database",
        title="Taking and giving back a connection of SQLite, one thread, nanoseconds",
        workload="checkout",
        columns=("cycle",),
        figure="ns",
        slice_seconds=0.05,
        rounds=25,
        pinned=True,
    ),
    Group(
        name="http",
        title="One thread, small GETs of one HTTP server on a kept connection, per second",
        workload="http",
        columns=("get",),
        slice_seconds=0.3,
        rounds=15,
    ),
    Group(
        name="async checkout",
        title="The same in asyncio, one task, nanoseconds",
        workload="async_checkout",
        columns=("cycle",),
        figure="ns",
        slice_seconds=0.05,
        rounds=25,
        pinned=True,
    ),
    Group(
        name="fairness",
        title="8 workers on 4 resources, each held 0.5 ms: cycles per second and the longest wait",
        workload="fairness",
        columns=("8 workers",),
        slice_seconds=1.2,
        rounds=5,
    ),
    Group(
        name="placement",
        title="Finding the server of a key among 10, nanoseconds",
        workload="placement",
        columns=("10 servers",),
        figure="ns",
        slice_seconds=0.05,
        rounds=15,
        pinned=True,
    ),
    Group(
        name="four servers",
        title="One thread, 4 servers (one process) on the same core, operations or keys per second",
        workload="single",
        columns=("get", "get_multi 100", "set_multi 100"),
        slice_seconds=0.12,
        rounds=25,
        server="pinned",
        servers=4,
        pinned=True,
    ),
    Group(
        name="four servers, tasks",
        title="asyncio: tasks sharing one client of 4 servers, operations per second",
        workload="tasks",
        columns=("256 tasks, get",),
        slice_seconds=0.5,
        rounds=7,
        server="free",
        servers=4,
        connections=8,
    ),
    Group(
        name="dead server",
        title="One thread, 4 servers (one process) of which one is dead: gets of the others' keys",
        workload="dead_server",
        columns=("get", "get_multi 100"),
        slice_seconds=0.12,
        rounds=25,
        server="pinned",
        servers=4,
        pinned=True,
    ),
    Group(
        name="watched",
        title="A client that is watched, one thread, server on the same core, gets per second",
        workload="single",
        columns=("get",),
        slice_seconds=0.12,
        rounds=25,
        server="pinned",
        pinned=True,
    ),
    Group(
        name="memory",
        title="Client-side memory of idle connections, bytes each",
        workload="memory",
        columns=("idle connections",),
        figure="bytes",
        slice_seconds=0,
        rounds=3,
        server="crowded",
    ),
)


def group_named(name: str) -> Group:
    return next(group for group in GROUPS if group.name == name)
