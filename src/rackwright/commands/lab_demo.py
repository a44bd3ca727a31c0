"""``rackwright lab demo``: three machines from power-off to a running cluster, by real PXE and real BMCs."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.patience import patiently
from rackwright.commands import lab_cluster, lab_ending, lab_images, lab_start, lab_timeline
from rackwright.commands.demo_report import Report, progress
from rackwright.commands.lab import with_images
from rackwright.commands.lab_site import Ground, check_host
from rackwright.core.errors import RackwrightError, Retryable
from rackwright.sim import wires

WANTED: dict[str, Any] = {
    "nodes": 3, "firmware": "mixed", "bmc": "mixed", "memory": 512, "disk": 4, "dhcp": "kea", "unknown": 0,
    "port": None,
}  # fmt: skip
PATIENCE = 1800.0
"""Seconds for an activity of all machines: software emulation on a host that has more to do is slow."""
LOOK = 1.0


@click.command()
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(2, 8), help="How many machines.")
@click.option("--keep", is_flag=True, help="Leave the lab running at the end.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of the end.")
@with_images
def demo(*, nodes: int, keep: bool, form: str, images: Path) -> None:
    """Switch on machines that nobody has touched, inventory them, give them a system, and run a NATS cluster on them.

    The first one has BIOS and IPMI, the next one UEFI and Redfish, and so on. It exits with 0 only if all of that was
    seen to work. Nothing is left without --keep.
    """
    check_host()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _as_interrupt)
    before = set(wires.namespaces())
    report = Report(quiet=form == "json")
    ground = Ground(Path(tempfile.mkdtemp(prefix="rackwright-lab-")))
    fault = ""
    with _ended(ground, report, keep=keep):
        try:
            _play(ground, report, WANTED | {"nodes": nodes, "images": images})
        except RackwrightError as error:
            fault = str(error)
    left = set(wires.namespaces()) - before
    if left and not keep:
        fault = fault or f"these network namespaces are left: {', '.join(sorted(left))}"
    report.show(form, fault=fault)
    if keep:
        report.say(f"The lab goes on:  export RACKWRIGHT_LAB={ground.folder}; rackwright lab status")
    if fault:
        raise click.exceptions.Exit(exits.ERROR)


def _play(ground: Ground, report: Report, wanted: dict[str, Any]) -> None:
    act = "0 Lab"
    with report.step(act, "build a Debian for the machines, or take the one of before") as result:
        system = lab_images.build(wanted["images"], lab_images.DEBIAN)
        result.text = str(system)
    with report.step(act, f"make {wanted['nodes']} machines that are off, and a rack beside them") as result:
        lab = lab_start.start(ground, wanted)
        lab_images.bring(ground.site, system)
        result.text = ", ".join(f"{one.shape.name} {one.shape.firmware}/{one.shape.bmc}" for one in lab.machines)
    client = lab_start.operator(ground)
    names = [one.shape.name for one in lab.machines]
    try:
        with report.step("1 Inventory", "say commission") as result:
            say(client, report, "commission", names)
            result.text = "; ".join(_made_of(client, name) for name in names)
        with report.step("2 System", "say deploy") as result:
            for name in names:
                client.patch(f"/nodes/{name}", {"facts": {"desired.os": {"image": lab_images.DEBIAN_NAME}}})
            say(client, report, "deploy", names)
            result.text = "; ".join(_runs(client, name) for name in names)
        with report.step("3 Cluster", "deploy NATS on the machines") as result:
            result.text = lab_cluster.deploy(client, names)
    finally:
        told = lab_timeline.moments(ground, client)
        report.facts["timeline"] = [{"at": one.at, "machine": one.machine, "what": one.what} for one in told]
        if not report.quiet:
            lab_timeline.show(told, names)


def say(client: Client, report: Report, verb: str, names: list[str]) -> None:
    """Say a verb to machines and wait until its activity is over. Raises Retryable with the reasons when it fails."""
    said = client.post("/nodes:batch", {"verb": verb, "names": names})["items"]
    refused = [answer["error"] for answer in said if answer["error"]]
    if refused:
        raise Retryable("; ".join(refused), where=verb)
    end = time.monotonic() + PATIENCE
    with progress(report, verb, len(names)) as bar:
        while True:
            nodes = patiently(lambda: list(client.items("/nodes", names=",".join(names))))
            failed = [f"{node['name']}: {node['machine']['reason']}" for node in nodes if _phase(node) == "failed"]
            if failed or time.monotonic() > end:
                raise Retryable("; ".join(failed) or f"not through after {PATIENCE:g} s", where=verb)
            done = sum(_phase(node) == "idle" for node in nodes)
            bar.show(done, ", ".join(f"{node['name']} {node['word']}" for node in nodes))
            if done == len(names):
                return
            time.sleep(LOOK)


def _phase(node: dict[str, Any]) -> str:
    return str(node["machine"]["phase"])


def _made_of(client: Client, name: str) -> str:
    facts = client.get(f"/nodes/{name}")["facts"]
    disks = ", ".join(f"{disk['bytes'] / 2**30:.0f} GiB" for disk in facts["observed.inventory.disks"])
    memory = facts["observed.inventory.memory"]["bytes"] / 2**20
    return f"{name} {facts['observed.inventory.firmware']['mode']}, {memory:.0f} MiB, disk {disks}"


def _runs(client: Client, name: str) -> str:
    system = client.get(f"/nodes/{name}")["facts"]["observed.os"]
    return f"{name} {system.get('id', '')} {system.get('version', '')}".strip()


@contextmanager
def _ended(ground: Ground, report: Report, *, keep: bool) -> Iterator[None]:
    """End the lab with the block, whatever happens in it."""
    try:
        yield
    finally:
        if not keep:
            with report.step("4 End", "end everything") as result:
                lab_ending.end(ground)
                result.text = "no process, no network and no file is left"


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
