"""The demo is a test: it exits with 0 only when all that it promises was seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rackwright.drivers.jig.process import bearers


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "rackwright", "demo", *words],
        env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip


def test_the_demo_keeps_its_promises_and_leaves_nothing_running(tmp_path: Path) -> None:
    data = tmp_path.resolve() / "demo"
    ended = run("--nodes", "6", "--data", str(data), "-o", "json")
    said = json.loads(ended.stdout)
    assert ended.returncode == 0, f"{said['fault']}\n{ended.stderr}"
    assert said["ok"]
    assert said["change"]["planned"] == said["change"]["ran"] == 19
    assert 0 < said["kill"]["done"] < said["kill"]["of"] == 19
    assert set(said["kill"]["killed"]) == {"conductor", "rack r2", "PostgreSQL"}
    assert said["load"]["killed_after"] <= said["load"]["broke"] < said["load"]["recovered"]
    assert bearers(f"RACKWRIGHT_MARK={data}/") == []


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    ended = run("--data", str(tmp_path))
    assert ended.returncode == 4
    assert "not empty" in ended.stderr
    assert (tmp_path / "mine").read_text() == "kept"
