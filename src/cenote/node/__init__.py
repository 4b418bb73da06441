"""One memcached server: its pool, its health, and how a request travels to it.

``sync`` and ``aio`` hold the two drivers; what they decide by (``retry``, ``verdicts``, ``health``)
is pure.
"""
