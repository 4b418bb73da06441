"""On what it was measured: figures without this mean nothing."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path

from bench.adapters import DISTRIBUTIONS, installed
from cenote import __version__, implementation
from cenote._server_process import memcached_binary


def environment() -> dict[str, object]:
    versions = {what: installed(name) for what, name in DISTRIBUTIONS.items()}
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "memcached": _memcached(),
        "versions": versions | {"cenote": f"{__version__} ({implementation})"},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memcached() -> str:
    answer = subprocess.run([memcached_binary(), "-V"], capture_output=True, text=True, check=True)
    return answer.stdout.strip().rpartition(" ")[2]
