"""Which keys a keyed pool has at present, and what those that it forgot have done.

Strategy: each key has a pool of its own, called its *front* here, since all that is asked of it is
to be found. A key whose pool holds nothing and awaits nothing is forgotten: its front *fades*, and
its totals are kept. One that can not be connected to is remembered a while longer, or its back-off
would be forgotten with it. A faded front stays known as long as somebody has it in hand (who looked
it up, and is about to ask it), so that there are never two for one key; when it is asked, it is
there again.

Everything happens under the members' common lock, but for looking into ``fronts``, which callers
do without: a front that faded meanwhile has nothing idle, and sends them the slow way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from cenote.errors import PoolClosed
from cenote.pool import reports
from cenote.pool.budget import Budget
from cenote.pool.core import PoolCore
from cenote.pool.fast_path import Entry
from cenote.pool.state import Phase
from cenote.pool.stats import PoolStats, merged

K = TypeVar("K", bound=Hashable)
F = TypeVar("F")

Core = PoolCore[Any]


class Keyring(Budget[Core], Generic[K, F]):
    """The keys of one keyed pool, and the slots they share.

    Attributes:
        name: The keyed pool's.
        fronts: The front of each key that has, or awaits, a connection.
        lent: The entries that were lent bare, whichever key's.
        paused: Whether keys that are added begin paused.
        phase: What the keyed pool is in; a key can only be added while it is ready.
    """

    def __init__(self, name: str, limit: int, turn_after: float) -> None:
        super().__init__(limit, turn_after)
        self.name = name
        self.fronts: dict[K, F] = {}
        self.lent: dict[int, Entry[Any]] = {}
        self.phase: Phase = "ready"
        self.paused = False
        self._rousing = False
        self._faded: WeakValueDictionary[K, F] = WeakValueDictionary()
        self._asked: dict[Core, float] = {}  # when a caller came last
        self._departed: list[PoolStats] = []

    def find(self, key: K) -> F | None:
        """Return the front of a key, if it has one."""
        return self.fronts.get(key) or self._faded.get(key)

    def add(self, key: K, front: F, core: Core, now: float) -> F:
        """Make a key known, faded until it is asked; returns its front, maybe known before."""
        known = self.find(key)
        if known is not None:
            return known
        for member in list(self.members):
            self._forget(member, now)
        if self.paused:
            core.pause(now)
        core.stack.lent, core.stack.key = self.lent, key
        self._faded[key] = front
        return front

    def known(self) -> list[F]:
        """Return every front that there is, the faded too."""
        return [*self.fronts.values(), *self._faded.values()]

    def admit(self, member: Core, now: float) -> None:
        """Somebody asks a member for a connection: its key is there, or there again."""
        self._asked[member] = now
        if member in self.members:
            return
        if member.key in self._faded:  # whoever asks has it in hand
            self.fronts[member.key] = self._faded.pop(member.key)
        super().admit(member, now)

    def settled(self, member: Core, now: float) -> None:
        """A member has been brought in order: maybe there is nothing left of it."""
        super().settled(member, now)
        self._forget(member, now)

    def rouse(self, visit: Callable[[F], object]) -> None:
        """Have the drivers of all who are stirred come by, those stirred by that included."""
        if self._rousing:
            return  # whoever does so already does all
        self._rousing = True
        try:
            while self.stirred:
                front = self.find(self.stirred[0])
                if front is not None:
                    visit(front)
                self.stirred.popleft()
        finally:
            self._rousing = False

    def stats(self, now: float) -> PoolStats:
        """Describe all keys together, the forgotten too."""
        present = [reports.snapshot(member, now) for member in self.members]
        whole = merged(self.name, self.phase, self.limit, [*self._departed, *present])
        return replace(whole, at=now)

    def closed(self, now: float) -> PoolClosed:
        """Build the error of whoever asks for a key of a pool that is closed, or being drained."""
        text = f"pool {self.name!r} is closed: make a new one, a closed pool stays closed"
        return PoolClosed(text, pool=self.name, stats=self.stats(now))

    def dissolve(self) -> None:
        """Let go of all keys: the keyed pool was dropped, and nobody finds them any more."""
        self.fronts, self.members, self._queue = {}, {}, {}  # others may be going through them

    def __repr__(self) -> str:
        return f"{self.name!r} {self.phase}: {self.held}/{self.limit}, {len(self.fronts)} keys"

    def _forget(self, member: Core, now: float) -> None:
        if member not in self.members or not self._is_vacant(member, now):
            return
        del self.members[member], self._asked[member]
        self._departed = [merged(self.name, "", 0, [*self._departed, member.forget(now)])]
        self._faded[member.key] = self.fronts[member.key]
        del self.fronts[member.key]

    def _is_vacant(self, member: Core, now: float) -> bool:
        if member.size or member.waiters or member.phase == "closed":
            return False
        lately = now - self._asked[member] < member.options.backoff_cap
        return not (member.backoff.failures and lately)
