"""``cenote demo``: one cache-aside workload through four ways of keeping connections.

``workload`` says who is looked up, ``phases`` how, ``measure`` counts, ``session`` lets the phases
run in turn, ``report`` says what came out, and ``screen`` shows it.
"""
