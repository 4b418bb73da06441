"""Prove what users will install: build it, install it into empty environments, ask it for a value.

1. The source distribution is built, and from it, with its extensions compiled, the wheel.
2. The wheel goes into an empty environment; a round trip on a private memcached works compiled and
   pure, from threads and from asyncio.
3. The source distribution goes into another, where no compiler works: it installs, says so, and the
   round trip works.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ROUND_TRIP = """
import asyncio, sys
import cenote

expected = sys.argv[1]
assert cenote.implementation == expected, f"{cenote.implementation} is in use, not {expected}"

with cenote.Client("local://") as client:
    client.set("greeting", "hello")
    assert client.get("greeting") == "hello"
    many = {f"key-{i}": i for i in range(100)}
    assert client.set_many(many) == []
    assert client.get_many(many) == many

async def main():
    async with cenote.AsyncClient("local://") as client:
        assert await client.get("greeting") == "hello"
        assert await client.delete("greeting") is True

asyncio.run(main())
"""


def run(command: list[str | Path], **environment: str) -> str:
    """Run a command away from the source tree; on failure show what it said and stop."""
    result = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def build(into: Path) -> tuple[Path, Path]:
    """Build the source distribution and, from it, the wheel; return their paths."""
    run([sys.executable, "-m", "build", "--outdir", into, ROOT], CENOTE_REQUIRE_COMPILED="1")
    (sdist,) = into.glob("*.tar.gz")
    (wheel,) = into.glob("*.whl")
    return sdist, wheel


def check_contents(wheel: Path) -> None:
    """Check that the wheel carries what is imported, and no sources of what is compiled."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "cenote/py.typed" in names
    compiled = sorted(name.split(".")[0] for name in names if name.endswith(".so"))
    print(f"{wheel.name}: {len(names)} files, compiled: {', '.join(compiled)}")
    assert compiled, "the wheel has no compiled module"
    assert not [name for name in names if name.endswith((".c", ".pyx", ".pxd", ".pxi"))]
    assert not [name for name in names if not name.startswith("cenote")]


def environment(folder: Path) -> Path:
    """Make an empty virtual environment; return its Python."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def round_trip(python: Path, implementation: str, **choice: str) -> None:
    """Run the round trip on an installed cenote."""
    run([python, "-W", "error", "-c", ROUND_TRIP, implementation], **choice)
    print(f"round trip: {implementation}{' as chosen' if choice else ''}")


def main() -> None:
    """Run the three steps."""
    with tempfile.TemporaryDirectory(prefix="cenote-wheel-") as name:
        folder = Path(name)
        sdist, wheel = build(folder / "dist")
        check_contents(wheel)

        python = environment(folder / "compiled")
        run([python, "-m", "pip", "install", "--quiet", wheel])
        round_trip(python, "speedups")
        round_trip(python, "native", CENOTE_IMPL="native")
        round_trip(python, "speedups", CENOTE_IMPL="speedups")

        python = environment(folder / "pure")
        output = run([python, "-m", "pip", "install", "--verbose", sdist], CC="false")
        assert "cenote: not compiled" in output, "nothing was said of the missing compiler"
        round_trip(python, "native")


if __name__ == "__main__":
    main()
