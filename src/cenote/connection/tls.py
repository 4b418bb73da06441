"""TLS as a user asks for it, and what every connection takes from it: a context, and a session.

Strategy: ``TLS`` is an immutable value of paths and names. ``Securing`` makes an ``ssl.SSLContext``
of it at the first connect and looks at its files at every other: if one has changed, a new context
is made, so that certificates are renewed without a restart. While what is there can not be loaded
(it is being written), the last good context serves on. Sessions are kept by server, so that the
next connection resumes one and saves most of the handshake. Nothing here knows what is spoken over
the connection.
"""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cenote.connection.tunnel_path import Tunnel
from cenote.errors import ConfigurationError, TLSError

if TYPE_CHECKING:
    from collections.abc import Hashable

StrPath: TypeAlias = str | PathLike[str]

_log = logging.getLogger("cenote.connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How to speak TLS: version 1.2 or later, with a server whose certificate is verified.

    The files are PEM, and read again when they have changed.

    Args:
        ca: The file (or folder) with the certificates of the authorities to trust; None: those that
            the system trusts.
        cert: The file with the client's own certificate, where servers want one, and those between
            it and its authority.
        key: The file with that certificate's private key; None: it is in ``cert`` too.
        server_hostname: The name that the server's certificate must be for; None: the host that is
            connected to. A server on a unix socket has no other.
        check_hostname: Whether the certificate must be for that name. Without it, anybody who has
            any certificate of these authorities can play the server.

    Raises:
        ConfigurationError: ``key`` is given without ``cert``, or something is no path or name.
    """

    ca: StrPath | None = None
    cert: StrPath | None = None
    key: StrPath | None = None
    server_hostname: str | None = None
    check_hostname: bool = True

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            path = getattr(self, name)
            if path is not None and (not isinstance(path, (str, PathLike)) or not os.fspath(path)):
                raise ConfigurationError(f"TLS({name}=...) is a path, not {type(path).__name__}")
        if self.key is not None and self.cert is None:
            raise ConfigurationError("TLS(key=...) goes with cert=...: which one is it the key of?")
        if self.server_hostname is not None and not isinstance(self.server_hostname, str):
            raise ConfigurationError("TLS(server_hostname=...) is a str")
        if self.server_hostname == "":
            raise ConfigurationError("TLS(server_hostname=...) is empty: leave it out")
        if not isinstance(self.check_hostname, bool):
            raise ConfigurationError("TLS(check_hostname=...) is True or False")


AnyTLS: TypeAlias = TLS | ssl.SSLContext
"""TLS by our rules, or by a context of the user's own, which is taken as it is."""

_Signature: TypeAlias = "tuple[tuple[int, int, int] | None, ...]"


class Securing:
    """Makes the TLS side of connections; one for all that are to share sessions.

    Thread-safe: whoever comes first after a file has changed makes the context, and if two do, the
    later one stays.

    Args:
        tls: What the user asked for.
    """

    __slots__ = ("_context", "_hostname", "_let_in", "_seen", "_sessions", "_tls")

    def __init__(self, tls: AnyTLS) -> None:
        self._tls = tls if isinstance(tls, TLS) else None
        self._context = None if isinstance(tls, TLS) else tls
        self._hostname = tls.server_hostname if isinstance(tls, TLS) else None
        self._seen: _Signature = ()
        self._sessions: dict[Hashable, ssl.SSLSession] = {}
        self._let_in: set[Hashable] = set()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection.

        Raises:
            TLSError: A file can not be read, or does not hold what it should.
        """
        if self._tls is None:
            assert self._context is not None
            return self._context
        seen = _signature(self._tls)
        if self._context is None or seen != self._seen:
            self._renew(self._tls, seen)
        assert self._context is not None
        return self._context

    def name_for(self, host: str | None) -> str | None:
        """Return the name that the certificate must be for; ``host`` is what is connected to."""
        return self._hostname or host

    def tunnel(self, host: str | None, key: Hashable) -> Tunnel:
        """Make the TLS side of a new connection, resuming the last session with that server.

        Args:
            host: The host that is connected to; None: it has no name, as on a unix socket.
            key: Names the server: whose sessions to use.

        Raises:
            TLSError: A file can not be read, or there is no name to check.
        """
        context, name = self.context(), self.name_for(host)
        if name is None and context.check_hostname:
            raise TLSError(
                "the server has no host name that its certificate could be checked for: say which "
                "by TLS(server_hostname=...)"
            )
        session = self._sessions.get(key)
        try:
            return Tunnel(context, name, session)
        except ValueError:  # of another context: the files have changed, or another thread saw it
            return Tunnel(context, name, None)

    def keep_session(self, key: Hashable, tunnel: Tunnel) -> None:
        """Keep a connection's session for the next one to the same server, which has let it in."""
        self._let_in.add(key)
        session = tunnel.session
        if session is not None:
            self._sessions[key] = session

    def was_let_in(self, key: Hashable) -> bool:
        """Tell whether the server has let a connection in that was secured by the same files."""
        return key in self._let_in

    def _renew(self, tls: TLS, seen: _Signature) -> None:
        try:
            context = make_context(tls)
        except TLSError as error:
            if self._context is None:
                raise
            _log.warning("%s; going on with what was loaded before", error)
        else:
            self._context = context
            self._let_in = set()
        self._seen = seen


def peer_name(secured: Securing | None, given: str | None, host: str | None) -> str | None:
    """Return whom a peer's certificate must name; None: nobody, or there is none.

    Args:
        secured: None: there is no TLS.
        given: What the user says.
        host: What is connected to, if it has a name.

    Raises:
        ConfigurationError: The user says something, and there is no certificate.
    """
    if secured is None:
        if given is not None:
            raise ConfigurationError(
                f"server_hostname={given!r} has no effect without TLS: give tls, or leave it out"
            )
        return None
    return given or secured.name_for(host)


def securing(tls: AnyTLS | bool | None) -> Securing | None:
    """Return what secures connections; None: they are plain.

    Args:
        tls: As a user gives it: True stands for ``TLS()``.

    Raises:
        ConfigurationError: It is something else.
    """
    if tls is None or tls is False:
        return None
    if tls is True:
        return Securing(TLS())
    if isinstance(tls, (TLS, ssl.SSLContext)):
        return Securing(tls)
    raise ConfigurationError(
        f"tls is True, a cenote.TLS or an ssl.SSLContext, not {type(tls).__name__}"
    )


def make_context(tls: TLS) -> ssl.SSLContext:
    """Load the files and make a context.

    Raises:
        TLSError: A file can not be read, or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.check_hostname = tls.check_hostname
    try:
        _trust(context, tls.ca)
    except (OSError, ValueError) as error:
        raise _unloaded("ca", tls.ca, error) from error
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password=_no_password)
        except (OSError, ValueError) as error:
            what = "cert" if tls.key is None else "cert and key"
            raise _unloaded(what, tls.key or tls.cert, error) from error
    return context


def _trust(context: ssl.SSLContext, ca: StrPath | None) -> None:
    if ca is None:
        context.load_default_certs()
    elif Path(ca).is_dir():
        context.load_verify_locations(capath=ca)
    else:
        context.load_verify_locations(cafile=ca)


def _no_password() -> str:
    """Answer OpenSSL, which would ask at the terminal."""
    raise ValueError("the key is encrypted: give an ssl.SSLContext that has loaded it")


def _unloaded(what: str, path: StrPath | None, error: Exception) -> TLSError:
    reason = getattr(error, "strerror", None) or str(error)
    return TLSError(
        f"TLS({what}=...): {path} can not be loaded ({reason}): it must be a PEM file that this "
        "process may read, and a key must be that of its certificate"
    )


def _signature(tls: TLS) -> _Signature:
    return tuple(_stat(path) for path in (tls.ca, tls.cert, tls.key) if path is not None)


def _stat(path: StrPath) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
