"""Who a client says it is: a user name and a password that nothing repeats. Pure.

Strategy: the value shows itself without its password, whoever prints, logs or formats it, and is
compared in constant time. Where secrets rotate, a callable stands in its place; the drivers ask it
at every connect (``credentials_sync.py``, ``credentials_aio.py``).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import NoReturn


class Credentials:
    """A user name and a password.

    Immutable. Its texts hide the password.

    Args:
        user: The user's name.
        password: The password.

    Raises:
        ConfigurationError: One of them is no text, is empty, or holds a NUL byte.

    Attributes:
        user: The user's name.
        password: The password.
    """

    __slots__ = ("password", "user")

    user: str
    password: str

    def __init__(self, user: str, password: str) -> None:
        object.__setattr__(self, "user", _text("user name", user))
        object.__setattr__(self, "password", _text("password", password))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Credentials are immutable: make others with another {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Credentials are immutable: {name} stays")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        same_user = hmac.compare_digest(self.user.encode(), other.user.encode())
        return hmac.compare_digest(self.password.encode(), other.password.encode()) and same_user

    def __hash__(self) -> int:
        return hash((Credentials, self.user))

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password='***')"

    def __reduce__(self) -> tuple[type[Credentials], tuple[str, str]]:
        return Credentials, (self.user, self.password)


CredentialsSource: TypeAlias = Callable[[], Credentials | Awaitable[Credentials]]
"""Is asked for the credentials of the moment, at every connect."""

AnyCredentials: TypeAlias = Credentials | CredentialsSource


def is_coroutine_source(source: object) -> TypeGuard[Callable[[], Awaitable[Credentials]]]:
    """Tell whether a source is known to be asked in an event loop only."""
    call = getattr(source, "__call__", None)  # noqa: B004 - of an object, its method
    return iscoroutinefunction(source) or iscoroutinefunction(call)


def checked(answer: object) -> Credentials:
    """Return what a source answered, if it is credentials.

    Raises:
        ConfigurationError: It is not. What it is instead is not repeated.
    """
    if isinstance(answer, Credentials):
        return answer
    raise ConfigurationError(
        f"credentials() returned {type(answer).__name__}: it must return cenote.Credentials"
    )


def _text(what: str, text: object) -> str:
    """Return the text; say what is wrong with it without repeating it."""
    if not isinstance(text, str):
        raise ConfigurationError(f"a {what} is a str, not {type(text).__name__}")
    if not text:
        raise ConfigurationError(f"the {what} is empty")
    if "\0" in text:
        raise ConfigurationError(f"the {what} holds a NUL byte: no server takes that")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"the {what} can not be encoded as UTF-8") from None
    return text
