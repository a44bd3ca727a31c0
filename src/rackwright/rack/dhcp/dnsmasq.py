"""dnsmasq (https://thekelleys.org.uk/dnsmasq/docs/dnsmasq-man.html), in one of two roles: it serves the first stage by
TFTP and adds the boot information where another server gives the addresses (proxyDHCP); or, for small labs, it gives
the addresses too.

Every change of hosts restarts the second: version 2.90 breaks when it reads hosts with tags anew at SIGHUP. The first,
from which machines are loading, knows no hosts and is restarted only when the networks change.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Collection, Iterator

import structlog

from rackwright.core.dhcp import (
    BIOS,
    UEFI,
    UEFI_ARCHITECTURES,
    Answers,
    Host,
    Within,
    host_url,
    http_boot_url,
    stranger_url,
)
from rackwright.core.errors import Retryable
from rackwright.core.served import Network
from rackwright.rack.dhcp.files import write_whole
from rackwright.rack.dhcp.process import STARTED, ServerProcess, end_former

FIRST_STAGE = "/usr/lib/ipxe"
"""Where Debian's package ipxe puts what firmware boots."""

PIDS = "dnsmasq.pid"
"""File with the id of the process that runs."""

CONFIGURATION = "dnsmasq.conf"
"""File with its configuration."""

log = structlog.get_logger()


class Dnsmasq:
    """One dnsmasq, with its files in ``folder``. ``addresses``: it gives the addresses; else it serves the first stage
    (with ``tftp``) and adds the boot information on networks with ``proxy``. ``tied``: see ``ServerProcess``."""

    name = "dnsmasq"

    def __init__(self, folder: str, *, addresses: bool, tftp: bool = False, tied: bool = False) -> None:
        self._folder = folder
        self._addresses = addresses
        self._tftp = tftp and not addresses
        self._configured: list[str] = []
        self._started = asyncio.Event()
        self._process = ServerProcess("dnsmasq", "dnsmasq-base", self._hear, tied=tied)
        self._writing = asyncio.Lock()

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        async with self._writing:
            lines = configuration(answers, self._folder, addresses=self._addresses, tftp=self._tftp)
            if not self._process.running or lines != self._configured:
                await self._process.stop()
                if any(line.startswith(("dhcp-range", "enable-tftp")) for line in lines):
                    await self._start(lines)
                self._configured = lines

    async def close(self) -> None:
        """See the protocol."""
        await self._process.stop()
        await end_former(os.path.join(self._folder, PIDS), os.path.join(self._folder, CONFIGURATION))

    async def _start(self, lines: list[str]) -> None:
        path = await asyncio.to_thread(self._written, lines)
        await end_former(os.path.join(self._folder, PIDS), path)
        self._started.clear()
        await self._process.start(["--keep-in-foreground", f"--conf-file={path}"])
        until = asyncio.get_running_loop().time() + STARTED
        while not self._started.is_set():
            if not self._process.running or asyncio.get_running_loop().time() > until:
                said = self._process.tail
                await self._process.stop()
                raise Retryable(f"dnsmasq does not serve: {said}", where=self._folder)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._started.wait()
        log.info("dnsmasq serves", folder=self._folder, tftp=self._tftp, addresses=self._addresses)

    def _written(self, lines: list[str]) -> str:
        if self._tftp and not os.path.isdir(FIRST_STAGE):
            raise Retryable("there is nothing to boot by TFTP", where=FIRST_STAGE, mend="install the package ipxe")
        path = os.path.join(self._folder, CONFIGURATION)
        write_whole(path, "\n".join(lines) + "\n")
        return path

    def _hear(self, line: str) -> None:
        if ": started, " in line:
            self._started.set()


def configuration(answers: Answers, folder: str, *, addresses: bool, tftp: bool) -> list[str]:
    """The lines of its configuration."""
    networks = list(answers.present(4))
    lines = [
        "port=0",
        "log-facility=-",
        f"pid-file={os.path.join(folder, PIDS)}",
        "bind-dynamic",
        "except-interface=lo",
    ]
    if os.geteuid() == 0:
        # The folder with its leases is for the rack alone.
        lines.append("user=root")
    lines += dict.fromkeys(f"interface={interface}" for _, interface in networks)
    if tftp and networks:
        lines += ["enable-tftp", f"tftp-root={FIRST_STAGE}", "tftp-no-fail"]
    served = [(number, network) for number, (network, _) in enumerate(networks, 1) if addresses != network.proxy]
    if served:
        # Looking whether an address is free would cost every machine 3 s; the rack gives them alone.
        lines += ["dhcp-authoritative", "dhcp-ignore-clid", "no-ping", *_matches()]
    if served and addresses:
        lines.append(f"dhcp-leasefile={os.path.join(folder, 'leases')}")
        lines += _hosts(answers)
    for number, network in served:
        lines += _network(number, network, answers.door)
        if addresses:
            lines += _urls(number, network, answers)
    return lines


def _hosts(answers: Answers) -> Iterator[str]:
    """For each node: its Ethernet addresses, a tag of its own, its address and name; a line for each of its
    addresses."""
    for host in answers.known():
        for address, macs in _by_address(host).items():
            parts = [*macs, f"set:n{host.id}", address, host.name]
            yield f"dhcp-host={','.join(part for part in parts if part)}"


def _by_address(host: Host) -> dict[str, list[str]]:
    """Its Ethernet addresses by the IPv4 address that they get; empty: one of the dynamic range."""
    found: dict[str, list[str]] = {}
    for mac, addresses in host.ports():
        for address in [address for address in addresses if ":" not in address] or [""]:
            found.setdefault(address, []).append(mac)
    return found


def _urls(number: int, network: Network, answers: Answers) -> Iterator[str]:
    """The boot URLs that iPXE gets of nodes."""
    within = Within(network.cidr)
    for host in answers.known():
        if any(host.within(within)):
            url = host_url(network, answers.door, host)
            yield f"dhcp-option=tag:net{number},tag:ipxe,tag:n{host.id},option:bootfile-name,{url}"


def _matches() -> list[str]:
    return [
        "dhcp-match=set:ipxe,175",
        "dhcp-userclass=set:ipxe,iPXE",
        "dhcp-vendorclass=set:http,HTTPClient",
        *(f"dhcp-match=set:uefi,option:client-arch,{code}" for code in UEFI_ARCHITECTURES),
    ]


def _network(number: int, network: Network, port: int) -> Iterator[str]:
    within = ipaddress.ip_network(network.cidr, strict=False)
    tag, mask = f"net{number}", within.netmask
    if network.proxy:
        yield f"dhcp-range=set:{tag},{within.network_address},proxy,{mask}"
    elif network.dynamic:
        first, last = network.dynamic
        yield f"dhcp-range=set:{tag},{first},{last},{mask},{network.lease}"
    else:
        yield f"dhcp-range=set:{tag},{within.network_address},static,{mask},{network.lease}"
    for option, value in (("router", network.gateway or ""), ("dns-server", ",".join(network.dns))):
        # Without a value it is not sent; else dnsmasq would name itself.
        yield f"dhcp-option=tag:{tag},option:{option}{',' + value if value else ''}"
    if network.domain:
        yield f"dhcp-option=tag:{tag},option:domain-name,{network.domain}"
    yield f"dhcp-option-force=tag:{tag},tag:http,60,HTTPClient"
    if network.proxy:
        # A service that is nobody's makes it answer as a proxy at all; what is booted is said without a menu.
        yield 'pxe-service=tag:nobody,X86PC,"none"'
        yield f"dhcp-boot=tag:{tag},tag:ipxe,{stranger_url(network, port)}"
    else:
        yield f"dhcp-option=tag:{tag},tag:ipxe,tag:!known,option:bootfile-name,{stranger_url(network, port)}"
    yield f"dhcp-boot=tag:{tag},tag:!ipxe,tag:http,{http_boot_url(network, port)}"
    yield f"dhcp-boot=tag:{tag},tag:!ipxe,tag:!http,tag:uefi,{UEFI},,{network.address}"
    yield f"dhcp-boot=tag:{tag},tag:!ipxe,tag:!http,tag:!uefi,{BIOS},,{network.address}"
