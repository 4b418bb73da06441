"""Who takes part: each module here shows one peer (or ours) to the workloads.

A module has ``CONTENDERS``: for each group of workloads it takes part in, its contenders by name,
each a factory of what that group drives (see ``bench.adapters.verbs``). A peer is imported only in
the process that measures it, and only if it is installed; one that is not is reported as absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

# The adapter's module, and the distribution that must be installed; None: comes with Python.
PEERS: dict[str, str | None] = {
    "cenote": "cenote",
    "bare_socket": None,
    "pylibmc": "pylibmc",
    "pymemcache": "pymemcache",
    "python_memcached": "python-memcached",
    "bmemcached": "python-binary-memcached",
    "meta_memcache": "meta-memcache",
    "aiomcache": "aiomcache",
    "emcache": "emcache",
    "psycopg_pool": "psycopg-pool",
    "requests": "requests",
    "sqlalchemy": "SQLAlchemy",
    "stdlib_queues": None,
}
# What versions are reported of, and what is reported as absent.
DISTRIBUTIONS = {module: name for module, name in PEERS.items() if name} | {"uvloop": "uvloop"}

PURE = {"CENOTE_IMPL": "native"}
ON_UVLOOP = {"BENCH_LOOP": "uvloop"}
ALSO_ON_UVLOOP = ("cenote", "emcache autobatching")


@dataclass(frozen=True)
class Contender:
    """One row of a table: an adapter's factory, and the environment its process runs in."""

    name: str
    module: str
    factory: str
    environment: dict[str, str] = field(default_factory=dict)


def installed(distribution: str) -> str | None:
    """Return the version of a distribution, or None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def absent() -> dict[str, str]:
    """Return what is not installed, with the name to install it by."""
    return {what: name for what, name in DISTRIBUTIONS.items() if not installed(name)}


def contenders(group: str) -> list[Contender]:
    """Return who takes part in a group, cenote first, its pure build second."""
    missing = absent()
    found = [
        contender
        for module in PEERS
        if module not in missing
        for contender in _of_module(module, group)
    ]
    if group == "tasks" and "uvloop" not in missing:
        found += [
            replace(contender, name=f"{contender.name} (uvloop)", environment=ON_UVLOOP)
            for contender in found
            if contender.name in ALSO_ON_UVLOOP
        ]
    return found


def _of_module(module: str, group: str) -> list[Contender]:
    names = import_module(f"bench.adapters.{module}").CONTENDERS.get(group, ())
    found = [Contender(name, module, name) for name in names]
    if module == "cenote":
        found += [Contender(f"{name} (pure)", module, name, PURE) for name in names]
    return found
