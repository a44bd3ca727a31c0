"""What every jig must do, as a suite: a test class of a jig inherits it and gives the parameters of its tasks."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import DriverError, Permanent
from rackwright.core.jig import Jig, Work, check_facts
from rackwright.core.messages import Claim
from rackwright.drivers.jig.procfs import command_line, live_processes, read_environ

numbers = itertools.count(1)


def make_work(folder: Path, parameters: Any, **claim: Any) -> Work:
    """Work as the rack would hand it to a jig, with its folders below ``folder``."""
    number = next(numbers)
    values: dict[str, Any] = {
        "id": number, "attempt": 1, "revision": 1, "deployment": "dev", "task": "work", "scope": "n1",
        "address": "127.0.0.1", "jig": "any", "parameters": parameters, "timeout": 20.0,
    }  # fmt: skip
    work, state = folder / "work" / str(number), folder / "state"
    for path in (work, state):
        path.mkdir(parents=True, exist_ok=True)
    log = folder / f"{number}.log"
    return Work(claim=Claim(**values | claim), rack="r1", folder=str(work), state=str(state), log=str(log))


def processes_below(folder: Path) -> list[str]:
    """The command lines of all living processes that were started for something in ``folder``."""
    mark = f"RACKWRIGHT_MARK={folder}/".encode()
    found = [stat.pid for stat in live_processes() if any(line.startswith(mark) for line in read_environ(stat.pid))]
    return [command_line(pid) for pid in found if pid != os.getpid()]


class JigConformance:
    """Inherit, and give the fixture ``jig`` (opened) and these parameters."""

    good: Any
    """Of a task that succeeds and gives the fact ``done`` = "yes"."""
    bad: Any
    """Of a task that fails by itself."""
    slow: Any
    """Of a task that would take a minute."""

    async def test_a_good_task_gives_its_facts(self, jig: Jig, tmp_path: Path) -> None:
        work = make_work(tmp_path, self.good, writes=("done",))
        outcome = await jig.run(work)
        assert outcome.facts == {"done": "yes"}
        assert not check_facts(outcome, work.claim)

    async def test_a_bad_task_raises_a_driver_error_that_says_something(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(DriverError) as caught:
            await jig.run(make_work(tmp_path, self.bad))
        assert len(str(caught.value)) > 10

    async def test_a_cancelled_task_passes_the_cancellation_on(self, jig: Jig, tmp_path: Path) -> None:
        task = asyncio.create_task(jig.run(make_work(tmp_path, self.slow)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await jig.close(0)
        assert processes_below(tmp_path) == []

    async def test_many_tasks_run_at_once(self, jig: Jig, tmp_path: Path) -> None:
        works = [make_work(tmp_path, self.good, scope=f"n{number}") for number in range(6)]
        outcomes = await asyncio.gather(*(jig.run(work) for work in works))
        assert [outcome.facts for outcome in outcomes] == [{"done": "yes"}] * 6

    async def test_parameters_of_a_wrong_shape_are_refused(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="parameters"):
            await jig.run(make_work(tmp_path, {"script": 7, "command": 7, "delay": "soon"}))

    async def test_closing_without_any_work_is_no_fault(self, jig: Jig) -> None:
        await jig.close(0)
