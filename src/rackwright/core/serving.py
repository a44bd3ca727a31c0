"""From the facts of a node or a rack to what its rack serves: pure, and the same for whoever asks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from rackwright.core import networks
from rackwright.core.addresses import ADDRESS6, NIC, NICS
from rackwright.core.bootenv import READS as BOOTENV_READS
from rackwright.core.bootenv import derive
from rackwright.core.facts import lookup
from rackwright.core.served import ServedNic, ServedNode, ServedRack

MACS = ("desired.macs", "observed.macs")
"""Facts with lists of Ethernet addresses: those that people gave, and those that the machine reported."""

NODE_READS = (
    *BOOTENV_READS,
    *MACS,
    NICS,
    ADDRESS6,
    "desired.address",
    "desired.aliases",
    "desired.hostname",
    "desired.os.hostname",
    "desired.power",
    "machine.epoch",
)
"""The facts of a node from which its ``ServedNode`` follows."""

RACK_READS = ("desired.rack",)
"""The facts of a rack from which its ``ServedRack`` follows."""

_HEADS = tuple(dict.fromkeys((*NODE_READS, *RACK_READS)))
_ABOVE = frozenset(path[:end] for path in _HEADS for end, letter in enumerate(path) if letter == ".")

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_WORD = re.compile(r"[A-Za-z0-9._-]{0,253}")

DAY = 86_400_000_000
"""A day in generations: they are microseconds since the epoch, or one more than the one before where that is later."""


def concerns(path: str) -> bool:
    """Whether a change of the fact at this path may change what is served. It may say yes where nothing changes."""
    return path.startswith(_HEADS) or path in _ABOVE


class ServedPlace(msgspec.Struct, frozen=True):
    """One document that a rack is to serve: of a node, or of the rack itself. None: it is no longer there."""

    rack: int
    scope: int
    document: bytes | None


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rack is with what it is to serve. Times are seconds."""

    generation: int
    """The newest."""
    applied: int = -1
    """The newest that the rack has said to answer from; -1: none yet."""
    effect: float | None = None
    """From the commit of the newest change that is answered until it was."""
    report: Mapping[str, Any] = {}
    """What the rack last said of its networks: see ``Applied.report``."""


class Step(msgspec.Struct, frozen=True):
    """What a rack's replica lacks: documents by scope, with the generation at which they stand. ``full``: all that
    there is, because nobody knows any more what came since."""

    generation: int
    full: bool
    documents: Sequence[tuple[int, bytes | None]]


class ServedErrands(Protocol):
    """The part of the store's port that is about what racks serve. The counter of a rack is its row in the store, and
    is locked last of all, racks in the order of their ids: so its generations are committed in order."""

    def to_serve(self) -> Collection[int]:
        """Scopes of which this transaction may have changed what is served; they are told once."""

    def mark_served(self, scopes: Iterable[int]) -> None:
        """Let ``to_serve`` tell these too."""

    async def lock_serving(self, scopes: Collection[int]) -> list[tuple[int, int]]:
        """Lock the counters of the racks that serve, or now have to serve, one of these scopes. Gives (rack, scope)
        pairs, of the places where they are served and of those where they stand now; racks that never asked for
        anything are left out."""

    async def serve(self, places: Sequence[ServedPlace]) -> None:
        """Keep the documents that differ, under a new generation of their rack, and wake the rack. The counters are
        locked already."""

    async def ask_to_serve(self, rack: int) -> bool:
        """The rack wants to be served: from now on its counter is there. True once every transaction that did not yet
        know of that has ended, so that all documents can be made."""

    async def lock_rack(self, rack: int) -> tuple[bool, list[int]]:
        """Lock a rack's counter; gives whether all documents have been made, and the nodes that stand in it or are
        still served there."""

    async def made_all(self, rack: int) -> None:
        """All documents of the rack have been made."""

    async def steps(self, asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], Step | None]:
        """What lies between these generations of racks and now; None where nothing does. Racks of which not all
        documents have been made are left out."""

    async def note_applied(self, said: Mapping[int, tuple[int, Mapping[str, Any]]]) -> dict[int, float]:
        """Racks answer from these generations, and report this. What no replica can ask for any more is dropped. Gives
        the seconds from the commit of the newest change until it was answered, by rack."""

    async def serving(self, racks: Collection[int] | None, *, lock: bool = False) -> dict[int, Serving]:
        """How far racks are, by id; None: all. Racks that never asked are left out. ``lock``: their counters are
        locked."""

    async def allocations(self, scopes: Collection[int]) -> dict[int, str]:
        """The allocation of machines by scope; nodes that are none are left out."""


def project_node(id: int, name: str, facts: Mapping[str, Any], allocation: str = "new") -> ServedNode:
    """What a rack serves to a node with these facts (by path; see NODE_READS)."""
    seen = {path: value for path in NODE_READS if (value := lookup(facts, path)[1]) is not None}
    power = seen.get("desired.power")
    epoch = seen.get("machine.epoch")
    macs, address = _macs([seen.get(path) for path in MACS]), _address(seen.get("desired.address"))
    return ServedNode(
        id=id,
        name=name,
        macs=macs,
        address=address,
        hostname=_hostname(seen.get("desired.hostname")) or _hostname(seen.get("desired.os.hostname")),
        allocation=allocation,
        bootenv=derive(seen),
        power=power if isinstance(power, dict) else None,
        nics=(*_own(macs, address, _address(seen.get(ADDRESS6))), *_nics(seen.get(NICS))),
        aliases=_aliases(seen.get("desired.aliases")),
        epoch=epoch if isinstance(epoch, int) else 0,
    )


def project_rack(name: str, facts: Mapping[str, Any]) -> tuple[ServedRack, str]:
    """What a rack with these facts (by path; see RACK_READS) serves of its own, and what is wrong with its networks:
    those are then left out."""
    _, settings = lookup(facts, "desired.rack")
    if not isinstance(settings, dict):
        return ServedRack(name=name), ""
    rest = {key: value for key, value in settings.items() if key != "networks"}
    try:
        found = networks.read(settings.get("networks"))
    except ValueError as error:
        return ServedRack(name=name, settings=rest), str(error)
    return ServedRack(name=name, networks=found, settings=rest), ""


def document(served: ServedNode | ServedRack) -> bytes:
    """The one form in which it is kept and compared."""
    return msgspec.json.encode(served, order="deterministic")


def _macs(lists: Iterable[Any]) -> tuple[str, ...]:
    given = [mac for macs in lists if isinstance(macs, list) for mac in macs if isinstance(mac, str)]
    spelled = dict.fromkeys(mac.lower().replace("-", ":") for mac in given)
    return tuple(mac for mac in spelled if _MAC.fullmatch(mac))


def _own(macs: Sequence[str], address: str | None, address6: str | None) -> tuple[ServedNic, ...]:
    """The node's main interface, where it has a second address: without a name, for it is the node itself."""
    if address6 is None:
        return ()
    both = (address6,) if address is None else (address, address6)
    return (ServedNic(mac=next(iter(macs), ""), addresses=both),)


def _nics(said: Any) -> tuple[ServedNic, ...]:
    """The further interfaces, by name; what is no interface is left out."""
    named = said.items() if isinstance(said, dict) else ()
    return tuple(_nic(name, each) for name, each in sorted(named) if NIC.fullmatch(name) and isinstance(each, dict))


def _nic(name: str, said: Mapping[str, Any]) -> ServedNic:
    found = [_address(said.get(kind)) for kind in ("address", "address6")]
    return ServedNic(
        mac=next(iter(_macs([[said.get("mac")]])), ""),
        addresses=tuple(address for address in found if address is not None),
        name=name,
    )


def _aliases(said: Any) -> tuple[str, ...]:
    given = said if isinstance(said, list) else []
    return tuple(dict.fromkeys(alias for alias in given if isinstance(alias, str) and alias and _WORD.fullmatch(alias)))


def _address(value: Any) -> str | None:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _hostname(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
