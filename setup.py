"""Build the optional compiled twins; everything else about the project is in pyproject.toml.

A module that can not be compiled (no compiler, no headers, no Cython) is left out and its pure-Python
twin does the same work, more slowly. ``CENOTE_REQUIRE_COMPILED=1`` makes that an error;
``CENOTE_PURE_PYTHON=1`` does not try.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# The module that is built, and its source. fast.py is compiled as it stands (Cython's pure-Python
# mode), with the C types of _fast_c.pxd; the others are twins of a *_native.py beside them.
COMPILED = {
    "cenote.protocol._speedups": "src/cenote/protocol/_speedups.pyx",
    "cenote.connection._exchange": "src/cenote/connection/_exchange.pyx",
    "cenote.pool._fast_c": "src/cenote/pool/fast.py",
}
DIRECTIVES = {"language_level": 3, "freethreading_compatible": True}


class BuildOptional(build_ext):
    """Compiles what can be compiled, and says what could not be."""

    def build_extension(self, ext: Extension) -> None:
        try:
            self._compile(ext)
        except (Exception, SystemExit) as error:
            if os.environ.get("CENOTE_REQUIRE_COMPILED") == "1":
                raise
            print(
                f"cenote: {ext.name} is not compiled ({type(error).__name__}: {error}); its "
                "pure-Python twin does the same work, more slowly. To compile it install gcc and "
                "Python's headers (Debian: apt install gcc python3-dev) and install cenote again.",
                file=sys.stderr,
            )

    def _compile(self, ext: Extension) -> None:
        from Cython.Build import cythonize

        (generated,) = cythonize(
            [Extension(ext.name, ext.sources)],
            compiler_directives=DIRECTIVES,
            include_path=["src"],
        )
        ext.sources = generated.sources
        super().build_extension(ext)


def extensions() -> list[Extension]:
    if os.environ.get("CENOTE_PURE_PYTHON") == "1":
        return []
    return [Extension(name, [source], optional=True) for name, source in COMPILED.items()]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOptional})
