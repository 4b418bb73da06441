"""Where a name leads, and whether it still leads to where its connections are.

Strategy: a name is looked up for every connection that is opened. If none of the addresses that
connections were made to is among those found now, the server has moved: its old connections lead to
a machine that is not it any more, however well they work. As long as one of them is found, nothing
is concluded: many names have several addresses, and their answers vary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from weakref import WeakMethod

from cenote.connection.endpoint import Endpoint

_log = logging.getLogger("cenote.connection")


class Whereabouts:
    """The addresses of one name that connections were made to.

    Args:
        moved: Is called when the name leads elsewhere, before the connection there is made; held
            weakly, for it is a pool's, and the pool holds this.
    """

    __slots__ = ("_in_use", "_moved")

    def __init__(self, moved: Callable[[], object]) -> None:
        self._moved = WeakMethod(moved)
        self._in_use: frozenset[str] = frozenset()

    def found(self, name: object, endpoints: Sequence[Endpoint]) -> None:
        """Take note of what a name leads to now."""
        hosts = {str(endpoint.sockaddr[0]) for endpoint in endpoints}
        in_use = self._in_use
        if in_use and not in_use & hosts:
            self._in_use = frozenset()
            _log.warning(
                "%s has moved from %s to %s: its old connections are closed",
                name,
                ", ".join(sorted(in_use)),
                ", ".join(sorted(hosts)),
            )
            moved = self._moved()
            if moved is not None:
                moved()

    def arrived(self, peer: object) -> None:
        """Take note of where a connection was made to, as the socket tells."""
        if isinstance(peer, tuple):
            self._in_use |= {str(peer[0])}
