"""cenote's pools for requests: ``session.mount("https://", CenoteAdapter())``.

Strategy: requests leaves connections to urllib3, so this is its own adapter with the pools of
``integrations/urllib3.py`` put in.
"""

from __future__ import annotations

from typing import Any

from cenote.pool import Observer, PoolStats
from cenote.pool.passed_over import pass_over

try:
    from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
    from urllib3 import Retry
except ImportError as error:
    raise ImportError(
        "cenote.integrations.requests needs requests: pip install 'cenote[requests]'"
    ) from error

from cenote.integrations.urllib3 import Connections, adopt, new_connections

__all__ = ["CenoteAdapter"]

pass_over("requests")  # whoever borrows a connection does so in its user's line

_CLOSING = 1.0  # seconds that idle connections may take to be closed


class CenoteAdapter(HTTPAdapter):
    """An adapter to mount in a ``requests.Session``, whose connections come from a ``KeyedPool``.

    A request that finds every connection in use waits (``pool_block``), at most ``timeout``
    seconds, and then raises urllib3's ``EmptyPoolError``. A response that is streamed holds its
    connection until it is read to its end or closed.

    Args:
        max_total: Connections there may be to all hosts together.
        max_per_host: And to each; ``None``: only the total counts.
        timeout: Seconds to wait for one; ``None``: no limit.
        max_retries: As for requests' own adapter.

    The other arguments are those of ``KeyedPool``.

    Raises:
        ConfigurationError: An option is out of range.
    """

    __attrs__ = [*HTTPAdapter.__attrs__, "_options"]  # noqa: RUF012 - what requests pickles

    def __init__(
        self,
        *,
        max_total: int = 100,
        max_per_host: int | None = 10,
        timeout: float | None = 5.0,
        max_waiting: int | None = 1024,
        max_idle: float | None = 600.0,
        max_lifetime: float | None = 1800.0,
        leak_after: float | None = None,
        name: str | None = None,
        observer: Observer | None = None,
        max_retries: Retry | int = 0,
    ) -> None:
        self._options: dict[str, Any] = {
            "max_total": max_total, "max_per_host": max_per_host, "timeout": timeout,
            "max_waiting": max_waiting, "max_idle": max_idle, "max_lifetime": max_lifetime,
            "leak_after": leak_after, "name": name, "observer": observer,
        }  # fmt: skip
        super().__init__(pool_connections=max_total, max_retries=max_retries, pool_block=True)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Called by requests, also when a pickled adapter is loaded: begin with an empty pool."""
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.connections: Connections = new_connections(**self._options)
        adopt(self.poolmanager, self.connections)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Called by requests for a request through a proxy; its connections count too."""
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if not known:
            adopt(manager, self.connections)
        return manager

    def stats(self) -> PoolStats:
        """Describe the connections to all hosts together."""
        return self.connections.stats()

    def close(self) -> None:
        """Close the idle connections, and those that are out as they come back.

        As with requests' own adapter a session may be used again; it then opens others.
        """
        super().close()
        in_use = self.connections.stats().used
        self.connections.close(timeout=0.0 if in_use else _CLOSING)
        self.proxy_manager = {}
        self.init_poolmanager(self._options["max_total"], DEFAULT_POOLSIZE, block=True)
