"""The jig that proves what a service bears: a load run of a task file, by this rack's machine or by load agents.

The run is a process of its own, `rackwright load run`. Its lines are the task's log: second by second while it goes on,
then its verdicts. Whether the SLA held is told by its exit code, and by what figures in a file of its folder: what
scenarios print is in the log too. A run that broke its SLA fails the task, so a deployment is active only if what it
promised holds.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Literal, TypeVar, cast

import msgspec

from rackwright.core.errors import Permanent
from rackwright.core.jig import Outcome, Work, folder_name
from rackwright.core.load.verdict import FILE, Verdict
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import say
from rackwright.drivers.jig.program import Programs, failure

KEPT = 5
"""Runs of one task that stay on the rack's disk, with their pages."""
BROKEN = 7
"""What the program ends with when the SLA is broken."""
PAGE = "report.html"

T = TypeVar("T")


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Load agents that make the load in place of this rack's host: their ``names``, where they find the controller
    (``bind``, tcp://HOST:PORT, two more ports follow it), and the file of the controller's ``keys``. They have ``wait``
    seconds to come; ``on_loss`` says what becomes of the share of one that is lost."""

    names: list[str]
    bind: str
    keys: str
    wait: float = 60.0
    on_loss: Literal["resplit", "fail"] = "resplit"


class LoadParameters(msgspec.Struct, frozen=True):
    """``task`` is a task file: its path in the catalog, its text when it has more than one line, or the value itself.

    ``args`` are the arguments of its template; texts in them, and the path of the agents' keys, may hold ${STATE}.
    ``agents`` make the load; without them this rack's host does. ``files`` are texts of the catalog that it includes,
    or its scenarios. ``processes`` bounds the load processes of one host; ``broken`` says what a broken SLA is: a
    failure of the task, or a fact like others. Facts are given below ``name``, as far as the task declares them;
    ``log_limit`` is in bytes.
    """

    task: str | dict[str, Any]
    args: dict[str, Any] = {}
    agents: Agents | None = None
    files: list[str] = []
    processes: int | None = None
    stop_on_violation: bool = False
    broken: Literal["error", "fact"] = "error"
    name: str = "load"
    log_limit: int = 64 * 1024 * 1024


class LoadJig:
    """Runs loads; ``folder`` keeps the last runs of each task, below their deployment and scope."""

    def __init__(self, folder: str) -> None:
        self._runs = os.path.join(folder, "runs")
        self._programs = Programs(folder)
        self.folder = self._programs.folder

    async def open(self) -> None:
        """Kill the loads of a former process of this rack: they run again from the beginning."""
        await self._programs.open()

    async def run(self, work: Work) -> Outcome:
        """Run one load to its end and give its verdict."""
        given = surroundings.parameters_as(LoadParameters, work)
        words, kept = self._lay_out(work, given)
        code = await self._programs.run(words, _environment(work), work, given.log_limit)
        if code not in (0, BROKEN):
            raise failure(code, work)
        found = _read_verdict(kept, code)
        page = os.path.join(kept, PAGE)
        say(work.log, f"the page of this run, on rack {work.rack}: {page}")
        if not found.success and given.broken == "error":
            raise Permanent(f"the load broke its SLA: {found}", mend=f"look at {page} on rack {work.rack}")
        return Outcome(facts=_facts(found, page, given, work))

    def kept(self) -> list[int]:
        """Nothing is kept running."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept: every load ends within its ``run``."""

    def _lay_out(self, work: Work, given: LoadParameters) -> tuple[list[str], str]:
        """Fill the work folder and make room for the run; gives the words that start it, and the run's folder."""
        claim = work.claim
        files = os.path.join(work.folder, "files")
        for folder in (files, os.path.join(work.folder, "tmp")):
            os.makedirs(folder, mode=0o700)
        surroundings.write_files(claim.files, files)
        names = (claim.deployment, claim.scope, claim.task)
        runs = os.path.join(self._runs, *map(folder_name, names))
        _make_room(runs)
        kept = os.path.join(runs, f"{claim.id:09d}-{claim.attempt:06d}")
        shutil.rmtree(kept, ignore_errors=True)
        words = [sys.executable, "-m", "rackwright", "load", "run", _task_file(work, given, files)]
        words += ["--task-args", msgspec.json.encode(_filled(given.args, work.state)).decode(), "--output", "jsonl"]
        words += ["--to", kept, "--html", os.path.join(kept, PAGE)]
        words += ["--abort-on-sla-failure"] if given.stop_on_violation else []
        words += ["--processes", str(given.processes)] if given.processes else []
        words += _agents_words(given.agents, work.state) if given.agents else []
        return words, kept


def _agents_words(agents: Agents, state: str) -> list[str]:
    return [
        "--hosts", ",".join(agents.names), "--bind", agents.bind, "--keys", _filled(agents.keys, state),
        "--agents-wait", str(agents.wait), "--on-agent-loss", agents.on_loss,
    ]  # fmt: skip


def _filled(value: T, state: str) -> T:
    """A value with the state folder in place of ${STATE} in all its texts."""
    filled: Any = value
    if isinstance(value, str):
        filled = value.replace("${STATE}", state)
    elif isinstance(value, dict):
        filled = {key: _filled(below, state) for key, below in value.items()}
    elif isinstance(value, list):
        filled = [_filled(below, state) for below in value]
    return cast(T, filled)


def _make_room(runs: str) -> None:
    """Remove the oldest runs, so that with the one to come ``KEPT`` are there."""
    os.makedirs(runs, mode=0o700, exist_ok=True)
    by_age = sorted(os.scandir(runs), key=lambda entry: entry.stat().st_mtime)
    for entry in by_age[: max(len(by_age) - KEPT + 1, 0)]:
        shutil.rmtree(entry.path, ignore_errors=True)


def _task_file(work: Work, given: LoadParameters, files: str) -> str:
    """The path of the task file; raises ``Permanent`` when the catalog has none of this name."""
    if isinstance(given.task, str) and "\n" not in given.task:
        if given.task not in work.claim.files:
            mend = "name a file that the catalog has, or give the text itself, with more than one line"
            raise Permanent(f"the catalog has no task file {given.task!r}", mend=mend)
        return os.path.join(files, surroundings.inner_path(given.task))
    text = given.task if isinstance(given.task, str) else msgspec.json.encode(given.task).decode()
    path = os.path.join(files, "task.yaml")
    surroundings.write_private(path, text)
    return path


def _environment(work: Work) -> dict[str, str]:
    clean = surroundings.clean_environment(home=work.folder, temporary=os.path.join(work.folder, "tmp"))
    return clean | surroundings.task_variables(work)


def _read_verdict(kept: str, code: int) -> Verdict:
    """What a run that ended with this code came to; raises ``Permanent`` when its folder does not tell."""
    path = os.path.join(kept, FILE)
    try:
        with open(path, "rb") as file:
            found = msgspec.json.decode(file.read(), type=Verdict)
    except (OSError, msgspec.MsgspecError) as error:
        raise Permanent(f"the run left no verdict: {error}", where=path, mend="look at the disk of the rack") from None
    return msgspec.structs.replace(found, success=code == 0)


def _facts(found: Verdict, page: str, given: LoadParameters, work: Work) -> dict[str, Any]:
    facts = {
        "sla": "ok" if found.success else "broken",
        "run": found.run,
        "figures": msgspec.to_builtins(found.figures),
        "broken": msgspec.to_builtins(found.breaches),
        "page": page,
    }
    named = {f"{given.name}.{what}": value for what, value in facts.items()}
    return {path: value for path, value in named.items() if path in work.claim.writes}
