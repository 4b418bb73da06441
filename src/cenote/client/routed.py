"""A key that is placed by something else than itself.

Strategy: what belongs together is often read together, and one server answers faster than four. All
keys with the same route are on the same server, whatever they are called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from cenote.errors import InvalidKey


@final
@dataclass(frozen=True, slots=True)
class Key:
    """A key with a route: of several servers, the one that has the route has the key.

    Goes wherever a plain key does; a multi-key command answers with the object it was given. Every
    reader and writer of the key must name the same route. With one server it makes no difference.

    Args:
        value: The key itself.
        route: What places it, in the way a plain key of this text would be, without the client's
            ``key_prefix``; never sent. Any text but an empty one.

    Raises:
        InvalidKey: The route is not a text, or empty.
    """

    value: str | bytes
    route: str | bytes = field(kw_only=True)

    def __post_init__(self) -> None:
        _utf8(self.route)

    @property
    def path(self) -> bytes:
        """The route as bytes, which are what is hashed."""
        return _utf8(self.route)


def _utf8(route: object) -> bytes:
    if not isinstance(route, (str, bytes)) or not route:
        raise InvalidKey(f"a route is a str or bytes, and not empty: {route!r}")
    try:
        return route.encode() if isinstance(route, str) else bytes(route)
    except UnicodeEncodeError:
        raise InvalidKey(f"the route {route!r} holds a lone surrogate, not UTF-8") from None
