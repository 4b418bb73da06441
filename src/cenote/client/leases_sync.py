# Generated from src/cenote/client/leases_aio.py by tools/unasync.py; do not edit.
"""Leases on one key: the steps that ``compute.py`` decides on, carried out on a server.

Strategy: one class for each protocol, with the same three verbs. ``look`` returns what there is to
do; ``store`` and ``release`` end the lease that ``look`` was given; they change nothing when it is
no longer held, because each is conditional on the cas that came with it. An object serves one call.
All requests are sent by the deadline of the verb.
"""

from __future__ import annotations

import time
from secrets import token_bytes

from cenote import protocol
from cenote.client.compute import (
    EMPTY,
    Found,
    Look,
    Read,
    Terms,
    found_in,
    judge_classic,
    judge_meta,
    marker_of,
    time_given_back,
    time_while_computing,
)
from cenote.client.values import LEASE
from cenote.protocol import STORED, MetaReply, RawItem, Request
from cenote.protocol.encoders import Encoders
from cenote.runtime.sync import Exchange, monotonic

_AGAIN = Look("again")


class MetaLeases:
    """Leases by memcached's meta commands.

    Args:
        request: Sends a request.
        read: Reads what is stored.
        key: The wire key.
        terms: The terms of the lease.
    """

    def __init__(self, request: Exchange, read: Read, key: bytes, terms: Terms) -> None:
        self._request = request
        self._read = read
        self._key = key
        self._terms = terms
        self._won: Found
        self._won_at: float

    def look(self, deadline: float) -> Look:
        """Read the item; ask for its lease where that is the next step.

        Only a read that does not ask is safe to be sent again. Without ``stale_for`` the caller has
        done it already, by a plain ``get``.
        """
        if self._terms.stale_for:
            look = self._judged(b"v f c t k", deadline)
            if look.step != "take":
                return look
        asking = b"v f c t k N%d R%d" % (self._terms.lease, self._terms.stale_for)
        look = self._judged(asking, deadline)
        return _AGAIN if look.step == "take" else look

    def store(self, data: bytes, flags: int, deadline: float) -> None:
        """Store the value, unless the key was deleted or written since the lease was given."""
        tokens = b"C%d F%d T%d" % (self._won.cas, flags, self._terms.exptime)
        self._request(protocol.meta_set(self._key, data, tokens), deadline)

    def release(self, deadline: float) -> None:
        """Let somebody else compute: the lease on a miss goes, an old value is as it was before."""
        tokens = b"C%d" % self._won.cas
        if not self._won.empty:
            left = time_given_back(self._won.remaining, monotonic() - self._won_at, time.time)
            tokens += b" I T%d" % left
        self._request(protocol.meta_delete(self._key, tokens), deadline)

    def _judged(self, tokens: bytes, deadline: float) -> Look:
        reply: MetaReply = self._request(protocol.meta_get(self._key, tokens), deadline)
        found = found_in(reply)
        readable, value = False, None
        if found is not None and not found.won:
            readable, value = self._read(found.data, found.flags)
        step = judge_meta(found, self._terms, readable=readable)
        if found is not None and step == "compute":
            self._hold(found, deadline)
        elif found is not None and step == "replace":
            return self._replace(found, deadline)
        return Look(step, value)

    def _hold(self, found: Found, deadline: float) -> None:
        """Note the lease, and bound the time of the value that is to be replaced.

        ``touch`` knows no cas: a value that somebody writes between the two requests is kept for
        a lease at most. It is then missed before its time, and computed; nobody reads a wrong one.
        """
        self._won, self._won_at = found, monotonic()
        left = time_while_computing(found.remaining, self._terms)
        if not found.empty and left != found.remaining:
            self._request(protocol.touch(self._key, left), deadline)

    def _replace(self, found: Found, deadline: float) -> Look:
        """Mark a value that can not be read as stale, so that one asker is given its lease."""
        tokens = b"I C%d" % found.cas
        self._request(protocol.meta_delete(self._key, tokens), deadline)
        return _AGAIN


class ClassicLeases:
    """Leases by ``add`` and ``cas``, for servers without meta commands.

    Args:
        request: Sends a request.
        read: Reads what is stored.
        key: The wire key.
        terms: The terms of the lease.
        encoders: Make the requests.
    """

    def __init__(
        self, request: Exchange, read: Read, key: bytes, terms: Terms, encoders: Encoders = protocol
    ) -> None:
        self._protocol = encoders
        self._request = request
        self._read = read
        self._key = key
        self._terms = terms
        self._marker = marker_of(key)
        self._token = token_bytes(16)
        self._won: RawItem

    def look(self, deadline: float) -> Look:
        """Read the item; ask for its lease where that is the next step."""
        item: RawItem | None = self._request(self._protocol.gets(self._key), deadline)
        readable, value = False, None
        if item is not None and item[1] != LEASE:
            readable, value = self._read(item[0], item[1])
        step = judge_classic(item, readable=readable)
        if step == "prove":
            proved: RawItem | None = self._request(self._protocol.get(self._marker), deadline)
            if proved is not None and proved[0] == EMPTY:
                return Look("serve", value)
            step = "replace"
        if step == "take":
            claim = self._protocol.store("add", self._key, self._token, LEASE, self._terms.lease)
            return self._claim(claim, deadline)
        if step == "replace" and item is not None:
            claim = self._protocol.cas(self._key, self._token, LEASE, self._terms.lease, item[2])
            return self._claim(claim, deadline)
        if step == "serve" and item is not None and self._terms.stale_for:
            return self._serve(item, value, deadline)
        return Look(step, value)

    def store(self, data: bytes, flags: int, deadline: float) -> None:
        """Store the value, unless the key was deleted or written since the lease was given."""
        empty = not (data or flags)
        if self._terms.stale_for or empty:  # the marker first: without it, the value looks due
            says = EMPTY if empty else b""
            marker = self._protocol.store("set", self._marker, says, 0, self._terms.fresh)
            self._request(marker, deadline)
        request = self._protocol.cas(self._key, data, flags, self._terms.exptime, self._won[2])
        self._request(request, deadline)

    def release(self, deadline: float) -> None:
        """Let somebody else compute: the lease on a miss goes, an old value stays and is due."""
        _, flags, cas = self._won
        if flags == LEASE:  # ``cas`` with an exptime in the past is a conditional delete
            self._request(self._protocol.cas(self._key, b"", LEASE, -1, cas), deadline)
        self._request(self._protocol.delete(self._marker), deadline)

    def _claim(self, claim: Request, deadline: float) -> Look:
        """Put a lease in the place of a miss, or of a value that can not be read."""
        if self._request(claim, deadline) is not STORED:
            return _AGAIN
        item: RawItem | None = self._request(self._protocol.gets(self._key), deadline)
        if item is None or item[0] != self._token:
            return _AGAIN
        self._won = item
        return Look("compute")

    def _serve(self, item: RawItem, value: object, deadline: float) -> Look:
        """Serve the value; compute its successor if it is due and nobody else does."""
        if self._request(self._protocol.get(self._marker), deadline) is not None:
            return Look("serve", value)
        claim = self._protocol.store("add", self._marker, self._token, 0, self._terms.lease)
        if self._request(claim, deadline) is not STORED:
            return Look("serve", value)
        self._won = item
        return Look("compute")
