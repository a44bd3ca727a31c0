"""Kea answers DHCP (https://kea.readthedocs.io/en/kea-2.2.0/): a process of its own, fed over its control socket.

A host's reservation carries its boot URL as option 67, and a network that of strangers; only iPXE is to see them. For
all other firmware the hook ``flex_option`` puts the first stage in place of it, and classes put it into the field
``file`` too, for ROMs that look only there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from glob import glob
from typing import Any

import structlog

from rackwright.core.dhcp import (
    BIOS,
    UEFI,
    UEFI_ARCHITECTURES,
    Answers,
    Host,
    host_url,
    http_boot_url,
    stranger_url,
)
from rackwright.core.errors import Retryable
from rackwright.core.served import Network
from rackwright.rack.dhcp.process import STARTED, ServerProcess

LEASE = 3600
"""Seconds for which an address is given."""

ANSWER = 60.0
"""Seconds for one command."""

_HOOKS = "/usr/lib/*/kea/hooks/libdhcp_flex_option.so"

log = structlog.get_logger()


class Kea:
    """Kea's DHCPv4 server; its configuration, leases and socket are in ``folder``.

    It goes on answering when the rack's process is killed, and the next one takes it over.
    """

    name = "kea"

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._socket = os.path.join(folder, "control")
        self._process = ServerProcess("kea-dhcp4", "kea-dhcp4-server")
        self._writing = asyncio.Lock()
        self._answered: Answers | None = None

    async def answer(self, answers: Answers) -> None:
        """See the protocol."""
        async with self._writing:
            lives = await self._lives()
            if lives and answers == self._answered:
                return
            text = await asyncio.to_thread(self._written, answers)
            if lives:
                await self._command("config-set", text)
            else:
                await self._start()
            self._answered = answers

    async def close(self) -> None:
        """See the protocol."""
        with contextlib.suppress(Retryable):
            await self._command("shutdown", "{}")
        await self._process.stop()

    async def _lives(self) -> bool:
        try:
            await self._command("version-get")
        except Retryable:
            return False
        return True

    async def _start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._socket)
        places = {"KEA_PIDFILE_DIR": self._folder, "KEA_LOCKFILE_DIR": self._folder}
        await self._process.start(["-c", os.path.join(self._folder, "kea-dhcp4.conf")], places)
        until = asyncio.get_running_loop().time() + STARTED
        while not await self._lives():
            if not self._process.running or asyncio.get_running_loop().time() > until:
                said = self._process.tail
                await self._process.stop()
                raise Retryable(f"Kea does not start: {said}", where=self._folder)
            await asyncio.sleep(0.02)
        log.info("Kea answers DHCP", folder=self._folder)

    def _written(self, answers: Answers) -> str:
        """Write the configuration for Kea's next start; gives it."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        text = json.dumps(configuration(answers, self._folder), indent=1)
        path = os.path.join(self._folder, "kea-dhcp4.conf")
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        os.replace(f"{path}.new", path)
        return text

    async def _command(self, command: str, arguments: str = "") -> None:
        """Give a command and wait for its end; raises ``Retryable`` when Kea is away or refuses."""
        given = f', "arguments": {arguments}' if arguments else ""
        try:
            async with asyncio.timeout(ANSWER):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f'{{"command": "{command}"{given}}}'.encode())
                    await writer.drain()
                    answer = json.loads(await reader.read())
                finally:
                    writer.close()
        except (OSError, ValueError, TimeoutError) as error:
            raise Retryable(f"Kea does not take {command}: {str(error) or type(error).__name__}") from error
        if answer["result"] != 0:
            raise Retryable(f"Kea refuses {command}: {answer.get('text', '')}", where=self._folder)


def configuration(answers: Answers, folder: str) -> dict[str, Any]:
    """Kea's configuration for these answers."""
    networks = [(network, interface) for network, interface in answers.present() if not network.proxy]
    listening = dict.fromkeys(f"{interface}/{network.address}" for network, interface in networks)
    subnets = [_subnet(number, network, answers) for number, (network, _) in enumerate(networks, start=1)]
    return {
        "Dhcp4": {
            "interfaces-config": {
                "interfaces": list(listening),
                "dhcp-socket-type": "raw",
                # An interface without a carrier cannot be opened: it is tried again until it can.
                "service-sockets-max-retries": 1_000_000,
                "service-sockets-retry-wait-time": 1000,
            },
            "control-socket": {"socket-type": "unix", "socket-name": os.path.join(folder, "control")},
            "lease-database": {"type": "memfile", "persist": True, "name": os.path.join(folder, "leases.csv")},
            "valid-lifetime": LEASE,
            "host-reservation-identifiers": ["hw-address"],
            # Firmware, iPXE and the installed system name themselves differently: a machine is its Ethernet address.
            "match-client-id": False,
            # A node may boot from each of its interfaces.
            "ip-reservations-unique": False,
            "hooks-libraries": [_first_stage(networks, answers.door)] if networks else [],
            "client-classes": _classes(),
            "subnet4": subnets,
            "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout"}], "severity": "WARN"}],
        }
    }


def _classes() -> list[dict[str, Any]]:
    ipxe = (
        "option[175].exists or substring(option[77].hex, 0, 4) == 'iPXE' or substring(option[77].hex, 1, 4) == 'iPXE'"
    )
    uefi = " or ".join(f"option[93].hex == 0x{code:04x}" for code in UEFI_ARCHITECTURES)
    http = {"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}
    return [
        {"name": "ipxe", "test": ipxe},
        {
            "name": "http",
            "test": "not member('ipxe') and substring(option[60].hex, 0, 10) == 'HTTPClient'",
            "option-data": [http],
        },
        {
            "name": "uefi",
            "test": f"not member('ipxe') and not member('http') and ({uefi})",
            "boot-file-name": UEFI,
        },
        {
            "name": "bios",
            "test": "not member('ipxe') and not member('http') and not member('uefi')",
            "boot-file-name": BIOS,
        },
    ]


def _first_stage(networks: list[tuple[Network, str]], port: int) -> dict[str, Any]:
    """The hook that gives everything but iPXE its first stage; an empty value leaves what is there."""
    url = f"'{http_boot_url(networks[0][0], port)}'"
    for network, interface in networks:
        if not network.relayed:
            url = f"ifelse(pkt.iface == '{interface}', '{http_boot_url(network, port)}', {url})"
    stage = f"ifelse(member('http'), {url}, ifelse(member('uefi'), '{UEFI}', '{BIOS}'))"
    found = sorted(glob(_HOOKS))
    return {
        "library": found[0] if found else "libdhcp_flex_option.so",
        "parameters": {"options": [{"code": 67, "supersede": f"ifelse(member('ipxe'), '', {stage})"}]},
    }


def _subnet(number: int, network: Network, answers: Answers) -> dict[str, Any]:
    options = [
        ("routers", network.gateway or ""),
        ("domain-name-servers", ", ".join(network.dns)),
        ("domain-name", network.domain),
        ("boot-file-name", _escaped(stranger_url(network, answers.door))),
    ]
    reservations = [
        reservation
        for host in answers.of(network)
        for reservation in _reservations(host, host_url(network, answers.door, host))
    ]
    return {
        "id": number,
        "subnet": network.cidr,
        "pools": [{"pool": " - ".join(network.dynamic)}] if network.dynamic else [],
        "next-server": network.address,
        "authoritative": True,
        "option-data": [{"name": name, "data": data} for name, data in options if data],
        "reservations": reservations,
    }


def _reservations(host: Host, url: str) -> list[dict[str, Any]]:
    what: dict[str, Any] = {"option-data": [{"name": "boot-file-name", "data": _escaped(url)}]}
    if host.address is not None:
        what["ip-address"] = host.address
    if host.name:
        what["hostname"] = host.name
    return [{"hw-address": mac, **what} for mac in host.macs]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")
