"""What may be given as a client's ``discovery``: names, options, objects of the user's own.

Strategy: the options of those that come with cenote have one namespace in URLs, ``discovery_``,
because some are called like a client's.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from cenote.cluster.discovery import AsyncDiscovery, Discovery
from cenote.cluster.dns import DNS
from cenote.cluster.elasticache import ElastiCache
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DiscoveryName: TypeAlias = Literal["elasticache", "dns"]
DISCOVERY_NAMES: Final[tuple[str, ...]] = get_args(DiscoveryName)

AnyDiscovery: TypeAlias = DiscoveryName | ElastiCache | DNS | Discovery | AsyncDiscovery

_NAMED: Final[dict[str, type[ElastiCache | DNS]]] = {"elasticache": ElastiCache, "dns": DNS}


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


PREFIX: Final = "discovery_"
"""What the options of a discovery begin with in a URL."""

TOLD_NAMES: Final = tuple(
    dict.fromkeys(PREFIX + field.name for kind in _NAMED.values() for field in fields(kind))
)
"""The options of discoveries, as they are called in a URL."""


def told(discovery: AnyDiscovery | None, texts: Mapping[str, str]) -> AnyDiscovery:
    """Return a discovery with what a URL says of it.

    Args:
        discovery: A name, or options; what is said replaces theirs.
        texts: What is said, by the names in ``TOLD_NAMES``.

    Raises:
        ConfigurationError: There is no such discovery to say it of, or a value is out of range.
    """
    options = None if discovery is None else plain(discovery)
    if not isinstance(options, (ElastiCache, DNS)):
        names = " or ".join(f"discovery={name}" for name in DISCOVERY_NAMES)
        raise ConfigurationError(
            f"{', '.join(texts)} is said of no discovery: it goes with {names}"
        )
    known = [PREFIX + field.name for field in fields(options)]
    for name in texts:
        if name not in known:
            raise ConfigurationError(
                f"{name} is no option of {type(options).__name__}, which has {', '.join(known)}"
            )
    given: dict[str, Any] = {
        name.removeprefix(PREFIX): _TELLING.get(name, str)(text) for name, text in texts.items()
    }
    return replace(options, **given)


def _seconds(text: str) -> float | str:
    """Return a number; what is none is refused by whoever checks it, as text."""
    try:
        return float(text)
    except ValueError:
        return text


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


_TELLING: Final[dict[str, Callable[[str], object]]] = {
    "discovery_interval": _seconds,
    "discovery_timeout": _seconds,
    "discovery_nameservers": _list,
}
