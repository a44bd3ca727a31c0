"""The wires of a lab: a network namespace with a switch, a cable to each machine, and a network for the BMCs.

Nothing of it touches the host's own network. Deleting the namespace deletes all that is in it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Interface

from rackwright.core.errors import Permanent
from rackwright.sim.qemu import found

SWITCH = "provision"
"""The bridge that the rack and all machines are on."""
BMC_NETWORK = "bmc"
"""The interface with the addresses of the BMCs: a bridge that nothing is on (not every kernel has dummy links)."""
SPARE = "spare"
"""A cable with both ends in place: it gives the switch a carrier before any machine is on. Kea opens no interface
without one. Its far end must not answer ARP: the kernel would tell its Ethernet address for the rack's, and dnsmasq
leaves out what comes in by an interface that it does not serve (UEFI then says PXE-E18)."""

NEEDED: dict[str, str] = {"ip": "iproute2"}


def namespaces() -> list[str]:
    """The names of all network namespaces of this host."""
    said = _run([found("ip"), "netns", "list"])
    return [line.split()[0] for line in said.splitlines() if line.strip()]


def lay(namespace: str, rack: IPv4Interface, bmcs: IPv4Interface, taps: Iterable[str]) -> None:
    """Make the namespace: the switch with the rack's address, a tap for each machine, and the BMCs' network. Raises
    Permanent with what the kernel said."""
    steps = [
        f"link add {SWITCH} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
        f"link add {SPARE} type veth peer name {SPARE}0",
        f"link set {SPARE} master {SWITCH} up",
        f"link set {SPARE}0 arp off up",
        *(step for tap in taps for step in (f"tuntap add {tap} mode tap", f"link set {tap} master {SWITCH} up")),
        f"link set {SWITCH} up",
        f"address add {rack} brd + dev {SWITCH}",
        f"link add {BMC_NETWORK} type bridge",
        f"link set {BMC_NETWORK} up",
        f"address add {bmcs} brd + dev {BMC_NETWORK}",
    ]
    _made(namespace, steps)


def cables(namespace: str, ends: Mapping[str, tuple[str, IPv4Interface]]) -> None:
    """Make the namespace with cables in it: by the name of an end its other end, and its address. The other ends have
    none, and are silent by themselves. Raises Permanent with what the kernel said."""
    steps: list[str] = []
    for name, (other, address) in ends.items():
        steps += [f"link add {name} type veth peer name {other}", f"link set {other} arp off up"]
        steps += [f"link set {name} up", f"address add {address} brd + dev {name}"]
    _made(namespace, steps)


def _made(namespace: str, steps: Iterable[str]) -> None:
    _run([found("ip"), "netns", "add", namespace])
    _run([found("ip"), "-n", namespace, "-batch", "-"], "\n".join(["link set lo up", *steps]) + "\n")


def add_addresses(namespace: str, interface: str, addresses: Iterable[IPv4Interface]) -> None:
    """Give an interface of the namespace more addresses."""
    lines = "".join(f"address add {address} dev {interface}\n" for address in addresses)
    _run([found("ip"), "-n", namespace, "-batch", "-"], lines)


def inside(namespace: str, words: Sequence[str]) -> list[str]:
    """The words that run a command in the namespace."""
    return [found("ip"), "netns", "exec", namespace, *words]


def tear(namespace: str) -> None:
    """Delete the namespace with all that is in it; nothing when there is none."""
    if namespace in namespaces():
        _run([found("ip"), "netns", "delete", namespace])


def _run(words: list[str], given: str = "") -> str:
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Permanent(
            f"`{' '.join(words[1:])}` failed: {done.stderr.strip()}",
            where="network namespaces",
            mend="this needs root and a kernel with network namespaces, bridges and taps",
        )
    return done.stdout
