"""The protocol in pure Python: the twin of ``_speedups``, name for name.

Strategy: requests are made by ``_encoders``; replies are framed by ``_parser`` and understood by
``_reader``. Both twins read the grammar and the error lines from the same pure modules.
"""

from __future__ import annotations

from cenote.protocol._encoders import (
    cache_memlimit,
    cas,
    command,
    config_get,
    decr,
    delete,
    delete_many,
    flush_all,
    gat,
    gat_many,
    gats,
    gats_many,
    get,
    get_many,
    gets,
    gets_many,
    incr,
    meta_arithmetic,
    meta_debug,
    meta_delete,
    meta_get,
    meta_noop,
    meta_set,
    quiet,
    set_many,
    stats,
    store,
    touch,
    verbosity,
    version,
)
from cenote.protocol._parser import ReplyParser
from cenote.protocol._request import Request

IMPLEMENTATION = "native"

__all__ = [
    "IMPLEMENTATION",
    "ReplyParser",
    "Request",
    "cache_memlimit",
    "cas",
    "command",
    "config_get",
    "decr",
    "delete",
    "delete_many",
    "flush_all",
    "gat",
    "gat_many",
    "gats",
    "gats_many",
    "get",
    "get_many",
    "gets",
    "gets_many",
    "incr",
    "meta_arithmetic",
    "meta_debug",
    "meta_delete",
    "meta_get",
    "meta_noop",
    "meta_set",
    "quiet",
    "set_many",
    "stats",
    "store",
    "touch",
    "verbosity",
    "version",
]
