"""Build the optional compiled twins; everything else about the project is in pyproject.toml.

All are compiled or none is: they call each other. Where they can not be (no compiler, no headers)
the pure-Python twins do the same work, more slowly. ``CENOTE_REQUIRE_COMPILED=1`` makes that an
error; ``CENOTE_PURE_PYTHON=1`` does not try.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Lock

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# The module that is built, and its source. A .py is compiled as it stands (Cython's pure-Python
# mode), with the C types of the module's .pxd; a .pyx has a pure-Python twin beside it.
COMPILED = {
    "cenote.protocol._speedups": "src/cenote/protocol/_speedups.pyx",
    "cenote.connection._tunnel_c": "src/cenote/connection/tunnel.py",
    "cenote.connection._exchange": "src/cenote/connection/_exchange.pyx",
    "cenote.connection._pending_c": "src/cenote/connection/_pending_c.pyx",
    "cenote.connection._flow_aio_c": "src/cenote/connection/flow_aio.py",
    "cenote.pool._instruments": "src/cenote/pool/_instruments.pyx",
    "cenote.pool._entering": "src/cenote/pool/_entering.pyx",
    "cenote.pool._fast_c": "src/cenote/pool/fast.py",
    "cenote.pool._fast_sync_c": "src/cenote/pool/fast_sync.py",
    "cenote.pool._fast_aio_c": "src/cenote/pool/fast_aio.py",
    "cenote.node._lane_c": "src/cenote/node/lane.py",
    "cenote.node._lane_aio_c": "src/cenote/node/lane_aio.py",
    "cenote.cluster._placing": "src/cenote/cluster/_placing.pyx",
    "cenote.client._keys_c": "src/cenote/client/_keys_c.pyx",
    "cenote.client._hot_c": "src/cenote/client/_hot_c.pyx",
    "cenote.client._hot_aio_c": "src/cenote/client/_hot_aio_c.pyx",
}
DIRECTIVES = {"language_level": 3, "freethreading_compatible": True}
WITHOUT = """
cenote: not compiled; it works in pure Python, more slowly. To compile it, install gcc and Python's
headers (Debian: apt install gcc python3-dev), then install cenote again. The cause: {}
"""


class BuildOptional(build_ext):
    """Compiles every extension, or says why it compiled none."""

    cython = Lock()  # Cython translates one module at a time; the C compiler runs in parallel

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except (Exception, SystemExit) as error:
            if os.environ.get("CENOTE_REQUIRE_COMPILED") == "1":
                raise
            print(WITHOUT.format(error), file=sys.stderr)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []

    def build_extension(self, ext: Extension) -> None:
        from Cython.Build import cythonize  # noqa: PLC0415 - what is not compiled does not need it

        with self.cython:
            (translated,) = cythonize(
                [Extension(ext.name, ext.sources)],
                compiler_directives=DIRECTIVES,
                include_path=["src"],
                force=self.force,
                quiet=True,
            )
        ext.sources = translated.sources
        super().build_extension(ext)


pure = os.environ.get("CENOTE_PURE_PYTHON") == "1"
extensions = [
    Extension(name, [source], extra_compile_args=["-O3", "-g0"])
    for name, source in ({} if pure else COMPILED).items()
]
setup(ext_modules=extensions, cmdclass={"build_ext": BuildOptional})
