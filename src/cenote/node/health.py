"""What is known about one server's health, and the machine that judges it. Pure: ``now`` goes in.

Strategy: nothing is sent to find out how a server does, and nothing is counted while all is well.
A `Vigil` is told of failures only; whether anything was answered in between it sees from how much
has been answered so far, which the pool knows. Once in a while it is told how long a request took.

    up --- a failure ---> suspect --- ejected ---> down
    up <-- an answer ---- suspect                   |
    up <------------ a probe succeeds --------------+

Reasons to eject a server are of two kinds. *Absolute*: ``down_after`` connects have failed, or
``IN_A_ROW`` requests were not answered, with nothing answered in between. *Relative*: it fails, or
is slow, out of all proportion to the other servers (`Figures`); what they suffer too is not its
fault. Whether it is ejected is not decided here: ``cluster/failover.py`` sees to it that not too
many are.

A server that is down is probed, one connection at a time, after a delay that grows with every probe
that fails and with every relapse (``pool/backoff.py``). Where it had been connected to all the
time, only a probe made for the purpose brings it back: that of its pool came too early.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import exp, inf
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from cenote.pool.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from cenote.pool import PoolStats

State = Literal["unknown", "up", "suspect", "down"]

IN_A_ROW: Final = 3
"""Requests (and connects) that are not answered in a row before a server counts as down."""

WINDOW: Final = 10.0
"""Seconds over which failures are counted; older ones fade."""

_ENOUGH_FAILURES = 10.0  # in the window, before their share means anything
_TOO_MANY = 0.2  # of the requests in the window; and more than so many times
_TIMES_AS_MANY = 4.0  # the share of the other servers
_SAMPLES = 15  # of how long requests take: the latest, so that an outlier of one is none of all
_ENOUGH_SAMPLES = 8  # before their median means anything
_SLOW = 0.02  # seconds below which nothing is slow; and more than so many times
_TIMES_AS_SLOW = 10.0  # as slow as the other servers
_FIRST_DELAY = 1.0  # seconds: upper bound of the delay before the first probe
_LONGEST_DELAY = 30.0
_CALM = 60.0  # seconds in service after which an ejection is no relapse


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """One server, as its client sees it now.

    Attributes:
        name: The server's name, as in ``host:port`` or a socket's path.
        state: ``"unknown"`` until the first connection was tried; ``"up"``; ``"suspect"`` after a
            failure, until something is answered; ``"down"`` while it can not be connected to, or is
            ejected.
        connections: Connections open now, idle or in use.
        connect_failures: Connects that failed since the client was made.
        retries: Requests that were sent a second time because an idle connection turned out dead.
        last_error: Text of the last failed connect, None if there was none since the last success.
        ejected: Whether its keys are served as the client's ``failover`` says: it is not asked.
        reason: Why it was ejected, None if it is not.
        failures: Requests that it did not answer, since the client was made.
        ejections: How often it was ejected since the client was made.
        latency: Seconds that a request takes: the median of some of the latest, None before there
            are enough.
    """

    name: str
    state: State
    connections: int
    connect_failures: int
    retries: int
    last_error: str | None
    ejected: bool = False
    reason: str | None = None
    failures: int = 0
    ejections: int = 0
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One server, as it is exported: what can be read from any thread, without a lock.

    Attributes:
        state: As `NodeHealth.state`.
        failures: Requests that it did not answer, since the client was made.
        ejections: How often it was ejected since the client was made.
    """

    state: State
    failures: int
    ejections: int


class Figures(NamedTuple):
    """What a server is compared with the others by.

    Attributes:
        failing: Share of its requests that failed lately.
        latency: Seconds that a request takes, None if not known.
    """

    failing: float
    latency: float | None


class Vigil:
    """Watches one server; says what there is to say against it.

    Calls must not overlap; ``answered`` is how many requests (or leases) have ended well so far.

    Args:
        down_after: Connects that fail in a row before the server counts as down.
        rng: Draws the delays before probes.

    Attributes:
        down: Whether the server is ejected.
        reason: Why.
        suspect: Whether it has failed and not answered since.
        failures: Requests that it did not answer.
        ejections: How often it was ejected.
        probe_at: When it is to be probed, where it is down.
        probing: Whether a probe is under way.
    """

    __slots__ = (
        "_answered", "_answers", "_backoff", "_connects_lost", "_down_after", "_hard", "_lost",
        "_row", "_samples", "_then", "_up_since", "down", "ejections", "failures",
        "probe_at", "probing", "reason", "suspect",
    )  # fmt: skip

    def __init__(self, down_after: int, rng: Random) -> None:
        self._down_after = down_after
        self._backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY, 1, rng)
        self._answered = 0  # in all, when it was last looked at
        self._answers = self._lost = 0.0  # in the window, fading
        self._then = 0.0
        self._row = 0  # requests failed since the last answer
        self._connects_lost = 0  # connects failed since the last answer or connect
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._hard = False  # it can not be connected to
        self._up_since = -inf
        self.down = False
        self.reason: str | None = None
        self.suspect = False
        self.failures = 0
        self.ejections = 0
        self.probe_at = inf
        self.probing = False

    # Evidence.

    def look(self, answered: int, now: float) -> None:
        """Take note of what has been answered."""
        fading = exp(-max(0.0, now - self._then) / WINDOW)
        fresh = max(0, answered - self._answered)
        self._answers = self._answers * fading + fresh
        self._lost *= fading
        self._answered, self._then = max(self._answered, answered), now
        if fresh and not self.down:
            self._forgive()

    def answered_since(self, answered: int) -> bool:
        """Tell whether something was answered since this was last looked at."""
        return answered > self._answered

    def failed(self, answered: int, now: float, count: int = 1, *, lost: bool = False) -> None:
        """Note requests that were not answered: late, lost, or answered with nonsense.

        Those that were lost with their connection are not counted in a row: many are lost at once
        when a server is restarted, and the connects that follow say more.
        """
        self.look(answered, now)
        self._row += 0 if lost else count
        self._lost += count
        self.failures += count
        self.suspect = True

    def connect_failed(self, answered: int, now: float) -> None:
        """Note a connect, or a probe, that failed."""
        self.look(answered, now)
        self._connects_lost += 1
        self.suspect = True
        if self.down:
            self._hard = self._hard or self.unreachable
            self._postpone(now)

    def connected(self) -> None:
        """Note a connect."""
        self._connects_lost = 0

    def may_return(self, now: float) -> bool:
        """Tell whether a connect that succeeds now is the probe that brings the server back."""
        return self.down and (self._hard or self.probing or now >= self.probe_at)

    def measured(self, seconds: float) -> None:
        """Note how long a request took."""
        self._samples.append(seconds)

    # Judgement.

    @property
    def unreachable(self) -> bool:
        """Whether connecting keeps failing."""
        return self._connects_lost >= self._down_after

    @property
    def figures(self) -> Figures:
        """What the server is compared with the others by."""
        total = self._lost + self._answers
        known = len(self._samples) >= _ENOUGH_SAMPLES
        return Figures(
            failing=self._lost / total if total else 0.0,
            latency=median(self._samples) if known else None,
        )

    def charge(self, others: Sequence[Figures]) -> str | None:
        """Say why the server should be ejected, if it should."""
        if self.unreachable:
            return f"{self._connects_lost} connects in a row failed"
        if self._row and self._row + self._connects_lost >= IN_A_ROW:
            connects = f", {self._connects_lost} connects failed" if self._connects_lost else ""
            return f"{self._row} requests in a row were not answered{connects}"
        return self._failing(others) or self._slow(others)

    def _failing(self, others: Sequence[Figures]) -> str | None:
        mine = self.figures.failing
        usual = median([other.failing for other in others]) if others else mine
        if self._lost < _ENOUGH_FAILURES or mine < max(_TOO_MANY, _TIMES_AS_MANY * usual):
            return None
        return f"{mine:.0%} of its requests fail, of the other servers' {usual:.0%}"

    def _slow(self, others: Sequence[Figures]) -> str | None:
        mine = self.figures.latency
        known = [other.latency for other in others if other.latency is not None]
        if mine is None or not known:
            return None
        usual = median(known)
        if mine < max(_SLOW, _TIMES_AS_SLOW * usual):
            return None
        return f"a request takes {mine * 1e3:.0f} ms, with the other servers {usual * 1e3:.1f} ms"

    # What follows.

    def eject(self, reason: str, now: float) -> None:
        """Ask the server nothing any more, until a probe succeeds."""
        if now - self._up_since > _CALM:
            self._backoff.succeeded()
        self.down, self.reason = True, reason
        self._hard = self.unreachable
        self.ejections += 1
        self.probing = False
        self._postpone(now)

    def probe(self, now: float) -> bool:
        """Tell whether a probe is to be made now; there is one at a time."""
        if not self.down or self.probing or now < self.probe_at:
            return False
        self.probing = True
        return True

    def probe_again(self, when: float) -> None:
        """Have the probe made another time: it came at a bad moment."""
        self.probing, self.probe_at = False, when

    def restore(self, now: float) -> None:
        """Take the server back into service, with a clean sheet but for its relapses."""
        self.down, self.reason = False, None
        self.probing = self._hard = False
        self.probe_at = inf
        self._up_since = now
        self._connects_lost = 0
        self._samples.clear()
        self._lost = self._answers = 0.0
        self._forgive()

    def _postpone(self, now: float) -> None:
        self._backoff.failed(ConnectionError(), now)
        self.probe_at = self._backoff.retry_at
        self.probing = False

    def _forgive(self) -> None:
        self._row = self._connects_lost = 0
        self.suspect = False


def assess(
    name: str,
    stats: PoolStats,
    *,
    retries: int,
    last_error: str | None,
    vigil: Vigil,
    suspect: bool = False,
) -> NodeHealth:
    """Make a server's health from its pool's statistics.

    Args:
        name: The server's name.
        stats: A snapshot of its pool.
        retries: Requests that were sent a second time.
        last_error: Text of the latest failed connect, None if the latest succeeded.
        vigil: What is known beside that.
        suspect: Whether it has failed, and not answered since.
    """
    return NodeHealth(
        name=name,
        state=_state(stats, last_error, down=vigil.down, suspect=suspect),
        connections=stats.live,
        connect_failures=stats.create_errors,
        retries=retries,
        last_error=last_error,
        ejected=vigil.down,
        reason=vigil.reason,
        failures=vigil.failures,
        ejections=vigil.ejections,
        latency=vigil.figures.latency,
    )


def condition(
    stats: PoolStats, *, last_error: str | None, unanswered: int, vigil: Vigil
) -> Condition:
    """Make what is exported of a server from its pool's figures.

    Args:
        stats: The figures.
        last_error: Text of the latest failed connect, None if the latest succeeded.
        unanswered: Leases that ended because the server did not answer.
        vigil: What is known beside that.
    """
    suspect = vigil.suspect and not vigil.answered_since(stats.released - unanswered)
    state = _state(stats, last_error, down=vigil.down, suspect=suspect)
    return Condition(state, vigil.failures, vigil.ejections)


def _state(stats: PoolStats, last_error: str | None, *, down: bool, suspect: bool) -> State:
    if down or stats.state == "down" or (last_error is not None and not stats.live):
        return "down"
    if suspect:
        return "suspect"
    return "up" if stats.created else "unknown"
