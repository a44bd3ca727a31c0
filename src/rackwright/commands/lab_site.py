"""What a lab is: its machines, addresses, passwords and files. One folder holds all of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Literal

import msgspec

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.sim import qemu, wires
from rackwright.sim.bmc import Account
from rackwright.sim.shape import BmcKind, Firmware, Shape

RACK = "lab"
"""The lab's rack."""
PROVISION = IPv4Network("10.77.0.0/24")
BMCS = IPv4Network("10.78.0.0/24")
"""The networks of a lab. Every lab has the same ones: each is in a namespace of its own."""
FIRST_HOST = 10
"""Machine n has the address with this number and n more in both networks."""
DYNAMIC = (100, 199)
"""First and last number for machines that nobody has given an address."""
MOST_MACHINES = 80
LONGEST_PATH = 80
"""Characters: a Unix socket below the folder must fit into 108 (unix(7))."""
MARK = "RACKWRIGHT_LAB"

NEEDED: dict[str, str] = {
    **qemu.NEEDED,
    **wires.NEEDED,
    "kea-dhcp4": "kea-dhcp4-server",
    "dnsmasq": "dnsmasq-base",
    "ipmitool": "ipmitool",
}
"""Programs and files that a lab takes, each with its Debian package."""

Mix = Literal["bios", "uefi", "mixed"]
BmcMix = Literal["ipmi", "redfish", "mixed"]


class LabMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a lab, with all that its owner knows of it."""

    shape: Shape
    address: str
    bmc_address: str
    account: Account

    @property
    def power(self) -> dict[str, Any]:
        """How its BMC is reached, as ``power.PowerSetting`` names it."""
        if self.shape.bmc == "redfish":
            where, options = f"https://{self.bmc_address}", {"verify": False}
        else:
            where, options = self.bmc_address, {}
        who = {"user": self.account.user, "password": self.account.password}
        return {"driver": self.shape.bmc, "address": where, **who, "options": options}


class Lab(msgspec.Struct, frozen=True, kw_only=True):
    """A lab as it was asked for: ``lab.json`` in its folder. ``port``: the api's, on 127.0.0.1 inside and outside.
    ``unknown``: of so many, the last ones, nobody tells the rack; they make themselves known."""

    id: str
    port: int
    machines: tuple[LabMachine, ...]
    dhcp: str = "kea"
    unknown: int = 0

    @property
    def declared(self) -> tuple[LabMachine, ...]:
        """The machines that the rack is told about."""
        return self.machines[: max(0, len(self.machines) - self.unknown)]

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return namespace_of(self.id)

    def machine(self, name: str) -> LabMachine:
        """The machine of that name or number. Raises NotFound."""
        found = [one for one in self.machines if name in (one.shape.name, str(one.shape.number))]
        if not found:
            names = ", ".join(one.shape.name for one in self.machines)
            raise NotFound(f"the lab has no machine {name}", mend=f"its machines: {names}")
        return found[0]


class Ground:
    """The folder of a lab, and the places in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.file = self.folder / "lab.json"
        self.site = self.folder / "site"
        """The data folder of `rackwright up`."""
        self.machines = self.folder / "machines"
        self.control = self.folder / "control"
        self.log = self.folder / "lab.log"
        self.happenings = self.folder / "happenings.jsonl"
        self.pid = self.folder / "keeper.pid"

    @property
    def id(self) -> str:
        """The lab's name among all of this host: it follows from the folder, so that what a killed lab left is found
        again."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]

    def prepare(self) -> None:
        """Make the folder. Raises InvalidInput when sockets below it would have too long a path, Conflict when a lab is
        there."""
        if len(str(self.folder)) > LONGEST_PATH:
            raise InvalidInput(
                f"the path of the lab's folder is longer than {LONGEST_PATH} characters",
                where=str(self.folder),
                mend="give a --data FOLDER with a shorter path",
            )
        if self.file.exists() or namespace_of(self.id) in wires.namespaces():
            raise Conflict("there is a lab already", where=str(self.folder), mend="end it with `rackwright lab down`")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def save(self, lab: Lab) -> None:
        """Keep the description; it holds passwords and is for its owner alone."""
        with open(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(lab)))

    def load(self) -> Lab:
        """The lab of this folder. Raises NotFound when there is none."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Lab)
        except FileNotFoundError:
            raise NotFound(
                "there is no lab", where=str(self.folder), mend="start one with `rackwright lab up`, or give its --data"
            ) from None
        except msgspec.MsgspecError as error:
            raise Conflict(
                f"the lab was made by another version: {error}",
                where=str(self.file),
                mend="`rackwright lab down`, then up",
            ) from None


def namespace_of(number: str) -> str:
    """The name of the network namespace of the lab with this id."""
    return f"rackwright-{number}"


def design(ground: Ground, port: int, count: int, firmware: Mix, bmc: BmcMix, **more: Any) -> Lab:
    """A lab of ``count`` machines. ``mixed`` begins with BIOS and IPMI, and takes turns. ``more``: ``memory`` (MiB),
    ``disk`` (GiB), ``dhcp`` and ``unknown``."""
    firmwares: tuple[Firmware, ...] = ("bios", "uefi") if firmware == "mixed" else (firmware,)
    bmcs: tuple[BmcKind, ...] = ("ipmi", "redfish") if bmc == "mixed" else (bmc,)
    shapes = [
        Shape(
            number=number,
            name=f"m{number}",
            firmware=firmwares[(number - 1) % len(firmwares)],
            bmc=bmcs[(number - 1) % len(bmcs)],
            memory=more["memory"],
            disk_bytes=more["disk"] * 1024**3,
        )
        for number in range(1, count + 1)
    ]
    machines = tuple(_furnished(shape) for shape in shapes)
    return Lab(id=ground.id, port=port, machines=machines, dhcp=more["dhcp"], unknown=more["unknown"])


def network() -> dict[str, Any]:
    """The provisioning network as the rack's fact ``desired.rack.networks`` names it (see ``served.Network``)."""
    return {
        "cidr": str(PROVISION),
        "address": str(PROVISION[1]),
        "interface": wires.SWITCH,
        "dynamic": [str(PROVISION[DYNAMIC[0]]), str(PROVISION[DYNAMIC[1]])],
        "static": [str(PROVISION[FIRST_HOST + 1]), str(PROVISION[FIRST_HOST + MOST_MACHINES])],
    }


def lay_wires(lab: Lab) -> None:
    """Make the lab's namespace with all that is in it."""
    taps = [machine.shape.tap(nic) for machine in lab.machines for nic in range(machine.shape.nics)]
    wires.lay(lab.namespace, IPv4Interface(f"{PROVISION[1]}/24"), IPv4Interface(f"{BMCS[1]}/24"), taps)
    bmcs = [IPv4Interface(f"{machine.bmc_address}/24") for machine in lab.machines]
    wires.add_addresses(lab.namespace, wires.BMC_NETWORK, bmcs)


def check_host() -> None:
    """Raise InvalidInput unless this is root on a host with all that a lab takes."""
    if os.geteuid() != 0:
        raise InvalidInput("a lab makes network namespaces, which takes root", mend="run it with sudo")
    qemu.check(NEEDED)


def _furnished(shape: Shape) -> LabMachine:
    host = FIRST_HOST + shape.number
    return LabMachine(
        shape=shape,
        address=str(PROVISION[host]),
        bmc_address=str(BMCS[host]),
        # IPMI takes at most 16 characters of a user's name and 20 of a password.
        account=Account(user=f"op{secrets.token_hex(3)}", password=secrets.token_urlsafe(12)),
    )
