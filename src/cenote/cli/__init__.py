"""The ``cenote`` command: a demonstration, a check-up, and memcached by hand.

``main`` is the entry; it needs nothing but the standard library until it has found click and rich.
"""
