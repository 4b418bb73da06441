"""The errors of a conversation with a server, in words: who, what, how far it had come, how long.

Strategy: the drivers know the state and this module knows the sentences, so that the blocking, the
compiled and the asyncio exchange say the same thing. Pure.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cenote.errors import CenoteError, ConnectionLost, LeaseError, OperationTimeout, ProtocolError

if TYPE_CHECKING:
    from cenote.connection.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exchange had come when it failed.

    Attributes:
        address: The peer.
        verb: What was asked of it.
        size: Bytes of the request.
        sent: How many of them had been taken by the kernel.
        received: Bytes of reply that had arrived.
        seconds: Since the exchange began.
    """

    address: object
    verb: str
    size: int
    sent: int
    received: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.verb} on {self.address}, {self.seconds:.3f} s after it began, "
            f"{self.sent} of {self.size} bytes sent and {self.received} received"
        )


def timed_out(progress: Progress) -> OperationTimeout:
    """The deadline passed between the first byte sent and the last byte of the reply."""
    return OperationTimeout(
        f"deadline passed: {progress}; raise timeout, or look at the server", phase="exchange"
    )


def too_late(address: object, verb: str) -> OperationTimeout:
    """The deadline had passed before anything was sent: the connection is as good as it was."""
    return OperationTimeout(
        f"deadline passed before {verb} could be sent to {address}: nothing was sent",
        phase="exchange",
    )


def lost(progress: Progress, cause: object, *, replied: bool) -> ConnectionLost:
    """The connection ended (``cause`` says how) before the reply was complete."""
    return ConnectionLost(f"connection lost ({cause}): {progress}", replied=replied)


def broken(progress: Progress, error: BaseException) -> ProtocolError:
    """The peer said something that is no reply to what was asked."""
    return ProtocolError(f"{error}: {progress}")


def out_of_step(reply: object, *, posted: bool) -> CenoteError:
    """A request was refused in a way that leaves unknown what the next bytes answer.

    The refusal itself tells best, unless it is of a request that another caller ``posted``.
    """
    if isinstance(reply, CenoteError) and not posted:
        return reply
    return ProtocolError(f"an earlier request was answered with {reply!r}, which may be half of it")


def in_use(address: object) -> LeaseError:
    """A second caller came while the first was still talking."""
    return LeaseError(
        f"the connection to {address} is in the middle of an exchange of another thread, or of the "
        "code this signal handler interrupted: a connection serves one caller at a time"
    )


def unusable(address: object, why: str) -> ConnectionLost:
    """The connection can not begin an exchange; nothing was sent."""
    return ConnectionLost(f"the connection to {address} {why}: nothing was sent")


def connect_timed_out(address: object, seconds: float, state: object) -> OperationTimeout:
    """The time to connect was up; ``state`` tells what was tried."""
    return OperationTimeout(
        f"no connection to {address} within {seconds:.3f} s ({state})", phase="connect"
    )


def connect_failed(address: object, attempts: object, last: OSError) -> OSError:
    """Every address was tried and failed: an OSError of the last failure's own class."""
    tried = str(attempts).removeprefix(f"{address}: ")  # an address without a name
    message = f"can not connect to {address} ({tried}); is the server running?"
    return OSError(last.errno, message) if last.errno else OSError(message)


def not_found(address: object, error: OSError | UnicodeError) -> OSError:
    """The host's name could not be looked up, or is no name at all."""
    reason = error.strerror if isinstance(error, OSError) else error
    code = error.errno if isinstance(error, OSError) else socket.EAI_NONAME
    return socket.gaierror(code, f"can not look up {address}: {reason}")


def met_itself() -> OSError:
    """Nobody listens there: the kernel connected the socket to itself."""
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def hung_up(address: object, error: ConnectionLost, advice: str) -> ConnectionLost:
    """The server accepted and ended the connection during the handshake."""
    return ConnectionLost(
        f"{address} hung up during the handshake ({error}); it may have reached its connection "
        "limit, speak TLS only (use memcacheds://), or be a proxy that does not know 'mn' (try "
        f"protocol='classic'); {advice}",
        replied=error.replied,
    )


def hung_up_securing(address: object, cause: object) -> ConnectionLost:
    """The server accepted and ended the connection during the TLS handshake."""
    return ConnectionLost(
        f"{address} hung up during the TLS handshake ({cause}); it may have reached its connection "
        "limit, or speak no TLS (memcached -Z)"
    )


@contextmanager
def hidden(credentials: Credentials | None) -> Iterator[None]:
    """Let no error pass that repeats a password: a peer may answer with what it was sent."""
    try:
        yield
    except CenoteError as error:
        if credentials is None or credentials.password not in _all_texts(error):
            raise
        text = str(error).replace(credentials.password, "***")
        raise type(error)(text) from None


def _all_texts(error: BaseException | None) -> str:
    """What a traceback shows: the error, and those it came from."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def closed_by(cause: str) -> str:
    """Why a closed connection is closed; no cause: it was closed from this side."""
    return f"{CLOSED} ({cause})" if cause else CLOSED


CLOSED = "is closed"
DIRTY = "was left in the middle of an exchange and must be closed"
IDLE = "has no request under way that could be finished"
FOREIGN = "belongs to the parent process and can not be used after fork()"
END_OF_FILE = "the peer closed it"
NO_CREDENTIALS = "waiting for credentials()"
SILENT = "the peer is silent: a reply is overdue by as long again as its caller waited"
