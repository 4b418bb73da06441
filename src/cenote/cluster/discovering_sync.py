# Generated from src/cenote/cluster/discovering_aio.py by tools/unasync.py; do not edit.
"""Has the servers of a cluster found, first when they are needed, then again and again.

Strategy: the first look is the first caller's, within its deadline; whoever comes meanwhile waits
for it. Later looks are a chore in the background, and no caller ever waits for one. What an answer
is worth is decided by `Watch`.

A forked child has none of the parent's chores: it begins with the servers that were known, and has
them looked for anew on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from cenote.cluster.discovery import Discovery, DiscoveryStatus, Watch
from cenote.cluster.server import Server
from cenote.errors import CenoteError, NoNodesAvailable, PoolClosed
from cenote.runtime.sync import Mutex, monotonic
from cenote.runtime.chore_sync import Chore


class Discovering:
    """The looks of one cluster.

    Args:
        source: Finds servers.
        servers: What it is asked with.
        adopt: Is given the servers that are to be used from now on.

    Attributes:
        begun: Whether servers have been found, and are looked for again from time to time.
    """

    def __init__(
        self,
        source: Discovery,
        servers: Sequence[Server],
        adopt: Callable[[Sequence[Server]], Any],
    ) -> None:
        self._source = source
        self._servers = servers
        self._adopt = adopt
        self._watch = Watch(source.interval, Random())
        self._stopped = False
        self.renew()

    def renew(self) -> None:
        """Begin anew, in a forked child; what was found last stays in use."""
        self.begun = False
        self._mutex = Mutex()
        self._chore = Chore(self._look_again, "looking for servers")

    def begin(self, deadline: float) -> None:
        """Have the servers found, if they have not been.

        Raises:
            NoNodesAvailable: They can not be; the cause is chained.
            OperationTimeout: They were not by the deadline.
        """
        with self._mutex.held(deadline):
            if self.begun:
                return
            if self._stopped:
                raise PoolClosed("the client has been closed")
            soon = bool(self._watch.servers)  # as they are in a forked child: they may be old
            if not soon:
                self._look(max(0.001, min(self._source.timeout, deadline - monotonic())))
            if not self._watch.servers:
                raise NoNodesAvailable(f"no servers were found: {self.status().last_error}")
            self.begun = True
            self._chore.start(0.0 if soon else self._watch.pause())

    def status(self) -> DiscoveryStatus:
        """Tell what has come of the looks."""
        return self._watch.status(monotonic())

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._chore.stop()

    def _look_again(self) -> float | None:
        try:
            self._look(self._source.timeout)
        except PoolClosed:
            return None
        return self._watch.pause()

    def _look(self, timeout: float) -> None:
        try:
            answer = self._source.find(self._servers, timeout)
        except Exception as error:  # noqa: BLE001 - whatever a user's own raises, it found nothing
            self._watch.failed(error, monotonic())
            return
        found = self._watch.found(answer, monotonic())
        if found is not None:
            self._take(found)

    def _take(self, found: Sequence[Server]) -> None:
        """Use what was found, unless the cluster can not."""
        try:
            self._adopt(found)
        except PoolClosed:
            raise
        except CenoteError as error:
            self._watch.failed(error, monotonic())
        else:
            self._watch.adopted(found)
