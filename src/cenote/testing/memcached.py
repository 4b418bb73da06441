"""Real memcached servers for tests, to be started, stopped, frozen, killed and started again.

Strategy: a server keeps its address for as long as its object lives, whatever happens to the
process. A unix socket has a private folder; a TCP port is held by a bound socket that never listens
(both sides set ``SO_REUSEADDR``, so memcached may bind it too): nobody else is given the port while
the server is down, and connecting to it then is refused as it would be in life. Who may log in is
in a private folder too, and is written anew whenever the server starts.

The processes end with the test run, however it ends (see ``cenote._server_process``).
"""

from __future__ import annotations

import shutil
import signal
import socket
from typing import TYPE_CHECKING, Self

from cenote._server_process import Endpoint, ServerProcess
from cenote.local import private_folder
from cenote.testing import sasl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_USERS = "users"


class MemcachedServer:
    """A memcached on loopback or a unix socket; it is running when the constructor returns.

    Args:
        unix: Listen on a unix socket in a private folder, instead of a free TCP port.
        host: The loopback address to listen on; ``"::1"`` for IPv6.
        threads: Worker threads of the server.
        memory: Memory for items, in megabytes (2**20 bytes).
        max_item_size: Largest item, in bytes; the server's default (1 MB) when None.
        max_connections: Connections the server accepts at a time.
        idle_timeout: Seconds after which the server closes an idle connection; 0 is never.
        users: Who may log in by the text protocol (``-Y``), as passwords by user; None: everybody
            may talk to it.
        sasl_users: The same by SASL (``-S``): such a server takes the binary protocol only.
        sasl_mechanisms: Those that it offers.
        certificate: A PEM file with the server's certificate and those between it and its
            authority: the server speaks TLS (``-Z``; on TCP only, memcached has no other).
        key: The PEM file of the certificate's key.
        client_ca: A PEM file with the authority that clients' certificates must be from; None:
            clients need none.
        options: Further command-line arguments of memcached, as they are.

    Raises:
        LocalServerError: There is no memcached to run, or it did not start.

    Attributes:
        endpoint: The socket path, or ``(host, port)``: it stays the same over restarts.
        users: As given; what is changed holds from the next start on.
        sasl_users: The same.
    """

    def __init__(
        self,
        *,
        unix: bool = False,
        host: str = "127.0.0.1",
        threads: int = 1,
        memory: int = 64,
        max_item_size: int | None = None,
        max_connections: int = 1024,
        idle_timeout: int = 0,
        users: Mapping[str, str] | None = None,
        sasl_users: Mapping[str, str] | None = None,
        sasl_mechanisms: str = sasl.MECHANISMS,
        certificate: Path | None = None,
        key: Path | None = None,
        client_ca: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.users = users
        self.sasl_users = sasl_users
        self._mechanisms = sasl_mechanisms
        guarded = users is not None or sasl_users is not None
        self._folder = private_folder() if unix or guarded else None
        self._reserved = None if unix else _reserve_port(host)
        self.endpoint: Endpoint
        if unix:
            self.endpoint = f"{self._folder}/memcached.sock"
        else:
            self.endpoint = (host, self.port)
        self._arguments = [
            *self._listening_options(),
            *("-t", str(threads), "-m", str(memory), "-c", str(max_connections)),
            *_item_size_options(max_item_size),
            *(("-o", f"idle_timeout={idle_timeout}") if idle_timeout else ()),
            *(("-Y", f"{self._folder}/{_USERS}") if users is not None else ()),
            *(("-S",) if sasl_users is not None else ()),
            *_tls_options(certificate, key, client_ca),
            *options,
        ]
        self._process: ServerProcess | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The TCP port; a server on a unix socket has none and raises ``ValueError``."""
        if self._reserved is None:
            raise ValueError(f"a server on a unix socket has no port: {self.endpoint}")
        port: int = self._reserved.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address as a client takes it: ``host:port``, or the path of the socket."""
        if isinstance(self.endpoint, str):
            return self.endpoint
        host, port = self.endpoint
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether the server is running (a paused one is)."""
        return self._process is not None and not self._process.died_within(0)

    def start(self) -> None:
        """Start the server again, empty and on the same address, if it is not running."""
        if self.alive:
            return
        self.stop()
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder is not None and self.users is not None:
            lines = [f"{user}:{password}\n" for user, password in self.users.items()]
            (self._folder / _USERS).write_text("".join(lines), "utf-8")
        environment = {}
        if self._folder is not None and self.sasl_users is not None:
            environment = sasl.write_users(self._folder, self.sasl_users, self._mechanisms)
        self._process = ServerProcess(self._arguments, self.endpoint, self._folder, environment)

    def stop(self) -> None:
        """End the server; whoever connects is refused, its connections are closed."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        """Stop the server and start it, empty, on the same address."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill the server as a crash would (the file of its unix socket stays); wait for its end.

        Raises:
            TimeoutError: It is still there after 10 seconds.
        """
        self._running().kill()

    def pause(self) -> None:
        """Freeze the server (``SIGSTOP``): the kernel still accepts for it, nothing is answered.

        Raises:
            TimeoutError: It still runs after 10 seconds.
        """
        self._running().freeze()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server for good and give its address up."""
        self.stop()
        if self._reserved is not None:
            self._reserved.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.alive else "not running"
        return f"<MemcachedServer {self.url} ({state})>"

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError(f"the server at {self.url} is not running: start() it first")
        return self._process

    def _listening_options(self) -> tuple[str, ...]:
        if isinstance(self.endpoint, str):
            return ("-s", self.endpoint, "-a", "0700")
        host, port = self.endpoint
        return ("-l", host, "-p", str(port), "-U", "0")


def _item_size_options(size: int | None) -> tuple[str, ...]:
    if size is None:
        return ()
    # Chunks must fit the largest item, and are 512 KB unless told.
    return ("-I", str(size), "-o", f"slab_chunk_max={min(size, 512 * 1024)}")


def _tls_options(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> tuple[str, ...]:
    if certificate is None:
        return ()
    options = [f"ssl_chain_cert={certificate}", f"ssl_key={key}"]
    if client_ca is not None:
        options += [f"ssl_ca_cert={client_ca}", "ssl_verify_mode=2"]
    return ("-Z", "-o", ",".join(options))


def _reserve_port(host: str) -> socket.socket:
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host, 0))
    except BaseException:
        reserved.close()
        raise
    return reserved
