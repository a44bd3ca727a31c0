"""As whom the embedded PostgreSQL runs: root in a user namespace, root as another user, an ordinary user."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.store import embedded
from rackwright.store.embedded.identity import IN_A_NAMESPACE
from rackwright.store.embedded.locks import is_held
from rackwright.store.embedded.programs import found
from tests.integration.embedded_servers import ask, kill, postmaster, until, user_process

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")

GUARD_AS_LESSER_USER = """
import sys
from pathlib import Path
from rackwright.store.embedded import guard, identity
from rackwright.store.embedded.folder import opened
from rackwright.store.embedded.report import Report

guard.chosen = identity.lesser_user
guard.Guard(opened(Path(sys.argv[1])), Report(1), 0.5).run()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="rackwright-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _privileges_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("CapEff:")[2].split()[0], 16)


def _user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def _may_run_python(user: int) -> bool:
    probe = [sys.executable, "-c", "import rackwright.store.embedded"]
    try:
        return subprocess.run(probe, user=user, capture_output=True, cwd="/", check=False).returncode == 0
    except PermissionError:
        return False


@needs_root
async def test_root_runs_the_server_in_a_user_namespace_and_keeps_its_files(tmp_path: Path) -> None:
    if not IN_A_NAMESPACE.runs(found()):
        pytest.skip("user namespaces are forbidden here")
    async with embedded.running(tmp_path, linger=0.0) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
        server = postmaster(tmp_path)
        assert os.readlink(f"/proc/{server}/ns/user") != os.readlink("/proc/self/ns/user")
        assert _privileges_of(server) == 0
    assert (tmp_path / "postgres" / "cluster").stat().st_uid == 0
    assert await embedded.wait_stopped(tmp_path)


@needs_root
async def test_root_without_namespaces_runs_the_server_as_another_user(open_folder: Path) -> None:
    guard = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", GUARD_AS_LESSER_USER, str(open_folder)), stdout=subprocess.DEVNULL
    )
    await until(lambda: is_held(open_folder / "postgres" / "guard.lock"), "the guard has begun")
    async with embedded.running(open_folder) as dsn:
        server = postmaster(open_folder)
        assert pwd.getpwuid(_user_of(server)).pw_name in ("postgres", "nobody")
        assert (open_folder / "postgres" / "passfile").stat().st_uid == 0
        await ask(dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        kill(server)
        assert await ask(dsn, "SELECT n FROM kept") == 1
    assert await guard.wait() == 0
    # Also without being told: the cluster's owner decides the next time.
    async with embedded.running(open_folder, linger=0.0) as dsn:
        assert await ask(dsn, "SELECT n FROM kept") == 1
        assert _user_of(postmaster(open_folder)) != 0
    assert await embedded.wait_stopped(open_folder)


@needs_root
async def test_an_ordinary_user_runs_the_server_as_himself(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    if not _may_run_python(nobody.pw_uid):
        pytest.skip("this Python, or the product's source, is not readable for the user nobody")
    data = open_folder / "data"
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    async with user_process(data, user=nobody.pw_uid) as (_, dsn):
        assert _user_of(postmaster(data)) == nobody.pw_uid
        assert (data / "postgres" / "socket").stat().st_uid == nobody.pw_uid
        assert os.readlink(f"/proc/{postmaster(data)}/ns/user") == os.readlink("/proc/self/ns/user")
        assert await ask(dsn, "SELECT 1") == 1
        kill(postmaster(data))
        assert await ask(dsn, "SELECT 1") == 1
    assert await embedded.wait_stopped(data)
