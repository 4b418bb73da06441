"""The shape of the package, checked file by file with ``ast``; ``docs/design.md`` says why.

The rules are data at the top; each test applies one of them to one file and names the line.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

import cenote

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/cenote"

# Who may import whom, by folder: a layer knows the layers below it that it is built from.
LAYERS: dict[str, set[str]] = {
    "client": {"cluster", "node", "pool", "protocol"},
    "cluster": {"node", "pool", "connection", "protocol"},  # connection: to look names up
    "node": {"pool", "connection", "protocol"},
    "connectors": {"pool", "connection"},
    "connection": {"protocol"},
    "pool": set(),
    "protocol": set(),
}
# What any layer may import beside those: the floor, which imports nothing of cenote itself.
FLOOR = {"cenote.errors", "cenote._implementation", "cenote._spelling"}
# What passes down through layers that do not use it: plain values, and who asks for local://.
VALUES = {"cenote.connection", "cenote.connection.address", "cenote.local"}
# runtime/ is what the generated layers, and nobody else, take their asynchrony from.
RUNTIME_FOR = {"client", "cluster", "node"}
# Names that hide what a module is about.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}
# The only places that touch the network.
NETWORK = {"socket", "ssl", "select", "selectors"}
NETWORK_FOLDERS = {"connection", "connectors", "testing", "cli", "telemetry"}
NETWORK_FILES = {"local.py", "_server_process.py"}
TRANSPORT_NAMES = {"create_connection", "create_unix_connection", "open_connection", "sock_connect"}
LONGEST_MODULE = 400

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def folder_of(file: str) -> str:
    return PurePosixPath(file).parts[0]


LAYER_FILES = [file for file in FILES if folder_of(file) in LAYERS]


def applied_to(files: list[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """Make of a rule for a file the test that all of ``files`` keep to it."""

    def decorate(rule: Callable[[str], None]) -> Callable[[], None]:
        def test() -> None:
            for file in files:
                rule(file)

        test.__name__ = rule.__name__
        return test

    return decorate


each_file = applied_to(FILES)
each_layer_file = applied_to(LAYER_FILES)


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text("utf-8"), file)


def module_name(file: str) -> str:
    parts = ["cenote", *PurePosixPath(file).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(file: str) -> list[tuple[int, str]]:
    """Every import of the file as (line, dotted module), wherever in the file it stands.

    ``from a import b`` counts as ``a.b`` where that is a module of ours, else as ``a``.
    """
    found = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module is not None
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES
            found += [(node.lineno, module) for module in modules or {node.module}]
    return found


MODULES = {module_name(file) for file in FILES}


def layer_of(module: str) -> str:
    """The folder of ``src/cenote`` a module lives in, or "" for the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def is_named(file: str, kind: str) -> bool:
    return PurePosixPath(file).stem in {
        kind,
        f"{PurePosixPath(file).stem.rpartition('_')[0]}_{kind}",
    }


@each_layer_file
def test_imports_point_down_the_layers(file: str) -> None:
    own = folder_of(file)
    allowed = LAYERS[own] | {own} | ({"runtime"} if own in RUNTIME_FOR else set())
    everywhere = FLOOR | (VALUES if own in RUNTIME_FOR else set())
    up = [
        f"{file}:{line} imports {module}"
        for line, module in imports(file)
        if module.split(".")[0] == "cenote"
        and module not in everywhere
        and layer_of(module) not in allowed
    ]
    assert not up


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_the_floor_stands_on_nothing(module: str) -> None:
    file = module.removeprefix("cenote.") + ".py"
    assert not [name for _, name in imports(file) if name.split(".")[0] == "cenote"]


@each_file
def test_only_connections_touch_the_network(file: str) -> None:
    if folder_of(file) in NETWORK_FOLDERS or file in NETWORK_FILES:
        return
    assert not [f"{file}:{line} {name}" for line, name in imports(file) if name in NETWORK]
    used = {node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    assert not used & TRANSPORT_NAMES


@each_layer_file
def test_only_files_named_aio_import_asyncio(file: str) -> None:
    if is_named(file, "aio"):
        return
    assert not [line for line, name in imports(file) if name.split(".")[0] == "asyncio"]


@each_layer_file
def test_only_files_named_sync_import_threading(file: str) -> None:
    if is_named(file, "sync"):
        return
    assert not [line for line, name in imports(file) if name.split(".")[0] == "threading"]


@each_layer_file
def test_only_drivers_read_the_clock_or_sleep(file: str) -> None:
    """Time is an argument: a file that decides takes ``now``; a default clock may be named."""
    if is_named(file, "aio") or is_named(file, "sync") or file.startswith("connection/_exchange"):
        return
    calls = [
        node.lineno
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("time.")
    ]
    assert not calls, f"{file} reads the clock at lines {calls}"


def test_no_import_is_circular() -> None:
    """Modules import each other in one direction only, looking at each file's own imports."""
    graph = {
        module_name(file): {name for _, name in imports(file) if name in MODULES} for file in FILES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@each_file
def test_modules_are_named_for_what_they_are_about(file: str) -> None:
    assert PurePosixPath(file).stem not in EMPTY_NAMES


@each_file
def test_modules_hold_one_idea(file: str) -> None:
    lines = len((PACKAGE / file).read_text("utf-8").splitlines())
    assert lines < LONGEST_MODULE, f"{file} has {lines} lines: look for the second idea in it"


@each_file
def test_modules_open_with_what_they_are(file: str) -> None:
    assert ast.get_docstring(tree(file))


@each_file
def test_annotations_are_postponed(file: str) -> None:
    imported = {
        alias.name
        for node in tree(file).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }
    assert "annotations" in imported or not tree(file).body[1:]


@each_file
def test_nothing_is_proxied_by_getattr_or_metaclass(file: str) -> None:
    hidden = [
        f"{file}:{node.lineno}"
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__getattribute__"})
        or (isinstance(node, ast.ClassDef) and any(k.arg == "metaclass" for k in node.keywords))
    ]
    assert not hidden


# What users see.


@pytest.mark.parametrize("name", cenote.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(cenote, name)
    if isinstance(value, type) or callable(value):
        assert value.__doc__
        assert value.__doc__.strip()


def test_every_public_name_is_exported_once() -> None:
    assert len(cenote.__all__) == len(set(cenote.__all__))
    public = {name for name in vars(cenote) if name.isidentifier() and name[0] != "_"}
    submodules = {module.split(".")[1] for module in MODULES if module.count(".") >= 1}
    assert public - submodules - {"annotations"} <= set(cenote.__all__)


def test_every_error_is_public() -> None:
    errors = {
        name
        for name, value in vars(cenote.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert errors <= set(cenote.__all__)


def test_generated_files_are_fresh() -> None:
    command = [sys.executable, "tools/unasync.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_importing_cenote_needs_no_optional_package() -> None:
    """Nothing but the standard library is imported, whatever else is installed."""
    code = (
        "import sys; import cenote; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {name for name in result.stdout.split() if "cython" not in name} == {
        "__main__",
        "cenote",
    }
