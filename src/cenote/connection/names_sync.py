"""Looking names up for their own sake, from threads: all addresses of a name, or its SRV records.

Strategy: the system's resolver where it will do; dnspython for what that can not tell. Twin:
``names_aio.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from cenote.connection import opening_sync, records
from cenote.connection.address import TCPAddress
from cenote.connection.found import Found, Target


def look_up(address: TCPAddress, nameservers: Sequence[tuple[str, int]], timeout: float) -> Found:
    """Return all addresses of a name.

    Raises:
        OSError: The name has none, or could not be looked up.
    """
    if not nameservers:
        return _by_system(address, timeout)
    resolver = records.resolver_of("resolver", nameservers)
    answers = [_asked(resolver, address, kind, timeout) for kind in records.TYPES]
    return records.addresses([answer for answer in answers if answer is not None], address.port)


def look_up_services(
    address: TCPAddress, nameservers: Sequence[tuple[str, int]], timeout: float
) -> Found:
    """Return the targets of a name's SRV records.

    Raises:
        OSError: They could not be looked up.
        ConfigurationError: dnspython is not installed.
    """
    resolver = records.resolver_of("resolver", nameservers)
    answer = _asked(resolver, address, "SRV", timeout)
    return Found([]) if answer is None else records.services(answer)


def _by_system(address: TCPAddress, timeout: float) -> Found:
    now = monotonic()
    endpoints = opening_sync.look_up(address, now, now + timeout)
    return Found([Target(str(endpoint.sockaddr[0]), address.port) for endpoint in endpoints])


def _asked(resolver: Any, address: TCPAddress, kind: str, timeout: float) -> Any:
    try:
        return resolver.resolve(address.host, kind, lifetime=timeout)
    except Exception as error:
        if records.absent(error):
            return None
        raise OSError(f"can not look up {kind} of {address.host}: {error}") from error
