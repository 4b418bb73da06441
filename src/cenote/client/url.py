"""Where the servers are, as a user writes it: URLs, addresses, `Server` objects, or several.

    memcached://host:port,host2?max_size=32&timeout=0.5      TCP
    unix:///run/memcached.sock?timeout=0.5                   a unix socket
    local://                                                 a private server for development
    host, host:port, [::1]:11211, /run/memcached.sock        addresses without options

Strategy: read by hand and completely. Whatever is not understood is an error that lists what would
be; nothing is skipped. Options are returned as text: what they are called and what they may be is
the business of ``options.py``. No message repeats a password.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

from cenote.cluster.server import LOCAL, Server, parse_address
from cenote.connection import TCPAddress, UnixAddress
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.connection import Address

OneServer: TypeAlias = "str | Server | Address"
Servers: TypeAlias = "OneServer | Sequence[OneServer]"

DEFAULT_URL = "memcached://127.0.0.1:11211"
SCHEMES = ("memcached", "unix", "local")
_LATER = {"memcacheds": "TLS is not supported in this version: use memcached://"}


class Location(NamedTuple):
    """What was read: the servers, and the options found in URLs, still as text."""

    servers: tuple[Server, ...]
    options: dict[str, str]


def read_servers(servers: Servers) -> Location:
    """Read what was given as ``servers`` to a client.

    Raises:
        ConfigurationError: It names no server, or can not be read; the message says what would do.
    """
    if isinstance(servers, (str, Server, TCPAddress, UnixAddress)):
        return _read_one(servers)
    if isinstance(servers, (bytes, dict)) or not hasattr(servers, "__iter__"):
        raise ConfigurationError(
            "servers is a URL, 'host:port', '/path.sock', a Server, an address, or a sequence of "
            f"those: not {type(servers).__name__}"
        )
    return _merged([_read_one(server) for server in servers])


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """Return ``" (did you mean ...?)"`` when a legal name is close, else nothing."""
    close = get_close_matches(name, list(legal), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _read_one(server: OneServer) -> Location:
    if isinstance(server, Server):
        return Location((server,), {})
    if isinstance(server, (TCPAddress, UnixAddress)):
        return Location((Server(server),), {})
    if not isinstance(server, str):
        raise ConfigurationError(
            f"a server is a str or a Server, not {type(server).__name__}: write 'host:port'"
        )
    if "://" in server:
        return _read_url(server)
    return Location((Server(parse_address(server.strip())),), {})


def _merged(locations: list[Location]) -> Location:
    if not locations:
        raise ConfigurationError("the sequence of servers is empty: name at least one")
    options: dict[str, str] = {}
    for location in locations:
        for name, text in location.options.items():
            if options.setdefault(name, text) != text:
                raise ConfigurationError(
                    f"two URLs differ in {name}: {options[name]!r} and {text!r}; one client has one"
                )
    return Location(tuple(server for found in locations for server in found.servers), options)


def _read_url(url: str) -> Location:
    scheme, _, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if scheme in _LATER:
        raise ConfigurationError(_LATER[scheme])
    if scheme not in SCHEMES:
        raise ConfigurationError(
            f"scheme {scheme!r} is not known{did_you_mean(scheme, SCHEMES)}: "
            f"{', '.join(f'{known}://' for known in SCHEMES)}"
        )
    place, _, query = rest.partition("?")
    if "@" in place:  # not repeated: it may hold a password
        raise ConfigurationError("user names and passwords are not supported in this version")
    if "#" in rest:
        raise ConfigurationError("a fragment ('#') means nothing in the URL of a server")
    return Location(_SERVERS_AT[scheme](place, url), _options(query))


def _tcp_servers(place: str, url: str) -> tuple[Server, ...]:
    hosts, _, path = place.partition("/")
    if path:
        raise ConfigurationError(
            f"{url!r} has a path: a unix socket is written unix:///{path}, options follow a '?'"
        )
    return tuple(Server(parse_address(host.strip())) for host in hosts.split(","))


def _unix_server(place: str, url: str) -> tuple[Server, ...]:
    if not place.startswith("/") or place == "/":
        raise ConfigurationError(
            f"{url!r} is not the path of a socket: write unix:///path.sock, with three slashes"
        )
    return (Server(UnixAddress(unquote(place))),)


def _local_server(place: str, url: str) -> tuple[Server, ...]:
    if place.strip("/"):
        raise ConfigurationError(f"{url!r} names a place, local:// has none: leave it out")
    return (LOCAL,)


_SERVERS_AT = {"memcached": _tcp_servers, "unix": _unix_server, "local": _local_server}


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ConfigurationError("options of a URL are written ?name=value&name=value") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError("the URL gives an option twice")
    return options
