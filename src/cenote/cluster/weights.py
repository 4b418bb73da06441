"""What the schemes of peers make of weights: whole numbers, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.cluster.server import Server


_MOST: Final = 10_000


def whole_weights(scheme: str, servers: Sequence[Server]) -> list[int]:
    """Return the weights, which this scheme counts with.

    Raises:
        ConfigurationError: One is not a whole number.
    """
    for server in servers:
        if server.weight != int(server.weight):
            raise ConfigurationError(
                f"the weight of {server.name} is {server.weight:g}: hashing={scheme!r} takes whole "
                "numbers, hashing='rendezvous' any"
            )
    return [int(server.weight) for server in servers]


def repeated_weights(scheme: str, servers: Sequence[Server]) -> list[int]:
    """Return the weights, where a server is entered as often as its weight says.

    Raises:
        ConfigurationError: One is not a whole number, or together they are too many entries.
    """
    weights = whole_weights(scheme, servers)
    if sum(weights) > _MOST:
        raise ConfigurationError(
            f"the weights come to {sum(weights)}: hashing={scheme!r} enters a server as often as "
            f"its weight says, {_MOST} times in all at most"
        )
    return weights


def refuse_weights(scheme: str, servers: Sequence[Server]) -> None:
    """Refuse weights with a scheme that has none.

    Raises:
        ConfigurationError: The weights of two servers differ.
    """
    if len({server.weight for server in servers}) > 1:
        raise ConfigurationError(
            f"hashing={scheme!r} knows no weights and would ignore them: leave them out, or use "
            "hashing='rendezvous'"
        )
