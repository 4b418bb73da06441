"""What is said on a fresh connection before anybody may use it, without any I/O.

Strategy: a handshake is a generator. It yields a flight (requests that leave in one write), is sent
the flight's replies in order, and returns the ``Traits`` of the server. An error reply is sent in
as a value: whether it ends the handshake is decided here and not by the driver. Authentication,
when it comes, is one more request in front of the same flight.

Today there is one flight: ``mn`` tells whether the server knows the meta commands (``MN``) or only
the classic ones (``ERROR``), and ``version`` which server it is: memcached 1.5.19 to 1.6.9 answer
``mn``, but their meta commands were drafts that differ, so these count as classic.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cenote.errors import CenoteError, ProtocolError, UnknownCommand
from cenote.protocol import Reply, Request, meta_noop, version

_SETTLED: Final = (1, 6, 10)
"""The first memcached whose meta commands are the ones of today."""

ProtocolChoice: TypeAlias = Literal["auto", "meta", "classic"]
Flight: TypeAlias = tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Traits:
    """What the handshake learned about a server.

    Attributes:
        meta: Whether it speaks the meta commands (``mg``, ``ms``, ...) as they were settled.
        version: What it answers to ``version``, such as ``"1.6.18"``.
    """

    meta: bool
    version: str


Handshake: TypeAlias = Generator[Flight, Sequence[Reply], Traits]


def handshake(protocol: ProtocolChoice = "auto") -> Handshake:
    """Open the conversation on a fresh connection.

    Args:
        protocol: ``"auto"`` asks the server, ``"meta"`` asks and insists, ``"classic"`` does not
            ask.

    Yields:
        Requests to be written at once; send their replies back in, error replies included.

    Returns:
        The server's traits.

    Raises:
        ProtocolError: ``"meta"`` was asked of a server that does not know it.
        CenoteError: The server answered with an error, which is raised as it is.
    """
    if protocol == "classic":
        (release,) = yield (version(),)
        return Traits(meta=False, version=_version(release))
    probe, release = yield (meta_noop(), version())
    name = _version(release)
    traits = Traits(meta=_knows_meta(probe) and not _is_draft(name), version=name)
    if protocol == "meta" and not traits.meta:
        raise ProtocolError(
            f"the server (version {traits.version}) does not know the meta commands: "
            "use protocol='auto' or 'classic'"
        )
    return traits


def _knows_meta(probe: Reply) -> bool:
    if isinstance(probe, CenoteError) and not isinstance(probe, UnknownCommand):
        raise probe
    return not isinstance(probe, UnknownCommand)


def _is_draft(version: str) -> bool:
    """Whether its meta commands are not the settled ones; what is no number is trusted."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) < _SETTLED


def _version(release: Reply) -> str:
    if isinstance(release, CenoteError):
        raise release
    if not isinstance(release, str):
        raise ProtocolError(f"the server answered 'version' with {release!r}")
    return release
