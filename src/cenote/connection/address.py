"""Where a server listens: a TCP host and port, or a unix socket's path. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cenote.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """A host (name or literal address, brackets not included) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a unix stream socket."""

    path: str

    def __str__(self) -> str:
        return self.path


Address: TypeAlias = TCPAddress | UnixAddress


def check_address(address: Address) -> None:
    """Refuse what can not be an address, whatever was put into it.

    Raises:
        ConfigurationError: It is none, or has no host, no path, or no port from 1 to 65535.
    """
    if isinstance(address, TCPAddress):
        _check_text(address.host, "host")
        if "/" in address.host:
            raise ConfigurationError(f"the host of an address is a name, not a URL: {address.host}")
        if type(address.port) is not int or not 1 <= address.port <= 65535:
            raise ConfigurationError(f"a port is an int from 1 to 65535, not {address.port!r}")
    elif isinstance(address, UnixAddress):
        _check_text(address.path, "path")
    else:
        raise ConfigurationError(
            f"a server's address is a TCPAddress or a UnixAddress, not {address!r}: "
            "Server.at('host:port') reads one from text"
        )


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"the {name} of an address is a text, not {text!r}")
