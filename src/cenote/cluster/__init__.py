"""Which server owns a key, and the way there."""

from __future__ import annotations

from cenote.cluster.server import Server

__all__ = ["Server"]
