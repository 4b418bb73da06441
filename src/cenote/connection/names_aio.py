"""Looking names up for their own sake, from asyncio: all addresses of a name, or its SRV records.

Strategy: as ``names_sync.py``. The system's resolver blocks, so the loop has a thread ask it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from cenote.connection import failures, records
from cenote.connection.address import TCPAddress
from cenote.connection.found import Found, Target


async def look_up(
    address: TCPAddress, nameservers: Sequence[tuple[str, int]], timeout: float
) -> Found:
    """Return all addresses of a name.

    Raises:
        OSError: The name has none, or could not be looked up.
    """
    if not nameservers:
        return await _by_system(address, timeout)
    resolver = records.resolver_of("asyncresolver", nameservers)
    answers = [await _asked(resolver, address, kind, timeout) for kind in records.TYPES]
    return records.addresses([answer for answer in answers if answer is not None], address.port)


async def look_up_services(
    address: TCPAddress, nameservers: Sequence[tuple[str, int]], timeout: float
) -> Found:
    """Return the targets of a name's SRV records.

    Raises:
        OSError: They could not be looked up.
        ConfigurationError: dnspython is not installed.
    """
    resolver = records.resolver_of("asyncresolver", nameservers)
    answer = await _asked(resolver, address, "SRV", timeout)
    return Found([]) if answer is None else records.services(answer)


async def _by_system(address: TCPAddress, timeout: float) -> Found:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise OSError(f"can not look up {address.host} within {timeout:.3g} s") from error
    except (OSError, UnicodeError) as error:
        raise failures.not_found(address, error) from error
    return Found([Target(str(sockaddr[0]), address.port) for *_, sockaddr in found])


async def _asked(resolver: Any, address: TCPAddress, kind: str, timeout: float) -> Any:
    try:
        return await resolver.resolve(address.host, kind, lifetime=timeout)
    except Exception as error:
        if records.absent(error):
            return None
        raise OSError(f"can not look up {kind} of {address.host}: {error}") from error
