"""How a pool learns that a resource it lent bare has been garbage-collected.

Strategy: one weak reference a resource, made once at birth, that knows the identity the resource is
lent under; lending itself makes none.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class LoanRef(weakref.ref[T]):
    """A weak reference to a resource that remembers its identity."""

    __slots__ = ("key",)
    key: int


def loan_ref(resource: T, mourn: Callable[[LoanRef[T]], None]) -> LoanRef[T] | None:
    """Refer to a resource weakly; ``None``: it can not be.

    Args:
        resource: What will be lent.
        mourn: Called with the reference when the resource dies, anywhere: it must not block.
    """
    try:
        ref = LoanRef(resource, mourn)
    except TypeError:
        return None
    ref.key = id(resource)
    return ref
