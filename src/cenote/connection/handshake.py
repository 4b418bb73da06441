"""What is said on a fresh connection before anybody may use it, without any I/O.

Strategy: a handshake is a generator. It yields a flight (requests that leave in one write), is sent
the flight's replies in order, and returns the ``Traits`` of the server. An error reply is sent in
as a value, or thrown in where it ends the conversation: what follows from it is decided here and
not by the driver.

Where there are credentials the first flights are those of the protocol's ``Login``: ``LOGINS`` says
which. Then there is one flight: ``mn`` tells whether the server knows the meta commands (``MN``) or
only the classic ones (``ERROR``), and ``version`` which server it is: memcached 1.5.19 to 1.6.9
answer ``mn``, but their meta commands were drafts that differ, so these count as classic.

The binary protocol is never tried: a server that speaks text may take its bytes for a line without
an end, as one that speaks nothing else takes a short line for a header that is not complete. So a
server that stays silent, or hangs up, is reported with what else it may want (``other_protocol``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cenote.connection.credentials import Credentials
from cenote.connection.login import Flight, Login, check_text, text_login
from cenote.connection.sasl import check_sasl, sasl_login
from cenote.errors import (
    AuthenticationFailed,
    CenoteError,
    ClientError,
    ProtocolError,
    UnknownCommand,
)
from cenote.protocol import Reply, Request, binary, meta_noop, version
from cenote.protocol.frames import WANTS_CREDENTIALS

_SETTLED: Final = (1, 6, 10)
"""The first memcached whose meta commands are the ones of today."""

ProtocolChoice: TypeAlias = Literal["auto", "meta", "classic", "binary"]


@dataclass(frozen=True, slots=True)
class LoginKind:
    """How to log in.

    Attributes:
        begin: Makes the conversation.
        check: Refuses, by a ``ConfigurationError``, credentials that can not be said in it.
    """

    begin: Callable[[Credentials], Login]
    check: Callable[[Credentials], None]


_TEXT: Final = LoginKind(text_login, check_text)
LOGINS: Final[Mapping[ProtocolChoice, LoginKind]] = {
    "auto": _TEXT,
    "meta": _TEXT,
    "classic": _TEXT,
    "binary": LoginKind(sasl_login, check_sasl),
}
"""How to log in, by protocol."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the handshake learned about a server.

    Attributes:
        meta: Whether it speaks the meta commands (``mg``, ``ms``, ...) as they were settled.
        version: What it answers to ``version``, such as ``"1.6.18"``.
        binary: Whether the binary protocol is spoken with it.
    """

    meta: bool
    version: str
    binary: bool = False

    @property
    def dialect(self) -> str:
        """What is spoken with it: ``"binary"``, ``"meta"`` or ``"classic"``."""
        if self.binary:
            return "binary"
        return "meta" if self.meta else "classic"

    def probe(self) -> Request:
        """Make a request that does nothing but a round trip."""
        if self.binary:
            return binary.noop()
        return meta_noop() if self.meta else version()


Handshake: TypeAlias = Generator[Flight, Sequence[Reply], Traits]


def handshake(
    protocol: ProtocolChoice = "auto", credentials: Credentials | None = None
) -> Handshake:
    """Open the conversation on a fresh connection.

    Args:
        protocol: ``"auto"`` asks the server for its meta commands, ``"meta"`` asks and insists,
            ``"classic"`` does not ask; ``"binary"`` speaks the binary protocol.
        credentials: Log in with these; None: do not.

    Yields:
        Requests to be written at once; send their replies back in, error replies included, or throw
        in the error reply that left the conversation out of step.

    Returns:
        The server's traits.

    Raises:
        AuthenticationFailed: The server refused the credentials, or wants some.
        ProtocolError: ``"meta"`` was asked of a server that does not know it.
        CenoteError: The server answered with an error, which is raised as it is.
    """
    if credentials is not None:
        check_login(protocol, credentials)
        yield from LOGINS[protocol].begin(credentials)
    try:
        return (yield from _introduction(protocol))
    except ClientError as error:
        if "unauthenticated" not in str(error):
            raise
        raise AuthenticationFailed(WANTS_CREDENTIALS) from error


def check_login(protocol: ProtocolChoice, credentials: Credentials) -> None:
    """Refuse credentials that a protocol can not say.

    Raises:
        ConfigurationError: It can not; the message does not repeat them.
    """
    LOGINS[protocol].check(credentials)


def other_protocol(protocol: ProtocolChoice) -> str:
    """Say what a server may want that does not answer to this protocol."""
    if protocol == "binary":
        return "if it speaks the text protocols only, use protocol='auto'"
    return (
        "if it speaks the binary protocol only (memcached -S, or -B binary), use protocol='binary'"
    )


def _introduction(protocol: ProtocolChoice) -> Handshake:
    """Learn what the server can do."""
    if protocol == "binary":  # noop is refused to whoever is not logged in, version is not
        release, leave = yield (binary.version(), binary.noop())
        if isinstance(leave, CenoteError):
            raise leave
        return Traits(meta=False, version=_version(release), binary=True)
    if protocol == "classic":
        (release,) = yield (version(),)
        unknown = isinstance(release, UnknownCommand)  # a proxy, or an endpoint that has no items
        return Traits(meta=False, version="" if unknown else _version(release))
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
