"""Decisions of ``get_or_compute``: who computes a value, who waits, who is given the old one.

Strategy: of all the threads, tasks and processes that miss a key, one holds the *lease* and
computes; the rest read the value that is being replaced, if there is one, or look again a little
later. The lease lives in the item itself, so the server alone decides who holds it, and a
``delete`` ends it: what its holder stores afterwards is refused by the item's cas.

On meta servers the lease is memcached's own. A miss with ``N`` makes an empty item, a read with
``R`` finds that a value is due; ``W`` in the answer gives one asker the lease, ``Z`` tells the
rest. A value that is being replaced is kept for the time of a lease only, so that the death of the
one who computes is not the end of computing; ``md I`` gives the lease, and the value its time,
back.

On classic servers the lease on a miss is an item with the flag `LEASE`, which every read of this
package takes for a miss, put there by ``add``. A value that may be served stale has a second item,
its *marker*: present while the value is fresh, or while somebody who has added it computes. So has
an empty value without flags, whose marker says `EMPTY`: without it, it may be the lease of a meta
client.

Nothing here does I/O. ``leases_aio.py`` carries the steps out.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from hashlib import sha256
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from cenote.client.ttl import (
    EXPIRED,
    LONGEST_RELATIVE,
    Ttl,
    exptime,
    positive_seconds,
    whole_seconds,
)
from cenote.client.values import LEASE
from cenote.errors import ConfigurationError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from random import Random

    from cenote.client.keys import AnyKey
    from cenote.protocol import MetaReply, RawItem

Step: TypeAlias = Literal["serve", "compute", "wait", "take", "replace", "prove"]
"""What to do after a look: ``take`` is to ask for the lease of a key that is missing or due,
``replace`` to make a lease of a value that can not be read, ``prove`` to see if its marker says
that an empty item is a value."""

LEASE_TTL: Final = 10.0
"""Seconds after which the lease of a caller that died is given to another."""

EMPTY: Final = b"empty"
"""What the marker of an empty value says on a classic server."""

_LONGEST: Final = f"{LONGEST_RELATIVE} seconds (30 days)"
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.25
_GROWTH: Final = 1.6
_UNLIMITED: Final = -1


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one ``get_or_compute``, in whole seconds as they go on the wire.

    Attributes:
        exptime: The exptime of a stored value, the time it may be served stale included.
        fresh: The exptime of its marker on classic servers.
        stale_for: How long a value that is due may still be served.
        lease: How long a lease is held: a second more than asked for, since the server, whose
            clock ticks once a second, may cut as much off it.
    """

    exptime: int
    fresh: int
    stale_for: int
    lease: int


class Found(NamedTuple):
    """An item as a look found it.

    Attributes:
        data: Its bytes.
        flags: Its flags.
        cas: Its cas.
        remaining: Seconds it has left, -1 without a limit.
        won: The server gave the lease to this look.
        leased: The server gave the lease to somebody else.
    """

    data: bytes
    flags: int
    cas: int
    remaining: int = _UNLIMITED
    won: bool = False
    leased: bool = False

    @property
    def empty(self) -> bool:
        """Whether it looks like the lease on a miss, as an empty ``bytes`` value does too."""
        return not self.data and not self.flags


class Look(NamedTuple):
    """What a look at a key came to.

    Attributes:
        step: ``"serve"`` the value, ``"compute"`` it, ``"wait"``, or look ``"again"`` at once.
        value: The value to serve.
    """

    step: Step | Literal["again"]
    value: object = None


Read: TypeAlias = "Callable[[bytes, int], tuple[bool, object]]"
"""Reads bytes and flags: whether they can be read, and the value."""


def terms_of(
    ttl: Ttl,
    stale_for: float | timedelta,
    lease_ttl: float | timedelta,
    wall_clock: Callable[[], float],
) -> Terms:
    """Return the terms of a call, every one in whole seconds.

    Raises:
        InvalidArgument: One of them is no time, or out of range.
    """
    stale = whole_seconds(stale_for, "stale_for")
    if not 0 <= stale <= LONGEST_RELATIVE:
        raise InvalidArgument(f"stale_for is {stale_for!r}: use 0 to {_LONGEST}")
    lease = math.ceil(positive_seconds(lease_ttl, "lease_ttl"))
    if lease > LONGEST_RELATIVE:
        raise InvalidArgument(f"lease_ttl is {lease_ttl!r}: use up to {_LONGEST}")
    lease = min(lease + 1, LONGEST_RELATIVE)
    fresh = exptime(ttl, wall_clock)
    if ttl is None or fresh == EXPIRED:
        return Terms(fresh, fresh, 0, lease)
    return Terms(exptime(whole_seconds(ttl, "ttl") + stale, wall_clock), fresh, stale, lease)


def check_compute(compute: object) -> None:
    """Refuse a value in the place of what makes it.

    Raises:
        InvalidArgument: It can not be called.
    """
    if not callable(compute):
        raise InvalidArgument(
            f"compute is a function that makes the value, not {type(compute).__name__}: "
            "add() stores a value that is there already"
        )


def limit_of(wait: float | timedelta | None, usual: float) -> float:
    """Return how many seconds a call may wait for somebody else's value; None is the usual.

    Raises:
        InvalidArgument: It is not a time above 0.
    """
    return usual if wait is None else positive_seconds(wait, "wait")


def found_in(reply: MetaReply) -> Found | None:
    """Return the item in the reply to ``mg v f c t``, None for a miss."""
    if reply.value is None:
        return None
    flags = reply.flags
    return Found(
        data=reply.value,
        flags=int(flags["f"]),
        cas=int(flags["c"]),
        remaining=int(flags["t"]),
        won="W" in flags,
        leased="Z" in flags,
    )


def judge_meta(found: Found | None, terms: Terms, *, readable: bool) -> Step:
    """Decide what to do about what a meta server answered.

    An empty item that somebody has the lease of is taken for the lease, not for a value: if ``b""``
    is stored with ``stale_for`` and due, the others wait; they are never given a wrong value.
    """
    if found is None:
        return "take"
    if found.won:
        return "compute"
    if found.leased:
        return "serve" if readable and not found.empty else "wait"
    if found.remaining != _UNLIMITED and found.remaining < terms.stale_for:
        return "take"
    return "serve" if readable else "replace"


def time_while_computing(remaining: int, terms: Terms) -> int:
    """Return how long a value that is being replaced may stay: as long as its lease."""
    return terms.lease if remaining == _UNLIMITED else min(terms.lease, remaining)


def time_given_back(remaining: int, elapsed: float, wall_clock: Callable[[], float]) -> int:
    """Return the exptime of a value whose lease ended without a new one: what it had left."""
    left = None if remaining == _UNLIMITED else max(1, remaining - int(elapsed))
    return exptime(left, wall_clock)


def judge_classic(item: RawItem | None, *, readable: bool) -> Step:
    """Decide what to do about an item of a classic server, its marker aside.

    An empty item without flags is what memcached makes of the lease of a meta client.
    """
    if item is None:
        return "take"
    if item[1] == LEASE:
        return "wait"
    if not (item[0] or item[1]):
        return "prove"
    return "serve" if readable else "replace"


def marker_of(wire_key: bytes) -> bytes:
    """Return the key of the marker that belongs to a value on a classic server."""
    return b"cenote-fresh:" + sha256(wire_key).hexdigest().encode()


def pauses(rng: Random) -> Iterator[float]:
    """Yield the seconds to sleep before each next look: growing, capped, and jittered by half."""
    limit = _FIRST_PAUSE
    while True:
        yield rng.uniform(limit / 2, limit)
        limit = min(limit * _GROWTH, _LONGEST_PAUSE)


def key_maker(
    key: str | Callable[..., AnyKey],
) -> Callable[[Callable[..., object]], Callable[..., AnyKey]]:
    """Return what gives a function its key: for a function, the maker of a call's key.

    Args:
        key: A callable that takes the call's arguments, or a ``str.format`` template that names
            parameters of the function, as in ``"user:{user_id}"``.

    Raises:
        ConfigurationError: It is neither; or, when applied, the template can not be read, names
            what is no parameter, or names none though there are some.
    """
    if not callable(key) and not isinstance(key, str):
        raise ConfigurationError(
            f"key is a template such as 'user:{{user_id}}' or a callable, not {type(key).__name__}"
        )
    return lambda function: key if callable(key) else _templated(key, function)


def _templated(template: str, function: Callable[..., object]) -> Callable[..., AnyKey]:
    signature = inspect.signature(function)
    named = set(_names_in(template))
    unknown = ", ".join(repr(name) for name in sorted(named - set(signature.parameters)))
    if unknown or (signature.parameters and not named):
        raise ConfigurationError(
            f"the key template {template!r} names {unknown or 'no parameter'}; the parameters of "
            f"{function!r} are: {', '.join(signature.parameters) or 'none'}"
        )

    def key_of(*args: Any, **kwargs: Any) -> AnyKey:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return template.format_map(bound.arguments)

    return key_of


def _names_in(template: str) -> Iterator[str]:
    """Yield what the fields of a template name, those within format specifications included."""
    try:
        fields = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"the key template {template!r} is not valid: {error}") from error
    for _, field, specification, conversion in fields:
        if field is None:
            continue
        if conversion not in (None, "r", "s", "a"):
            raise ConfigurationError(
                f"the key template {template!r} has the conversion {conversion!r}: use r, s or a"
            )
        yield re.split(r"[.\[]", field, maxsplit=1)[0]
        yield from _names_in(specification or "")
