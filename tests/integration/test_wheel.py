"""The wheel carries everything that the program reads at run time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"__pycache__"}


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Build the wheel; give the names of its files with their Unix modes."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=600,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}


def _files_of_the_package() -> dict[str, Path]:
    source = ROOT / "src"
    return {
        path.relative_to(source).as_posix(): path
        for path in (source / "rackwright").rglob("*")
        if path.is_file() and not LEFT_OUT & set(path.parts) and path.suffix != ".pyc"
    }


def test_the_wheel_holds_every_file_of_the_package(wheel_files: dict[str, int]) -> None:
    assert sorted(set(_files_of_the_package()) - set(wheel_files)) == []


@pytest.mark.parametrize("suffix", [".sql", ".yaml", ".typed"])
def test_the_wheel_holds_data_files_of_each_kind(wheel_files: dict[str, int], suffix: str) -> None:
    assert [name for name in wheel_files if name.endswith(suffix)] != []


def test_scripts_stay_executable_in_the_wheel(wheel_files: dict[str, int]) -> None:
    scripts = [name for name, path in _files_of_the_package().items() if path.stat().st_mode & 0o111]
    assert [name for name in scripts if not wheel_files[name] & 0o111] == []


def test_the_wheel_holds_the_licence(wheel_files: dict[str, int]) -> None:
    assert [name for name in wheel_files if name.endswith("licenses/LICENSE")] != []
