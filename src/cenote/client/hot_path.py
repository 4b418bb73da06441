"""What every ``get`` and ``set`` runs through: compiled where it was built, else as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.client._hot_c"):
    from cenote.client.hot_aio import AsyncHot
    from cenote.client.hot_sync import Hot
    from cenote.client.keys import KeyEncoder
else:
    from cenote.client._hot_aio_c import AsyncHot
    from cenote.client._hot_c import Hot
    from cenote.client._keys_c import KeyEncoder

__all__ = ["AsyncHot", "Hot", "KeyEncoder"]
