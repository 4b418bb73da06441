"""What it takes to be let in by a server: one value that passes through the layers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cenote.connection.handshake import ProtocolChoice

if TYPE_CHECKING:
    from cenote.connection.credentials import AnyCredentials
    from cenote.connection.tls import Securing


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to begin a conversation with a server.

    Attributes:
        protocol: Which commands to use: ask the server for the newest (``"auto"``), or ``"meta"``,
            ``"classic"``, ``"binary"``.
        credentials: The user and password to log in with, or what is asked for them at every
            connect; None: do not log in.
        tls: What makes the connection a secure one; None: it is plain.
    """

    protocol: ProtocolChoice = "auto"
    credentials: AnyCredentials | None = None
    tls: Securing | None = None


OPEN = Access()
"""To a server that lets everybody in."""
