"""Who takes part: each module here shows one peer (or ours) to the workloads.

A module has ``CONTENDERS``: for each group of workloads it takes part in, its contenders by name,
each a factory of what that group drives (see ``bench.adapters.verbs``). A peer is imported only in
the process that measures it, and only if it is installed; one that is not is reported as absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    "sqlalchemy": "SQLAlchemy",
    "stdlib_queues": None,
}

PURE = {"CENOTE_IMPL": "native"}


@dataclass(frozen=True)
class Contender:
    """One row of a table: an adapter's factory, and the environment its process runs in."""

    name: str
    module: str
    factory: str
    environment: dict[str, str] = field(default_factory=dict)


def installed(module: str) -> str | None:
    """Return the version of what an adapter needs, or None when it is not installed."""
    distribution = PEERS[module]
    try:
        return version(distribution) if distribution else "of this Python"
    except PackageNotFoundError:
        return None


def absent() -> dict[str, str]:
    """Return the peers that are not installed, by module, with the name to install them by."""
    return {module: name for module, name in PEERS.items() if name and not installed(module)}


def contenders(group: str) -> list[Contender]:
    """Return who takes part in a group, cenote first, its pure build second."""
    found = []
    for module in PEERS:
        if installed(module) is None:
            continue
        names = import_module(f"bench.adapters.{module}").CONTENDERS.get(group, ())
        found += [Contender(name, module, name) for name in names]
        if module == "cenote":
            found += [Contender(f"{name} (pure)", module, name, PURE) for name in names]
    return found
