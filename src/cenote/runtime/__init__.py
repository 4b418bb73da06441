"""The few things that differ between threads and asyncio, under the same names.

``client/aio.py`` and its like import them from ``cenote.runtime.aio``; the blocking twins that are
generated from those files import them from ``cenote.runtime.sync``.
"""
