"""Certificates for tests, good and bad, made once a session in a folder of their own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Issued:
    """The files of a certificate (with those between it and its authority) and of its key."""

    cert: Path
    key: Path

    def serving(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """A server's context with it, for tests that play the server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        context.maximum_version = version
        return context


class Authority:
    """Somebody who issues certificates, and the file of whose own is ``path``."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self._count = 0
        folder.mkdir(exist_ok=True)
        self.path = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.path))

    def issue(
        self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> Issued:
        leaf = self._ca.issue_cert(*(names or NAMES), not_before=not_before, not_after=not_after)
        self._count += 1
        issued = Issued(
            self._folder / f"{self._count}.pem", self._folder / f"{self._count}-key.pem"
        )
        issued.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(issued.key))
        return issued

    def own(self) -> Issued:
        """Its own certificate, which is signed by itself."""
        key = self._folder / "ca-key.pem"
        self._ca.private_key_pem.write_to_path(str(key))
        return Issued(self.path, key)


class Certificates:
    """What tests of TLS need.

    Attributes:
        authority: Whom clients and servers of the tests trust.
        stranger: Whom they do not.
        server, client: Good ones.
        bad: Others by what is wrong with them, and what a client is to say of it.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "trusted")
        self.stranger = Authority(folder / "stranger")
        self.server = self.authority.issue()
        self.client = self.authority.issue("client@example.com")
        now = datetime.now(UTC)
        day = timedelta(days=1)
        self.bad = {
            "expired": self.authority.issue(not_before=now - 2 * day, not_after=now - day),
            "early": self.authority.issue(not_before=now + day, not_after=now + 2 * day),
            "misnamed": self.authority.issue("elsewhere.example"),
            "unknown": self.stranger.issue(),
            "itself": self.stranger.own(),
        }


FAULTS = {
    "expired": "has expired: renew it",
    "early": "is not valid yet: correct the clock",
    "misnamed": r"is for another name than '127\.0\.0\.1'.*server_hostname=",
    "unknown": r"from an authority that is not trusted.*TLS\(ca=",
    "itself": r"signed by itself.*TLS\(ca=",
}
"""What is wrong with each bad certificate, in our words."""
