"""What becomes of the keys of a server that fails: every decision, and no I/O.

Strategy: a server is *ejected* when there is enough to say against it (``node/health.py``) and not
too many others are ejected already: where more than ``max_ejected`` of the servers look bad, it may
be us, and moving all keys to the few that are left would bring these down, too. Those beyond the
share stay in service and answer, or fail, by themselves.

Only keys of ejected servers move. Where to, is said by the scheme itself, asked about the servers
that remain: for rendezvous that is the second highest draw, for a ring the next server on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import floor, inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from cenote.cluster.server import Server
from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    PoolSaturated,
    PoolTimeout,
)
from cenote.node.verdicts import NOT_ANSWERED

if TYPE_CHECKING:
    from cenote.node.health import Vigil
    from cenote.protocol import Request

Failover: TypeAlias = Literal["fail", "rehash", "gutter", "miss"]
OnReturn: TypeAlias = Literal["keep", "flush", "delete"]
OnNodeDown: TypeAlias = Callable[[str, str], object]
"""Called with the name of a server that is not asked any more, and why."""
OnNodeUp: TypeAlias = Callable[[str], object]
"""Called with the name of a server that is asked again."""

NOT_SENT: Final = (ConnectFailed, PoolTimeout, PoolSaturated)
"""What a request ends with for which no connection was to be had."""

_READS = frozenset({"get", "gets", "mg"})

MOST_KEYS: Final = 100_000
"""Keys that are remembered for each server that is down; beyond that it is flushed instead."""


_GUTTER_TTL: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverOptions:
    """How a client of several servers meets the failure of one.

    Attributes:
        failover: Who serves the keys of a server that is down: nobody (``"fail"``), the other
            servers (``"rehash"``), ``gutter``, or nobody, and requests miss (``"miss"``).
        gutter: Servers that wait for such keys; only with ``failover="gutter"``.
        gutter_ttl: Seconds that a value lives there at most; above 0, at most 30 days.
        max_ejected: Share of the servers that may be treated as down at a time, 0 to 1; where it is
            above 0 one may.
        on_return: What becomes of a server's old values when it comes back: ``"keep"`` them,
            ``"flush"`` all, or ``"delete"`` those whose keys were written or deleted meanwhile.
        on_node_down: Called when a server is ejected.
        on_node_up: Called when it is back in service.
    """

    failover: Failover = "fail"
    gutter: tuple[Server, ...] = ()
    gutter_ttl: float = _GUTTER_TTL
    max_ejected: float = 0.5
    on_return: OnReturn = "keep"
    on_node_down: OnNodeDown | None = None
    on_node_up: OnNodeUp | None = None

    def __post_init__(self) -> None:
        """Check what stands for itself; whether a choice and its servers agree, comes with both."""
        _check_choice("failover", self.failover, Failover)
        _check_choice("on_return", self.on_return, OnReturn)
        if self.failover == "gutter" and not self.gutter:
            raise ConfigurationError('failover="gutter" needs gutter=: the servers that step in')
        if self.failover != "gutter" and self.gutter:
            raise ConfigurationError(
                f'gutter= is for failover="gutter": failover={self.failover!r} would ignore it'
            )
        _check_number("gutter_ttl", self.gutter_ttl, 1, 30 * 86400, "seconds from 1 to 30 days")
        if self.failover != "gutter" and self.gutter_ttl != _GUTTER_TTL:
            raise ConfigurationError(
                f'gutter_ttl is for failover="gutter": failover={self.failover!r} would ignore it'
            )
        _check_number("max_ejected", self.max_ejected, 0, 1, "a share from 0 to 1")
        for name in ("on_node_down", "on_node_up"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} can not be called")


def _check_choice(name: str, value: object, legal: object) -> None:
    if value not in get_args(legal):
        names = ", ".join(map(repr, get_args(legal)))
        raise ConfigurationError(f"{name}={value!r} is not known: {names}")


def _check_number(name: str, value: object, least: float, most: float, legal: str) -> None:
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise ConfigurationError(f"{name}={value!r} is out of range: use {legal}")


NO_FAILOVER: Final = FailoverOptions()


class Change(NamedTuple):
    """A server was ejected, or came back.

    Attributes:
        vigil: Whose state changed.
        reason: Why it was ejected; None: it is back.
    """

    vigil: Vigil
    reason: str | None


class Board:
    """Watches over all servers of a client: who is ejected, and how many may be.

    Calls must not overlap.

    Args:
        max_ejected: Share of the servers that may be ejected at a time.
        compares: Whether a server is ejected for being worse than the others. That is right only
            where its keys are served elsewhere meanwhile.
        alone: Whether the only server may be ejected: somebody else is there in its place.

    Attributes:
        vigils: Who watches each server.
    """

    def __init__(self, max_ejected: float, *, compares: bool = True, alone: bool = False) -> None:
        self._max_ejected = max_ejected
        self._fewest = 1 if alone else 2
        self._compares = compares
        self.vigils: Sequence[Vigil] = ()
        self._mates: Mapping[Vigil, Sequence[Vigil]] = {}

    def enrol(self, vigils: Sequence[Vigil], sets: Sequence[Sequence[Vigil]] = ()) -> None:
        """Watch over these servers from now on; those that were there before stay as they are.

        Args:
            vigils: Who watches each.
            sets: Of these, those who watch replicas of the same keys.
        """
        self.vigils = tuple(vigils)
        self._mates = {vigil: mates for mates in sets for vigil in mates}

    @property
    def limit(self) -> int:
        """How many servers may be ejected at a time; the only one, where it is told so."""
        count = len(self.vigils)
        if count < self._fewest or not self._max_ejected:
            return 0
        return max(1, floor(count * self._max_ejected))

    @property
    def ejected(self) -> int:
        """How many are."""
        return sum(vigil.down for vigil in self.vigils)

    @property
    def all_unreachable(self) -> bool:
        """Whether there is no server left that could be connected to."""
        return all(vigil.down or vigil.unreachable for vigil in self.vigils)

    def review(self, vigil: Vigil, now: float) -> Change | None:
        """Judge a server about which something was learned; eject it if that is called for."""
        if vigil.down or vigil not in self.vigils:
            return None
        others = [other.figures for other in self.vigils if other is not vigil]
        if not self._compares:
            others = []
        elif vigil in self._mates:  # one that is far away is slow, and no worse for it
            others = [figures._replace(latency=None) for figures in others]
        reason = vigil.charge(others)
        if reason is None or self.ejected >= self.limit or self._is_last(vigil):
            return None
        vigil.eject(reason, now)
        return Change(vigil, reason)

    def take_out(self, vigil: Vigil, reason: str, now: float) -> Change | None:
        """Eject one of several replicas, however many others are; but not the last in service."""
        if vigil.down or vigil not in self._mates or self._is_last(vigil):
            return None
        vigil.eject(reason, now)
        return Change(vigil, reason)

    def _is_last(self, vigil: Vigil) -> bool:
        mates = self._mates.get(vigil, ())
        return bool(mates) and all(mate.down for mate in mates if mate is not vigil)

    def restore(self, vigil: Vigil, now: float) -> Change | None:
        """Take a server that is down back into service."""
        if not vigil.down:
            return None
        vigil.restore(now)
        return Change(vigil, None)

    def to_probe(self, now: float) -> list[Vigil]:
        """Return those whose servers are to be probed now."""
        return [vigil for vigil in self.vigils if vigil.probe(now)]

    def next_probe(self) -> float:
        """Return when the next probe is due; inf: none is."""
        return min(
            (each.probe_at for each in self.vigils if each.down and not each.probing), default=inf
        )


def is_write(request: Request) -> bool:
    """Tell whether a request changes what is stored."""
    return request.verb not in _READS


def may_go_elsewhere(request: Request, error: BaseException, *, ejected: bool) -> bool:
    """Tell whether a request that has failed may be sent to the substitute.

    What changes a value may not, while its server is in service: it would be answered from there.

    Args:
        request: The request.
        error: What it ended with.
        ejected: Whether its server is, by now.
    """
    if isinstance(error, NOT_SENT):
        return ejected or not is_write(request)
    if not isinstance(error, NOT_ANSWERED) or not request.idempotent:
        return False
    return ejected or not is_write(request)


class Journal:
    """The keys that were written or deleted while their server was down; bounded.

    Attributes:
        overflowed: There were more than it holds.
    """

    __slots__ = ("_keys", "_most", "overflowed")

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._keys: dict[bytes, bytes] = {}
        self._most = most
        self.overflowed = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen to."""
        return not self._keys and not self.overflowed

    def note(self, keys: Sequence[bytes], places: Sequence[bytes]) -> None:
        """Remember keys, and what places each."""
        if len(self._keys) + len(keys) > self._most:
            self.overflow()
        elif not self.overflowed:
            self._keys.update(zip(keys, places, strict=True))

    def overflow(self) -> None:
        """Remember only that everything is to be forgotten."""
        self.overflowed = True
        self._keys.clear()

    def some(self, most: int) -> dict[bytes, bytes]:
        """Return keys that are still to be deleted, at most so many; they stay remembered."""
        return dict(islice(self._keys.copy().items(), most))

    def strike(self, keys: Iterable[bytes]) -> None:
        """Forget keys: they have been deleted."""
        for key in keys:
            self._keys.pop(key, None)

    def clear(self) -> None:
        """Forget everything: nothing is left of the server's old values."""
        self._keys.clear()
        self.overflowed = False
