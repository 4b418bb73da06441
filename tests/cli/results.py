"""Session results made by hand, for the tests of what is shown."""

from __future__ import annotations

from cenote.cli.demo.measure import Tally
from cenote.cli.demo.phases import Connections, Setting
from cenote.cli.demo.report import Report, report
from cenote.cli.demo.session import PhaseResult, SessionResult
from cenote.pool import PoolStats
from tests.cli.pool_stats import stats

SETTING = Setting("local://", 16, 8)
LEASED = stats(
    waited=3, acquired=1000, released=1000, use_seconds=2.0, use_seconds_squared=0.008, at=2.0
)


def tally(hits: int, misses: int = 0, mismatches: int = 0, error: str = "") -> Tally:
    made = Tally(hits=hits, misses=misses, mismatches=mismatches)
    for _ in range(hits + misses):
        made.latency.record(1_000_000)
    if error:
        made.failed(OSError(error))
    return made


def phase(name: str, done: Tally, opened: int = 1, pool: PoolStats | None = None) -> PhaseResult:
    return PhaseResult(name, f"about {name}", 2.0, done, Connections(opened, pool))


def sample(*, interrupted: bool = False, mismatches: int = 0, error: str = "") -> Report:
    session = SessionResult(
        (
            phase("a connection a request", tally(98, 2, mismatches), 100),
            phase("one pooled client", tally(980, 20, error=error), 8, LEASED),
        ),
        interrupted=interrupted,
    )
    return report(SETTING, "1.6.18", 0.0001, session)
