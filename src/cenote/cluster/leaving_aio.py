"""What becomes of a topology that has been replaced: its servers that have left are drained.

Strategy: whoever took the old topology may still be about to send a request to a server that has
left, and no lock tells. But no operation outlives its deadline, so once the longest operation that
could have begun before the change has ended, nobody comes any more. Until then the pool of the
server goes on as before; then it is closed: what is on lease comes back in its own time. The old
topology is kept alive as long, for those who are reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenote.cluster.member_aio import AsyncMember
from cenote.cluster.topology import Topology
from cenote.runtime.aio import together
from cenote.runtime.chore_aio import AsyncChore

LEASES = 10.0  # seconds that leases of a server that has left are waited for, before it is let go


class AsyncLeaving:
    """Servers that have left a cluster.

    Args:
        members: The servers.
        before: The topology that had them.
        done: Is called when they are closed.
    """

    def __init__(
        self,
        members: Sequence[AsyncMember],
        before: Topology[AsyncMember],
        done: Callable[[AsyncLeaving], object],
    ) -> None:
        self.members = members
        self._before = before
        self._done = done
        self._chore = AsyncChore(self._close, "closing servers that have left")

    def start(self, grace: float) -> None:
        """Close them in ``grace`` seconds, in the background."""
        self._chore.start(grace)

    def stop(self) -> None:
        """Leave it to the caller to close them."""
        self._chore.stop()

    async def _close(self) -> None:
        for member in self.members:
            member.node.shut()
        await together([member.node.close(LEASES) for member in self.members])
        self._done(self)
