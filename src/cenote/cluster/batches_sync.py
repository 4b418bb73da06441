# Generated from src/cenote/cluster/batches_aio.py by tools/unasync.py; do not edit.
"""Batches of requests of which some go to replicas: to one of them, or to all.

Strategy: servers are asked at the same time, as ever, in the one order of leases. What is read is
asked in rounds: whoever has failed is followed by the next replica. A write is carried to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from cenote.cluster.member_sync import Member
from cenote.cluster.replicas import Kind, kind_of, try_until
from cenote.cluster.replicated_sync import send
from cenote.errors import CenoteError
from cenote.protocol import Reply, Request
from cenote.runtime.sync import monotonic, unbroken


def send_batch(asked: Sequence[tuple[Member, Request]], deadline: float) -> list[Reply]:
    """Send requests about many keys, some of them to replicas; return the replies in order."""
    if all(kind_of(request) is Kind.READ for _, request in asked):
        return _read_batch(asked, deadline)
    return unbroken(_write_batch(asked, deadline))


def _read_batch(asked: Sequence[tuple[Member, Request]], deadline: float) -> list[Reply]:
    """Ask whoever is to be read from, and those that are next where one fails, in rounds."""
    readers = [member.replicas.readers() if member.replicas else [member] for member, _ in asked]
    replies: list[Reply] = [None] * len(asked)
    pending = list(range(len(asked)))
    while pending:
        numbers = [number for number in pending if len(readers[number]) > 1] or pending
        most = max(len(readers[number]) for number in numbers)
        until = deadline if most == 1 else try_until(monotonic(), deadline, most)
        said = send([(readers[number][0], asked[number][1]) for number in numbers], until)
        for number in numbers:
            (member, request), reply = asked[number], said[readers[number][0]]
            replies[number] = reply
            if len(readers[number]) > 1 and _may_try_next(member, request, reply):
                readers[number].pop(0)
            else:
                pending.remove(number)
    for number, (member, request) in enumerate(asked):
        reply = replies[number]
        if member.replicas and not isinstance(reply, CenoteError):
            replies[number] = member.replicas.second_opinion(
                request, deadline, reply, readers[number][0]
            )
    return replies


def _may_try_next(member: Member, request: Request, reply: Reply) -> bool:
    if member.replicas is None or not isinstance(reply, CenoteError):
        return False
    return member.replicas.may_try_next(request, reply)


def _write_batch(asked: Sequence[tuple[Member, Request]], deadline: float) -> list[Reply]:
    """Have all replicas of all sets take what they are to take, at the same time."""
    sets = [member.replicas.in_service() if member.replicas else [member] for member, _ in asked]
    flat = [(each, work[1]) for work, members in zip(asked, sets, strict=True) for each in members]
    try:
        said = send(flat, deadline)
    except BaseException:
        for (member, _), members in zip(asked, sets, strict=True):
            if member.replicas:
                member.replicas.distrust(members)
        raise
    return [
        member.replicas.judge({each: said[each] for each in members})
        if member.replicas
        else said[member]
        for (member, _), members in zip(asked, sets, strict=True)
    ]
