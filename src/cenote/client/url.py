"""Where the servers are, as a user writes it: URLs, addresses, `Server` objects, or several.

    memcached://host:port,host2?max_size=32&timeout=0.5      TCP
    memcached://user:password@host                           TCP, logging in
    memcacheds://host                                        TCP with TLS
    unix:///run/memcached.sock?timeout=0.5                   a unix socket
    local://                                                 a private server for development
    host, host:port, [::1]:11211, /run/memcached.sock        addresses without options

Strategy: read by hand and completely. Whatever is not understood is an error that lists what would
be; nothing is skipped. Options are returned as text: what they are called and what they may be is
the business of ``options.py``. A user name and password stand before the hosts, percent-encoded
where they have characters with a meaning of their own. No message repeats a password: where a text
can not be taken apart and might hold one, nothing of it is repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

from cenote._spelling import did_you_mean
from cenote.cluster.server import LOCAL, Server, parse_address
from cenote.connection import Credentials, TCPAddress, UnixAddress
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.connection import Address

OneServer: TypeAlias = "str | Server | Address"
Servers: TypeAlias = "OneServer | Sequence[OneServer]"

DEFAULT_URL = "memcached://127.0.0.1:11211"
SCHEMES = ("memcached", "memcacheds", "unix", "local")


_ENCODED = (
    "percent-encode what has a meaning in URLs: '@' as %40, '/' as %2F, ',' as %2C, '?' as %3F"
)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PASSWORD = re.compile(r"(://[^:@/?]*):.*@", re.DOTALL)  # rather too much than too little


class Location(NamedTuple):
    """What was read.

    Attributes:
        servers: The servers.
        options: The options found in URLs, still as text.
        credentials: The user and password found in URLs.
        tls: Whether URLs say that connections are to be secure; None: none says so or otherwise.
    """

    servers: tuple[Server, ...]
    options: dict[str, str]
    credentials: Credentials | None = None
    tls: bool | None = None


def without_password(url: str) -> str:
    """Return a URL as it may be shown: with the user's name, without the password."""
    return _PASSWORD.sub(r"\1:***@", url)


def read_servers(servers: Servers) -> Location:
    """Read what was given as ``servers`` to a client.

    Raises:
        ConfigurationError: It names no server, or can not be read; the message says what would do.
    """
    if isinstance(servers, (str, Server, TCPAddress, UnixAddress)):
        return _read_one(servers)
    # A set has another order in each process, and there are schemes that place keys by the order.
    no_sequence = (bytes, dict, set, frozenset)
    if isinstance(servers, no_sequence) or not hasattr(servers, "__iter__"):
        raise ConfigurationError(
            "servers is a URL, 'host:port', '/path.sock', a Server, an address, or a sequence of "
            f"those: not {type(servers).__name__}"
        )
    return _merged([_read_one(server) for server in servers])


def read_spares(servers: Servers) -> tuple[Server, ...]:
    """Read what was given as the servers that step in for others; an empty sequence: none.

    Raises:
        ConfigurationError: It can not be read, or has options of its own.
    """
    if isinstance(servers, (list, tuple)) and not servers:
        return ()
    location = read_servers(servers)
    if location.options or location.credentials or location.tls:
        raise ConfigurationError(
            "the URL of a gutter server has options or credentials, or asks for TLS: it is used "
            "with the client's"
        )
    return location.servers


def _read_one(server: OneServer) -> Location:
    if isinstance(server, Server):
        return Location((server,), {})
    if isinstance(server, (TCPAddress, UnixAddress)):
        return Location((Server(server),), {})
    if not isinstance(server, str):
        raise ConfigurationError(
            f"a server is a str or a Server, not {type(server).__name__}: write 'host:port', one "
            "str for each server"
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
    servers = tuple(server for found in locations for server in found.servers)
    return Location(servers, options, _one_user(locations), _one_scheme(locations))


def _one_scheme(locations: list[Location]) -> bool | None:
    kinds = {found.tls for found in locations if found.tls is not None}
    if len(kinds) > 1:
        raise ConfigurationError(
            "memcached:// and memcacheds:// are mixed: one client has TLS with all its servers, or "
            "with none"
        )
    return kinds.pop() if kinds else None


def _one_user(locations: list[Location]) -> Credentials | None:
    users = {found.credentials for found in locations if found.credentials is not None}
    if len(users) > 1:
        raise ConfigurationError("two URLs differ in user or password; one client has one")
    return users.pop() if users else None


def _read_url(url: str) -> Location:
    scheme, _, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        raise ConfigurationError(
            f"scheme {scheme!r} is not known{did_you_mean(scheme, SCHEMES)}: "
            f"{', '.join(f'{known}://' for known in SCHEMES)}"
        )
    if "#" in rest:
        raise ConfigurationError(
            "a fragment ('#') means nothing in the URL of a server; in a password it is %23"
        )
    place, _, query = rest.partition("?")
    credentials, place = _user_of(place)
    try:
        servers = _SERVERS_AT[scheme](place, f"{scheme}://{place}")
    except ConfigurationError:
        if credentials is not None or "@" not in rest:
            raise
        raise ConfigurationError(
            f"the URL can not be read; if it has a user name and password, {_ENCODED}"
        ) from None
    if credentials is not None and servers == (LOCAL,):
        raise ConfigurationError("local:// is private and asks for no password: leave it out")
    tls = {"memcached": False, "memcacheds": True}.get(scheme)
    return Location(servers, _options(query), credentials, tls)


def _user_of(place: str) -> tuple[Credentials | None, str]:
    """Take the user name and password from what stands before the path; and the rest."""
    authority, slash, path = place.partition("/")
    text, at, hosts = authority.rpartition("@")
    if not at:
        return None, place
    user, colon, password = text.partition(":")
    if not colon:
        raise ConfigurationError("a user name stands without a password: write user:password@host")
    if set(text) & set("@,") or _STRAY_PERCENT.search(text):
        raise ConfigurationError(f"in the user name and password, {_ENCODED}, '%' as %25")
    try:
        credentials = Credentials(
            unquote(user, errors="strict"), unquote(password, errors="strict")
        )
    except UnicodeDecodeError:
        raise ConfigurationError("the user name or password is no percent-encoded UTF-8") from None
    return credentials, hosts + slash + path


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


_SERVERS_AT = {
    "memcached": _tcp_servers,
    "memcacheds": _tcp_servers,
    "unix": _unix_server,
    "local": _local_server,
}


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ConfigurationError("options of a URL are written ?name=value&name=value") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError("the URL gives an option twice")
    return options
