"""By what a machine is known again: its Ethernet addresses and its serial number."""

from __future__ import annotations

import re
from collections.abc import Collection

from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.machines import Known

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
NOBODY = frozenset(("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"))
"""Addresses that are no machine's own."""
LONGEST = 255
"""Characters of a serial number that count."""
NO_SERIAL = frozenset((
    "", "0", "none", "n/a", "na", "unknown", "default string", "not specified", "not available", "empty", "serial",
    "serial number", "system serial number", "to be filled by o.e.m.", "to be filled by oem", "123456789",
    "0123456789", "1234567890", "xxxxxxxxxx", "invalid", "undefined", "unspecified", "oem",
))  # fmt: skip
"""What makers write where there is no serial number, in lower case."""


def macs_of(said: Collection[str]) -> tuple[str, ...]:
    """Ethernet addresses in lower case with colons, sorted, each once. Raises InvalidInput for what is none, or when
    there is none at all."""
    macs = {mac.strip().lower().replace("-", ":") for mac in said} - NOBODY
    strange = sorted(mac for mac in macs if not MAC.fullmatch(mac))
    if strange:
        raise InvalidInput(f"{strange[0][:40]!r} is no Ethernet address", where="macs", mend="write 52:54:00:12:34:56")
    if not macs:
        raise InvalidInput(
            "a machine that registers says no Ethernet address",
            where="macs",
            mend="load the driver of its network card",
        )
    return tuple(sorted(macs))


def serial_of(said: str) -> str:
    """A serial number; empty where the maker wrote something else."""
    serial = said.strip()[:LONGEST]
    blank = serial.lower() in NO_SERIAL or not serial.strip("0.-_ xX")
    return "" if blank else serial


def spellings(macs: Collection[str]) -> list[str]:
    """The ways in which people may have written these addresses."""
    lower = [*macs, *(mac.replace(":", "-") for mac in macs)]
    return [*lower, *(mac.upper() for mac in lower)]


def whose(macs: Collection[str], serial: str, known: Collection[Known]) -> Known | None:
    """The node that a machine with this hardware is; None: nobody knows it. ``known`` are the candidates.

    A MAC decides; the serial number only speaks against it. Raises Conflict, which names the nodes, where the machine
    could be two nodes, or where two machines seem to be one: never is one machine taken for another.
    """
    owners = [each for each in known if each.macs.intersection(macs)]
    names = ", ".join(sorted(each.name for each in owners))
    if len(owners) > 1:
        shared = ", ".join(sorted(mac for mac in macs if any(mac in each.macs for each in owners)))
        raise Conflict(
            f"the machine with {shared} could be any of {names}",
            where=shared,
            mend="take the address out of desired.macs and observed.macs of the others",
        )
    if owners:
        return _unless_another(owners[0], macs, serial)
    same = [each.name for each in known if serial and each.serial == serial]
    if same:
        raise Conflict(
            f"a machine with other Ethernet addresses says the serial number {serial} of {', '.join(same)}",
            where=min(macs),
            mend=f"if its network card was changed, add {min(macs)} to desired.macs of the node; "
            "if it is another machine, add a node with its desired.macs",
        )
    return None


def _unless_another(owner: Known, macs: Collection[str], serial: str) -> Known:
    if serial and owner.serial and owner.serial != serial:
        mac = min(owner.macs.intersection(macs))
        raise Conflict(
            f"two machines have the Ethernet address {mac}: {owner.name} with the serial number {owner.serial}, "
            f"and one with {serial}",
            where=mac,
            mend="give one of them another address; if the mainboard was changed, delete observed.serial of the node",
        )
    return owner
