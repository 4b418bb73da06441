"""``cenote top``: the pools of a running process, live, in a terminal.

Strategy: ``model`` reckons what is to be told from snapshots and is pure; ``screen`` draws it;
``command`` asks, waits for keys, and ends.
"""
