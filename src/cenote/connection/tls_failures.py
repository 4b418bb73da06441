"""Why there is no TLS with a server, in words: what is wrong, and what to change. Pure.

Strategy: OpenSSL tells by numbers and names, which this module turns into the sentence of whoever
has to mend it. What it does not know is passed on in OpenSSL's own words.
"""

from __future__ import annotations

import ssl
from typing import Final

from cenote.errors import ConnectionLost, TLSError

_EXPIRED: Final = "renew it there, or correct this machine's clock"
_NOT_TRUSTED: Final = (
    "give the certificate of the authority it is from by TLS(ca=...), if you trust that"
)

# What X509_verify_cert finds (openssl/x509_vfy.h), and what to do.
_CERTIFICATE: Final = {
    9: "is not valid yet: correct the clock there, or this machine's",
    10: f"has expired: {_EXPIRED}",
    18: f"is signed by itself: {_NOT_TRUSTED}",
    19: f"is from an authority that is not trusted: {_NOT_TRUSTED}",
    20: f"is from an authority that is not trusted: {_NOT_TRUSTED}",
    21: f"is from an authority that is not trusted: {_NOT_TRUSTED}",
}
_WRONG_NAME: Final = {62, 64}  # of a host, of an IP address

_NO_TLS: Final = {
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST",
    "UNEXPECTED_MESSAGE",
}
_TOO_OLD: Final = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}
# What the server says of the client's certificate.
_WANTED: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
}
_UNLIKED: Final = {
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
}

STATE: Final = "in the TLS handshake; does the server speak TLS (memcached -Z)?"
"""How far connecting had come, for who runs out of time."""


def rejected(address: object, hostname: str | None, error: ssl.SSLError) -> TLSError:
    """The handshake failed: either side found fault with the other.

    Args:
        address: The peer.
        hostname: What its certificate was to be for.
        error: What OpenSSL says.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return TLSError(f"the certificate of {address} {_fault(hostname, error)}")
    return TLSError(f"no TLS with {address}: {_reason(error)}")


def unwelcome(
    address: object, cause: object, advice: str, *, known: bool
) -> TLSError | ConnectionLost:
    """The server ended the connection when the handshake was over, and had said nothing.

    So does one that refuses the client's certificate, which will be so for long; and one that is
    being restarted, or a proxy whose server is, which is worth trying again soon. That is what is
    meant by one that has let a connection in before.

    Args:
        address: The peer.
        cause: How the connection ended.
        advice: What else may be changed.
        known: It has let in a connection that was secured in the same way.
    """
    kind = ConnectionLost if known else TLSError
    return kind(
        f"{address} hung up as soon as the TLS handshake was over ({cause}): servers that want a "
        "client's certificate do that to who has none, or not the right one; give one by "
        f"TLS(cert=..., key=...); {advice}"
    )


def _fault(hostname: str | None, error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code in _WRONG_NAME:
        return (
            f"is for another name than {hostname!r}: connect by a name that it is for, or say "
            "which by TLS(server_hostname=...)"
        )
    return _CERTIFICATE.get(code) or f"is refused: {error.verify_message}"


def _reason(error: ssl.SSLError) -> str:
    name = error.reason or ""
    if name in _NO_TLS:
        return (
            "what it answers is no TLS; start it with TLS (memcached -Z), or connect plainly by "
            "memcached://"
        )
    if name in _TOO_OLD:
        return "it knows no version of TLS from 1.2 on; let it speak a newer one"
    if name in _WANTED:
        return (
            "it refuses the handshake; if it wants a client's certificate, give one by "
            f"TLS(cert=..., key=...) ({name})"
        )
    if name in _UNLIKED:
        return (
            f"it refuses the client's certificate ({name}): its authority must be one that the "
            "server trusts, and it must not have expired"
        )
    return error.strerror or str(error)
