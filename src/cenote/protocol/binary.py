"""The encoders of the binary protocol, under the names that those of the text protocols have.

``cenote.protocol`` has the rest: what is made here is read by the same ``ReplyParser``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.protocol._speedups"):
    from cenote.protocol._binary_encoders import (
        cas,
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
        noop,
        quiet,
        sasl_auth,
        sasl_mechanisms,
        sasl_step,
        set_many,
        stats,
        store,
        touch,
        version,
    )
else:
    from cenote.protocol._speedups import binary_cas as cas
    from cenote.protocol._speedups import binary_decr as decr
    from cenote.protocol._speedups import binary_delete as delete
    from cenote.protocol._speedups import binary_delete_many as delete_many
    from cenote.protocol._speedups import binary_flush_all as flush_all
    from cenote.protocol._speedups import binary_gat as gat
    from cenote.protocol._speedups import binary_gat_many as gat_many
    from cenote.protocol._speedups import binary_gats as gats
    from cenote.protocol._speedups import binary_gats_many as gats_many
    from cenote.protocol._speedups import binary_get as get
    from cenote.protocol._speedups import binary_get_many as get_many
    from cenote.protocol._speedups import binary_gets as gets
    from cenote.protocol._speedups import binary_gets_many as gets_many
    from cenote.protocol._speedups import binary_incr as incr
    from cenote.protocol._speedups import binary_noop as noop
    from cenote.protocol._speedups import binary_quiet as quiet
    from cenote.protocol._speedups import binary_sasl_auth as sasl_auth
    from cenote.protocol._speedups import binary_sasl_mechanisms as sasl_mechanisms
    from cenote.protocol._speedups import binary_sasl_step as sasl_step
    from cenote.protocol._speedups import binary_set_many as set_many
    from cenote.protocol._speedups import binary_stats as stats
    from cenote.protocol._speedups import binary_store as store
    from cenote.protocol._speedups import binary_touch as touch
    from cenote.protocol._speedups import binary_version as version

__all__ = [
    "cas",
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
    "noop",
    "quiet",
    "sasl_auth",
    "sasl_mechanisms",
    "sasl_step",
    "set_many",
    "stats",
    "store",
    "touch",
    "version",
]
