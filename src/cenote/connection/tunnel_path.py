"""The TLS of one connection: compiled where it was built, else as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.connection._tunnel_c"):
    from cenote.connection.tunnel import Tunnel
else:
    from cenote.connection._tunnel_c import Tunnel

__all__ = ["Tunnel"]
