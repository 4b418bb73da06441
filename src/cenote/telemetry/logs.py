"""Events of pools in the standard library's logging, with structured fields.

Strategy: each event is one record. Its message reads by itself; the same facts are attributes of
the record (``extra``), for handlers that write JSON. Levels are those of ``events.LEVELS``.
"""

from __future__ import annotations

import logging

from cenote.errors import ConfigurationError
from cenote.telemetry.events import Announcer, Event

__all__ = ["LogEvents"]


class LogEvents(Announcer):
    """An observer that logs what happens: ``Pool(..., observer=LogEvents())``.

    Records have ``cenote_pool``, ``cenote_event``, and what is known of the event, such as
    ``cenote_reason``, ``cenote_seconds`` or ``cenote_error``.

    Args:
        logger: By default ``cenote.pool.events``.

    Raises:
        ConfigurationError: It is no logger.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        super().__init__()
        if not isinstance(logger, logging.Logger | logging.LoggerAdapter | None):
            raise ConfigurationError(f"logger={logger!r} is no Logger: give logging.getLogger(...)")
        self._logger = logger or logging.getLogger("cenote.pool.events")

    def announce(self, event: Event) -> None:
        """Log an event."""
        if self._logger.isEnabledFor(event.level):
            extra: dict[str, str | float] = {
                "cenote_pool": event.pool,
                "cenote_event": event.kind,
                **{f"cenote_{name}": value for name, value in event.fields.items()},
            }
            self._logger.log(event.level, "pool %s: %s", event.pool, event.text, extra=extra)
