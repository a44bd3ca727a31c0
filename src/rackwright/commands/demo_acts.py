"""The first three acts: deploy; change one attribute; survive kills in the middle of a roll-out."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rackwright.cli import planning
from rackwright.cli.client import Client
from rackwright.cli.plan_text import last_line, show_plan
from rackwright.commands.demo_ground import MONITOR_PORT, RACKS, SEEDS, Failed, Node
from rackwright.commands.demo_machine import LOOK, Machine, items, patiently
from rackwright.commands.demo_report import Report, progress

NAME = "messaging"
"""Of the deployment, and of its catalog."""
PATIENCE = 120.0
"""Seconds for one roll-out."""
PROOF_PATIENCE = 20.0
"""Seconds for the routes, when asked from outside."""
QUICK_LOOK = 0.02
"""Seconds between two looks while the moment for the kills is waited for."""
SUCCESS = "active"

Pair = tuple[str, str]
"""Node (or deployment) and task."""


@dataclass
class Stage:
    """What the acts have at hand."""

    machine: Machine
    client: Client
    nodes: list[Node]
    report: Report

    def plan(self, changes: dict[str, Any]) -> tuple[int, set[Pair]]:
        """Ask for a plan and show it; gives its id and all that it names."""
        plan = planning.plan(self.client, NAME, changes)
        if self.report.quiet:
            self.report.say(last_line(plan["summary"]))
        else:
            show_plan(plan)
        parts = ("run", "again", "follow")
        named = {(item["node"], item["task"]) for part in parts for item in plan["summary"][part]}
        return plan["id"], named

    def last_run(self) -> int:
        """The id of the newest attempt of the past; 0 before the first."""
        return max((int(run["id"]) for run in self.runs(0)), default=0)

    def runs(self, after: int) -> list[dict[str, Any]]:
        """The attempts that ended after that one."""
        return [run for run in items(self.client, f"/deployments/{NAME}/history") if run["id"] > after]

    def until_active(self, words: str, total: int, after: int) -> None:
        """Wait until everything is active. Raises Failed with the reasons when it does not become so."""
        end = time.monotonic() + PATIENCE
        with progress(self.report, words, total) as bar:
            while True:
                found = patiently(lambda: self.client.get(f"/deployments/{NAME}"))
                bar.show(sum(run["outcome"] == SUCCESS for run in self.runs(after)), found["state"])
                if found["state"] == "active":
                    return
                if found["state"] == "error" or time.monotonic() > end:
                    reasons = "; ".join(found["reasons"]) or "it takes too long"
                    raise Failed(f"the deployment is {found['state']}: {reasons}", where=f"deployment {NAME}")
                time.sleep(3 * LOOK)

    def prove_routes(self) -> str:
        """Ask every server on its monitoring port whom it is in touch with."""
        everyone = {node.name for node in self.nodes}
        for node in self.nodes:
            end = time.monotonic() + PROOF_PATIENCE
            while missing := everyone - {node.name} - _met(node.address):
                if time.monotonic() > end:
                    raise Failed(f"{node.name} has no route to {', '.join(sorted(missing))}", where=node.address)
                time.sleep(LOOK)
        return f"each of {len(everyone)} servers says that it is in touch with the {len(everyone) - 1} others"


def deploy(stage: Stage) -> None:
    """Act 1: from known machines to a running cluster."""
    act, report, client = "1 Deploy", stage.report, stage.client
    with report.step(act, f"make {len(stage.nodes)} nodes in {len(RACKS)} racks known") as result:
        body = [{"name": node.name, "rack": node.rack, "address": node.address} for node in stage.nodes]
        wrong = [item for item in client.post("/nodes", body)["items"] if item.get("error")]
        if wrong:
            raise Failed(f"{wrong[0]['name']}: {wrong[0]['error']}")
        result.text = f"{stage.nodes[0].address} to {stage.nodes[-1].address}"
    with report.step(act, f"plan the deployment {NAME}") as result:
        client.post("/deployments", {"name": NAME, "catalog": NAME})
        names = [node.name for node in stage.nodes]
        plan, named = stage.plan({"bind": {"nats-seed": names[:SEEDS], "nats": names[SEEDS:]}})
        result.text = f"{len(named)} node tasks"
    with report.step(act, "roll it out") as result:
        planning.carry_out(client, plan)
        stage.until_active("deploying", len(named), 0)
        result.text = _ran_as_planned(named, stage.runs(0))
    with report.step(act, "ask every server for its routes") as result:
        result.text = stage.prove_routes()


def change(stage: Stage) -> None:
    """Act 2: one attribute changes; exactly what the plan names runs again."""
    act, report = "2 Change", stage.report
    before = stage.last_run()
    with report.step(act, "plan: nats.max_payload = 2 MiB") as result:
        plan, named = stage.plan({"set": {"nats": {"max_payload": 2 * 1024 * 1024}}})
        result.text = f"{len(named)} node tasks"
    with report.step(act, "roll it out") as result:
        planning.carry_out(stage.client, plan)
        stage.until_active("changing", len(named), before)
        runs = stage.runs(before)
        result.text = _ran_as_planned(named, runs)
        report.facts["change"] = {"planned": len(named), "ran": len({_pair(run) for run in runs})}
    with report.step(act, "ask every server for its limit") as result:
        wrong = [node.name for node in stage.nodes if _asked(node.address, "varz")["max_payload"] != 2 * 1024 * 1024]
        if wrong:
            raise Failed(f"the old limit still holds on {', '.join(wrong)}")
        result.text = f"all {len(stage.nodes)} take messages of 2 MiB"


def survive(stage: Stage) -> None:
    """Act 3: kill -9 in the middle of a roll-out; it finishes by itself, and nothing is completed twice."""
    act, report = "3 Survive", stage.report
    before = stage.last_run()
    with report.step(act, "plan: nats.write_deadline = 15 s") as result:
        plan, named = stage.plan({"set": {"nats": {"write_deadline": 15}}})
        result.text = f"{len(named)} node tasks, every server among them"
    with report.step(act, "roll it out, and kill -9 in the middle") as result:
        planning.carry_out(stage.client, plan)
        done = _middle(stage, len(named), before)
        killed = _kill(stage.machine)
        result.text = f"{', '.join(killed)} killed when {done} of {len(named)} were done"
        report.facts["kill"] = {"done": done, "of": len(named), "killed": killed}
    with report.step(act, "wait; nobody helps") as result:
        stage.until_active("recovering", len(named), before)
        result.text = _once_each(named, stage.runs(before))
    with report.step(act, "see that all are back") as result:
        result.text = _are_back(stage.machine, killed)
    with report.step(act, "ask every server for its routes") as result:
        result.text = stage.prove_routes()


def _pair(run: dict[str, Any]) -> Pair:
    return run["scope"], run["task"]


def _ran_as_planned(named: set[Pair], runs: list[dict[str, Any]]) -> str:
    ran = {_pair(run) for run in runs}
    if ran != named:
        missing, strange = sorted(named - ran), sorted(ran - named)
        raise Failed(f"the plan and what ran differ: planned but not run {missing}, run but not planned {strange}")
    return f"{len(named)} planned, the same {len(ran)} ran"


def _once_each(named: set[Pair], runs: list[dict[str, Any]]) -> str:
    """Raise Failed unless each planned node task succeeded exactly once, and no attempt is told twice."""
    attempts = Counter((run["node_task"], run["attempt"]) for run in runs)
    twice = [key for key, count in attempts.items() if count > 1]
    if twice:
        raise Failed(f"these attempts ended twice: {twice}")
    completed = Counter(_pair(run) for run in runs if run["outcome"] == SUCCESS)
    if set(completed) != named or max(completed.values()) > 1:
        wrong = sorted((set(completed) ^ named) | {pair for pair, count in completed.items() if count > 1})
        raise Failed(f"not completed exactly once: {wrong}")
    lost = sum(run["outcome"] != SUCCESS for run in runs)
    return f"{len(completed)} node tasks completed, none twice; {lost} attempts were lost and made anew"


def _middle(stage: Stage, total: int, before: int) -> int:
    """Wait until the configurations are new and the first servers run with them; gives how many node tasks are done.
    Raises Failed when the moment has passed."""
    end = time.monotonic() + PATIENCE
    enough = len(stage.nodes) + SEEDS
    while time.monotonic() < end:
        done = len([run for run in stage.runs(before) if run["outcome"] == SUCCESS])
        if done >= total:
            break
        if done >= enough:
            return done
        time.sleep(QUICK_LOOK)
    raise Failed("the moment for the kills has passed: the roll-out was too quick, or does not move")


def _kill(machine: Machine) -> dict[str, int]:
    killed = {}
    for name, pid in machine.targets().items():
        if pid is None:
            raise Failed(f"there is no {name} to kill", where=str(machine.log))
        os.kill(pid, signal.SIGKILL)
        killed[name] = pid
    return killed


def _are_back(machine: Machine, killed: dict[str, int]) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        now = machine.targets()
        if all(now[name] not in (None, pid) for name, pid in killed.items()):
            return ", ".join(f"{name} {pid} is now {now[name]}" for name, pid in killed.items())
        if time.monotonic() > end:
            raise Failed(f"not all are back: {now}", where=str(machine.log))
        time.sleep(LOOK)


def _met(address: str) -> set[str]:
    """The names of the servers that one is in touch with; none while it does not answer."""
    with suppress(Failed):
        return {route["remote_name"] for route in _asked(address, "routez")["routes"] or ()}
    return set()


def _asked(address: str, what: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://{address}:{MONITOR_PORT}/{what}"
    try:
        with opener.open(url, timeout=5.0) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (OSError, ValueError) as error:
        raise Failed(f"the server does not answer: {error}", where=url) from None
