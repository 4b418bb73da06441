"""What may be given as a client's ``discovery``: names, options, objects of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from cenote.cluster.discovery import AsyncDiscovery, Discovery
from cenote.cluster.dns import DNS
from cenote.cluster.elasticache import ElastiCache
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

DiscoveryName: TypeAlias = Literal["elasticache", "dns"]
DISCOVERY_NAMES: Final[tuple[str, ...]] = get_args(DiscoveryName)

AnyDiscovery: TypeAlias = DiscoveryName | ElastiCache | DNS | Discovery | AsyncDiscovery

_NAMED: Final[dict[str, Callable[[], ElastiCache | DNS]]] = {"elasticache": ElastiCache, "dns": DNS}


def check_discovery(discovery: object) -> None:
    """Refuse what can find no servers.

    Raises:
        ConfigurationError: It can not; the message lists what can.
    """
    if isinstance(discovery, (ElastiCache, DNS)) or discovery in DISCOVERY_NAMES:
        return
    if not isinstance(discovery, Discovery):
        raise ConfigurationError(
            f"discovery={discovery!r} is not known: {', '.join(map(repr, DISCOVERY_NAMES))}, "
            "ElastiCache(...), DNS(...), or an object with find, interval and timeout"
        )


def plain(discovery: AnyDiscovery) -> ElastiCache | DNS | Discovery | AsyncDiscovery:
    """Return the options behind a name; what is no name as it is.

    Raises:
        ConfigurationError: It can find no servers.
    """
    check_discovery(discovery)
    return _NAMED[discovery]() if isinstance(discovery, str) else discovery
