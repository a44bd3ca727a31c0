"""Disks that erase themselves by ATA: told by a program that stands in for hdparm and notes what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwright.agent import forgetting
from rackwright.agent.disks import Disk

DISK = Disk(name="sda", path="/dev/sda", serial="S1", bytes=1 << 30)


def hdparm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *broken: str) -> Path:
    """Stands in for hdparm: what it is asked for goes into a file; what is ``broken`` fails."""
    asked, program = tmp_path / "asked", tmp_path / "hdparm"
    fails = "|".join((*broken, "none"))
    program.write_text(f'#!/bin/sh\necho "$3" >>{asked}\ncase $3 in {fails}) echo "no $3" >&2; exit 5;; esac\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return asked


def test_a_disk_is_unlocked_given_a_password_and_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hdparm(tmp_path, monkeypatch, "--security-unlock")
    forgetting.erase_ata(DISK)
    assert asked.read_text().split() == ["--security-unlock", "--security-set-pass", "--security-erase"]


def test_a_disk_that_does_not_erase_itself_is_not_left_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hdparm(tmp_path, monkeypatch, "--security-erase")
    with pytest.raises(LookupError, match=r"^no --security-erase$"):
        forgetting.erase_ata(DISK)
    assert asked.read_text().split()[-1] == "--security-disable"


def test_the_password_of_a_disk_that_stays_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdparm(tmp_path, monkeypatch, "--security-erase", "--security-disable")
    with pytest.raises(LookupError, match="locked with the password rackwright"):
        forgetting.erase_ata(DISK)
