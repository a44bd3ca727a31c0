"""The fourth act: the cluster is put under load from two of its nodes, bears it, and loses a server under it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import msgspec

from rackwright.cli import planning
from rackwright.commands.demo_acts import NAME, PATIENCE, Stage
from rackwright.commands.demo_ground import Failed, free_port
from rackwright.commands.demo_machine import LOOK, patiently
from rackwright.core.load.lines import Line, Passed
from rackwright.core.load.verdict import Breach, Verdict, verdict

TASK = "messaging-load"
AGENTS = 2
RATE = 20
"""Messages a second for each server, up to ``MOST``."""
MOST = 500
CALM, TROUBLED = 5, 8
"""Seconds of the load that is borne, and of the one under which a server is killed."""
KILL = 3
"""Seconds that are over when it is killed."""


@dataclass
class Told:
    """What a load has told so far."""

    attempt: int
    complete: bool
    lines: list[Line]

    @property
    def seconds(self) -> int:
        """How many seconds of it are over."""
        return max((line.at + 1 for line in self.lines if isinstance(line, Passed)), default=0)

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        return verdict(self.lines)


def prove(stage: Stage) -> None:
    """Act 4: the load is the last task of the deployment; what the cluster does not bear shows in its verdict."""
    act, report = "4 Prove", stage.report
    before, agents = stage.last_run(), [node.name for node in stage.nodes[-AGENTS:]]
    with report.step(act, f"plan: status pages and load agents on {' and '.join(agents)}") as result:
        load = {
            "rate": min(RATE * len(stage.nodes), MOST),
            "seconds": CALM,
            "controller": f"127.0.0.1:{free_port(following=2)}",
        }
        plan, named = stage.plan(
            {"bind": {"status-page": agents, "load-agent": agents}, "set": {"load-agent": load}},
        )
        result.text = f"{len(named)} node tasks, the last one is the load"
    with report.step(act, f"roll it out, with {load['rate']} messages a second for {CALM} s") as result:
        planning.carry_out(stage.client, plan)
        stage.until_active("loading", len(named), before)
        borne = _told(stage)
        result.text = f"borne: {borne.verdict}"
    with report.step(act, "load it again, and kill -9 a server under it") as result:
        plan, _ = stage.plan({"set": {"load-agent": {"seconds": TROUBLED}}})
        planning.carry_out(stage.client, plan)
        victim = stage.nodes[-1].name
        _until_second(stage, borne.attempt, KILL)
        pid = stage.machine.service(NAME, victim, "nats-")
        os.kill(pid, signal.SIGKILL)
        result.text = f"the server of {victim}, process {pid}, killed when {KILL} seconds were over"
    with report.step(act, "wait for the verdict") as result:
        breach = _breach(_until_over(stage, borne.attempt))
        report.facts["load"] = {"killed_after": KILL, "broke": breach.since, "recovered": breach.until}
        result.text = str(breach)
    with report.step(act, "ask every server for its routes") as result:
        result.text = stage.prove_routes()


def _told(stage: Stage) -> Told:
    """All that the newest load has told."""
    found = patiently(lambda: stage.client.get(f"/loads/{NAME}/{NAME}/{TASK}"))
    return msgspec.convert(found, Told)


def _until_second(stage: Stage, before: int, second: int) -> None:
    """Wait until a load that is newer than the attempt ``before`` has gone on so long."""
    end = time.monotonic() + PATIENCE
    while (told := _told(stage)).attempt <= before or told.seconds < second:
        if time.monotonic() > end or (told.attempt > before and told.complete):
            raise Failed(f"the load did not come to second {second}", where=TASK)
        time.sleep(LOOK)


def _until_over(stage: Stage, before: int) -> Verdict:
    end = time.monotonic() + PATIENCE
    while (told := _told(stage)).attempt <= before or not told.complete:
        if time.monotonic() > end:
            raise Failed("the load does not end", where=TASK)
        time.sleep(LOOK)
    return told.verdict


def _breach(found: Verdict) -> Breach:
    """The promise that the kill broke. Raises Failed unless it says when it broke and when it held again."""
    for breach in found.breaches:
        if breach.since is not None and breach.since >= KILL and breach.until is not None:
            return breach
    raise Failed(f"the verdict names no breach and recovery: {found}", where=TASK)
