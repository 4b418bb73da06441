"""Where a server listens: a TCP host and port, or a unix socket's path. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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
