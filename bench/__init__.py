"""Measures cenote beside its peers: ``python -m bench``. Never part of a test's verdict.

Strategy: only ratios taken in one interleaved run hold, for absolute figures drift by a factor of
three from hour to hour. So every contender lives in a process of its own for the whole run, and the
runner lets one after another work for a slice of a second, round after round (A B C A B C ...).
What is reported is the median over the rounds of the ratio within each round.

- ``adapters/``: one module a peer, each in its best configuration, a few lines a use;
- ``workloads/``: what they are made to do, the same loop for all;
- ``runner``: processes, pinning, interleaving; ``worker`` is what runs in each process;
- ``goals``: what cenote must reach; ``report``: the tables, ``results.json`` and ``RESULTS.md``.
"""
