"""What contenders are made to do: one module a kind of work, the same loop for all of them.

A workload module has ``prepare(factory, place)``, which sets a contender up and returns
``run(column, seconds)``: one slice of work, measured, as a dict of figures (``rate``, ``ns``, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal


@dataclass(frozen=True)
class Group:
    """A table of the report: a workload, its columns, and where client and server run.

    ``server``: "pinned" is a memcached of one thread on the same core as the client, which takes
    the wake-up across cores out of the figures; "free" runs wherever the kernel likes; "crowded"
    also takes thousands of connections.
    """

    name: str
    title: str
    workload: str
    columns: tuple[str, ...]
    figure: str
    unit: str
    slice_seconds: float
    server: Literal["pinned", "free", "crowded"] | None
    connections: int = 1
    pinned: bool = False
    once: bool = False

    def load(self) -> ModuleType:
        return import_module(f"bench.workloads.{self.workload}")


GROUPS = (
    Group(
        "single",
        "One connection, one thread (client and server on one core), operations or keys per second",
        "single",
        ("set", "get", "get 4 KB", "get_multi 100", "set_multi 100"),
        "rate",
        "/s",
        0.4,
        "pinned",
        pinned=True,
    ),
    Group(
        "threads 8 on 8",
        "8 threads sharing 8 connections, gets per second and the longest of them",
        "threads",
        ("8 threads",),
        "rate",
        "/s",
        1.0,
        "free",
        connections=8,
    ),
    Group(
        "threads 32 on 8",
        "32 threads sharing 8 connections, gets per second and the longest of them",
        "threads",
        ("32 threads",),
        "rate",
        "/s",
        1.0,
        "free",
        connections=8,
    ),
    Group(
        "tasks",
        "asyncio: tasks sharing one client, 10,000 keys, operations per second",
        "tasks",
        (
            "1 task, get",
            "32 tasks, 90/10",
            "256 tasks, 90/10",
            "256 tasks, get",
            "256 tasks, set",
        ),
        "rate",
        "/s",
        0.6,
        "free",
        connections=8,
    ),
    Group(
        "checkout",
        "Taking an idle resource and giving it back, one thread, nanoseconds",
        "checkout",
        ("cycle",),
        "ns",
        "ns",
        0.15,
        None,
        pinned=True,
    ),
    Group(
        "async checkout",
        "The same in asyncio, one task, nanoseconds",
        "async_checkout",
        ("cycle",),
        "ns",
        "ns",
        0.15,
        None,
        pinned=True,
    ),
    Group(
        "fairness",
        "8 workers on 4 resources, each held 0.5 ms: cycles per second and the longest wait",
        "fairness",
        ("8 workers",),
        "rate",
        "/s",
        1.2,
        None,
    ),
    Group(
        "memory",
        "Client-side memory of idle connections, bytes each",
        "memory",
        ("idle connections",),
        "bytes",
        "B",
        0,
        "crowded",
        once=True,
    ),
)


def group_named(name: str) -> Group:
    return next(group for group in GROUPS if group.name == name)
