"""Kea's file of leases (https://kea.readthedocs.io/en/kea-2.2.0/arm/dhcp4-srv.html#lease-storage): a line for each
lease that was given, prolonged or ended; of an address the last one counts.

It is read as it grows, so what was given lately costs as much as that. What another process of the rack has given is
written behind it before Kea starts.
"""

from __future__ import annotations

import csv
import ipaddress
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from io import FileIO

from rackwright.core.dhcp import Within
from rackwright.core.leases import Lease
from rackwright.core.served import Network
from rackwright.rack.dhcp.kea_configuration import subnet_id

COLUMNS = {
    4: "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context",
    6: "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,"
    "hostname,hwaddr,state,user_context,hwtype,hwaddr_source",
}
"""By version of IP; as the first line of a file says them."""

_USED, _DECLINED, _RECLAIMED = "0", "1", "2"
"""States: given; used by somebody unknown; ended."""

Given = tuple[str, float]
"""To whom an address belongs, and until when in seconds since the epoch; 0: nobody has it any more."""

_Row = Mapping[str, str]


class LeaseFile:
    """The file at ``path`` of a Kea for one version of IP. What it does blocks: call it in a thread. Raises OSError."""

    def __init__(self, path: str, version: int = 4) -> None:
        self._path = path
        self._version = version
        self._columns = COLUMNS[version].split(",")
        self._file: FileIO | None = None
        self._rest = b""

    def news(self, networks: Collection[Network]) -> dict[str, Given]:
        """What was written since the last call about dynamic addresses of these networks; at first, all of it."""
        is_dynamic = in_ranges(networks, self._version)
        found: dict[str, Given] = {}
        for row in csv.DictReader(self._grown(), self._columns):
            if row["address"] != "address" and is_dynamic(row["address"]):
                found[row["address"]] = self._given(row)
        return found

    def inherit(self, leases: Iterable[Lease], networks: Collection[Network]) -> None:
        """Write what another process has given, as far as it is of these networks. Kea must not run."""
        rows = list(self._rows(leases, networks))
        if not rows:
            return
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(self._path, "a", encoding="ascii", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="", lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _given(self, row: _Row) -> Given:
        client = row["hwaddr"] if self._version == 4 else f"{row['duid']}/{row['iaid']}"
        ended = row["state"] == _RECLAIMED or row["valid_lifetime"] == "0"
        return "" if row["state"] == _DECLINED else client, 0.0 if ended else float(row["expire"])

    def _rows(self, leases: Iterable[Lease], networks: Collection[Network]) -> Iterator[dict[str, object]]:
        places = [(Within(network.cidr), network) for network in networks]
        for lease in leases:
            network = next((network for within, network in places if lease.address in within), None)
            if network is not None and (":" in lease.address) == (self._version == 6):
                yield _row4(lease, network) if self._version == 4 else _row6(lease, network)

    def _grown(self) -> list[str]:
        """The lines that were written since the last look. Kea begins a new file now and then; what was still written
        to the old one comes first."""
        data = self._rest
        if self._file is not None:
            replaced = self._is_replaced(self._file)
            data += self._file.read()
            if replaced:
                self.close()
        if self._file is None and os.path.exists(self._path):
            self._file = FileIO(self._path)
            data += self._file.read()
        *lines, self._rest = data.split(b"\n")
        return [line.decode("ascii", "replace") for line in lines]

    def _is_replaced(self, file: FileIO) -> bool:
        try:
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            # Kea is about to make the new one.
            return False


def in_ranges(networks: Collection[Network], version: int) -> Callable[[str], bool]:
    """Tells whether an address of this version of IP is a dynamic one of these networks."""
    spans = [(ipaddress.ip_address(first), ipaddress.ip_address(last)) for first, last in _dynamic(networks)]
    numbers = [(int(first), int(last)) for first, last in spans if first.version == version]

    def is_dynamic(address: str) -> bool:
        number = int(ipaddress.ip_address(address))
        return any(first <= number <= last for first, last in numbers)

    return is_dynamic


def _dynamic(networks: Collection[Network]) -> list[tuple[str, str]]:
    return [network.dynamic for network in networks if network.dynamic is not None]


def _common(lease: Lease, network: Network) -> dict[str, object]:
    return {
        "address": lease.address,
        "valid_lifetime": network.lease,
        "expire": int(time.time() + lease.seconds) + 1,
        "fqdn_fwd": 0,
        "fqdn_rev": 0,
        "state": _USED if lease.client else _DECLINED,
    }


def _row4(lease: Lease, network: Network) -> dict[str, object]:
    return {**_common(lease, network), "hwaddr": lease.client, "subnet_id": subnet_id(network)}


def _row6(lease: Lease, network: Network) -> dict[str, object]:
    duid, _, association = lease.client.partition("/")
    return {
        **_common(lease, network),
        # Nobody's identifier is empty (RFC 8415, 11): Kea writes a single zero.
        "duid": duid or "00",
        "iaid": association or 0,
        "subnet_id": subnet_id(network),
        "pref_lifetime": max(network.lease // 2, 1),
        "lease_type": 0,
        "prefix_len": 128,
    }
