"""How long those who wait are let sleep, learned from how their nudges fared.

Strategy: a nudge is a context switch, and it is in vain where newcomers, who are running already,
always take an idle connection first. So a nudge in vain begins a lull, in which releases nudge
nobody; instead one waiter, the watcher, looks by itself each time the lull's length has passed.
Whatever is in vain doubles the length. A nudge or a look that finds a connection idle ends the lull
at once: newcomers have become fewer. So an idle connection lies unseen beside somebody who waits
for at most ``MOST`` seconds, and where nobody competes for it for none at all. The same holds for a
slot that is free once a newcomer has taken what lay idle for the waiter.

A lull also ends by itself, and the next release nudges once to learn anew: where connections are
held for long nothing is released, and nobody need look.
"""

from __future__ import annotations

from cenote.pool.fast import ALWAYS

LEAST = 0.00025  # seconds: the length after the first nudge in vain
MOST = 0.004  # seconds: the longest that an idle connection lies unseen beside a waiter
_LOOKS = 16  # a lull ends by itself after so many times its length


class Lull:
    """Whether to let sleepers lie.

    Attributes:
        length: Seconds from one look of the watcher to the next.
    """

    __slots__ = ("_until", "length")

    def __init__(self) -> None:
        self.length = 0.0
        self._until = ALWAYS

    def lasts(self, now: float) -> bool:
        """Say whether releases should nudge nobody."""
        return now < self._until

    def nudged_in_vain(self, now: float) -> None:
        """A waiter was nudged, and a newcomer was faster: a lull begins."""
        self.length = min(max(2 * self.length, LEAST), MOST)
        self._until = now + _LOOKS * self.length

    def looked_in_vain(self) -> None:
        """The watcher looked by itself, and nothing was idle."""
        self.length = min(2 * self.length, MOST)

    def end(self) -> None:
        """A waiter found a connection idle."""
        self.length = 0.0
        self._until = ALWAYS
