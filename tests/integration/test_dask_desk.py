"""A worker's desk and its archives: named by their bytes, kept, and answered by the code that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.engine.serialization.answering import squeezed
from rackwright.engine.serialization.dask.admission import Registration
from rackwright.engine.serialization.dask.archive import pack, unpack
from rackwright.engine.serialization.dask.desk import ANSWER, FAULT, LACKING, LEAVING, Desk
from rackwright.engine.serialization.processes import Work
from tests.integration.dask_cluster import work_of


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "code", Registration("n1"))
    yield desk
    desk.close()


def work(folder: Path, body: str) -> Work:
    folder.mkdir()
    return work_of(folder, body)


def test_equal_code_and_setup_make_the_same_archive_and_any_change_another(tmp_path: Path) -> None:
    first = work(tmp_path / "a", "return chunk")
    archive = pack(b"setup", first)
    assert pack(b"setup", work(tmp_path / "b", "return chunk")) == archive
    assert pack(b"other", first).fingerprint != archive.fingerprint
    assert pack(b"setup", work(tmp_path / "c", "return setup")).fingerprint != archive.fingerprint


def test_an_archive_with_another_setup_uses_the_code_that_is_there(tmp_path: Path) -> None:
    same = work(tmp_path / "a", "return chunk")
    first = unpack(pack(b"one", same).data, tmp_path / "code")
    second = unpack(pack(b"two", same).data, tmp_path / "code")
    assert (first.code, first.setup, second.setup) == (second.code, squeezed(b"one"), squeezed(b"two"))
    assert [path.name for path in (tmp_path / "code").iterdir()] == [first.code.name]
    assert (first.code / "rackwright" / "core" / "errors.py").is_file()


def test_a_damaged_archive_is_refused(desk: Desk, tmp_path: Path) -> None:
    archive = pack(b"", work(tmp_path / "a", "return chunk"))
    with pytest.raises(InvalidInput, match="damaged"):
        desk.keep(archive.fingerprint, archive.data + b"x")
    assert desk.lacks(archive.fingerprint)


def test_a_chunk_without_its_archive_comes_back_as_lacking(desk: Desk) -> None:
    assert desk.answer("unknown", b"x") == (LACKING, b"")


def test_archives_of_different_code_are_answered_side_by_side(desk: Desk, tmp_path: Path) -> None:
    archives = [pack(b"setup", work(tmp_path / str(n), f"return b'{n}' + setup + chunk")) for n in range(3)]
    for archive in archives:
        desk.keep(archive.fingerprint, archive.data)
    answers = [desk.answer(archive.fingerprint, b"x") for archive in [*archives, *archives]]
    assert answers == [(ANSWER, f"{n}setupx".encode()) for n in (0, 1, 2, 0, 1, 2)]


def test_the_oldest_archive_is_given_up(desk: Desk, tmp_path: Path) -> None:
    same = work(tmp_path / "a", "return chunk")
    archives = [pack(str(n).encode(), same) for n in range(5)]
    for archive in archives:
        desk.keep(archive.fingerprint, archive.data)
    assert [desk.lacks(archive.fingerprint) for archive in archives] == [True, False, False, False, False]


def test_code_that_cannot_start_is_a_fault_with_its_reason(desk: Desk, tmp_path: Path) -> None:
    broken = work(tmp_path / "a", "return chunk")
    broken.files[0].write_text("import nothing_of_that_name\n")
    archive = pack(b"", broken)
    desk.keep(archive.fingerprint, archive.data)
    how, words = desk.answer(archive.fingerprint, b"x")
    assert how == FAULT
    assert b"does not start" in words


def test_a_desk_that_is_to_end_takes_no_chunk(desk: Desk, tmp_path: Path) -> None:
    archive = pack(b"", work(tmp_path / "a", "return chunk"))
    desk.keep(archive.fingerprint, archive.data)
    desk.leave()
    assert desk.answer(archive.fingerprint, b"x") == (LEAVING, b"")
    assert desk.told()["leaving"] is True
