"""Addresses of nodes: which facts hold them, how they are written, and what is free of a range.

A node has its own address in ``desired.address``, where it has two its own IPv6 one in ``desired.address6``, and per
further interface NAME ``desired.nics.NAME.address`` and ``address6``. No two of these facts ever hold the same address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rackwright.core.errors import InvalidInput

ADDRESS = "desired.address"
"""The fact with the address by which a node is known."""
ADDRESS6 = "desired.address6"
"""The fact with its IPv6 address beside that one."""
NICS = "desired.nics"
"""The facts of a node's further interfaces, by name: ``mac``, ``address``, ``address6``."""
NIC = re.compile(r"[A-Za-z0-9_-]{1,63}")
"""A name of an interface: a part of a path, and of a name in DNS."""
FURTHEST = 1 << 62
"""Addresses of a range that are looked at, at most: an IPv6 network has more than numbers reach."""

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PLAIN = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}", re.ASCII)
"""An IPv4 address in its one form: so most are known without being taken apart."""
_OF_NIC = re.compile(rf"desired\.nics\.{NIC.pattern}\.address6?")

Span = tuple[int, int]
"""A part of a range: how far its first and its last address are from the first one of the range."""


def holds_address(path: str) -> bool:
    """Whether the fact at this path is an address of a node."""
    return path in (ADDRESS, ADDRESS6) or _OF_NIC.fullmatch(path) is not None


def path_of(nic: str, address: str) -> str:
    """The fact that holds an address of an interface; the empty name is that of the node itself."""
    head = f"{NICS}.{nic}" if nic else "desired"
    return f"{head}.address6" if ipaddress.ip_address(address).version == 6 else f"{head}.address"


def refuse_nested(path: str) -> None:
    """Raises InvalidInput for interfaces that are written as one value: their addresses could not be found in it."""
    if path == NICS or (path.startswith(f"{NICS}.") and path.count(".") == NICS.count(".") + 1):
        raise InvalidInput(
            f"{path} is no fact by itself", where=f"fact {path}", mend=f"set {NICS}.NAME.mac and {NICS}.NAME.address"
        )


def written(value: Any, where: str) -> str:
    """An address as it is kept: in its shortest form. Raises InvalidInput for what is none."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None or "%" in str(address):
        mend = "give one IPv4 or IPv6 address without a prefix"
        raise InvalidInput(f"{value!r} is not an address", where=where, mend=mend)
    return str(address)


def length(first: str, last: str) -> int:
    """How far the last address of a range is from its first; negative where the range is empty."""
    return min(int(ipaddress.ip_address(last)) - int(ipaddress.ip_address(first)), FURTHEST)


def spans(first: str, last: str, besides: Iterable[tuple[str, str]]) -> list[Span]:
    """The parts of a range, from ``first`` to ``last``, that these ranges cover, in order."""
    start, end = int(ipaddress.ip_address(first)), length(first, last)
    family = ipaddress.ip_address(first).version
    same = [(low, high) for low, high in besides if ipaddress.ip_address(low).version == family]
    offsets = ((int(ipaddress.ip_address(low)) - start, int(ipaddress.ip_address(high)) - start) for low, high in same)
    return sorted((max(low, 0), min(high, end)) for low, high in offsets if high >= 0 and low <= end)


def gaps(taken: Sequence[Span], low: int, high: int) -> Iterator[int]:
    """What is left from ``low`` to ``high`` between spans that come in order, lowest first."""
    at = low
    for first, last in (*taken, (high + 1, high + 1)):
        yield from range(at, min(first, high + 1))
        at = max(at, last + 1)
