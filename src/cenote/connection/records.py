"""What is asked of name servers by way of dnspython, and read from it, for threads and asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cenote.connection.found import Found, Target
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = ("A", "AAAA")


def resolver_of(kind: str, nameservers: Sequence[tuple[str, int]]) -> Any:
    """Make a resolver of dnspython.

    Args:
        kind: The module whose resolver it is: ``"resolver"`` or ``"asyncresolver"``.
        nameservers: Who is asked; none: as the system is set up.

    Raises:
        ConfigurationError: dnspython is not installed.
    """
    try:
        from importlib import import_module  # noqa: PLC0415 - asked for once in a client's life

        made = import_module(f"dns.{kind}").Resolver(configure=not nameservers)
        address = import_module("dns.nameserver").Do53Nameserver
    except ImportError as error:
        raise ConfigurationError(
            "SRV records and name servers of one's own need dnspython: pip install cenote[dns]"
        ) from error
    made.use_search_by_default = not nameservers
    if nameservers:
        made.nameservers = [address(host, port) for host, port in nameservers]
    return made


def absent(error: Exception) -> bool:
    """Tell whether an error of dnspython says that there are no such records."""
    return type(error).__name__ in {"NXDOMAIN", "NoAnswer"}


def services(answer: Any) -> Found:
    """Read SRV records: the targets of the lowest priority."""
    first = min(record.priority for record in answer)
    targets = [
        Target(str(record.target).rstrip("."), record.port)
        for record in answer
        if record.priority == first
    ]
    return Found(targets, float(answer.rrset.ttl))


def addresses(answers: Sequence[Any], port: int) -> Found:
    """Read A and AAAA records."""
    targets = [Target(record.address, port) for answer in answers for record in answer]
    ttl = min((float(answer.rrset.ttl) for answer in answers), default=None)
    return Found(targets, ttl)
