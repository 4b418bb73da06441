"""Runs a group of workloads: servers, a process a contender, and their slices interleaved.

Strategy: all processes of a group live through the whole group; at any time one of them works and
the others wait for a line on their standard input. A round gives each contender its slice of each
column; every other round goes the other way round, so that nobody is always first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from bench.adapters import Contender, contenders
from bench.workloads import Group
from cenote.testing.memcached import MemcachedServer

# What one slice came to: figures by name, or {"error": "..."}.
Figures = dict[str, Any]
# {column: {contender: [figures of each round]}}
Results = dict[str, dict[str, list[Figures]]]
# The hosts of the servers, their port, and the connections of a shared client.
PlaceOrder = tuple[list[str], int, int]
# Has a worker run a column for some seconds.
Ask = Callable[[str, float], Figures]

PINNED_CPU = max(os.sched_getaffinity(0))
CROWD = 10_000
START_AND_SLICE = 120.0


def run_group(
    group: Group,
    rounds: int,
    scale: float,
    progress: Callable[[str], None],
    only: Callable[[Contender], bool] | None = None,
) -> Results:
    """Run every contender of a group; ``scale`` shortens the slices (and thins out the crowd)."""
    taking_part = [
        contender for contender in contenders(group.name) if only is None or only(contender)
    ]
    results: Results = {column: {c.name: [] for c in taking_part} for column in group.columns}
    with ExitStack() as stack:
        place = stack.enter_context(_server(group, scale))
        workers = [(c.name, stack.enter_context(_worker(c, group, place))) for c in taking_part]
        for number in range(rounds):
            for column in group.columns:
                progress(f"{group.name}: round {number + 1}/{rounds}, {column}")
                for name, ask in workers if number % 2 == 0 else reversed(workers):
                    results[column][name].append(ask(column, group.slice_seconds * scale))
    return results


@contextmanager
def _server(group: Group, scale: float) -> Iterator[PlaceOrder]:
    """Start the server a group asks for; yield what its workers must know of it."""
    if group.server is None:
        yield ([""], 0, group.connections)
        return
    crowded = group.server == "crowded"
    connections = max(100, int(CROWD * min(scale, 1.0))) if crowded else group.connections
    secured = group.server == "secured"
    pinned = secured or group.server == "pinned"
    hosts = [f"127.0.0.{number + 1}" for number in range(group.servers)]
    plain = "notls:" if secured else ""
    with (
        _certificate(hosts[0]) if secured else nullcontext((None, None)) as (certificate, key),
        _pinned(PINNED_CPU) if pinned else nullcontext(),
        MemcachedServer(
            threads=1 if pinned else 4,
            max_connections=max(1024, connections + 100),
            memory=256,
            certificate=certificate,
            key=key,
            options=[option for host in hosts[1:] for option in ("-l", plain + host)],
        ) as server,
    ):
        yield (hosts, server.port, connections)


@contextmanager
def _certificate(host: str) -> Iterator[tuple[Path, Path]]:
    """Make a certificate for ``host``; workers find that of its authority in ``BENCH_CA``."""
    authority = trustme.CA()
    issued = authority.issue_cert(host)
    with TemporaryDirectory() as folder:
        ca, certificate, key = (Path(folder, name) for name in ("ca", "certificate", "key"))
        authority.cert_pem.write_to_path(ca)
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        os.environ["BENCH_CA"] = str(ca)
        yield certificate, key


@contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _worker(contender: Contender, group: Group, place: PlaceOrder) -> Iterator[Ask]:
    order = {
        "group": group.name,
        "module": contender.module,
        "factory": contender.factory,
        "place": place,
        "cpu": PINNED_CPU if group.pinned else None,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.worker", json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | contender.environment,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def ask(column: str, seconds: float) -> Figures:
        if process.poll() is not None:
            return {"error": f"its process ended with status {process.returncode}"}
        print(json.dumps([column, seconds]), file=orders, flush=True)
        answer = answers.readline()
        return json.loads(answer) if answer else {"error": "its process ended"}

    try:
        yield ask
    finally:
        orders.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        answers.close()
