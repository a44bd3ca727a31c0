"""The supervisor: what dies comes back, what is told to end ends, what never works is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rackwright.commands.leftovers import end_leftovers
from rackwright.commands.supervisor import Child, Program
from rackwright.commands.tied import STARTER
from rackwright.core.errors import StoreUnavailable

PATIENCE = 60.0


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.02)


async def yes() -> bool:
    return True


def postgres(tmp_path: Path) -> Program:
    """Any command that stays until it is told to end."""
    return Program("postgres", ("postgres", "--data", str(tmp_path)))


async def no() -> bool:
    return False


async def test_a_killed_process_is_started_again_and_ends_when_told(tmp_path: Path) -> None:
    child = Child(postgres(tmp_path))
    await child.ready(yes, PATIENCE)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: child.pid not in (None, first))
    second = child.pid
    await child.end()
    assert child.deaths == 1
    assert not Path(f"/proc/{second}").exists()


async def test_a_process_that_keeps_ending_is_told_and_not_waited_for() -> None:
    child = Child(Program("version", ("--version",)))
    with pytest.raises(StoreUnavailable, match="ended 3 times"):
        await child.ready(no, PATIENCE)
    await child.end()


async def test_a_process_that_never_answers_is_told(tmp_path: Path) -> None:
    child = Child(postgres(tmp_path))
    with pytest.raises(StoreUnavailable, match="not ready after"):
        await child.ready(no, 0.1)
    await child.end()


def test_a_process_whose_starter_is_gone_already_ends_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "rackwright", "--version"],
        env={**os.environ, STARTER: f"{gone.pid}:{int(signal.SIGKILL)}"}, check=False, capture_output=True,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL


def test_what_a_dead_rack_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    rack = tmp_path.resolve() / "r1"
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    left = subprocess.Popen(command, env={"RACKWRIGHT_MARK": f"{rack}/jigs/service/d/n1/web/"})
    other = subprocess.Popen(command, env={"RACKWRIGHT_MARK": f"{rack}2/jigs/service/d/n1/web/"})
    try:
        asyncio.run(end_leftovers(rack, 5.0))
        assert left.wait(PATIENCE) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
