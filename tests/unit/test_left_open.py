"""A module of tests that leaves something open fails itself, and not the one that comes next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.left_open import left_open

LEAK = """
import socket

class Knot:
    pass

def test_one_that_leaves_a_socket_open():
    knot = Knot()
    knot.itself, knot.socket = knot, socket.socket()

def test_another():
    pass
"""


class Knot:
    """What only the garbage collector can undo."""

    def __init__(self, path: Path) -> None:
        self.itself, self.file = self, path.open("w")


def test_what_nobody_closed_is_told_once(tmp_path: Path) -> None:
    Knot(tmp_path / "forgotten")
    (complaint,) = left_open()
    assert "unclosed file" in complaint
    assert "forgotten" in complaint
    assert left_open() == []


def test_the_module_that_leaves_a_socket_open_fails_and_the_next_one_passes(tmp_path: Path, root: Path) -> None:
    (tmp_path / "test_leak.py").write_text(LEAK)
    (tmp_path / "test_next.py").write_text("def test_nothing():\n    pass\n")
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.left_open", "-p", "no:cacheprovider",
            "-c", root / "pyproject.toml", "--rootdir", tmp_path, tmp_path,
        ],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "test_leak.py leaves open:\nunclosed <socket" in ran.stdout
    assert "3 passed, 1 error" in ran.stdout
