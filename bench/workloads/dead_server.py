"""What the keys of three servers are served at while a fourth is dead, and has been noticed."""

from __future__ import annotations

from bench.adapters.verbs import Place
from bench.workloads.slices import repeat_for
from cenote import Server
from cenote.cluster.router import placer_for

KEYS = 100
NAMES = [f"server-{number}" for number in range(4)]


def prepare(factory, place: Place):
    verbs = factory(place)
    values = dict.fromkeys(keys_of_the_living(), b"x" * 100)
    for key, value in values.items():
        verbs.set(key, value)
        assert verbs.get(key) == value, f"{key} came back wrong"
    keys = list(values)

    def one_by_one() -> None:
        for key in keys:
            verbs.get(key)

    steps = {"get": one_by_one, "get_multi 100": lambda: verbs.get_many(keys)}

    def run(column: str, seconds: float) -> dict[str, float]:
        count, took = repeat_for(seconds, steps[column])
        return {"rate": count * KEYS / took}

    return run


def keys_of_the_living() -> list[str]:
    """Return keys that the last of the servers does not have."""
    place = placer_for("rendezvous", [Server.at("any", name=name) for name in NAMES]).place
    candidates = (f"bench:{number}" for number in range(10 * KEYS))
    return [key for key in candidates if place(key.encode()) < len(NAMES) - 1][:KEYS]
