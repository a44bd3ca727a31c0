"""How long a machine takes from power-off to its inventory, and to the first boot of its system.

One BIOS machine by IPMI and one UEFI machine by Redfish go the whole way in a lab: verbs, plan, DHCP by Kea, door,
agent. The peer does the same in the same run with dnsmasq and one small HTTP server and nothing else: same machine,
kernel, ramdisk, agent, image, and the same texts put onto the disk. What the peer needs is the price of emulation; what
is above it is ours. It takes root and some minutes; the processor should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.metal.bare import Job
from rackwright.cli.image_source import of_folder
from rackwright.commands import lab_ending, lab_images, lab_start, lab_timeline
from rackwright.commands.demo_report import Report
from rackwright.commands.lab_demo import WANTED, say
from rackwright.commands.lab_site import BMCS, PROVISION, Ground, Lab, check_host
from rackwright.core.errors import InvalidInput
from rackwright.sim import qemu, wires
from rackwright.sim.shape import Shape

BEFORE = {("bios", "inventory"): 8.7, ("uefi", "inventory"): 16.2, ("bios", "first boot"): 41.6}
"""Seconds that a bare experiment took on an idle host of two cores, with smaller ramdisks and images."""
INVENTORY, FIRST_BOOT = "inventory", "first boot"
WRITING = ("url", "sha256", "bytes", "compression", "raw_bytes", "raw_sha256", "root", "seed", "request")

Seconds = dict[tuple[str, str], float]
"""By firmware and what was reached."""


def measured(images: Path, firmwares: list[str], *, install: bool) -> tuple[Seconds, Seconds]:
    """The product's times and the peer's, machine by machine, so that whatever else the host does meets both alike."""
    ground = Ground(Path(tempfile.mkdtemp(prefix="netboot-")))
    report, times, theirs = Report(quiet=True), Seconds(), Seconds()
    system = lab_images.build(images, lab_images.DEBIAN) if install else None
    try:
        lab = lab_start.start(ground, WANTED | {"nodes": 2, "images": images})
        client = lab_start.operator(ground)
        if system is not None:
            lab_images.bring(ground.site, system)
        for machine in _chosen(lab, firmwares):
            name, firmware = machine.name, machine.firmware
            say(client, report, "commission", [name])
            times[firmware, INVENTORY] = _since(ground, client, name, "registered: discovery", 0)
            theirs[firmware, INVENTORY] = _bare(machine, images, None)[INVENTORY]
            if system is None:
                continue
            client.patch(f"/nodes/{name}", {"facts": {"desired.os": {"image": lab_images.DEBIAN_NAME}}})
            say(client, report, "deploy", [name])
            times[firmware, FIRST_BOOT] = _since(ground, client, name, "phone home", 1)
            facts = client.get(f"/nodes/{name}")["facts"]
            plan = {**facts["os.plan"], "seed": facts["os.seed"]}
            # The next machine shall have the processor for itself.
            say(client, report, "release", [name])
            theirs[firmware, FIRST_BOOT] = _bare(machine, images, plan)[FIRST_BOOT]
    finally:
        lab_ending.end(ground)
    return times, theirs


def _chosen(lab: Lab, firmwares: list[str]) -> Iterator[Shape]:
    return (one.shape for one in lab.machines if one.shape.firmware in firmwares)


def _since(ground: Ground, client: Any, name: str, what: str, journey: int) -> float:
    """Seconds from the power-on with this number until that happened."""
    told = [one for one in lab_timeline.moments(ground, client) if one.machine == name]
    on = [one.at for one in told if one.what == "on"][journey]
    return round(next(one.at for one in told if one.what == what and one.at > on) - on, 1)


def _bare(shape: Shape, images: Path, plan: dict[str, Any] | None) -> dict[str, float]:
    """The peer's moments for a machine of this shape, without and with an installation of this plan."""
    discovery, files = of_folder(images / "discovery")
    named = {file.part: files[file.sha256] for file in discovery.files}
    served = {"kernel": str(named["kernel"]), "ramdisk": str(named["ramdisk"])}
    writing = None
    if plan is not None:
        writing = {key: plan[key] for key in WRITING} | {"disk": plan["where"], "grow": True}
        disk, _ = of_folder(images / "debian")
        served[plan["url"].lstrip("/")] = str(images / "debian" / disk.files[0].name)
    with _wired(shape) as namespace, tempfile.TemporaryDirectory(prefix="bare-") as folder:
        job = Job(shape=shape, folder=folder, files=served, arguments=discovery.arguments, writing=writing)
        words = [sys.executable, "-m", "benchmarks.metal.bare", msgspec.json.encode(job).decode()]
        done = subprocess.run(wires.inside(namespace, words), check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def _wired(shape: Shape) -> Iterator[str]:
    namespace = f"rackwright-bare-{os.getpid()}"
    wires.lay(namespace, IPv4Interface(f"{PROVISION[1]}/24"), IPv4Interface(f"{BMCS[1]}/24"), [shape.tap()])
    try:
        # Only where it has such an address dnsmasq sends router advertisements; without one iPXE waits for 13 s.
        address = [qemu.found("ip"), "address", "add", "fd77::1/64", "dev", wires.SWITCH, "nodad"]
        subprocess.run(wires.inside(namespace, address), check=True)
        yield namespace
    finally:
        wires.tear(namespace)


def cases(ours: Seconds, theirs: Seconds) -> Iterator[dict[str, Any]]:
    """What was measured by firmware and by what was reached, beside the peer."""
    for key, seconds in ours.items():
        other = theirs[key]
        yield {
            **dict(zip(("firmware", "until"), key, strict=True)),
            "rackwright_s": seconds,
            "peer_s": other,
            "ratio": round(seconds / other, 2),
            "idle_before_s": BEFORE.get(key),
        }


def show(ours: Seconds, theirs: Seconds) -> None:
    """Print a table."""
    print(f"{'firmware':10}{'until':12}{'rackwright':>12}{'peer':>8}{'ratio':>7}{'idle before':>13}")
    for one in cases(ours, theirs):
        print(
            f"{one['firmware']:10}{one['until']:12}{one['rackwright_s']:12.1f}{one['peer_s']:8.1f}{one['ratio']:7.2f}"
            f"{one['idle_before_s'] or '-':>13}"
        )
    print("seconds since power-on; load average at the end:", os.getloadavg()[0])


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--small", action="store_true", help="inventory of the BIOS machine only")
    words.add_argument("--json", action="store_true", help="end with one line of JSON")
    words.add_argument("--images", type=Path, default=Path(__file__).resolve().parents[1] / ".cache" / "lab-images")
    asked = words.parse_args()
    try:
        check_host()
    except InvalidInput as error:
        print(f"left out: {error}")
        return
    firmwares = ["bios"] if asked.small else ["bios", "uefi"]
    ours, theirs = measured(asked.images, firmwares, install=not asked.small)
    show(ours, theirs)
    if asked.json:
        print(json.dumps({"benchmark": "netboot", "cases": list(cases(ours, theirs))}))


if __name__ == "__main__":
    main()
