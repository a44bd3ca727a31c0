"""Images are put together once, whoever asks, and killed builds leave nothing that stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from rackwright.drivers.image import workshop


def test_builds_of_the_same_thing_wait_for_one_another_and_one_of_them_makes_it(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(work: Path) -> None:
        made.append(work)
        time.sleep(0.05)
        (work / "made").mkdir()
        (work / "made/file").write_text("whole")

    results: list[Path] = []
    builds = [threading.Thread(target=lambda: results.append(workshop.made(tmp_path, "image", make))) for _ in range(4)]
    for build in builds:
        build.start()
    for build in builds:
        build.join()
    assert len(made) == 1
    assert results == [tmp_path / "image"] * 4
    assert (tmp_path / "image/file").read_text() == "whole"


def test_what_a_killed_build_has_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "image.work").mkdir()
    (tmp_path / "image.work/half").write_text("half")

    def make(work: Path) -> None:
        assert list(work.iterdir()) == []
        (work / "made").mkdir()

    workshop.made(tmp_path, "image", make)
    assert not (tmp_path / "image.work").exists()


def test_a_build_that_fails_makes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(work: Path) -> None:
        (work / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        workshop.made(tmp_path, "image", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["image.lock"]
