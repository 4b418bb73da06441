"""``local://``: a private server that is there in milliseconds and ends with its process."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from cenote import LocalServerError, _server_process, local
from cenote._server_process import memcached_binary
from cenote.local import LocalServer, local_server_address, private_folder


def version_of(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(b"version\r\n")
        return connection.recv(100)


def wait_for_end_of(pid: int) -> None:
    """Wait until a process, which need not be our child, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(10_000), f"process {pid} did not end"
    finally:
        os.close(handle)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        yield server


def test_it_answers_when_the_constructor_returns(server: LocalServer) -> None:
    assert version_of(server.path).startswith(b"VERSION ")
    assert server.alive


def test_only_its_owner_may_reach_it(server: LocalServer) -> None:
    folder = Path(server.path).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.geteuid()


def test_stopping_ends_the_server_and_removes_its_folder(server: LocalServer) -> None:
    server.stop()
    wait_for_end_of(server.pid)
    assert not Path(server.path).parent.exists()
    assert not server.alive
    server.stop()


def test_a_frozen_server_is_stopped_too(server: LocalServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert not Path(server.path).parent.exists()


def test_two_servers_share_nothing(server: LocalServer) -> None:
    with LocalServer() as other:
        assert other.path != server.path
        assert other.pid != server.pid


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# Prints the socket's path, and the process ids of the server and of its supervisor.
START = """
from cenote import local
path = local.local_server_address()
print(path, local._shared.pid, local._shared._process._supervisor.pid, flush=True)
"""


def assert_it_goes(started: str) -> None:
    """Wait for the end of what ``START`` reported: the supervisor is the last to go."""
    path, server, supervisor = started.split()
    wait_for_end_of(int(server))
    wait_for_end_of(int(supervisor))
    assert not Path(path).parent.exists()


@pytest.mark.parametrize(
    "ending",
    ["", "raise SystemExit(3)", "1 / 0"],
    ids=["return", "exit", "exception"],
)
def test_it_has_ended_when_the_process_has(ending: str) -> None:
    """An orderly end waits for the server's."""
    result = run(START + ending)
    path, pid, _ = result.stdout.split()
    assert not Path(path).parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.parametrize(
    "ending",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os; os._exit(0)",
        "import os; os.abort()",
        "import os; os.execv('/bin/true', ['true'])",
        "import os, signal; os.killpg(os.getpgid(0), signal.SIGKILL)",
    ],
    ids=["SIGKILL", "SIGTERM", "_exit", "abort", "exec", "SIGKILL to the group"],
)
def test_it_ends_however_the_process_ends(ending: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START + ending],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        output = process.communicate(timeout=30)[0]
    assert_it_goes(output)


def test_it_does_not_end_with_the_thread_that_started_it() -> None:
    paths: list[str] = []
    with LocalServer() as first:
        thread = threading.Thread(target=lambda: paths.append(local_server_address()))
        thread.start()
        thread.join()
        assert version_of(paths[0]).startswith(b"VERSION ")
        assert first.alive


def test_ctrl_c_in_the_terminal_does_not_reach_it(server: LocalServer) -> None:
    assert os.getsid(server.pid) != os.getsid(0)


def test_the_clients_of_a_process_share_one() -> None:
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda: paths.append(local_server_address())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert len(set(paths)) == 1


def test_a_server_that_died_is_replaced() -> None:
    first = local_server_address()
    shared = local._shared
    assert shared is not None
    os.kill(shared.pid, signal.SIGKILL)
    assert shared._process.died_within(10)
    second = local_server_address()
    assert second != first
    assert version_of(second).startswith(b"VERSION ")


FORK = """
    import os
    from cenote import local
    path = local.local_server_address()
    pid = os.fork()
    if pid == 0:
        try:
            {child}
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    {parent}
"""


def test_a_forked_child_gets_a_server_of_its_own() -> None:
    result = run(
        FORK.format(child="assert local.local_server_address() != path", parent="print('done')")
    )
    assert result.stdout == "done\n", result.stderr


def test_the_end_of_a_forked_child_leaves_the_parents_server_alone() -> None:
    child = "local._stop_shared(); import gc; gc.collect()"
    parent = (
        "assert local._shared.alive; assert local.local_server_address() == path; print('done')"
    )
    result = run(FORK.format(child=child, parent=parent))
    assert result.stdout == "done\n", result.stderr


def test_a_forked_child_does_not_keep_the_parents_server_alive() -> None:
    """The parent dies while its child lives on: the server goes with the parent."""
    code = """
        import os, signal, sys
        ready, child_ready = os.pipe()
        if os.fork() == 0:
            os.write(child_ready, b".")
            sys.stdin.read()
            os._exit(0)
        os.read(ready, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with subprocess.Popen(
        [sys.executable, "-c", START + dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert_it_goes(process.stdout.readline())


def test_without_a_binary_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CENOTE_MEMCACHED", "no-such-memcached")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(LocalServerError, match="apt install memcached"):
        LocalServer()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("supervisor", ["exit 3", "echo", "read -r _"])
def test_a_supervisor_that_says_nothing_is_an_error_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, supervisor: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_server_process, "_SUPERVISOR", supervisor)
    monkeypatch.setattr(_server_process, "_START_TIMEOUT", 0.2)
    with pytest.raises(LocalServerError, match="/bin/sh"):
        LocalServer()
    assert not list(tmp_path.iterdir())


def test_another_binary_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = memcached_binary()
    monkeypatch.setenv("CENOTE_MEMCACHED", real)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert memcached_binary() == real


def test_a_server_that_can_not_start_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(LocalServerError, match=r"it said: .*threads"):
        LocalServer(threads=-1)
    assert not list(tmp_path.iterdir())


def test_a_temporary_folder_too_deep_for_a_socket_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = private_folder()
    folder.rmdir()
    assert folder.parent == Path("/tmp")


def test_nothing_is_started_unless_asked() -> None:
    result = run("import cenote, cenote.local; print(cenote.local._shared)")
    assert result.stdout == "None\n"
