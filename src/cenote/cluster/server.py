"""A server as the user names it: its address, and what routing needs to know of it.

Strategy: an address is text that people write by hand, so each way of getting it wrong has its own
message. Nothing is looked up or opened here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from cenote.connection import Access, Address, TCPAddress, UnixAddress, check_address
from cenote.errors import ConfigurationError
from cenote.local import local_server_address

DEFAULT_PORT: Final = 11211
_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?"
)

_SCHEME_ALONE = re.compile(r"(?:memcacheds?|unix|local):(?:/|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """One memcached server.

    Args:
        address: Where it listens; ``Server.at("host:port")`` reads one from text.
        weight: Its share of the keys beside other servers; above 0.
        name: What it is called in statistics and health; its address when left out.

    Raises:
        ConfigurationError: The weight is not a number above 0, the name no text, or the address
            none that can be connected to.
    """

    address: Address
    weight: float = 1
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.address, LocalAddress):
            check_address(self.address)
        if type(self.weight) not in (int, float) or not 0 < self.weight < math.inf:
            raise ConfigurationError(f"a server's weight is a number above 0, not {self.weight!r}")
        if not isinstance(self.name, str):
            raise ConfigurationError(f"a server's name is a str, not {self.name!r}")
        if not self.name:
            object.__setattr__(self, "name", str(self.address))

    @staticmethod
    def at(address: str, weight: float = 1, name: str = "") -> Server:
        """Return the server at ``"host"``, ``"host:port"``, ``"[ipv6]:port"`` or ``"/path.sock"``.

        Raises:
            ConfigurationError: The address or the weight is not valid.
        """
        return Server(parse_address(address), weight, name)


class LocalAddress(UnixAddress):
    """The private server behind ``local://``: it is started when its path is first asked for.

    Connecting asks for it each time, so a server that has died is replaced.
    """

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def start(self) -> None:
        """Start the server if it is not running; it takes some milliseconds.

        Raises:
            LocalServerError: There is no memcached to run, or it did not start.
        """
        local_server_address()

    @property
    def path(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where the server listens.

        Raises:
            LocalServerError: There is no memcached to run, or it did not start.
        """
        return local_server_address()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalAddress)

    def __hash__(self) -> int:
        return hash(LocalAddress)

    def __repr__(self) -> str:
        return "LocalAddress()"

    def __str__(self) -> str:
        return "local"


def check_access(address: Address, access: Access) -> None:
    """Refuse what the private server of ``local://`` would not even look at.

    Raises:
        ConfigurationError: The address is its, and there are credentials or TLS to be used.
    """
    if not isinstance(address, LocalAddress):
        return
    if access.credentials is not None:
        raise ConfigurationError(
            "local:// is private and asks for no password: leave username, password and "
            "credentials out, or name a server that wants them (memcached://host)"
        )
    if access.tls is not None:
        raise ConfigurationError(
            "local:// is a unix socket that serves you only, and speaks no TLS: leave tls, and "
            "what says something of it, out, or name a server that does (memcacheds://host)"
        )


def parse_address(text: str) -> Address:
    """Read ``"host"``, ``"host:port"``, ``"[ipv6]:port"`` or ``"/path.sock"``; the port is 11211.

    Raises:
        ConfigurationError: It is none of these; the message says what is wrong.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"an address is a str such as 'host:port', not {text!r}")
    if text.startswith(("/", "./", "../")):
        return UnixAddress(text)
    if "@" in text:  # not repeated: it may hold a password
        raise ConfigurationError(
            "user names and passwords are read from URLs only: write memcached://user:password@host"
        )
    _refuse_half_a_url(text)
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise ConfigurationError(_unread(text))
    host = found["bracketed"] or found["host"]
    if not host or any(character.isspace() for character in host) or set(host) & set("/?#"):
        raise ConfigurationError(f"{text!r} names no host: write 'host:port' or '/path.sock'")
    return TCPAddress(host, _port(found["port"], text))


def _refuse_half_a_url(text: str) -> None:
    """Tell whoever has left something out of a URL what it is."""
    if "?" in text:  # not repeated: options may be secret
        raise ConfigurationError(
            "options are read from URLs only: write memcached://host:port?timeout=0.5"
        )
    if "://" in text:
        raise ConfigurationError(f"{text!r} is a URL: give it to the client as it is")
    if _SCHEME_ALONE.match(text):
        raise ConfigurationError(
            f"{text!r} lacks '//' after the scheme: write memcached://host:port, "
            "unix:///path.sock (three slashes) or local://"
        )
    if "," in text:
        raise ConfigurationError(
            f"{text!r} names several servers: write memcached://host:port,host:port, or a list"
        )


def _port(digits: str | None, text: str) -> int:
    if digits is None:
        return DEFAULT_PORT
    if digits.isascii() and digits.isdigit() and 1 <= int(digits) <= 65535:
        return int(digits)
    raise ConfigurationError(f"port {digits!r} in {text!r} is not a number from 1 to 65535")


def _unread(text: str) -> str:
    if text.count(":") > 1 and "[" not in text:
        return f"{text!r} looks like an IPv6 address: write it in brackets, as in '[::1]:11211'"
    return f"{text!r} is not an address: write 'host:port', '[ipv6]:port' or '/path.sock'"


LOCAL: Final = Server(LocalAddress())
