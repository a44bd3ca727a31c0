"""Of which packages an image will be made: each of them counts, and the archive need not be there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rackwright.core.errors import Permanent, Retryable
from rackwright.drivers.image import resolution

SAID = """I: simulate installing remaining packages inside the chroot...
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
Inst apt [2.6.1] (2.6.2 Debian-Security:12/oldstable-security [amd64])
Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64])
"""
PACKAGES = {"libc6": "2.36-9+deb12u14", "apt": "2.6.2"}


def away() -> str:
    raise Permanent("apt-get ended with exit code 100")


def silent(text: str) -> None:
    pytest.fail(f"nothing was to be told: {text}")


def aged(kept: Path) -> None:
    """As if it had been asked for two hours ago."""
    before = time.time() - 7200
    os.utime(kept, (before, before))


def test_what_apt_would_install_is_read_from_its_words_and_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert resolution.resolved(lambda: SAID, kept, silent) == PACKAGES
    assert resolution.resolved(away, kept, silent) == PACKAGES


def test_after_an_hour_the_archive_is_asked_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    resolution.resolved(lambda: SAID, kept, silent)
    aged(kept)
    newer = SAID.replace("deb12u14", "deb12u15")
    assert resolution.resolved(lambda: newer, kept, silent)["libc6"] == "2.36-9+deb12u15"


def test_without_the_archive_the_packages_of_before_are_taken_and_that_is_told(tmp_path: Path) -> None:
    kept, told = tmp_path / "kept", list[str]()
    resolution.resolved(lambda: SAID, kept, silent)
    aged(kept)
    assert resolution.resolved(away, kept, told.append) == PACKAGES
    assert "cannot be asked" in told[0]
    with pytest.raises(Permanent, match="exit code 100"):
        resolution.resolved(away, tmp_path / "nothing", silent)
    with pytest.raises(Permanent, match="no package"):
        resolution.resolved(lambda: "", tmp_path / "nothing", silent)


def test_a_system_with_other_packages_than_were_resolved_is_no_image(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u14\nDescription: Version: 1\n\n"
        "Package: apt\nStatus: install ok installed\nVersion: 2.6.2\n"
    )
    resolution.check(tmp_path, {**PACKAGES, "provided": "1"}, tmp_path / "kept")
    kept = tmp_path / "kept"
    kept.touch()
    with pytest.raises(Retryable, match="has changed meanwhile: apt"):
        resolution.check(tmp_path, {**PACKAGES, "apt": "2.6.3"}, kept)
    assert not kept.exists()
