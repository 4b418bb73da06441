"""One contender in a process of its own: orders come on standard input, answers go to its output.

    python -m bench.worker '{"group": ..., "module": ..., "factory": ..., "place": ..., "cpu": 1}'

Strategy: a line of JSON each way. Setting up happens at the first request, so that its failure is
an answer too. The process ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from bench.adapters.verbs import Place
from bench.workloads import group_named


def main() -> None:
    order = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a chatty client must not spoil the answers
    if order["cpu"] is not None:
        os.sched_setaffinity(0, {order["cpu"]})
    run = None
    for line in sys.stdin:
        column, seconds = json.loads(line)
        try:
            run = run or _prepared(order)
            answer = run(column, seconds)
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(
        0
    )  # clients with threads, loops and open sockets: nothing of theirs is to be waited for


def _prepared(order):
    module = import_module(f"bench.adapters.{order['module']}")
    factory = module.CONTENDERS[order["group"]][order["factory"]]
    hosts, port, connections = order["place"]
    place = Place(hosts[0], port, connections, tuple(hosts))
    return group_named(order["group"]).load().prepare(factory, place)


if __name__ == "__main__":
    main()
