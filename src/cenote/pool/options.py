"""Every number and choice a pool is governed by, as one immutable, validated value.

Strategy: options are checked once, here, with the legal range in the message; the core and the
drivers read them and never doubt them. Hooks (check, reset, classify) are code, not options:
they live in ``connector.py``.

No option is accepted and then ignored. Four of them only say more about another one; left alone
they are ``Default`` values, so that to give one without that other can be told apart, and refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cenote._spelling import did_you_mean
from cenote.errors import ConfigurationError

Fairness = Literal["eventual", "strict", "barging"]
Order = Literal["lifo", "fifo"]
OnDown = Literal["wait", "fail"]
Nested = Literal["allow", "warn", "error"]


class Default(float):
    """The value of an option that nobody has given."""


TARGET_WAIT = 0.005

NO_LIMIT = 2**31 - 1
"""The ``max_size`` of a pool that has none; its errors do not mention it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """The options of a pool; times are seconds on the monotonic clock.

    An option that would have no effect is refused: ``burst_after`` without ``burst``,
    ``fair_after`` unless ``fairness`` is ``"eventual"``, ``lifetime_jitter`` without
    ``max_lifetime``; and by a pool ``check_after`` without a check, ``keepalive`` without a
    ``ping``.

    Attributes:
        min_size: Live connections that upkeep maintains, best effort. 0 or more, at most
            ``max_size``.
        max_size: Hard cap on slots; a slot is held from the start of connecting until close has
            returned. 1 or more.
        burst: Slots beyond ``max_size`` that may be used once the head waiter has waited for
            ``burst_after``; what they hold is closed as soon as nobody waits any more.
        burst_after: Seconds of waiting that call for a burst; 0: at once.
        timeout: One absolute deadline for queueing, connecting and checking; ``None``: no limit;
            0: do not wait.
        max_waiting: Callers that may wait at once; the next fails at once. ``None``: no limit.
        fairness: ``"eventual"``: newcomers may take an idle connection until the head waiter is
            older than ``fair_after``; ``"strict"``: first come, first served; ``"barging"``: never
            hand off.
        fair_after: Age of the head waiter from which releases go to it, one every ``fair_after`` at
            most, more often where more than twelve wait; the longest wait is about so much times
            the number of those who wait, at most twelve times (beyond 48: a quarter of it each). In
            asyncio every release goes to the head at once.
        order: Which idle connection is taken: ``"lifo"`` the newest (lets the pool shrink),
            ``"fifo"`` the oldest (spreads).
        max_connecting: Connections being opened at once.
        connect_timeout: Limit of one attempt to connect.
        backoff_base: Upper bound of the first delay after a failed connect; doubles each time.
        backoff_cap: Upper bound the delays grow to.
        on_down: After ``down_after`` failed connects in a row: ``"wait"`` for recovery within each
            caller's deadline, or ``"fail"`` at once with the last cause.
        down_after: Consecutive connect failures after which the pool is down.
        max_idle: Period of low-watermark pruning: connections never needed in it are closed.
            ``None``: off.
        max_lifetime: Upper bound of a connection's life. ``None``: no limit.
        lifetime_jitter: Share of ``max_lifetime`` by which a life may be shorter, drawn at birth.
        max_uses: Leases after which a connection is retired. ``None``: no limit.
        check_after: Idle time from which a connection is checked before it is handed out; 0:
            always.
        keepalive: Idle connections are pinged about this often, by the connector's ``ping``, which
            it must have. ``None``: off.
        leak_after: A lease held longer than this is reported once. ``None``: off.
        nested: What happens to a thread or task that holds a connection and asks for another while
            every slot is taken, so that it may wait for itself: ``"allow"``, ``"warn"`` or
            ``"error"`` (``NestedAcquire``).
        target_wait: Seconds that 99 % of the callers should wait at most, for ``advise()`` and
            ``autosize``.
        autosize: (low, high): ``max_size`` moves between these by what is measured, beginning with
            ``max_size`` or the nearer of the two. ``None``: off.
        histograms: Keep histograms of wait, use and create times.
    """

    min_size: int = 0
    max_size: int = 10
    burst: int = 0
    burst_after: float = Default(5.0)
    timeout: float | None = 5.0
    max_waiting: int | None = 1024
    fairness: Fairness = "eventual"
    fair_after: float = Default(0.001)
    order: Order = "lifo"
    max_connecting: int = 2
    connect_timeout: float = 5.0
    backoff_base: float = 0.05
    backoff_cap: float = 10.0
    on_down: OnDown = "wait"
    down_after: int = 3
    max_idle: float | None = 600.0
    max_lifetime: float | None = 1800.0
    lifetime_jitter: float = Default(0.25)
    max_uses: int | None = None
    check_after: float = Default(0.5)
    keepalive: float | None = None
    leak_after: float | None = None
    nested: Nested = "allow"
    target_wait: float = TARGET_WAIT
    autosize: tuple[int, int] | None = None
    histograms: bool = False

    def __post_init__(self) -> None:
        _count("max_size", self.max_size, 1)
        check_sizes(self.min_size, self.max_size)
        _count("burst", self.burst, 0)
        _optional_count("max_waiting", self.max_waiting, 0)
        _count("max_connecting", self.max_connecting, 1)
        _count("down_after", self.down_after, 1)
        _optional_count("max_uses", self.max_uses, 1)
        _optional_seconds("timeout", self.timeout)
        for name in ("fair_after", "check_after", "burst_after"):
            _seconds(name, getattr(self, name))
        for name in ("connect_timeout", "backoff_base", "backoff_cap"):
            _positive(name, getattr(self, name))
        for name in ("max_idle", "max_lifetime", "keepalive", "leak_after"):
            _optional_positive(name, getattr(self, name))
        _choice("fairness", self.fairness, ("eventual", "strict", "barging"))
        _choice("order", self.order, ("lifo", "fifo"))
        _seconds("target_wait", self.target_wait)
        if self.autosize is not None:
            _range("autosize", self.autosize, max(1, self.min_size))
        _choice("nested", self.nested, ("allow", "warn", "error"))
        _choice("on_down", self.on_down, ("wait", "fail"))
        if not isinstance(self.histograms, bool):
            raise ConfigurationError(_refusal("histograms", self.histograms, "True or False"))
        if not 0.0 <= self.lifetime_jitter < 1.0:
            raise ConfigurationError(
                _refusal("lifetime_jitter", self.lifetime_jitter, "0 <= x < 1")
            )
        if self.backoff_cap < self.backoff_base:
            raise ConfigurationError(
                _refusal("backoff_cap", self.backoff_cap, f">= backoff_base ({self.backoff_base})")
            )

        _needs("burst_after", self.burst_after, self.burst > 0, "burst above 0")
        _needs("fair_after", self.fair_after, self.fairness == "eventual", 'fairness="eventual"')
        _needs("lifetime_jitter", self.lifetime_jitter, bool(self.max_lifetime), "a max_lifetime")

    @property
    def first_max_size(self) -> int:
        """What ``max_size`` begins with."""
        if self.autosize is None:
            return self.max_size
        low, high = self.autosize
        return min(max(self.max_size, low), high)


def check_sizes(min_size: int, max_size: int) -> None:
    """Refuse sizes that can not be kept; also guards ``resize``.

    Raises:
        ConfigurationError: A size is out of range.
    """
    _count("max_size", max_size, 1)
    _count("min_size", min_size, 0)
    if min_size > max_size:
        raise ConfigurationError(_refusal("min_size", min_size, f"0 .. max_size ({max_size})"))


def check_shares(max_total: int, turn_after: float) -> None:
    """Refuse what the keys of a keyed pool can not share.

    Raises:
        ConfigurationError: An option is out of range.
    """
    _count("max_total", max_total, 1)
    _seconds("turn_after", turn_after)


def per_key(max_per_key: int | None) -> int:
    """Return the most connections that one key may have; ``None``: as many as there are.

    Raises:
        ConfigurationError: It is out of range.
    """
    if max_per_key is None:
        return NO_LIMIT
    _count("max_per_key", max_per_key, 1)
    return max_per_key


def _needs(name: str, value: float, met: bool, need: str) -> None:
    """Refuse a value that somebody has given and that has no effect."""
    if not met and not isinstance(value, Default):
        raise ConfigurationError(f"{name}={value!r} has no effect without {need}: leave it out")


def _refusal(name: str, value: object, legal: str) -> str:
    wrong = f"is a {type(value).__name__}" if isinstance(value, str) else "is out of range"
    return f"{name}={value!r} {wrong}: use {legal}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _count(name: str, value: int, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigurationError(_refusal(name, value, f"an integer >= {least}"))


def _range(name: str, value: tuple[int, int], least: int) -> None:
    whole = type(value) is tuple and [type(bound) for bound in value] == [int, int]
    if not whole or not least <= value[0] <= value[1]:
        legal = f"(low, high), integers with {least} <= low <= high"
        raise ConfigurationError(_refusal(name, value, legal))


def _optional_count(name: str, value: int | None, least: int) -> None:
    if value is not None:
        _count(name, value, least)


def _seconds(name: str, value: float) -> None:
    if not _is_number(value) or value < 0:
        raise ConfigurationError(_refusal(name, value, "seconds >= 0"))


def _optional_seconds(name: str, value: float | None) -> None:
    if value is not None:
        _seconds(name, value)


def _positive(name: str, value: float) -> None:
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(_refusal(name, value, "seconds > 0"))


def _optional_positive(name: str, value: float | None) -> None:
    if value is not None:
        _positive(name, value)


def _choice(name: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        names = ", ".join(map(repr, legal))
        near = did_you_mean(str(value), legal)
        raise ConfigurationError(f"{name}={value!r} is not known{near}: use one of {names}")


DEFAULTS = PoolOptions()
"""What nobody has to say."""
