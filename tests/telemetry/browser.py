"""A real browser without a screen: Debian's Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium")

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--virtual-time-budget=3000",
)  # fmt: skip


def browse(url: str, profile: Path, *options: str) -> str:
    """Open a page, let some seconds of the browser's own time pass, and do what options say.

    Args:
        url: The page.
        profile: A new folder for the browser.
        *options: Such as ``--dump-dom``.

    Returns:
        What the browser printed.
    """
    assert CHROMIUM is not None
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", *options, url]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert result.returncode == 0, result.stderr
    return result.stdout + "\n".join(_said_by_the_page(result.stderr))


def _said_by_the_page(log: str) -> list[str]:
    return [f"<!-- {line} -->" for line in log.splitlines() if "CONSOLE" in line]
