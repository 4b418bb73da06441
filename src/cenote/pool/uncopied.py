"""What is neither copied nor pickled: pools, and what stands on them.

A copy would share some of its original's connections and locks and not others, so that two callers
could have one connection.
"""

from __future__ import annotations

from typing import NoReturn


class Uncopied:
    """Refuses ``copy`` and ``pickle``, and says what to do in their place."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} can not be copied or pickled, its connections are this process's own: share "
            "it as it is, and make another where there is none"
        )
