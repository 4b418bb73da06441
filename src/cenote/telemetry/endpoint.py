"""Where a process can be looked at: a unix socket, or a port; for who opens it and who asks.

Strategy: an endpoint is a text, as people write it. Nothing is looked up: a host that is not
literally of this machine counts as the world.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from cenote.errors import ConfigurationError

DEFAULT: Final = "127.0.0.1:9211"
"""Where a process is looked at when nothing else is said."""

_HOST_AND_PORT = re.compile(
    r"(?:http://)?(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:/\[\]]*)):(?P<port>\d{1,5})/?"
)
_USE = "write 'host:port', or the path of a unix socket"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to look in; either a path, or a host and a port.

    Attributes:
        path: Of a unix socket; empty: it is a port.
        host: A name or a literal address, without brackets.
        port: 0: any that is free.
    """

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def read(cls, text: str) -> Endpoint:
        """Read ``"host:port"``, ``":port"``, ``"http://host:port"``, ``"/path"``, ``"unix:path"``.

        Raises:
            ConfigurationError: It is none of these.
        """
        if text.startswith(("/", "./", "../")):
            return cls(path=text)
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(path=text.removeprefix("unix:").removeprefix("//"))
        found = _HOST_AND_PORT.fullmatch(text)
        if found is None or int(found["port"]) > 65535:
            raise ConfigurationError(f"{text!r} is no endpoint: {_USE}")
        return cls(host=found["six"] or found["host"] or "127.0.0.1", port=int(found["port"]))

    @property
    def is_private(self) -> bool:
        """True if only this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return self.path if self.path.startswith(("/", ".")) else f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is literally this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
