"""Which TLS a connector is to speak: a context, the usual one, or none. Pure."""

from __future__ import annotations

import ssl
from typing import TypeAlias

TLS: TypeAlias = "ssl.SSLContext | bool | None"
"""A context; True: one that trusts what the system trusts; None or False: no TLS."""


def context_of(tls: TLS) -> ssl.SSLContext | None:
    """Return the context to use; None: no TLS."""
    return ssl.create_default_context() if tls is True else tls or None
