"""Disks that erase themselves: by ATA, with a program that stands in for hdparm and notes what it was asked; by NVMe,
with a disk that keeps the log which sanitizing has."""

from __future__ import annotations

import array
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rackwright.agent import forgetting, nvme
from rackwright.agent.disks import Disk
from rackwright.agent.door import Door
from rackwright.agent.job import Failed, Job

DISK = Disk(name="sda", path="/dev/sda", serial="S1", bytes=1 << 30)
SANITIZE, LOG_PAGE, IDENTIFY = 0x84, 0x02, 0x06


def job(timeout: float = 600.0) -> Job:
    return Job(parameters={}, folder="", say=lambda text: None, door=Door("http://127.0.0.1:1"), timeout=timeout)


def hdparm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *broken: str, minutes: int = 2) -> Path:
    """Stands in for hdparm: what it is asked for goes into a file; what is ``broken`` fails."""
    asked, program = tmp_path / "asked", tmp_path / "hdparm"
    fails = "|".join((*broken, "none"))
    program.write_text(
        f'#!/bin/sh\n[ $1 = -I ] && exec echo "{minutes}min for SECURITY ERASE UNIT. 2min for ENHANCED SECURITY"\n'
        f'echo "$3" >>{asked}\ncase $3 in {fails}) echo "no $3" >&2; exit 5;; esac\n'
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return asked


def test_a_disk_is_unlocked_given_a_password_and_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hdparm(tmp_path, monkeypatch, "--security-unlock")
    forgetting.erase_ata(job(), DISK)
    assert asked.read_text().split() == ["--security-unlock", "--security-set-pass", "--security-erase"]


def test_a_disk_that_does_not_erase_itself_is_not_left_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hdparm(tmp_path, monkeypatch, "--security-erase")
    with pytest.raises(LookupError, match=r"^no --security-erase$"):
        forgetting.erase_ata(job(), DISK)
    assert asked.read_text().split()[-1] == "--security-disable"


def test_the_password_of_a_disk_that_stays_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdparm(tmp_path, monkeypatch, "--security-erase", "--security-disable")
    with pytest.raises(LookupError, match="locked with the password rackwright"):
        forgetting.erase_ata(job(), DISK)


def test_a_disk_that_needs_longer_than_there_is_time_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hdparm(tmp_path, monkeypatch, minutes=90)
    with pytest.raises(Failed, match=r"needs 90 minutes .* \(raise the task's `timeout`\)"):
        forgetting.erase_ata(job(), DISK)
    assert not asked.exists()


class Nvme:
    """A disk that sanitizes as its log tells: one (state, part of 65536) for each look."""

    def __init__(self, tmp_path: Path, log: Sequence[tuple[int, int]], namespaces: int = 1, can: int = 3) -> None:
        self.disk = Disk(name="nvme0n1", path=str(tmp_path / "nvme0n1"), serial="N1", bytes=1 << 20)
        Path(self.disk.path).touch()
        self.log, self.namespaces, self.can = list(log), namespaces, can
        self.asked: list[int] = []
        """What it was told to do: the actions of Sanitize."""

    def answer(self, file: object, opcode: int, namespace: int, word: int, into: array.array[int] | None) -> None:
        """One admin command."""
        if opcode == SANITIZE:
            self.asked.append(word)
        if into is None:
            return
        page = bytearray(len(into))
        if opcode == LOG_PAGE:
            state, part = self.log.pop(0) if len(self.log) > 1 else self.log[0]
            struct.pack_into("<HHIIII", page, 0, part, state, nvme.CRYPTO_ERASE, 0, 0xFFFFFFFF, 20)
        elif opcode == IDENTIFY and word == 1:
            page[328] = self.can
        elif opcode == IDENTIFY:
            struct.pack_into(f"<{self.namespaces}I", page, 0, *range(1, self.namespaces + 1))
        into[:] = array.array("B", page)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "LOOK", 0.0)
    monkeypatch.setattr(forgetting, "TELL", 0.0)


def sanitizes(monkeypatch: pytest.MonkeyPatch, disk: Nvme, wanted: Job) -> list[str]:
    """Let it sanitize; gives what the job has said of it."""
    said: list[str] = []
    wanted.say = said.append
    monkeypatch.setattr(nvme, "_admin", disk.answer)
    forgetting.sanitize_nvme(wanted, disk.disk)
    return said


def test_sanitizing_is_followed_to_its_end_by_the_log_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    disk = Nvme(tmp_path, [(nvme.GOES_ON, 0), (nvme.GOES_ON, 32768), (nvme.DONE, 65535)])
    said = sanitizes(monkeypatch, disk, job())
    assert disk.asked == [nvme.CRYPTO_ERASE | 8]
    assert [line.split(": ", 1)[1] for line in said] == ["0% of about 20 s\n", "50% of about 20 s\n"]


@pytest.mark.parametrize(
    ("log", "timeout", "error", "words"),
    [
        ([(nvme.FAILED, 6554)], 600.0, LookupError, "sanitizing has failed at 10%"),
        ([(nvme.NEVER, 0)], 600.0, LookupError, "ended in the state 0"),
        ([(nvme.GOES_ON, 655)], -1.0, Failed, r"raise the task's `timeout`\); .* goes on by itself, at 1% now"),
    ],
)
def test_sanitizing_that_does_not_end_well_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None, log: list[tuple[int, int]], timeout: float,
    error: type[Exception], words: str,
) -> None:  # fmt: skip
    with pytest.raises(error, match=words):
        sanitizes(monkeypatch, Nvme(tmp_path, log), job(timeout))


def test_a_disk_that_has_failed_to_sanitize_is_let_out_of_that_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Nvme(tmp_path, [(nvme.FAILED, 0)])
    with pytest.raises(LookupError):
        sanitizes(monkeypatch, disk, job())
    assert disk.asked[-1] == nvme.EXIT_FAILURE


def test_a_disk_that_comes_no_further_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setattr(forgetting, "STILL", -1.0)
    disk = Nvme(tmp_path, [(nvme.GOES_ON, 655)])
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(Failed, match=r"sanitizes for ever: at 1% for \d+ s \(replace the disk\)"):
        sanitizes(monkeypatch, disk, job(1e9))


def test_what_a_job_before_has_begun_is_waited_for_and_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    disk = Nvme(tmp_path, [(nvme.GOES_ON, 0), (nvme.GOES_ON, 1), (nvme.DONE, 65535)])
    monkeypatch.setattr(nvme, "_admin", disk.answer)
    forgetting.wait(job(), disk.disk)
    assert (disk.asked, len(disk.log)) == ([], 1)
    forgetting.wait(job(), DISK)


def test_a_disk_that_would_erase_others_too_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Nvme(tmp_path, [(nvme.DONE, 0)], namespaces=2)
    with pytest.raises(LookupError, match="2 namespaces at once"):
        sanitizes(monkeypatch, disk, job())
    assert disk.asked == []
