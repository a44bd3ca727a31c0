"""Racks and machines that the catalog `metal` can be tried on: scripts run for real, BMCs and agents are played."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rackwright.core.bootenv import READS, derive
from rackwright.core.facts import WORLD, FactWrite
from rackwright.core.messages import Claim, Result
from rackwright.engine import campaigns, intake, parking, timers
from rackwright.engine.campaigns import Wish
from tests.integration.hands import Hands, failed, ok
from tests.unit.metal_scripts import DISKS, manifest

Ran = list[tuple[str, str]]


def as_process(words: list[str], environment: dict[str, str]) -> str:
    """Run a script; gives why it failed."""
    ended = subprocess.run([sys.executable, "-B", *words], env=environment, capture_output=True, text=True, check=False)
    return ended.stderr.strip() if ended.returncode else ""


def in_this_process(words: list[str], environment: dict[str, str]) -> str:
    """Run a script as if it were a process; gives why it failed."""
    with patch.dict(os.environ, environment), patch.object(sys, "argv", words), patch.object(sys, "path", [*sys.path]):
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as ended:
            return str(ended.code or "")
    return ""


class Machines(Hands):
    """A site with the shipped catalog. What machines would report comes once a task has restarted them."""

    folder: Path
    silent: set[str]
    """Machines that never report."""
    strange: set[str]
    """Machines that boot by UEFI, and say so when they boot the discovery system."""
    reports: list[tuple[str, dict[str, Any]]]
    seen: list[Claim]
    """Everything that was claimed, in order."""
    boots: list[tuple[str, str]]
    """(node, kind of what it booted) of every restart."""
    processes: bool = False
    """Scripts are processes of their own, as on a rack. That takes a second for each."""

    async def open(self, folder: Path, nodes: int = 2) -> None:
        """Machines n0.. of one rack, known by their inventory; an image."""
        self.folder, self.silent, self.strange = folder, set(), set()
        self.reports, self.seen, self.boots = [], [], []
        await self.site(nodes)
        self.images: dict[str, Any] = {}
        await self.imported(manifest())
        for number in range(nodes):
            disks = [{**disk, "serial": f"{disk['serial']}-{number}"} for disk in DISKS]
            await self.put("node", f"n{number}", WORLD, **{
                "observed.inventory.disks": disks,
                "observed.inventory.cpu": {"threads": 4},
                "observed.inventory.memory": {"bytes": 8 << 30},
                "observed.inventory.nics": [{"name": "eth0"}],
                "observed.inventory.firmware": {"mode": "bios"},
            })  # fmt: skip

    async def put(self, kind: str, name: str, writer: str, **facts: Any) -> None:
        """Put facts of the world, or of the import of images, on a scope."""
        async with self.store.transaction() as tx:
            scope = (await tx.named(kind, [name]))[name].id
        await intake.put_facts(
            self.store, self.library, [FactWrite(scope, path, value, writer) for path, value in facts.items()]
        )

    async def imported(self, image: dict[str, Any]) -> None:
        """An image has been imported: every rack knows it."""
        self.images[image["name"]] = image
        await self.put("rack", "r0", "images", images=dict(self.images))

    async def facts(self, name: str) -> dict[str, Any]:
        """A node's facts by path."""
        return (await self.views.nodes(names=[name]))[0].facts

    async def say(self, verb: str, name: str, **parameters: Any) -> None:
        """Say a verb to a machine that can follow it."""
        wish = Wish(verb=verb, names=[name], parameters=parameters)
        (answer,) = await campaigns.say(self.store, self.library, wish, time.time())
        assert answer.error == ""

    async def settle(self, rounds: int = 200) -> Ran:
        """Let racks and machines do what there is to do; gives what ran, in order."""
        ran: Ran = []
        for _ in range(rounds):
            moved = await timers.wake(self.store)
            for claim in await self.claim():
                self.seen.append(claim)
                ran.append((claim.scope, claim.task))
                await self.give(await self.carried_out(claim))
                moved += 1
            for name, report in self.reports:
                await self.put("node", name, WORLD, **report)
            moved += len(self.reports)
            self.reports = []
            moved += await parking.tend(self.store, self.library, time.time())
            if not moved:
                return ran
        raise AssertionError("it never comes to rest")

    async def carried_out(self, claim: Claim) -> Result:
        """What becomes of a claim."""
        if claim.jig == "script":
            return self.script(claim)
        if claim.jig == "boot":
            served = derive({path: value for path, value in (await self.facts(claim.scope)).items() if path in READS})
            asked = claim.parameters
            if served.request != asked["request"] or asked.get("kind") not in (None, served.kind):
                return failed(claim, f"{served.kind} {served.request} is served, not {asked}")
            return ok(claim, **{path: {"request": served.request} for path in claim.writes})
        return await (self.power(claim) if claim.jig == "power" else self.agent(claim))

    async def power(self, claim: Claim) -> Result:
        """A BMC that does as it is told: a machine that starts boots what its rack serves."""
        asked = claim.parameters
        if asked["action"] == "boot":
            await self.start(claim.scope)
        if asked.get("until_fact"):
            return self.parked(claim, asked)
        return ok(claim, **({asked["into"]: "on"} if asked.get("into") else {}))

    async def agent(self, claim: Claim) -> Result:
        """An agent that does as it is told."""
        asked = claim.parameters
        booted = (await self.facts(claim.scope)).get("observed.booted", {})
        if booted.get("request") != asked["request"]:
            return failed(claim, f"no agent booted for {asked['request']}")
        if asked["action"] == "write-image":
            return ok(claim, **{"os.written": {"request": asked["request"], "disk": asked["disk"]}})
        if asked["action"] == "reboot":
            await self.start(claim.scope)
        return ok(claim, **{path: {"passed": True} for path in claim.writes})

    async def start(self, name: str) -> None:
        """A machine starts: it boots what its facts give, and reports."""
        facts = await self.facts(name)
        served = derive({path: value for path, value in facts.items() if path in READS})
        self.boots.append((name, served.kind))
        boot = {"request": served.request, "boot_id": f"b{len(self.boots)}"}
        if name in self.silent:
            return
        if served.kind == "install" and served.method != "image":
            self.reports.append((name, {"observed.installed": {"request": served.request}}))
        if served.kind in ("local", "memory") or (served.kind == "install" and served.method != "image"):
            # An installer restarts the machine into what it has installed.
            system = {**boot, "hostname": name, "id": "debian", "version": "12"}
            self.reports.append((name, {"observed.os": system, "observed.booted": {**boot, "system": "installed"}}))
        else:
            system_name = "rescue" if served.kind == "rescue" else "discovery"
            seen = {"observed.inventory.firmware": {"mode": "uefi"}} if name in self.strange else {}
            self.reports.append((name, {"observed.booted": {**boot, "system": system_name}, **seen}))

    def script(self, claim: Claim) -> Result:
        """Run a script with the texts that its task names, and no others."""
        work = self.folder / "work"
        state = self.folder / "state" / claim.scope
        shutil.rmtree(work, ignore_errors=True)
        state.mkdir(parents=True, exist_ok=True)
        for path, text in claim.files.items():
            (work / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            (work / "files" / path).write_text(text, encoding="utf-8")
        about = {"node": {"name": claim.scope, "address": claim.address}, **claim.inputs}
        (work / "inputs.json").write_text(json.dumps(about), encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "RACKWRIGHT_INPUTS": str(work / "inputs.json"),
            "RACKWRIGHT_OUTPUT": str(work / "output"),
            "RACKWRIGHT_FILES": str(work / "files"),
            "RACKWRIGHT_STATE": str(state),
        }
        words = [str(work / "files" / claim.parameters["script"])]
        words += [str(word) for word in claim.parameters.get("args", [])]
        said = (as_process if self.processes else in_this_process)(words, environment)
        if said:
            return failed(claim, said)
        facts: dict[str, Any] = json.loads((work / "output").read_text(encoding="utf-8"))
        wait = facts.pop("parked", None)
        return self.parked(claim, wait) if wait else ok(claim, **facts)

    def parked(self, claim: Claim, asked: dict[str, Any]) -> Result:
        """An attempt that goes on by itself."""
        return Result(
            id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="parked", reason="it waits",
            until=asked["until"], until_fact=asked.get("until_fact", {}),
        )  # fmt: skip
